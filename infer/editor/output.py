"""What an edit leaves behind: the photo, a panel to look at, and the recipe to do it again."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.editor.recipe import Recipe
from infer.editor.results import ResultFolder
from infer.editor.session import Edit, Session
from infer.editor.targets import Target
from infer.photo.box import Box
from infer.photo.photo import Pixels
from infer.photo.write import photo_writer
from infer.pictures.convert import png, to_pixels
from infer.pictures.sheet import sheet
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels
from models.writing import Writer, file_name, text

DELTA = ".delta.safetensors"
PANEL_TITLES = ("photo", "projection", "edit", "mask", "result")
_FRAMED = 1024  # px, of a photo that is drawn on to be shown


# ---------------------------------------------------------------------- pictures


def framed(pixels: Pixels, box: Box) -> Pixels:
    """The photo, `_FRAMED` px at most, with the edited square on it, along its border where it reaches over that."""
    square, scale = box.square(), min(1.0, _FRAMED / max(pixels.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = resize_pixels(pixels, height, width) if scale < 1 else pixels.copy()
    ends = square.x + square.w, square.y + square.h
    left_top = round(max(square.x, 0) * scale), round(max(square.y, 0) * scale)
    right_bottom = tuple(min(round(end * scale), side) - 1 for end, side in zip(ends, (width, height), strict=True))
    thickness = max(2, max(height, width) // 200)
    return np.asarray(cv2.rectangle(small, left_top, right_bottom, color=(255, 64, 32), thickness=thickness), np.uint8)


def panel_row(session: Session, edit: Edit) -> list[NDArray[Any]]:
    """The pictures of one edit in the order of `PANEL_TITLES`."""
    assert session.photo is not None
    photo = framed(session.photo.pixels, session.box)
    return [photo, session.reconstruction(), edit.patch, edit.mask, edit.pixels]


def contact_row(session: Session) -> list[Pixels]:
    """Photo with its square, projection, and the photo after each edit."""
    assert session.photo is not None
    return [
        framed(session.photo.pixels, session.box),
        session.reconstruction(),
        *(edit.pixels for edit in session.edits),
    ]


def panel(session: Session, edit: Edit) -> Pixels:
    """Photo, projection, edit, mask and result side by side, with the classes over them."""
    titles = list(PANEL_TITLES)
    titles[1] += f": {session.class_name}"
    titles[2] += ": " + " + ".join(_described(target) for target in edit.targets)
    return sheet([panel_row(session, edit)], titles)


def _described(target: Target) -> str:
    return target.to if target.strength == 1 else f"{target.to} ({target.strength:g})"


# ---------------------------------------------------------------------- files


def write_edits(session: Session, results: ResultFolder, *, lossless: bool = False) -> list[Path]:
    """Write every edit as `NAME_to_CLASS`: the photo in its own format, `.panel.png`, and the recipe, `.json`.

    Masks that were painted are written beside the recipe (`.mask0.png`, ...), and what the photo changes in the
    generator (`.delta.safetensors`), so that it needs nothing else.

    Args:
        session: after an edit.
        results: where to, and what must not be replaced; the photo never is.
        lossless: write PNG, whatever the photo's format is.

    Returns:
        The edited photos' paths.

    Raises:
        PhotograftError: nothing was edited, or the folder cannot be written to; of the edit that fails no file is left.
    """
    if not session.edits or session.photo is None:
        raise PhotograftError("nothing was edited yet: call edit first")
    return [write_edit(session, edit, results, lossless=lossless) for edit in session.edits]


def write_edit(
    session: Session,
    edit: Edit,
    results: ResultFolder,
    *,
    lossless: bool = False,
    say: Callable[[Path], object] = lambda path: None,
) -> Path:
    """Write one edit as `write_edits` does; `say` is told the edited photo's path as soon as it is there."""
    photo = session.photo
    assert photo is not None
    if photo.path is not None:
        results.protect(photo.path)
    make = partial(edit_files, session, edit, lossless=lossless)
    return results.write(edit_name(session, edit), make, photo.path, done=lambda paths: say(paths[0]))[0]


def edit_name(session: Session, edit: Edit) -> str:
    """What the files of an edit begin with."""
    return file_name(_stem(session), "to", *(target.to for target in edit.targets))


def edit_files(session: Session, edit: Edit, name: str, *, lossless: bool = False) -> dict[str, Writer]:
    """The files of one edit, the photo first."""
    photo = session.photo
    assert photo is not None
    files = {"photo": name + (".png" if lossless else photo.suffix), "panel": f"{name}.panel.png"}
    jobs = {
        files["photo"]: photo_writer(photo, edit.pixels, files["photo"]),
        files["panel"]: lambda stream: png(panel(session, edit))(stream),
    }
    targets = list(edit.targets)
    for i, target in enumerate(targets):
        if isinstance(target.mask, np.ndarray):
            # In 16 bits, where no faint mask is taken for labels when it is read again.
            file = f"{name}.mask{i}.png"
            jobs[file] = png((target.mask * 255).round().astype(np.uint16) * np.uint16(257))
            targets[i] = replace(target, mask=file)
    jobs |= delta_file(session, name, files)
    recipe = Recipe.of(session, edit, targets=tuple(targets), lossless=lossless, files=files)
    return jobs | {f"{name}.json": text(recipe.to_json())}


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
    """What all files of a photo begin with."""
    assert session.photo is not None
    return file_name("photo" if session.photo.path is None else session.photo.path.stem)
