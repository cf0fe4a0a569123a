"""`infer.py evaluate ...`"""

import re
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from infer.cli.common import CatalogOption, DeviceOption, bar, note, prepared, print_table, say
from infer.cli.evaluate_photos import photos
from infer.cli.evaluate_report import report
from infer.cli.evaluate_studies import studies
from infer.cli.options import EpsilonOption, PerLayerOption, ProcessesOption, RhoOption, ShiftOption
from infer.edits.choices import RHO
from infer.evaluate.choices import REAL, SETTLING
from models.device import find_device
from models.errors import PhotograftError
from models.schema import short
from models.zoo import DEFAULT, Model, load_model, with_encoder

evaluate_app = typer.Typer(help="Measure how good a model is.", no_args_is_help=True)


@evaluate_app.callback()
def _group() -> None:
    """Measure how good a model is."""


evaluate_app.command()(photos)
evaluate_app.command()(studies)
evaluate_app.command()(report)


@evaluate_app.command()
def generator(
    data: Annotated[Path, typer.Option(help="The data it was trained on: class folders or tar shards.")],
    name: Annotated[str, typer.Argument(help="Name in the zoo, or path of a .generator.safetensors.")] = DEFAULT,
    samples: Annotated[int, typer.Option(min=600, max=1_000_000, help="Samples, and real pictures.")] = 4000,
    truncation: Annotated[float, typer.Option(min=0, max=2, help="Factor on z, for style generators on w.")] = 1.0,
    reject: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the samples left out, the least real by the discriminator.")
    ] = 0.0,
    classifier: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Names classes too: of torchvision, or a .safetensors.")
    ] = None,
    index_map: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Which of the classifier's classes are which of the model's.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of random draws.")] = 1,
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for table and contact sheet.")] = Path("out"),
) -> None:
    """Samples against real pictures: Fréchet distances, precision and recall, class hits, and a contact sheet."""
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.evaluate.classifiers import load_classifier
    from infer.evaluate.generator import evaluate_generator
    from infer.evaluate.generator_report import write_generator

    networks = prepared(name, device, bf16=False)
    model = networks.model
    if (classifier is None) != (index_map is None):
        raise PhotograftError("--classifier and --index-map go together")
    read = [*model_inputs(name), *([index_map] if index_map else []), *([Path(classifier)] if classifier else [])]
    judge = load_classifier(classifier, index_map, model) if classifier and index_map else None
    check_folder(out)
    with bar() as update:
        report = evaluate_generator(
            networks,
            data,
            samples=samples,
            truncation=truncation,
            reject=reject,
            seed=seed,
            classifier=judge,
            progress=update,
        )
    print_table([("measure", "samples", "real pictures"), *report.rows()], f"{name}: {samples} samples, seed {seed}")
    for path in write_generator(report, model, ResultFolder(out, read)):
        say(path)


