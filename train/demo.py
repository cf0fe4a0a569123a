"""A first training from beginning to end: `python train.py demo`.

Draws a small ImageNet-like folder, trains GAN -> E -> A and B on it as anybody would with the commands, exports, and
edits a photo with the result. What is done is not done again: a second call goes on where the first one ended.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from models.errors import PhotograftError
from models.progress import duration, tell
from models.schema import Count, Seed, bounded
from models.terminal import visible
from models.writing import write_file
from train.place import LAST

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "train"
NAME = "balls"  # of the model
GAN_IMAGES = 40_000  # of tiny.yaml, whose decay ends there
TARGETS = ("soccer ball", "basketball", "tennis ball")  # an orange becomes each
COMMANDS = {  # the same as train.py and infer.py, wherever it is installed
    "train.py": "from train.cli import main; raise SystemExit(main())",
    "infer.py": "from infer.cli.main import main; raise SystemExit(main())",
}


@dataclass(frozen=True)
class Part:
    """One of the trainings.

    Attributes:
        name: its folder's, and its config's.
        gives: kinds of the exported files that the model takes from it.
        more: arguments that depend on what was trained before, from the demo's folder.
    """

    name: str
    gives: tuple[str, ...]
    more: Callable[[Path], list[str]]


def _exported(out: Path, part: str, kind: str) -> str:
    return str(out / part / f"{NAME}.{kind}.safetensors")


PARTS = (
    Part("tiny", ("generator", "discriminator", "projected"), lambda out: []),
    Part(
        "tiny_encoder",
        ("encoder",),
        lambda out: [
            f"--generator={_exported(out, 'tiny', 'generator')}",
            f"--model.init_args.init={_exported(out, 'tiny', 'encoder')}",
        ],
    ),
    Part(
        "tiny_auxiliary",
        ("auxiliary",),
        lambda out: [
            f"--generator={_exported(out, 'tiny', 'generator')}",
            f"--encoder={_exported(out, 'tiny_encoder', 'encoder')}",
        ],
    ),
)


@bounded
def run_demo(out: Path, *, pictures: Count = 1200, images: Count = GAN_IMAGES, seed: Seed = 0) -> Path:
    """Draw, train, export and edit.

    Args:
        out: folder for all of it.
        pictures: that are drawn, of all classes together.
        images: pictures that the GAN's training sees; the other trainings are shortened with it.
        seed: of what is drawn.

    Returns:
        The folder of the edited photo.

    Raises:
        PhotograftError: too few pictures, a folder that cannot be written, or a command that fails.
    """
    from train.demo_pictures import CLASSES, write_pictures

    if pictures < 16 * len(CLASSES):
        raise PhotograftError(f"{pictures} pictures are too few for {len(CLASSES)} classes: give 64 at least")
    begun = time.monotonic()
    data = out / "pictures"
    _headline(begun, f"1 of 5: drawing {pictures:,} pictures of {len(CLASSES)} classes, as ImageNet has them: {data}")
    write_pictures(data, pictures, seed)
    for number, part in enumerate(PARTS, start=2):
        _train(part, out, data, images, begun, number)
    model = _assemble(out)
    _headline(begun, f"5 of 5: editing a photo with {model}")
    edited = _edit(out, model, seed)
    _headline(begun, "done")
    _point_out(out, model, edited)
    return edited


def _headline(begun: float, text: str) -> None:
    tell(f"[{duration(time.monotonic() - begun)}] {visible(text)}")


def _train(part: Part, out: Path, data: Path, images: int, begun: float, number: int) -> None:
    """Train and export, unless it is done; go on from a checkpoint if there is one."""
    folder = out / part.name
    if all((folder / f"{NAME}.{kind}.safetensors").is_file() for kind in part.gives):
        _headline(begun, f"{number} of 5: {part.name} is trained already")
        return
    arguments = ["fit", "-c", str(CONFIGS / f"{part.name}.yaml"), f"--data.root={data}"]
    arguments += [f"--trainer.default_root_dir={folder}", *part.more(out), *_shortened(part, images)]
    _headline(begun, f"{number} of 5: training {part.name}")
    _run("train.py", [*arguments, "--ckpt_path=auto"])
    _run("train.py", ["export", str(folder / LAST), str(folder / NAME), "--overwrite"])


def _shortened(part: Part, images: int) -> list[str]:
    """What makes the trainings of another length than their configs'."""
    import yaml

    if images == GAN_IMAGES:
        return []
    config = yaml.safe_load((CONFIGS / f"{part.name}.yaml").read_text(encoding="utf-8"))
    share, model = images / GAN_IMAGES, config["model"]["init_args"]
    if "stages" not in model:
        return [f"--trainer.max_steps={max(1, round(config['trainer']['max_steps'] * share))}"]
    for stage in model["stages"]:
        if "images" in stage:
            stage["images"] = round(stage["images"] * share)
    decay = [round(end * share) for end in model["optimizer"]["decay"]]
    return [f"--model.init_args.optimizer.decay={decay}", f"--model.init_args.stages={json.dumps(model['stages'])}"]


def _run(script: str, arguments: Sequence[str]) -> None:
    """A command as one would give it, in a process of its own; its output is this one's.

    Raises:
        PhotograftError: it fails; it has said why.
    """
    tell(f"$ {script} {shlex.join(arguments)}")
    command = [sys.executable, "-c", COMMANDS[script], *arguments]
    here = str(Path(__file__).resolve().parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
    if done.returncode in (-2, 130):
        raise KeyboardInterrupt
    if done.returncode:
        raise PhotograftError(
            f"{script} {arguments[0]} ended with exit code {done.returncode}, see above; the same command goes on here"
        )


def _assemble(out: Path) -> Path:
    """All networks of the model side by side: what is found beside a generator belongs to it."""
    for part in PARTS:
        for kind in part.gives:
            source = Path(_exported(out, part.name, kind))
            write_file(out / "model" / source.name, partial(_copy, source))
    return Path(_exported(out, "model", "generator"))


def _copy(source: Path, stream: BinaryIO) -> None:
    with source.open("rb") as file:
        shutil.copyfileobj(file, stream)


def _edit(out: Path, model: Path, seed: int) -> Path:
    """The orange in a photo becomes other things."""
    from train.demo_pictures import draw_photo, write_jpeg, write_png

    photo, mask, box = draw_photo(seed)
    folder = out / "edited"
    write_file(folder / "photo.jpg", partial(write_jpeg, photo))
    write_file(folder / "mask.png", partial(write_png, mask))
    arguments = ["edit", str(folder / "photo.jpg"), "--model", str(model), "--out", str(folder)]
    arguments += ["--from", "orange", *(word for target in TARGETS for word in ("--to", target))]
    arguments += ["--box", ",".join(map(str, box)), "--mask", str(folder / "mask.png"), "--roll", "off"]
    _run("infer.py", [*arguments, "--method", "paste"])
    return folder


def _point_out(out: Path, model: Path, edited: Path) -> None:
    """Where to look."""
    stem = "photo_to_" + TARGETS[0].replace(" ", "-")
    shown = {
        "the photo": edited / "photo.jpg",
        "edited": edited / f"{stem}.jpg",
        "every stage of it": edited / f"{stem}.panel.png",
        "samples as the training went on": out / "tiny" / "images",
        "projections as E and A/B learned": out / "tiny_auxiliary" / "images",
        "the model, for photograft --model": model,
    }
    width = max(map(len, shown))
    for text, path in shown.items():
        print(f"{text:<{width}}  {visible(path)}")
