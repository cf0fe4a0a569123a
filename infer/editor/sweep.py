"""Sweeps: one edit at several strengths, each a result of its own, and all of them in a row and as an animation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infer.editor.edit import Edit
from infer.editor.output import edit_name, protect, recipe_files
from infer.editor.results import ResultFolder
from infer.editor.session import Session
from infer.photo.photo import Pixels
from infer.pictures.animation import gif, mp4, reduced
from infer.pictures.convert import png
from infer.pictures.sheet import sheet, tile
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


@dataclass(frozen=True)
class Shown:
    """What is kept of one edit of a sweep, so that the photo's size does not matter.

    Attributes:
        part: uint8 [h,w,3], the edited square with some of the photo around it.
        frame: uint8 [h,w,3], the whole picture, reduced for an animation.
    """

    part: Pixels
    frame: Pixels


def shown(session: Session, edit: Edit) -> Shown:
    """An edit as a sweep shows it."""
    pixels, box = edit.pixels, session.placed.square()
    margin = box.w // 4
    rows, columns = (
        slice(max(start - margin, 0), min(start + box.w + margin, side))
        for start, side in zip((box.y, box.x), pixels.shape[:2], strict=True)
    )
    return Shown(tile(pixels[rows, columns]), reduced(pixels))


def write_sweep(
    session: Session,
    whole: Edit,
    looks: Sequence[Shown],
    strengths: Sequence[float],
    results: ResultFolder,
    *,
    result: str,
    lossless: bool = False,
    done: Callable[[list[Path]], object] = lambda paths: None,
) -> list[Path]:
    """Write what shows a whole sweep: `NAME_sweep.png` (a row with the strengths over it), `.gif`, `.mp4` where it can
    be written, and `.json`, a recipe that does the sweep again.

    Args:
        session: of the edits.
        whole: one with the steps' own strengths, as the recipe says them.
        looks: of the edit at each strength.
        strengths: in [0,1], relative to the steps' own.
        results: where to.
        result: file of the last edit's picture, which is written already.
        lossless: see `infer.editor.output.write_edit`.
        done: is told the files.
    """
    titles = [f"{strength:g}" for strength in strengths]
    frames = [look.frame for look in looks]
    picture, animated, video = png(sheet([[look.part for look in looks]], titles)), gif(frames), mp4(frames)

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
