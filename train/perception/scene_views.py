"""Scenes with heads, and views of them to train on: windows, cut-outs, and places that only look like heads."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from data.scenes import Scene
from models.perception.locator import SIDE

MAX_HEADS = 4  # per picture
_GREY = (124, 117, 104)  # around a photo that a view zooms out of
_KEPT_SHARE = 0.6  # of a head that must be in a view to count as one
_TRIES = 20


def window(scene: Scene, left: float, top: float, w: float, h: float, mirror: bool) -> Scene:
    """What a window (shares of the photo, may reach over its border) shows, as [257,257,3]."""
    height, width = scene.pixels.shape[:2]
    a, b = SIDE / (w * width), SIDE / (h * height)
    matrix = np.array([[a, 0, -left * width * a], [0, b, -top * height * b]])
    pixels = cv2.warpAffine(scene.pixels, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=_GREY)
    boxes = (scene.boxes - [left, top, left, top]) / [w, h, w, h]
    inside = boxes.clip(0, 1)
    whole, part = (np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1) for b in (boxes, inside))
    boxes = inside[part > _KEPT_SHARE * whole]
    if mirror:
        pixels, boxes = pixels[:, ::-1], np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)
    return Scene(np.ascontiguousarray(pixels), boxes.astype(np.float32), scene.species)


def random_view(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene:
    """A random window of the scene; sometimes one without a head, sometimes two scenes side by side."""
    kind = rng.random()
    if kind < 0.15:
        return _side_by_side(scene, other, rng)
    if kind < 0.35:
        without = headless(scene, rng)
        if without is not None:
            return without
    w = float(np.exp(rng.uniform(np.log(0.45), np.log(1.25))))
    h = w * float(np.exp(rng.normal(0, 0.12)))
    if len(scene.boxes):  # the window holds the first head
        x0, y0, x1, y1 = scene.boxes[0]
        w, h = max(w, 1.05 * float(x1 - x0)), max(h, 1.05 * float(y1 - y0))
        left, top = rng.uniform(min(x1 - w, x0), max(x1 - w, x0)), rng.uniform(min(y1 - h, y0), max(y1 - h, y0))
    else:
        left, top = rng.uniform(min(0, 1 - w), max(0, 1 - w)), rng.uniform(min(0, 1 - h), max(0, 1 - h))
    if w <= 1:
        left = float(np.clip(left, 0, 1 - w))
    if h <= 1:
        top = float(np.clip(top, 0, 1 - h))
    return window(scene, float(left), float(top), w, h, mirror=True)


def _side_by_side(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene:
    side = 384
    pixels = np.hstack([cv2.resize(s.pixels, (side, side), interpolation=cv2.INTER_LINEAR) for s in (scene, other)])
    halves = [s.boxes * [0.5, 1, 0.5, 1] + [shift, 0, shift, 0] for s, shift in ((scene, 0), (other, 0.5))]
    pair = Scene(pixels.astype(np.uint8), np.concatenate(halves).astype(np.float32)[:MAX_HEADS], scene.species)
    return window(pair, 0, 0, 1, 1, mirror=bool(rng.random() < 0.5))


def headless(scene: Scene, rng: np.random.Generator, *, person: bool = False) -> Scene | None:
    """A window that no head touches, half mirrored; with `person` one around a human being. None: there is none."""
    if person and (scene.person is None or float((scene.person > 0.5).mean()) < 0.02):
        return None
    for _ in range(_TRIES):
        w, h = rng.uniform(0.3, 0.7, 2)
        left, top = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
        if person:
            assert scene.person is not None
            y, x = _place(scene.person, rng)
            left, top = float(np.clip(x - w / 2, 0, 1 - w)), float(np.clip(y - h / 2, 0, 1 - h))
        apart = (scene.boxes[:, 0] > left + w) | (scene.boxes[:, 2] < left)
        apart |= (scene.boxes[:, 1] > top + h) | (scene.boxes[:, 3] < top)
        if apart.all():
            return window(scene, left, top, w, h, mirror=bool(rng.random() < 0.5))
    return None


def _place(mask: NDArray[np.float32], rng: np.random.Generator) -> tuple[float, float]:
    """(y, x) as shares of the photo, of a point where the mask is."""
    there = np.argwhere(mask > 0.5)
    y, x = there[rng.integers(len(there))] / (mask.shape[0] - 1)
    return float(y), float(x)


# ---------------------------------------------------------------------- cut out and pasted


def person_view(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene | None:
    """Human beings without an animal's head."""
    return headless(scene, rng, person=True)