@evaluate_app.command()
def translation(
    data: Annotated[Path, typer.Option(help="The data it was trained on: class folders or tar shards.")],
    name: Annotated[str, typer.Argument(help="Name in the zoo, or path of a .generator.safetensors.")] = DEFAULT,
    photos: Annotated[int, typer.Option(min=2, max=1_000_000, help="Validation photos, evenly spaced.")] = 500,
    steps: Annotated[str, typer.Option(metavar="N,N", help="Updates of projection; 0: the encoder's answer.")] = "0,30",
    translations: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="Translations compared with real pictures.")
    ] = 4000,
    real: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="Real pictures: compared with, and the probe's.")
    ] = REAL,
    masks: Annotated[int, typer.Option(min=1, max=1_000_000, help="Translations that are segmented.")] = 100,
    bf16: Annotated[bool, typer.Option("--bf16", help="Projection in bfloat16.")] = False,
    settle: Annotated[
        int, typer.Option(min=0, max=10_000, help="Updates of each translation after projection.")
    ] = SETTLING,
    into: Annotated[
        list[str] | None, typer.Option(metavar="GROUP", help="Groups of the class errors; default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of targets and real pictures.")] = 1,
    device: DeviceOption = "auto",
    devices: ProcessesOption = 1,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for tables, contact sheets and kept latents.")
    ] = Path("out"),
) -> None:
    """Photos translated into other classes: is it the class, is it still the photo, does it look real (Table 2).

    Latents are kept in FOLDER/translation as they are found: after an interruption the same command goes on.
    """
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.evaluate.translation import evaluate_translation
    from infer.evaluate.translation_report import pair_rows, summary_rows, write_translation
    from infer.folders.shared import share_evaluation
    from models.progress import is_first_process

    networks, counts = prepared(name, device, bf16=bf16), _counts(steps)
    check_folder(out)
    _check_bf16(bf16)
    asked = partial(
        evaluate_translation,
        root=data,
        photos=photos,
        steps=counts,
        translations=translations,
        real=real,
        masks=masks,
        settling=settle,
        seed=seed,
        into=into or (),
        folder=out / "translation",
    )
    share_evaluation(networks, asked, devices)
    if not is_first_process():
        return
    with bar() as update:
        report = asked(networks, progress=update)
    print_table(summary_rows(report), f"{name}: {report.photos} validation photos, seed {seed}")
    print_table(pair_rows(report), "class errors")
    for path in write_translation(report, networks.model, data.name, ResultFolder(out, model_inputs(name))):
        say(path)


@evaluate_app.command()
def history(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Exports of one training, as paths.")],
    data: Annotated[Path, typer.Option(help="The data it was trained on: class folders or tar shards.")],
    samples: Annotated[
        int, typer.Option(min=600, max=1_000_000, help="Samples, translations, and real pictures.")
    ] = 2000,
    photos: Annotated[int, typer.Option(min=2, max=1_000_000, help="Validation photos, evenly spaced.")] = 200,
    masks: Annotated[int, typer.Option(min=1, max=1_000_000, help="Translations that are segmented.")] = 40,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of random draws.")] = 1,
    name: Annotated[str, typer.Option(help="Of the files.")] = "training",
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for table, curve and kept points.")] = Path("out"),
) -> None:
    """How a training got better: samples and translations over the pictures seen, as CSV and PNG.

    Each point is kept in FOLDER/history as soon as it is done: after an interruption, or with one more export, the same
    command goes on.
    """
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.evaluate.history import history_rows, measure_history, write_history

    check_folder(out)
    with bar() as update:
        points = measure_history(
            names,
            data,
            samples=samples,
            photos=photos,
            masks=masks,
            seed=seed,
            folder=out / "history",
            device=device,
            progress=update,
        )
    print_table(history_rows(points), f"{samples} samples, {photos} photos, seed {seed}")
    for path in write_history(points, name, ResultFolder(out, chain.from_iterable(map(model_inputs, names)))):
        say(path)


