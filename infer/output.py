"""What an edit leaves behind: the photo, a panel to look at, and the recipe to do it again."""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from infer.editor import Edit, Editor
from infer.photo import Box
from infer.photo_write import write_photo
from infer.recipe import Recipe
from infer.samples import to_pixels
from infer.targets import Target
from models.errors import PhotograftError
from models.writing import write_file

TILE = 256
DELTA = ".delta.safetensors"
PANEL_TITLES = ("photo", "projection", "edit", "mask", "result")
_GAP, _HEAD, _FONT_SIZE, _LONGEST_NAME = 4, 22, 14, 120
Pixels = NDArray[np.uint8]


# ---------------------------------------------------------------------- pictures


def tile(pixels: NDArray[Any], size: int = TILE) -> Pixels:
    """Fit a picture uint8 [H,W,3] or a mask float [H,W] in 0..1 into a square of this size, on white."""
    if pixels.ndim == 2:
        pixels = np.repeat((pixels * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    scale = size / max(pixels.shape[:2])
    shape = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    out = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def sheet(
    rows: Sequence[Sequence[NDArray[Any]]], titles: Sequence[str] = (), names: Sequence[str] = (), size: int = TILE
) -> Pixels:
    """Pictures and masks in rows, on white.

    Args:
        rows: one at least; see `tile` for what a picture can be.
        titles: one over each column, or none.
        names: one on the left of each row, or none.
        size: side of a tile in pixels.

    Returns:
        uint8 [H,W,3].
    """
    font = ImageFont.load_default(_FONT_SIZE)
    step, top = size + _GAP, _HEAD if titles else 0
    left = round(max((font.getlength(name) for name in names), default=-2 * _GAP)) + 2 * _GAP
    columns = max(len(row) for row in rows)
    canvas = Image.new("RGB", (left + columns * step - _GAP, top + len(rows) * step - _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for x, title in enumerate(titles):
        middle = left + x * step + size // 2
        draw.text((middle, top // 2), _shortened(title, font, size), fill="black", anchor="mm", font=font)
    for y, name in enumerate(names):
        draw.text((_GAP, top + y * step + size // 2), name, fill="black", anchor="lm", font=font)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            canvas.paste(Image.fromarray(tile(picture, size)), (left + x * step, top + y * step))
    return np.array(canvas)


def _shortened(text: str, font: Any, width: int) -> str:
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
    return text


def framed(pixels: Pixels, box: Box) -> Pixels:
    """The photo with the edited square drawn on it, along the photo's border where it reaches over that."""
    square, width = box.square(), max(2, max(pixels.shape[:2]) // 200)
    last_x, last_y = pixels.shape[1] - 1, pixels.shape[0] - 1
    bottom_right = (min(square.x + square.w - 1, last_x), min(square.y + square.h - 1, last_y))
    corners = (max(square.x, 0), max(square.y, 0)), bottom_right
    return np.asarray(cv2.rectangle(pixels.copy(), *corners, color=(255, 64, 32), thickness=width), np.uint8)


def panel_row(editor: Editor, edit: Edit) -> list[NDArray[Any]]:
    """The pictures of one edit in the order of `PANEL_TITLES`."""
    assert editor.photo is not None
    photo = framed(editor.photo.pixels, editor.box)
    return [photo, editor.reconstruction(), edit.patch, edit.mask, edit.pixels]


def contact_row(editor: Editor) -> list[Pixels]:
    """Photo with its square, projection, and the photo after each edit."""
    assert editor.photo is not None
    return [framed(editor.photo.pixels, editor.box), editor.reconstruction(), *(edit.pixels for edit in editor.edits)]


def panel(editor: Editor, edit: Edit) -> Pixels:
    """Photo, projection, edit, mask and result side by side, with the classes over them."""
    titles = list(PANEL_TITLES)
    titles[1] += f": {editor.class_name}"
    titles[2] += ": " + " + ".join(_described(target) for target in edit.targets)
    return sheet([panel_row(editor, edit)], titles)


def _described(target: Target) -> str:
    return target.to if target.strength == 1 else f"{target.to} ({target.strength:g})"


def write_png(pixels: NDArray[np.uint8] | NDArray[np.uint16], path: Path) -> None:
    """Write a picture, uint8 [H,W,3] or uint8 or uint16 [H,W], whole or not at all.

    Raises:
        PhotograftError: it cannot be written.
    """
    write_file(path, lambda stream: Image.fromarray(pixels).save(stream, "PNG"))


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 text whole or not at all. Raises PhotograftError if it cannot be written."""
    write_file(path, lambda stream: stream.write(text.encode()))


# ---------------------------------------------------------------------- files


def check_folder(folder: Path) -> None:
    """Make a folder and see that files can be written there: better before the work than after it.

    Raises:
        PhotograftError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise PhotograftError(f"{folder}: cannot be written to ({reason}): choose another folder with --out") from error


def write_edits(
    editor: Editor, folder: Path, *, lossless: bool = False, reserved: set[Path] | None = None
) -> list[Path]:
    """Write every edit as `NAME_to_CLASS`: the photo in its own format, `.panel.png`, and the recipe, `.json`.

    Masks that were painted are written beside the recipe (`.mask0.png`, ...), and what the photo changes in the
    generator (`.delta.safetensors`), so that it needs nothing else.

    Args:
        editor: after an edit.
        folder: is made if it is missing. Results of an earlier run are replaced.
        lossless: write PNG, whatever the photo's format is.
        reserved: absolute paths that must not be replaced; what is written is added. Names are numbered to avoid them.

    Returns:
        The edited photos' paths.

    Raises:
        PhotograftError: nothing was edited, or the folder cannot be written to; of the edit that fails no file is left.
    """
    if not editor.edits or editor.photo is None:
        raise PhotograftError("nothing was edited yet: call edit first")
    path = editor.photo.path
    reserved = set() if reserved is None else reserved
    if path is not None:
        reserved.add(path.absolute())
    suffix, written = ".png" if lossless else editor.photo.suffix, []
    for edit in editor.edits:
        classes = "_".join(re.sub(r"[^\w.-]+", "-", target.to) for target in edit.targets)
        stem = f"{'photo' if path is None else path.stem}_to_{classes}"[:_LONGEST_NAME]
        name = free_name(folder, stem, (suffix, ".panel.png", ".json", DELTA), reserved)
        _write_edit(editor, edit, folder, name, lossless=lossless)
        written.append(folder / (name + suffix))
    return written


def free_name(folder: Path, stem: str, suffixes: Sequence[str], reserved: set[Path]) -> str:
    """The stem, numbered if one of its files is reserved; reserves its files."""
    number, name = 1, stem
    while any((folder / (name + suffix)).absolute() in reserved for suffix in suffixes):
        number += 1
        name = f"{stem}_{number}"
    reserved.update((folder / (name + suffix)).absolute() for suffix in suffixes)
    return name


def _write_edit(editor: Editor, edit: Edit, folder: Path, name: str, *, lossless: bool) -> None:
    """All files of one edit, or none of them."""
    photo = editor.photo
    assert photo is not None
    jobs: dict[str, Callable[[Path], None]] = {}
    targets = list(edit.targets)
    for i, target in enumerate(targets):
        if isinstance(target.mask, np.ndarray):
            # In 16 bits, where no faint mask is taken for labels when it is read again.
            file, levels = f"{name}.mask{i}.png", (target.mask * 255).round().astype(np.uint16) * np.uint16(257)
            jobs[file] = lambda path, levels=levels: write_png(levels, path)  # type: ignore[misc]
            targets[i] = replace(target, mask=file)
    files = {"photo": name + (".png" if lossless else photo.suffix), "panel": f"{name}.panel.png"}
    if editor.delta is not None:
        files["delta"] = name + DELTA
        jobs[files["delta"]] = partial(editor.delta.save, fingerprint=editor.model.fingerprint)
    recipe = Recipe.of(editor, edit, targets=tuple(targets), lossless=lossless, files=files)
    jobs[files["photo"]] = lambda path: write_photo(photo, edit.pixels, path)
    jobs[files["panel"]] = lambda path: write_png(panel(editor, edit), path)
    jobs[f"{name}.json"] = lambda path: write_text(recipe.to_json(), path)
    _write_all({folder / file: write for file, write in jobs.items()})


def _write_all(jobs: dict[Path, Callable[[Path], None]]) -> None:
    done: list[Path] = []
    try:
        for path, write in jobs.items():
            write(path)
            done.append(path)
    except BaseException:
        for path in done:
            path.unlink(missing_ok=True)
        raise


def write_projection(editor: Editor, folder: Path, reserved: set[Path]) -> list[Path]:
    """Write crop and projection side by side as `NAME.projection.png`, and the recipe to start edits from, `.json`.

    Args and errors are those of `write_edits`; returns both paths, and that of the delta's file if there is one.
    """
    assert editor.photo is not None
    stem = "photo" if editor.photo.path is None else editor.photo.path.stem
    name = free_name(folder, f"{stem}.projection", (".png", ".json", DELTA), reserved)
    titles = ["crop", "projection" if editor.class_name is None else f"projection: {editor.class_name}"]
    picture = sheet([[to_pixels(editor.target()), editor.reconstruction()]], titles)
    files = {"panel": f"{name}.png"}
    jobs: dict[str, Callable[[Path], None]] = {files["panel"]: lambda path: write_png(picture, path)}
    if editor.delta is not None:
        files["delta"] = name + DELTA
        jobs[files["delta"]] = partial(editor.delta.save, fingerprint=editor.model.fingerprint)
    recipe = Recipe.of(editor, files=files)
    jobs[f"{name}.json"] = lambda path: write_text(recipe.to_json(), path)
    _write_all({folder / file: write for file, write in jobs.items()})
    return [folder / file for file in jobs]
