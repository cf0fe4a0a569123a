"""Commands on models and their files: classes, models, sample, inspect, convert, bench."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from infer.cli.common import DeviceOption, ModelOption, OutOption, SeedOption, note, prepared, print_table, say
from infer.cli.completion import class_names, model_names
from models.device import find_device
from models.errors import PhotograftError
from models.header import read_header
from models.hub.manifest import write_manifest
from models.names.published import assumed, is_assumed, numbers_in_imagenet
from models.writing import file_name
from models.zoo import DEFAULT, ZOO, is_installed, model_stem, names_of, read_classes

SHOWN_NAMES = 12  # of a file's classes
_OVERRIDE = "other names go into {}.names.csv: a line NAME or WORDNET-ID,NAME for each class, in their order"


def classes(model: ModelOption = DEFAULT) -> None:
    """List a model's classes: `--to` takes the number, the name, the WordNet id, or ImageNet's number: imagenet:151."""
    known = read_classes(model)
    if not known.class_names:
        raise PhotograftError(f"model {model} is unconditional: it has no classes")
    groups = [known.group_names[group] for group in known.groups]
    numbers = range(len(groups))
    rows = zip(
        map(str, numbers), known.class_names, known.class_ids, numbers_in_imagenet(known.class_ids), groups, strict=True
    )
    print_table([("number", "class", "WordNet id", "imagenet:", "group"), *rows])
    note(f"names: {known.names_from or 'nobody has named them'}")
    if is_assumed(known.names_from):
        note(_OVERRIDE.format(model_stem(model)))


def models(
    manifest: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Instead: write STEM.json beside this model's files, so that it can be fetched from an address.",
            autocompletion=model_names,
        ),
    ] = None,
) -> None:
    """List the models that come with Photograft."""
    if manifest is not None:
        path, pinned = write_manifest(model_stem(manifest))
        say(path)
        note(f"for others: --model https://HOST/FOLDER/{path.name}#sha256={pinned}")
        return
    rows = [
        (name, entry.summary, "installed" if is_installed(name) else "missing", entry.licence)
        for name, entry in ZOO.items()
    ]
    print_table([("name", "what", "weights", "licence"), *rows])


def sample(
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            "-c",
            metavar="CLASS",
            help="A row of samples; repeat it. Default: eight classes.",
            autocompletion=class_names,
        ),
    ] = None,
    columns: Annotated[int, typer.Option(min=1, max=64, help="Samples per class.")] = 8,
    truncation: Annotated[
        float,
        typer.Option(min=0, max=2, help="Less is safer and less varied: a factor on z, for style generators on w."),
    ] = 1.0,  # by the judge best on the embedded weights: model card
    reject: Annotated[
        float,
        typer.Option(min=0, max=0.9, help="Share of all z left out, the least real by the projected discriminator."),
    ] = 0.0,  # by distances better, by eye not: model card
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT,
    device: DeviceOption = "auto",
    out: OutOption = Path("out"),
) -> None:
    """Draw samples: a picture with a class per row and a z per column."""
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.pictures.convert import png
    from infer.pictures.samples import sample_rows, spread_classes
    from infer.pictures.sheet import sheet

    networks = prepared(model, device).fast_model
    count = networks.generator.num_classes
    labels = [networks.class_index(name) for name in classes or ()] or spread_classes(count, 8)
    check_folder(out)
    rows = sample_rows(networks, labels, columns, truncation, seed, reject)
    names = [networks.class_names[label] for label in labels]
    picture = png(sheet(rows, names=names, size=networks.generator.resolution))
    file = f"{file_name(networks.stem, 'samples', str(seed))}.png"
    for path in ResultFolder(out, model_inputs(model)).replace({file: picture}):
        say(path)


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Our .safetensors, or a file of another project.")],
) -> None:
    """Say what a weights file holds."""
    from models.checkpoints import formats

    if file.suffix == ".safetensors" and not formats.is_foreign(file):
        for line in _described(file):
            say(line)
        return
    try:
        reading = formats.read(file)
    except formats.UnknownNetwork as error:
        for line in error.listing:
            say(line)
        raise
    for description in reading.descriptions():
        say(description)
        if description.kind == "generator" and description.classes:
            found = assumed(description.classes)
            say(f"class names: {'the file has none' if found is None else f'{_first(found.names)}, {found.source}'}")
    for part in reading.parts:
        say(part)
    for remark in reading.remarks:
        note(remark)


def _first(names: Sequence[str]) -> str:
    """The first of a file's class names."""
    return ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")