@evaluate_app.command()
def convergence(
    data: Annotated[Path, typer.Option(help="The data it was trained on: class folders or tar shards.")],
    name: Annotated[str, typer.Argument(help="Name in the zoo, or path of a .generator.safetensors.")] = DEFAULT,
    photos: Annotated[int, typer.Option(min=2, max=1_000_000, help="Validation photos, evenly spaced.")] = 200,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Updates.")] = 200,
    random_steps: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="From random starts; default: as many.")
    ] = None,
    grid_photos: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="Photos of them that choose the learning rates.")
    ] = 32,
    grid_steps: Annotated[int, typer.Option(min=1, max=10_000, help="Updates after which rates are compared.")] = 100,
    max_norm: Annotated[float | None, typer.Option(help="Hold z in this ball, in all curves; paper: not.")] = None,
    psi: Annotated[
        str | None, typer.Option(metavar="NAME", help="Features compared: projected, or the paper's, discriminator.")
    ] = None,
    bf16: Annotated[bool, typer.Option("--bf16", help="Networks in bfloat16.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Photos worked on at once.")] = 32,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the random starts.")] = 0,
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables, figures and kept curves.")] = Path("out"),
) -> None:
    """How fast projection converges on z and zeta, from E and from random starts (the paper's Figures 16 and 17).

    Each curve's losses are kept in FOLDER/curves as soon as they are done: after an interruption the same command goes
    on, and new auxiliary networks do not cost the curves on z.
    """
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.evaluate.convergence import compare
    from infer.evaluate.convergence_report import Settings, write_convergence
    from infer.evaluate.curves import Runner, validation_photos

    if max_norm is not None and not max_norm > 0:
        raise PhotograftError(f"--max-norm is a positive radius, not {max_norm}")
    networks = prepared(name, device, bf16=bf16, psi=psi)
    model = networks.model
    check_folder(out)
    _check_bf16(bf16)
    chosen = validation_photos(data, networks, photos, seed)
    with bar() as update:
        runner = Runner(networks, out / "curves", max_norm=max_norm, batch_size=batch_size, progress=update)
        found = compare(
            runner, chosen, steps=steps, random_steps=random_steps, grid_photos=grid_photos, grid_steps=grid_steps
        )
    text = (
        f"{len(chosen)} validation photos of `{data.name}`, {steps} updates"
        f"{'' if random_steps is None else f' ({random_steps} from random starts)'},"
        f" rates by {min(grid_photos, len(chosen))} photos after {grid_steps}, {'bfloat16' if bf16 else 'float32'},"
        f" Psi of the {networks.psi_name} network, z"
        f" {'free' if max_norm is None else f'within {max_norm:g}'}, seed {seed}"
    )
    for path in write_convergence(
        found, Settings(model.name, text, model.hashes), ResultFolder(out, model_inputs(name))
    ):
        say(path)


@evaluate_app.command()
def reconstruction(
    data: Annotated[Path, typer.Option(help="The data it was trained on: class folders or tar shards.")],
    name: Annotated[str, typer.Argument(help="Name in the zoo, or path of a .generator.safetensors.")] = DEFAULT,
    encoder: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Encoder instead of the model's; may be given again.")
    ] = None,
    steps: Annotated[str, typer.Option(metavar="N,N", help="Updates of projection; 0: the encoder's answer.")] = "0,20",
    preset: Annotated[
        list[str] | None, typer.Option(metavar="PRESET", help="Measured too, as edits use it; may be given again.")
    ] = None,
    lpips: Annotated[
        str | None, typer.Option(metavar="NET", help="LPIPS too, by alex, vgg or squeeze: torchvision fetches it.")
    ] = None,
    photos: Annotated[int, typer.Option(min=2, max=1_000_000, help="Validation photos, evenly spaced.")] = 500,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the choice of other photos.")] = 0,
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for table, pictures and what is kept.")] = Path(
        "out"
    ),
) -> None:
    """How near reconstructions are to photos: of encoders as they are, after updates of projection, by presets.

    Judged by SqueezeNet features and pixels, beside the loss that projection itself lowers; another photo of the same
    class and the mean code show what is no better than the class. What presets make is kept in FOLDER/presets.
    """
    import torch

    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.evaluate.distances import load_lpips
    from infer.evaluate.reconstruction import evaluate_reconstruction
    from infer.evaluate.reconstruction_report import console_rows, write_reconstruction
    from infer.projection.presets import get_preset
    from models.prepared import Networks

    counts = _counts(steps)
    for one in preset or ():
        get_preset(one)
    distance = load_lpips(lpips) if lpips else None
    find_device(device)
    loaded = _with_encoders(load_model(name), encoder or [])
    models = {encoder: Networks.of(model, device, dtype=torch.float32) for encoder, model in loaded.items()}
    check_folder(out)
    with bar() as update:
        found = evaluate_reconstruction(
            models,
            data,
            photos=photos,
            steps=counts,
            presets=list(dict.fromkeys(preset or ())),
            lpips=distance,
            folder=out / "presets",
            seed=seed,
            progress=update,
        )
    print_table(console_rows(found), f"{found.count} validation photos, seed {seed}")
    results = ResultFolder(out, [*model_inputs(name), *(encoder or [])])
    for path in write_reconstruction(found, next(iter(loaded.values())).name, data.name, results):
        say(path)