def cut_out(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene | None:
    """The animal before another scene's background, its head a tenth to a half of the picture, turned a little."""
    if scene.animal is None or not len(scene.boxes) or _share(scene.animal, scene.boxes[0]) < 0.6:
        return None
    return _pasted(scene, other, scene.boxes[0], scene.animal, rng, heads=1)


def head_alone(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene | None:
    """The head alone on another scene."""
    if not len(scene.boxes):
        return None
    alpha = _ellipse(scene, scene.boxes[0], 1.3)
    return _pasted(scene, other, scene.boxes[0], alpha, rng, heads=1)


def no_head(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene | None:
    """A round piece of fur or of a room on another scene: that something is pasted must not say that it is a head."""
    box = _elsewhere(scene, rng)
    return None if box is None else _pasted(scene, other, box, _ellipse(scene, box, 1.3), rng, heads=0)


def body_alone(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene | None:
    """The whole scene, the head covered by a piece of the animal, as if it were turned away."""
    piece = _elsewhere(scene, rng, least=0.7)
    if piece is None or len(scene.boxes) != 1:
        return None
    height, width = scene.pixels.shape[:2]
    x0, y0, x1, y1 = scene.boxes[0]
    grow = 1.45 * max((x1 - x0) / (piece[2] - piece[0]), (y1 - y0) / (piece[3] - piece[1]))
    middle = [(piece[0] + piece[2]) / 2 * width, (piece[1] + piece[3]) / 2 * height]
    matrix = np.asarray(
        cv2.getRotationMatrix2D((middle[0], middle[1]), float(rng.uniform(0, 360)), float(grow)), np.float64
    )
    matrix[:, 2] += np.array([(x0 + x1) / 2 * width, (y0 + y1) / 2 * height]) - middle
    fur = cv2.warpAffine(scene.pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    alpha = _ellipse(scene, scene.boxes[0], 1.45)
    pixels = _over(scene.pixels, np.asarray(fur, np.uint8), alpha)
    return Scene(pixels, np.zeros((0, 4), np.float32), scene.species)


def turned(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene | None:
    """The scene rotated by up to 50 degrees around its head."""
    if len(scene.boxes) != 1:
        return None
    height, width = scene.pixels.shape[:2]
    angle, zoom = float(rng.uniform(15, 50) * rng.choice([-1, 1])), float(rng.uniform(0.7, 1.4))
    x0, y0, x1, y1 = scene.boxes[0] * [width, height, width, height]
    middle = float(x0 + x1) / 2, float(y0 + y1) / 2
    zoom = min(zoom, 0.85 * min(width / (x1 - x0), height / (y1 - y0)))
    matrix = cv2.getRotationMatrix2D(middle, angle, zoom).astype(np.float64)
    pixels = cv2.warpAffine(scene.pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    box = _moved(scene.boxes[0] * [width, height, width, height], matrix) / [width, height, width, height]
    if (box < -0.1).any() or (box > 1.1).any():
        return None
    return Scene(np.asarray(pixels, np.uint8), box.clip(0, 1)[None].astype(np.float32), scene.species)


View = Callable[[Scene, Scene, np.random.Generator], Scene | None]
HARDER: Sequence[tuple[View, float]] = (
    (random_view, 0.3),
    (cut_out, 0.2),
    (head_alone, 0.1),
    (turned, 0.12),
    (body_alone, 0.1),
    (no_head, 0.06),
    (person_view, 0.12),
)


def harder_view(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene:
    """One of `HARDER`; where a scene has not what that needs, a random window. Light and colour vary too."""
    views, shares = zip(*HARDER, strict=True)
    view: View = views[rng.choice(len(views), p=shares)]
    made = view(scene, other, rng) or random_view(scene, other, rng)
    return relit(made, rng) if rng.random() < 0.5 else made


def relit(scene: Scene, rng: np.random.Generator) -> Scene:
    """Darker or lighter, tinted or grey, blurred or not."""
    x = scene.pixels.astype(np.float32) / 255
    if rng.random() < 0.15:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    x = x ** float(np.exp(rng.uniform(-0.6, 0.8))) * rng.uniform(0.8, 1.15, 3).astype(np.float32)
    if rng.random() < 0.2:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.5, 2))), np.float32)
    return replace(scene, pixels=(x.clip(0, 1) * 255).round().astype(np.uint8))


def _pasted(
    scene: Scene,
    other: Scene,
    box: NDArray[np.float32],
    alpha: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    heads: int,
) -> Scene | None:
    """What alpha shows of a scene, on a headless window of another; the box is what is scaled and placed."""
    ground = headless(other, rng)
    if ground is None:
        return None
    height, width = scene.pixels.shape[:2]
    box = box * [width, height, width, height]
    side = float(np.prod(box[2:] - box[:2]) ** 0.5)
    scale = float(np.exp(rng.uniform(np.log(0.1), np.log(0.5)))) * SIDE / max(side, 1)
    angle = float(rng.normal(0, 10) if rng.random() < 0.7 else rng.uniform(-45, 45))
    middle = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    matrix = cv2.getRotationMatrix2D(middle, angle, scale).astype(np.float64)
    half = min(0.5 * side * scale, 0.45 * SIDE)
    matrix[:, 2] += rng.uniform(half, SIDE - half, 2) - middle
    pixels = cv2.warpAffine(scene.pixels, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    cover = cv2.warpAffine(cv2.resize(alpha, (width, height)), matrix, (SIDE, SIDE))
    drawn = _over(ground.pixels, np.asarray(pixels, np.uint8), np.asarray(cover, np.float32))
    boxes = (_moved(box, matrix)[None] / SIDE).clip(0, 1)[:heads]
    return Scene(drawn, boxes.astype(np.float32), scene.species)


def _over(below: NDArray[np.uint8], above: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    alpha = np.asarray(cv2.resize(alpha, (below.shape[1], below.shape[0])), np.float32)[..., None]
    return np.asarray((below * (1 - alpha) + above * alpha).round(), np.uint8)


def _moved(box: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Box (pixels) of an ellipse in a box after a rotation and scaling."""
    a, b = matrix[0, 0], matrix[0, 1]
    middle = matrix @ [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 1]
    w, h = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    half = np.array([np.hypot(a * w, b * h), np.hypot(b * w, a * h)])
    return np.concatenate([middle - half, middle + half])


def _ellipse(scene: Scene, box: NDArray[np.float32], grow: float) -> NDArray[np.float32]:
    """Soft, around a box grown by a factor, over the photo."""
    height, width = scene.pixels.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    a, b = (box[2] - box[0]) / 2 * grow * width, (box[3] - box[1]) / 2 * grow * height
    far = np.hypot((x - (box[0] + box[2]) / 2 * width) / a, (y - (box[1] + box[3]) / 2 * height) / b)
    return np.asarray(((1 - far) / 0.15).clip(0, 1), np.float32)


def _share(mask: NDArray[np.float32], box: NDArray[np.float32]) -> float:
    """Of a box that a mask covers."""
    x0, y0, x1, y1 = (round(float(v) * mask.shape[0]) for v in box.clip(0, 1))
    inside = mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    return float((inside > 0.5).mean()) if inside.size else 0.0


def _elsewhere(scene: Scene, rng: np.random.Generator, least: float = 0.0) -> NDArray[np.float32] | None:
    """A box as large as a head that touches none, `least` of it animal; on the animal in half of all cases."""
    if scene.animal is None or not (scene.animal > 0.5).any():
        return None
    for _ in range(_TRIES):
        y, x = _place(scene.animal, rng) if least or rng.random() < 0.5 else rng.uniform(0.1, 0.9, 2)
        half = rng.uniform(0.08, 0.2)
        box = np.array([x - half, y - half, x + half, y + half], np.float32)
        apart = (scene.boxes[:, 0] > box[2]) | (scene.boxes[:, 2] < box[0])
        apart |= (scene.boxes[:, 1] > box[3]) | (scene.boxes[:, 3] < box[1])
        if apart.all() and _share(scene.animal, box) >= least:
            return box
    return None