def _described(path: Path) -> list[str]:
    """Kind, size, config, classes, layers and everything else that a file of ours says."""
    from models.files import empty_network, sha256

    network, header, file = empty_network(path)
    file.read()  # says what is wrong with its values
    lines = [
        f"{header.kind} of family {header.family}, {sum(t.numel() for t in file.described.values()):,} values",
        f"sha256: {sha256(path)}",
        f"config: {json.dumps(header.config)}",
    ]
    if header.kind == "generator":
        header.known.check_classes(network.num_classes, path)
    if header.kind == "generator" and network.num_classes:
        names = names_of(header, network.num_classes, model_stem(str(path)))
        lines.append(f"{len(names.names)} classes: {_first(names.names)}")
        lines.append(f"class names: {names.source or 'nobody has named them'}")
    elif written := header.known.class_names:
        lines.append(f"{len(written)} classes: {_first(written)}")
    lines += [f"{key}: {value}" for key, value in header.info.items() if not isinstance(value, list | dict)]
    if header.kind == "generator":
        lines.append("modulated layers, for --layers:")
        lines += [f"  {i}: {layer.name}, {layer.resolution} px" for i, layer in enumerate(network.modulated_layers)]
    return lines


def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of another project: .npz, .pkl, .pt, .pth, .model.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors to write.")],
    bn_eps: Annotated[
        float | None,
        typer.Option(
            min=1e-12, max=1, help="Of ajbrock's BigGANs, whose files do not say it: as --BN_eps of training."
        ),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|dogs-cats|flowers|FILE",
            help="Names of the generator's classes: a known set, or a line NAME or WORDNET-ID,NAME for each class.",
        ),
    ] = None,
    truncation: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Of BigGANs with statistics of several truncations: whose stand, and times which their prior is.",
        ),
    ] = 1.0,
    ported_statistics: Annotated[
        bool,
        typer.Option(
            "--ported-statistics",
            help="Mix the statistics of two truncations as pytorch-pretrained-biggan does, for pictures like its own.",
        ),
    ] = False,
) -> None:
    """Convert a file of another project to our format.

    Its content says what it is: a snapshot of the original authors, or a BigGAN, StyleGAN or Progressive GAN of its
    authors or of a port to torch, with the discriminator if the file has one. A BigGAN of TensorFlow Hub is named by
    its module's folder or address. Nothing in the file is executed. A file of several networks becomes several files,
    with their kind in the name.
    """
    from infer.editor.results import check_folder
    from models.checkpoints import formats

    if out.suffix != ".safetensors":
        raise PhotograftError(f"{out}: name a .safetensors file to write")
    check_folder(out.parent)
    for path in formats.convert(
        file, out, note, names=names, truncation=truncation, ported_statistics=ported_statistics, bn_eps=bn_eps
    ):
        say(path)
        _say_assumed(path)


def _say_assumed(path: Path) -> None:
    """Of a generator's file that does not name its classes: what they are taken for, and how that is changed."""
    header = read_header(path)
    count = header.config.get("num_classes", 0)
    found = assumed(count) if header.kind == "generator" and not header.known.class_names else None
    if found is not None:
        note(f"class names are {found.source}; --names says others")


def bench(
    device: DeviceOption = "auto",
    training: Annotated[
        bool, typer.Option("--training", help="Time steps of trainings instead, and say where their time goes.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="With --training: class folders or tar shards. Default: drawn pictures."),
    ] = None,
) -> None:
    """Time how commands start, projection in the original's 256 px configuration and by preset, catalogs and transfers
    of parts, and edits of close-ups up to 48 megapixels with their memory.
    """
    if training:
        _bench_training(data)
        return
    if data is not None:
        raise PhotograftError("--data is for bench --training: add that, or leave it out")
    from infer.evaluate.photo_speed import bench_photos
    from infer.evaluate.speed import bench as run
    from infer.evaluate.startup import bench_startup

    where = find_device(device)
    bench_startup()
    run(device=str(where))
    bench_photos(device=device)


def _bench_training(data: Path | None) -> None:
    """`train.py bench`, as a process of its own: nothing here imports what trains."""
    command = [sys.executable, "-m", "train.cli", "bench", *([] if data is None else ["--data", str(data)])]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise SystemExit(code)
