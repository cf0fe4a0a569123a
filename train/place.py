"""The folder of a run, chosen before a training begins, so that none writes over another unasked."""

import re
from dataclasses import dataclass
from pathlib import Path

from models.errors import PhotograftError

LAST = "last.ckpt"
CONFIG, METRICS = "config.yaml", "metrics.csv"
_VERSION = re.compile(r"v(\d{3,})")
_GRID = re.compile(r"[a-z]+_\d{9,}\.png")


@dataclass(frozen=True)
class Place:
    """Where a training writes, and what it goes on from.

    Attributes:
        folder: of the run.
        checkpoint: file to go on from.
        continues: the run that the checkpoint was written by goes on, and does not branch off at an earlier point.
        beside: an earlier run that is left as it is, if that is why the folder has a number.
        replaces: the earlier run in the folder is taken away when this one begins.
    """

    folder: Path
    checkpoint: Path | None = None
    continues: bool = False
    beside: Path | None = None
    replaces: bool = False


def holds_run(folder: Path) -> bool:
    """Whether a training has written here."""
    return any((folder / name).exists() for name in (CONFIG, METRICS)) or any(folder.glob("*.ckpt"))


def runs_of(base: Path) -> list[Path]:
    """The runs of a name: BASE, BASE/v002, BASE/v003, ..."""
    numbered = sorted((p for p in base.glob("v*") if _VERSION.fullmatch(p.name)), key=lambda p: int(p.name[1:]))
    return [folder for folder in (base, *numbered) if holds_run(folder)]


def choose_place(base: Path, checkpoint: str | None = None, *, overwrite: bool = False) -> Place:
    """Where a training writes.

    A run goes on in its folder from its `last.ckpt`. Whatever else is begun where a run is gets a numbered folder.

    Args:
        base: the run's folder by its config; a numbered one stands for the one that it lies in.
        checkpoint: a file; "last": that of the newest run; "auto": the same if there is one; None: start anew.
        overwrite: write to `base` in any case.

    Raises:
        PhotograftError: "last", and there is none.
    """
    if _VERSION.fullmatch(base.name) and holds_run(base.parent):
        base = base.parent
    runs = runs_of(base)
    path = None if checkpoint is None else Path(checkpoint)
    if checkpoint in ("last", "auto"):
        kept = [run / LAST for run in runs if (run / LAST).is_file()]
        path = max(kept, key=lambda file: file.stat().st_mtime_ns, default=None)
        if path is None and checkpoint == "last":
            raise PhotograftError(f"{base} holds no {LAST} to go on from: name a file, or leave --ckpt_path out")
    # an earlier checkpoint of a run that has gone further begins a run of its own
    continues = path is not None and (path.name == LAST or not (path.parent / LAST).exists())
    if path is not None and path.name == LAST and path.parent.resolve() in [run.resolve() for run in runs]:
        return Place(path.parent, path, continues)
    if overwrite or base not in runs:
        return Place(base, path, continues, replaces=base in runs)
    newest = runs[-1]
    number = 2 if newest == base else int(newest.name[1:]) + 1
    return Place(base / f"v{number:03d}", path, continues, newest)


def clear_run(folder: Path) -> None:
    """Take away what an earlier training has written, by its names; a user's own files, caches and W&B's stay."""
    for path in (folder / CONFIG, folder / METRICS, folder / LAST, *folder.glob("images_*.ckpt")):
        path.unlink(missing_ok=True)
    for path in (folder / "images").glob("*.png"):
        if _GRID.fullmatch(path.name):
            path.unlink()
