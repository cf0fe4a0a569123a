"""What an edit leaves behind: the photo, a panel to look at, and the recipe to do it again."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from infer.editor import Edit, Editor, Target
from infer.photo import Box, Photo, atomic_write, write_photo
from models.errors import PhotograftError
from models.files import sha256

RECIPE_VERSION = 1
PANEL_TILE = 256
Pixels = NDArray[np.uint8]


# ---------------------------------------------------------------------- pictures


def tile(pixels: NDArray[Any], size: int = PANEL_TILE) -> Pixels:
    """Fit a picture [H,W,3] or a mask [H,W] in 0..1 into a square of this size, on white."""
    if pixels.ndim == 2:
        pixels = np.repeat((pixels * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    scale = size / max(pixels.shape[:2])
    shape = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    out = np.full((size, size, 3), 255, np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def sheet(rows: Sequence[Sequence[NDArray[Any]]], titles: Sequence[str] = (), size: int = PANEL_TILE) -> Pixels:
    """Pictures in rows, with a title over each column."""
    gap, head = 4, 22 if titles else 0
    columns = max(len(row) for row in rows)
    canvas = Image.new("RGB", (columns * (size + gap) - gap, head + len(rows) * (size + gap) - gap), "white")
    font = ImageFont.load_default(14)
    draw = ImageDraw.Draw(canvas)
    for i, title in enumerate(titles):
        draw.text((i * (size + gap) + size // 2, head // 2), title, fill="black", anchor="mm", font=font)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            canvas.paste(Image.fromarray(tile(picture, size)), (x * (size + gap), head + y * (size + gap)))
    return np.asarray(canvas)


def framed(pixels: Pixels, box: Box) -> Pixels:
    """The photo with the edited square drawn on it."""
    square, width = box.square(), max(2, max(pixels.shape[:2]) // 200)
    corners = (square.x, square.y), (square.x + square.w - 1, square.y + square.h - 1)
    return np.asarray(cv2.rectangle(pixels.copy(), *corners, color=(255, 64, 32), thickness=width), np.uint8)


def panel(editor: Editor, edit: Edit) -> Pixels:
    """Photo, projection, edit, mask and result side by side."""
    assert editor.photo is not None and editor.label is not None
    names = " + ".join(target.to for target in edit.targets)
    return sheet(
        [[framed(editor.photo.pixels, editor.box), editor.reconstruction(), edit.patch, edit.mask, edit.pixels]],
        ["photo", f"projection: {editor.model.class_names[editor.label]}", f"edit: {names}", "mask", "result"],
    )


def write_png(pixels: Pixels, path: Path) -> None:
    """Write a picture whole or not at all. Raises PhotograftError if it cannot be written."""
    atomic_write(path, lambda stream: Image.fromarray(pixels).save(stream, "PNG"))


# ---------------------------------------------------------------------- recipes


def recipe(editor: Editor, edit: Edit, files: dict[str, str], masks: dict[int, str]) -> dict[str, Any]:
    """Everything that is needed to do an edit again without projecting, as plain JSON values."""
    assert editor.photo is not None and editor.projection is not None and editor.label is not None
    photo, projection = editor.photo, editor.projection
    return {
        "photograft_recipe": RECIPE_VERSION,
        "date": date.today().isoformat(),
        "model": {"name": editor.model.name, "sha256": editor.model.hashes},
        "photo": {
            "path": None if photo.path is None else str(photo.path),
            "sha256": None if photo.path is None else sha256(photo.path),
            "size": [photo.pixels.shape[1], photo.pixels.shape[0]],
        },
        "box": str(editor.box),
        "located_by": editor.located,
        "segmenter": editor.segmenter_name,
        "projection": {
            "source": editor.model.class_names[editor.label],
            "settings": editor.settings,
            "loss": float(projection.loss[0]),
            "iterations": int(projection.iterations[0]),
            "z": [float(v) for v in projection.z[0]],
        },
        "edit": {
            "targets": [
                {
                    "to": target.to,
                    "strength": target.strength,
                    "mask": masks.get(i, target.mask if isinstance(target.mask, str) else None),
                }
                for i, target in enumerate(edit.targets)
            ],
            "layers": None if edit.layers is None else list(edit.layers),
            "method": edit.method,
        },
        "files": files,
    }


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe written by `write_edits`. Raises PhotograftError if it is missing or something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PhotograftError(f"recipe {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PhotograftError(f"{path} is not a recipe: it is no JSON ({error})") from error
    if not isinstance(content, dict) or content.get("photograft_recipe") != RECIPE_VERSION:
        raise PhotograftError(f"{path} is not a recipe of this version ({RECIPE_VERSION})")
    return content


def restore(editor: Editor, content: dict[str, Any], photo: str | Path | None = None) -> tuple[Target, ...]:
    """Bring an editor to where a recipe's projection ended; returns the recipe's targets.

    Raises:
        PhotograftError: another model's weights, or another photo than the recipe's.
    """
    if content["model"]["sha256"].get(_generator_file(editor)) != editor.model.hashes[_generator_file(editor)]:
        raise PhotograftError(f"the recipe was made with other weights than those of model {editor.model.name}")
    path = Path(photo or content["photo"]["path"] or "")
    editor.set_photo(path, Box.parse(content["box"]))
    if content["photo"]["sha256"] not in (None, sha256(path)):
        raise PhotograftError(f"{path} is not the photo of the recipe: project it anew (without --recipe)")
    known = content["projection"]
    editor.set_projection(torch.tensor([known["z"]]), editor.model.class_index(known["source"]))
    editor.located, editor.settings = content["located_by"], known["settings"]
    return tuple(Target(t["to"], t["mask"] or "auto", t["strength"]) for t in content["edit"]["targets"])


def _generator_file(editor: Editor) -> str:
    return next(name for name in editor.model.hashes if "generator" in name or len(editor.model.hashes) == 1)


# ---------------------------------------------------------------------- files


def write_edits(editor: Editor, folder: Path, *, lossless: bool = False) -> list[Path]:
    """Write every edit as `NAME_to_CLASS`: the photo in its own format (.png if lossless), `.panel.png`, `.json`.

    Returns the edited photos' paths. Raises PhotograftError if the folder cannot be written; nothing is half-written.
    """
    assert editor.photo is not None
    if not editor.edits:
        raise PhotograftError("nothing was edited yet: call edit first")
    stem = "photo" if editor.photo.path is None else editor.photo.path.stem
    written: list[Path] = []
    for edit in editor.edits:
        name = f"{stem}_to_{'_'.join(t.to.replace(' ', '-') for t in edit.targets)}"
        while folder / (name + _suffix(editor.photo, lossless)) in written:
            name += "_again"
        photo = folder / (name + _suffix(editor.photo, lossless))
        write_photo(editor.photo, edit.pixels, photo)
        write_png(panel(editor, edit), folder / f"{name}.panel.png")
        painted = _write_masks(edit, folder, name)
        files = {"photo": photo.name, "panel": f"{name}.panel.png"}
        text = json.dumps(recipe(editor, edit, files, painted), indent=1)
        atomic_write(folder / f"{name}.json", lambda stream, text=text: stream.write(text.encode()))  # type: ignore[misc]
        written.append(photo)
    return written


def _suffix(photo: Photo, lossless: bool) -> str:
    return ".png" if lossless else photo.suffix


def _write_masks(edit: Edit, folder: Path, name: str) -> dict[int, str]:
    """Masks that were given as arrays become files, so that the recipe can name them."""
    written = {}
    for i, target in enumerate(edit.targets):
        if isinstance(target.mask, np.ndarray):
            path = folder / f"{name}.mask{i}.png"
            write_png((target.mask * 255).round().astype(np.uint8), path)
            written[i] = str(path)
        elif isinstance(target.mask, Path):
            written[i] = str(target.mask)
    return written