@evaluate_app.command()
def transfer(
    name: Annotated[str, typer.Argument(help="Name in the zoo, or path of a .generator.safetensors.")] = DEFAULT,
    parts: Annotated[
        list[str] | None, typer.Option("--part", "-p", metavar="PART", help="Parts; default: all that are named.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=2, max=1_000_000, help="Sources with references, of curves and heat maps.")
    ] = 100,
    samples: Annotated[int, typer.Option(min=0, max=1_000_000, help="Behind each Fréchet distance; 0: none.")] = 1000,
    data: Annotated[
        Path | None, typer.Option(help="Its data, for distances to real pictures; else to samples.")
    ] = None,
    epsilon: EpsilonOption = None,
    rho: RhoOption = RHO,
    per_layer: PerLayerOption = False,
    shift: ShiftOption = False,
    truncation: Annotated[float, typer.Option(min=0, max=2, help="Of samples.")] = 1.0,
    catalog: CatalogOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of samples.")] = 0,
    device: DeviceOption = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for files and kept measures.")] = Path("out"),
) -> None:
    """How local and how real transfers of parts are (the second paper's Figure 7 and Table 1).

    Measures are kept in FOLDER/transfers as they are done: after an interruption the same command goes on.
    """
    from infer.catalog.catalog import default_path, load_catalog, names_path
    from infer.editor.results import ResultFolder, check_folder, model_inputs
    from infer.edits.query_transfer import Query, check_transfers
    from infer.evaluate.transfers import Evaluation
    from infer.evaluate.transfers_report import distance_rows, level_rows, write_transfer

    networks = prepared(name, device, bf16=False)
    model = replace(networks.model, generator=networks.generator)
    check_transfers(model.generator)
    file = catalog or default_path(model, out)
    known = load_catalog(file, model)
    check_folder(out)
    query = Query(epsilon=epsilon, rho=rho, per_layer=per_layer)
    with bar() as update:
        evaluation = Evaluation(
            model, known, query, shift, pairs, samples, truncation, seed, out / "transfers", progress=update
        )
        found = evaluation.run(list(parts or known.names), data)
    print_table(level_rows(found), f"{model.stem}: {found.text}")
    if found.distances:
        print_table(distance_rows(found), f"against {'real pictures' if data else 'other samples'}")
    for path in write_transfer(found, ResultFolder(out, [*model_inputs(name), file, names_path(file)])):
        say(path)


def _counts(text: str) -> list[int]:
    """Numbers of updates: "0,20"."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,4}", part) for part in parts):
        raise PhotograftError(f"--steps are numbers of updates such as 0,20, not {short(text)}")
    return list(dict.fromkeys(map(int, parts)))


def _check_bf16(asked: bool) -> None:
    """Say so if bfloat16 will only be slower here."""
    from models.processor import computes_bfloat16

    if asked and not computes_bfloat16():
        note("warning: this processor has no instructions for bfloat16: leave --bf16 out, it is slower")


def _with_encoders(model: Model, files: list[Path]) -> dict[str, Model]:
    """The model with each of the encoders, by the names of their files; as it is if there are none."""
    if not files:
        return {model.stem: model}
    names = [path.name.removesuffix(".safetensors").removesuffix(".encoder") for path in files]
    if len(set(names)) < len(names):
        raise PhotograftError(f"the encoders' names must differ in the table, not {', '.join(names)}: rename a file")
    return {name: with_encoder(model, path) for name, path in zip(names, files, strict=True)}
