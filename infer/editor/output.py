"""What an edit leaves behind: the picture, a panel to look at, and the recipe to do it again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.editor.edit import Edit
from infer.editor.fidelity import unexplained
from infer.editor.points import Point, Projected
from infer.editor.recipe import Recipe
from infer.editor.results import ResultFolder
from infer.editor.session import Session
from infer.editor.steps import Blend, ChangeClass, Step, Transfer
from infer.photo.box import Box, crop_square
from infer.photo.location import FoundHead
from infer.photo.photo import Pixels
from infer.photo.turning import Upright
from infer.photo.write import photo_writer
from infer.pictures.convert import png, to_pixels
from infer.pictures.heatmap import heat_picture, squared_error
from infer.pictures.regions import regions_tile
from infer.pictures.sheet import TILE, sheet
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels
from models.writing import Writer, file_name, text

DELTA = ".delta.safetensors"
PANEL_TITLES = ("photo", "projection", "edit", "regions", "result")
_FRAMED = 1024  # px, of a photo that is drawn on to be shown
_EDITED, _OTHERS = (255, 64, 32), (255, 210, 32)  # frames of the square that is edited, and of other heads


# ---------------------------------------------------------------------- pictures


def framed(pixels: Pixels, box: Box, heads: Sequence[FoundHead] = (), upright: Upright | None = None) -> Pixels:
    """The photo, `_FRAMED` px at most, with the edited square on it, along its border where it reaches over that.

    Of several heads each has its number, and the others a thin frame. The square of a rolled head is turned as it is,
    with a second line where its top is.
    """
    scale = min(1.0, _FRAMED / max(pixels.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = resize_pixels(pixels, height, width) if scale < 1 else pixels.copy()
    thickness = max(2, max(height, width) // 200)
    others = [head.box.square() for head in heads if head.box.square() != box.square()]
    for square in others:
        cv2.rectangle(small, *_corners(square, scale, height, width), color=_OTHERS, thickness=max(1, thickness // 2))
    if upright is None:
        cv2.rectangle(small, *_corners(box.square(), scale, height, width), color=_EDITED, thickness=thickness)
    else:
        corners = (upright.corners() * scale).round().astype(np.int32)
        cv2.polylines(small, [corners], isClosed=True, color=_EDITED, thickness=thickness, lineType=cv2.LINE_AA)
        top = (corners[:2] + (corners[3:1:-1] - corners[:2]) * 0.04).round().astype(np.int32)
        cv2.polylines(small, [top], isClosed=False, color=_EDITED, thickness=thickness, lineType=cv2.LINE_AA)
    for i, head in enumerate(heads if len(heads) > 1 else (), 1):
        square = head.box.square()
        (x, y), (_, bottom) = _corners(square, scale, height, width)
        size = max(height, width) / 400
        place = x + 2 * thickness, min(y + round(26 * size), bottom)
        for colour, wide in (((0, 0, 0), 3 * thickness), (_OTHERS if square in others else _EDITED, thickness)):
            cv2.putText(small, str(i), place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, wide, cv2.LINE_AA)
    return np.asarray(small, np.uint8)


def _corners(square: Box, scale: float, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Left top and right bottom of a square, within a picture that is drawn at a scale."""
    right, bottom = (
        min(round(end * scale), side) - 1 for end, side in ((square.x + square.w, width), (square.y + square.h, height))
    )
    return (round(max(square.x, 0) * scale), round(max(square.y, 0) * scale)), (right, bottom)


def panel_row(session: Session, edit: Edit) -> list[NDArray[Any]]:
    """The pictures of one edit of a photo in the order of `PANEL_TITLES`."""
    assert session.photo is not None
    photo = framed(session.photo.pixels, session.placed, session.heads, session.upright)
    return [photo, session.reconstruction(), edit.patch, _regions(session, edit), edit.pixels]


def contact_row(session: Session) -> list[Pixels]:
    """Photo with its square, projection, and the photo after each edit."""
    assert session.photo is not None
    return [
        framed(session.photo.pixels, session.placed, session.heads, session.upright),
        session.reconstruction(),
        *(edit.pixels for edit in session.edits),
    ]


