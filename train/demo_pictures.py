"""Drawn balls on photographs: the small ImageNet-like folder of `train.py demo`.

Four of ImageNet's classes are simple enough to be drawn: a sphere, its pattern, one light. Behind them are pieces of
the photos that come with scikit-image.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.progress import counted
from models.writing import write_files

Floats = NDArray[np.float64]

SIDE = 96  # of the pictures in the folder
BACKGROUNDS = ("grass", "gravel", "brick", "coffee", "chelsea", "rocket")
HELD_OUT = 8  # every eighth picture is for validation
_GOLDEN = (1 + math.sqrt(5)) / 2
_LIGHT = np.array([-0.4, -0.6, 0.7])


def _directions(points: list[tuple[float, float, float]]) -> Floats:  # -> [N,3] of length 1
    vectors = np.array(points)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _turned(a: float, b: float) -> list[tuple[float, float, float]]:
    """(0, a, b) with all signs and all turns of its coordinates."""
    signs = [(0.0, s * a, t * b) for s in (1, -1) for t in (1, -1)]
    return [p for x, y, z in signs for p in ((x, y, z), (z, x, y), (y, z, x))]


_PENTAGONS = _directions(_turned(1.0, _GOLDEN))  # an icosahedron's corners
_HEXAGONS = _directions(
    [
        *_turned(1 / _GOLDEN, _GOLDEN),
        *[(float(x), float(y), float(z)) for x in (1, -1) for y in (1, -1) for z in (1, -1)],
    ]
)


def _ramp(values: Floats, width: float) -> Floats:
    """1 at 0 and 0 from `width` on, without hard edges."""
    return np.clip(2 - 2 * np.abs(values) / width, 0, 1)


def _mixed(ground: tuple[int, int, int], line: tuple[int, int, int], share: Floats) -> Floats:
    return np.asarray(ground * (1 - share[..., None]) + np.array(line) * share[..., None])


def basketball(points: Floats) -> Floats:  # [H,W,3] on the unit sphere -> [H,W,3] in 0..255
    """Orange with two great circles and two smaller ones in black."""
    x, y, _ = np.moveaxis(points, -1, 0)
    lines = np.maximum(_ramp(x, 0.09), _ramp(y, 0.09))
    return _mixed((214, 104, 42), (30, 22, 20), np.maximum(lines, _ramp(np.abs(x) - 0.68, 0.1)))


def soccer_ball(points: Floats) -> Floats:
    """White with twelve black pentagons."""
    near = np.max(points @ _PENTAGONS.T, axis=-1)
    far = np.max(points @ _HEXAGONS.T, axis=-1)
    dark = np.clip((near - 0.925) / 0.02, 0, 1)
    return _mixed((238, 238, 240), (26, 26, 32), np.maximum(dark, 0.25 * _ramp(near - far, 0.02)))


def tennis_ball(points: Floats) -> Floats:
    """Yellow-green with the white seam that winds round it."""
    x, y, z = np.moveaxis(points, -1, 0)
    return _mixed((196, 222, 52), (250, 250, 240), _ramp(z - 1.1 * (x * x - y * y), 0.2))


def orange(points: Floats) -> Floats:
    """The fruit, with its stalk's green."""
    pores = 1 + 0.04 * np.sin(37 * points[..., 0]) * np.sin(41 * points[..., 1]) * np.sin(43 * points[..., 2])
    stalk = np.clip((points[..., 2] - 0.955) / 0.02, 0, 1)
    return _mixed((250, 150, 20), (70, 110, 40), stalk) * pores[..., None]


CLASSES: dict[str, Callable[[Floats], Floats]] = {  # by WordNet ids, as ImageNet's folders are called
    "n02802426": basketball,
    "n04254680": soccer_ball,
    "n04409515": tennis_ball,
    "n07747607": orange,
}


