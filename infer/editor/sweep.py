"""Sweeps: one edit at several strengths, each a result of its own, and all of them in a row and as an animation."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from infer.editor.output import edit_name, protect, recipe_files
from infer.editor.results import ResultFolder
from infer.editor.session import Edit, Session
from infer.photo.photo import Pixels
from infer.pictures.animation import gif, mp4
from infer.pictures.convert import png
from infer.pictures.sheet import sheet
from models.errors import PhotograftError
from models.writing import Writer

MOST = 64  # strengths of a sweep


def evenly_strong(count: int) -> tuple[float, ...]:
    """`count` strengths from 0 to 1. Raises PhotograftError unless there are 2 to `MOST`."""
    if not 2 <= count <= MOST:
        raise PhotograftError(f"a sweep has 2 to {MOST} strengths, not {count}")
    return tuple(round(i / (count - 1), 4) for i in range(count))


def strength_words(strengths: Sequence[float]) -> list[str]:
    """What the files of each strength end in: s000, s025, s100; with more digits where these would be the same."""
    for digits in (2, 3, 4):
        words = [f"s{round(strength * 10**digits):0{digits + 1}d}" for strength in strengths]
        if len(set(words)) == len(set(strengths)):
            break
    return words


def sweep_row(edits: Sequence[Edit]) -> list[Pixels]:
    """Pictures to be looked at side by side: the part of the photo that any of the edits changes, with some around."""
    first = edits[0].pixels
    changed = np.zeros(first.shape[:2], bool)
    for edit in edits:
        changed |= (edit.pixels != first).any(axis=2)
    rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return [edit.pixels for edit in edits]
    margin = max(rows[-1] - rows[0], columns[-1] - columns[0]) // 4
    part = tuple(
        slice(max(int(at[0]) - margin, 0), min(int(at[-1]) + 1 + margin, side))
        for at, side in zip((rows, columns), first.shape[:2], strict=True)
    )
    return [np.ascontiguousarray(edit.pixels[part]) for edit in edits]


def write_sweep(
    session: Session,
    edits: Sequence[Edit],
    strengths: Sequence[float],
    results: ResultFolder,
    *,
    result: str,
    whole: Edit,
    lossless: bool = False,
    done: Callable[[list[Path]], object] = lambda paths: None,
) -> list[Path]:
    """Write what shows a whole sweep: `NAME_sweep.png` (a row with the strengths over it), `.gif`, `.mp4` where it can
    be written, and `.json`, a recipe that does the sweep again.

    Args:
        session: of the edits.
        edits: one for each strength, on the same picture.
        strengths: in [0,1], relative to the steps' own.
        results: where to.
        result: file of the last edit's picture, which is written already.
        whole: an edit with the steps' own strengths, as the recipe says them.
        lossless: see `infer.editor.output.write_edit`.
        done: is told the files.
    """
    titles = [f"{strength:g}" for strength in strengths]
    row = sweep_row(edits)
    frames = [edit.pixels for edit in edits]
    picture, animated, video = png(sheet([row], titles)), gif(frames), mp4(frames)

    def make(name: str) -> dict[str, Writer]:
        files = {"result": result, "sheet": f"{name}.png", "animation": f"{name}.gif"}
        jobs: dict[str, Writer] = {files["sheet"]: picture, files["animation"]: animated}
        if video is not None:
            files["video"] = f"{name}.mp4"
            jobs[files["video"]] = video
        return jobs | recipe_files(session, whole, name, files, lossless=lossless, sweep=strengths)

    protect(session, whole, results)
    photo = None if session.photo is None else session.photo.path
    return results.write(edit_name(session, whole, ["sweep"]), make, photo, done=done)