def panel(session: Session, edit: Edit) -> Pixels:
    """All that an edit went through side by side, with words over it: from the photo, or the sample, to the result.

    Of photos also what the projection does not explain, bright: there an edit shows the generator's, not the photo's.
    References, and where they changed the reconstruction, are shown if there are any.
    """
    references = referred(edit.steps)
    name = session.class_name
    source = f"projection: {name}" if session.sample is None else f"source: {name or session.sample.seed}"
    changed = "edit" if any(isinstance(step, Blend | Transfer) for step in edit.steps) else _classes(edit.steps)
    drawn: list[tuple[str, NDArray[Any]]] = [(source, session.reconstruction())]
    drawn += [(f"reference: {one.title}", to_pixels(one.image())) for one in references]
    drawn += [(changed, edit.image if references else edit.patch), ("regions", _regions(session, edit))]
    if references:
        error = squared_error(*(_as_image(pixels) for pixels in (session.reconstruction(), edit.image)))[0]
        drawn.append(("change (CIELAB)", heat_picture(error)))
    if session.photo is not None:
        photo = framed(session.photo.pixels, session.placed, session.heads, session.upright)
        lost = heat_picture(torch.from_numpy(unexplained(session)), most=1.0)
        drawn = [("photo", photo), drawn[0], ("not explained", lost), *drawn[1:], ("result", edit.pixels)]
    titles, row = zip(*drawn, strict=True)
    return sheet([list(row)], titles)


def _as_image(pixels: Pixels) -> Tensor:  # [R,R,3] -> [1,3,R,R] in [-1,1]
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


def _classes(steps: Sequence[Step]) -> str:
    return "edit: " + " + ".join(described(step) for step in steps)


def described(step: Step) -> str:
    """A step in a few words: what, and how much of it."""
    if isinstance(step, Transfer):
        return f"{step.name}, {step.mode}"
    return str(step.name) if step.strength == 1 else f"{step.name} ({step.strength:g})"


def _regions(session: Session, edit: Edit) -> Pixels:
    """Where each step acts, in its own colour, with its name and strength below."""
    amounts = [step.mode if isinstance(step, Transfer) else f"{step.strength:g}" for step in edit.steps]
    names = [f"{step.name} ({amount})" for step, amount in zip(edit.steps, amounts, strict=True)]
    crop = session.reconstruction()
    if session.photo is not None:
        crop = crop_square(session.need_photo().pixels, session.box, TILE)
    return regions_tile(crop, edit.areas, names)


def referred(steps: Sequence[Step]) -> list[Point]:
    """The references of steps, each once, in their order."""
    points = [step.reference for step in steps if isinstance(step, Blend | Transfer)]
    return list({id(point): point for point in points if isinstance(point, Point)}.values())


# ---------------------------------------------------------------------- files


def write_edits(session: Session, results: ResultFolder, *, lossless: bool = False) -> list[Path]:
    """Write every edit: the photo in its own format, or the sample as PNG, `.panel.png`, and the recipe, `.json`.

    Masks that were painted are written beside the recipe (`.mask0.png`, ...), and what photos change in the generator
    (`.delta.safetensors`), so that it needs nothing else but photo, model and catalog.

    Args:
        session: after an edit.
        results: where to, and what must not be replaced; what the session read never is.
        lossless: write PNG, whatever the photo's format is.

    Returns:
        The edited pictures' paths.

    Raises:
        PhotograftError: nothing was edited, or the folder cannot be written to; of the edit that fails no file is left.
    """
    if not session.edits:
        raise PhotograftError("nothing was edited yet: call edit first")
    return [write_edit(session, edit, results, lossless=lossless)[0] for edit in session.edits]


def write_edit(
    session: Session,
    edit: Edit,
    results: ResultFolder,
    *,
    lossless: bool = False,
    words: Sequence[str] = (),
    done: Callable[[list[Path]], object] = lambda paths: None,
) -> list[Path]:
    """Write one edit as `write_edits` does, its name with these words at the end; `done` is told its files, the picture
    first, as soon as they are there."""
    protect(session, edit, results)
    make = partial(edit_files, session, edit, lossless=lossless)
    photo = None if session.photo is None else session.photo.path
    return results.write(edit_name(session, edit, words), make, photo, done=done)


def protect(session: Session, edit: Edit, results: ResultFolder) -> None:
    """Nothing that was read for an edit is replaced."""
    known = [point.said.photo for point in referred(edit.steps) if isinstance(point.said, Projected)]
    for path in [*session.read_files(), *(photo for photo in known if photo is not None)]:
        results.protect(path)