def rotation(rng: np.random.Generator) -> Floats:  # -> [3,3]
    """Any, all equally likely."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(q * np.sign(np.diag(r)))


def draw_ball(
    background: Floats,  # [H,W,3] in 0..255
    pattern: Callable[[Floats], Floats],
    rng: np.random.Generator,
    *,
    centre: tuple[float, float],
    radius: float,
) -> Floats:
    """A ball with its shadow on a background.

    Args:
        background: left as it is.
        pattern: colour of the points of the unit sphere.
        rng: of the way that it lies, and of the light.
        centre: (x, y) in pixels.
        radius: in pixels.

    Returns:
        [H,W,3] in 0..255.
    """
    rows, columns = np.mgrid[: background.shape[0], : background.shape[1]].astype(float)
    x, y = (columns - centre[0]) / radius, (rows - centre[1]) / radius
    distance = np.hypot(x, y)
    points = np.stack([x, y, np.sqrt(np.clip(1 - x * x - y * y, 0, 1))], axis=-1)
    light = _LIGHT + rng.normal(scale=0.15, size=3)
    light /= np.linalg.norm(light)
    bright = 0.45 + 0.65 * np.clip(points @ light, 0, 1)
    half = light + np.array([0.0, 0.0, 1.0])  # between the light and the eye
    shine = np.clip(points @ (half / np.linalg.norm(half)), 0, 1) ** 40
    ball = pattern(points @ rotation(rng)) * bright[..., None] + 60 * shine[..., None]
    shadow = 0.55 * np.clip(1.35 - np.hypot(x - 0.15, (y - 0.55) * 1.3), 0, 1)
    inside = np.clip((1 - distance) * radius + 0.5, 0, 1)[..., None]
    return np.clip(background * (1 - shadow[..., None]) * (1 - inside) + ball * inside, 0, 255)


def photos() -> list[Image.Image]:
    """The photos that the backgrounds are pieces of, in colour."""
    return [_photo(name) for name in BACKGROUNDS]


def _photo(name: str) -> Image.Image:
    from skimage import data

    return Image.fromarray(getattr(data, name)()).convert("RGB")


def draw_picture(
    behind: list[Image.Image], pattern: Callable[[Floats], Floats], rng: np.random.Generator, side: int = SIDE
) -> Image.Image:
    """One picture of the folder: a ball near the middle, on a piece of a photo."""
    photo = behind[rng.integers(len(behind))]
    piece = int(rng.uniform(0.35, 0.75) * min(photo.size))
    left, top = (int(rng.integers(0, edge - piece + 1)) for edge in photo.size)
    ground = photo.resize((2 * side, 2 * side), Image.Resampling.BICUBIC, box=(left, top, left + piece, top + piece))
    tone = rng.uniform(0.6, 1.1)
    centre = (side * (1 + rng.uniform(-0.12, 0.12)), side * (1 + rng.uniform(-0.12, 0.12)))
    pixels = draw_ball(np.asarray(ground) * tone, pattern, rng, centre=centre, radius=side * rng.uniform(0.6, 0.8))
    return Image.fromarray(pixels.astype(np.uint8)).resize((side, side), Image.Resampling.LANCZOS)


def write_jpeg(picture: Image.Image, stream: BinaryIO) -> None:
    """With little loss."""
    picture.save(stream, "JPEG", quality=92)


def write_pictures(folder: Path, pictures: int, seed: int = 0) -> list[Path]:
    """`folder/{train,val}/WORDNET-ID/NUMBER.jpg`; files that are there are kept.

    Args:
        folder: ImageNet-like.
        pictures: of all classes together.
        seed: of what is drawn.

    Returns:
        The files.
    """
    behind = photos()
    jobs: dict[Path, Any] = {}
    for number in range(pictures):
        name = list(CLASSES)[number % len(CLASSES)]
        count = number // len(CLASSES)
        split = "val" if count % HELD_OUT == HELD_OUT - 1 else "train"
        path = folder / split / name / f"{name}_{count:04d}.JPEG"
        jobs[path] = (number, name)
    missing = {path: job for path, job in jobs.items() if not path.is_file()}
    for path, (number, name) in counted(list(missing.items()), "drawing", unit="pictures"):
        picture = draw_picture(behind, CLASSES[name], np.random.default_rng([seed, number]))
        write_files({path: partial(write_jpeg, picture)})
    return list(jobs)


def draw_photo(seed: int = 0) -> tuple[Image.Image, Image.Image, tuple[int, int, int, int]]:
    """An orange on a table: a photo of 600 x 400 px that no picture of the folder is.

    Returns:
        The picture, a mask of the ball and its shadow (white on black), and (x, y, width, height) of the square that
        shows the ball as the pictures of the folder do.
    """
    ground = np.asarray(_photo("coffee")).astype(float)
    x, y, radius = 470, 290, 62
    pixels = draw_ball(ground, orange, np.random.default_rng([seed, 1]), centre=(x, y), radius=radius)
    mask = Image.new("L", (ground.shape[1], ground.shape[0]))
    wide = radius * 1.12
    ImageDraw.Draw(mask).ellipse((x - wide, y - wide, x + wide, y + wide), fill=255)
    half = round(radius / 0.7)
    return Image.fromarray(pixels.astype(np.uint8)), mask, (x - half, y - half, 2 * half, 2 * half)


def write_png(picture: Image.Image, stream: BinaryIO) -> None:
    """Without loss."""
    picture.save(stream, "PNG")