def edit_name(session: Session, edit: Edit, more: Sequence[str] = ()) -> str:
    """What the files of an edit begin with: `PHOTO_to_CLASS`, `PHOTO_blend_REGION`, `PHOTO_PART`, or all in one; and
    more words after them."""
    words: list[str] = []
    for kind, steps in groupby(edit.steps, type):
        words += {ChangeClass: ["to"], Blend: ["blend"], Transfer: []}[kind]
        words += [str(step.name) for step in steps]
    return file_name(_stem(session), *words, *more)


def edit_files(session: Session, edit: Edit, name: str, *, lossless: bool = False) -> dict[str, Writer]:
    """The files of one edit, the picture first."""
    photo = session.photo
    files = {"result": f"{name}.png", "panel": f"{name}.panel.png"}
    if photo is None:
        result = png(edit.pixels)
    else:
        files["result"] = name + (".png" if lossless else photo.suffix)
        result = photo_writer(photo, edit.pixels, files["result"])
    jobs: dict[str, Writer] = {
        files["result"]: result,
        files["panel"]: lambda stream: png(panel(session, edit))(stream),
    }
    return jobs | recipe_files(session, edit, name, files, lossless=lossless)


def recipe_files(
    session: Session,
    edit: Edit,
    name: str,
    files: dict[str, str],
    *,
    lossless: bool = False,
    sweep: Sequence[float] = (),
) -> dict[str, Writer]:
    """The recipe of an edit, or of a sweep of it, with the masks and deltas that belong to it.

    Args:
        session, edit: what was done.
        name: of the recipe, without its ending.
        files: what else was written, by kind; deltas join it.
        lossless, sweep: see `Recipe`.
    """
    jobs: dict[str, Writer] = {}
    points = referred(edit.steps)
    steps = [_named(step, i, points, name, jobs) for i, step in enumerate(edit.steps)]
    jobs |= delta_file(session, name, files)
    for i, point in enumerate(points):
        if point.delta is not None:
            files[f"delta{i}"] = f"{name}.reference{i}{DELTA}"
            jobs[files[f"delta{i}"]] = point.delta.writer(session.model.fingerprint)
    said = tuple(point.said for point in points)
    more: dict[str, Any] = {"lossless": lossless, "sweep": tuple(sweep), "files": files}
    recipe = Recipe.of(session, edit, steps=tuple(steps), references=said, **more)
    return jobs | {f"{name}.json": text(recipe.to_json())}


def _named(step: Step, i: int, points: Sequence[Point], name: str, jobs: dict[str, Writer]) -> Step:
    """A step as its recipe says it: a number for its reference, a file for its painted region, which joins the jobs."""
    if isinstance(step, Blend | Transfer):
        step = replace(step, reference=next(k for k, point in enumerate(points) if point is step.reference))
    if isinstance(step, ChangeClass | Blend) and isinstance(step.region, np.ndarray):
        # In 16 bits, where no faint mask is taken for labels when it is read again.
        file = f"{name}.mask{i}.png"
        jobs[file] = png((step.region * 255).round().astype(np.uint16) * np.uint16(257))
        step = replace(step, region=file)
    return step


def delta_file(session: Session, name: str, files: dict[str, str]) -> dict[str, Writer]:
    """What the photo changes in the generator, if anything; adds its name to a recipe's files."""
    if session.delta is None:
        return {}
    files["delta"] = name + DELTA
    return {files["delta"]: session.delta.writer(session.model.fingerprint)}


def write_projection(
    session: Session, results: ResultFolder, say: Callable[[Path], object] = lambda path: None
) -> list[Path]:
    """Write crop and projection side by side as `NAME.projection.png`, and the recipe to start edits from, `.json`.

    Args and errors are those of `write_edits`; returns both paths, and that of the delta's file if there is one.
    """
    assert session.photo is not None
    titles = ["crop", "projection" if session.class_name is None else f"projection: {session.class_name}"]
    picture = sheet([[to_pixels(session.target()), session.reconstruction()]], titles)

    def make(name: str) -> dict[str, Writer]:
        files = {"panel": f"{name}.png"}
        jobs = {files["panel"]: png(picture)} | delta_file(session, name, files)
        return jobs | {f"{name}.json": text(Recipe.of(session, files=files).to_json())}

    return results.write(
        f"{_stem(session)}.projection", make, session.photo.path, done=lambda paths: [say(path) for path in paths]
    )


def _stem(session: Session) -> str:
    """What all files of a picture begin with."""
    if session.sample is not None:
        return file_name(f"{session.model.stem}_{session.sample.seed}")
    assert session.photo is not None
    return file_name("photo" if session.photo.path is None else session.photo.path.stem)
