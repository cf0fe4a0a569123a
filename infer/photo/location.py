"""Find the heads in a photo: the learned locator at two scales, weighed with the animal's mask; else a cat's face.

The box is scaled as the training crops of the embedded generators are: the whole face with the ears, little else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.box import MIN_SIDE, Box
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels
from models.perception.locator import Head, HeadLocator, load_locator
from models.perception.segmentation import Segmenter, create_segmenter

# A head's box, ears included for cats and in part for dogs, is grown to a training crop and moved down a little.
_HEAD_GROWTH, _HEAD_DROP = 1.2, 0.02
_LEAST_HEAD = 0.2  # confidence of the locator below which nothing is looked at
# Evidence is confidence times this where no animal is, and times 1 where all of the box is animal.
_OFF_ANIMAL = 0.25
# Evidence of a head that is believed, and of the best one where none is: confidence 0.2 on the animal, 0.8 beside it.
# Chosen among 72 combinations on 368 photos with known heads, 80 pictures without one, and 272 made of 68 of the photos
# (farther away, turned, dark, beside a human being); the neighbours of these numbers are wrong as seldom.
_EVIDENCE, _LEAST_EVIDENCE = 0.35, 0.2
_SAME_HEAD, _NESTED = 0.3, 0.6  # intersection over union, or over the smaller box, of two boxes of one head
_ZOOM_MARGIN = 0.2  # around an animal's mask, of its extent, in a zoomed window
_ZOOM_LEAST = 0.75  # of the photo: a larger window shows nothing that the whole photo does not
_ZOOMED = 3  # animals, the largest, that are looked at closely
_CASCADES = ("haarcascade_frontalcatface_extended.xml", "haarcascade_frontalcatface.xml")
_WORKING_SIDE = 512  # longest side at which faces are sought
_MASK_SIDE = 1024  # longest side at which masks are looked at
_LEAST_CONFIDENCE = 1.0  # of a cascade's last stage; weaker ones are mostly fur and paws
_LEAST_OVERLAP = 0.6  # share of a face that is animal
_LEAST_AREA = 0.005  # share of the photo that an animal must fill
# The cascade's box is the face without the ears: grow it, upwards more than downwards.
_FACE_GROWTH, _FACE_RISE = 1.35, 0.14
_LEAST_CONFIDENCE_LOW = 2.0  # for a face in the lower half of its animal, where coats fool the cascade
# Head from the animal's area and extent, fitted on 249 photos with known heads.
_HEAD_PER_ROOT_AREA, _HEAD_PER_EXTENT, _HEAD_TOP = 0.8, 0.9, 0.4


@dataclass(frozen=True)
class FoundHead:
    """A head in a photo.

    Attributes:
        box: its square in photo pixels, as the generators' training crops are; it may reach over the border.
        confidence: the locator's, in 0..1; None for a cat's face, which has none.
    """

    box: Box
    confidence: float | None

    def __str__(self) -> str:
        return str(self.box) if self.confidence is None else f"{self.box} (confidence {self.confidence:.2f})"


@dataclass(frozen=True)
class Location:
    """A square box in photo pixels (it may reach over the border), and what found it.

    Attributes:
        box: what to edit.
        how: "head" and "cat face" are found; "animal" is a guess at the upper end of one, "centre" the photo's.
        heads: all that were found, the best first; empty for a guess.
    """

    box: Box
    how: Literal["head", "cat face", "animal", "centre"]
    heads: tuple[FoundHead, ...] = ()


def locate(
    pixels: NDArray[np.uint8],
    segmenter: Segmenter | None = None,
    *,
    mask: NDArray[np.float32] | None = None,
    locator: HeadLocator | None = None,
) -> Location:
    """Find the heads in a photo (uint8 RGB [H,W,3]); the best by confidence, size and the animal's mask is the box.

    The locator sees the whole photo and a window around each of the largest animals. A head counts where its confidence
    and the animal under it together are enough; without one, a cat's face on the animal does.

    segmenter: finds the animal (default: the embedded DeepLab). mask: its result for this photo, float [h,w] in [0,1]
    of the photo's proportions, if the caller already has it. locator: finds heads (default: the embedded one). Where
    `heads` is empty the box is a guess that the caller should not trust. Raises ValueError for pixels of another kind.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 RGB [H,W,3], not {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    if mask is None:
        mask = (segmenter or _default_segmenter())(pixels)
    if mask.ndim != 2 or abs(mask.shape[0] * width - mask.shape[1] * height) > height + width:
        raise ValueError(f"mask must be [{height},{width}] or have its proportions, not {mask.shape}")
    scale = min(1.0, _MASK_SIDE / max(height, width))
    mask = resize_pixels(mask, max(round(height * scale), 1), max(round(width * scale), 1))
    animals = _animals(mask, MIN_SIDE * scale)
    heads = _heads(pixels, mask > 0.5, animals, scale, locator or load_locator())
    if heads:
        found = tuple(FoundHead(_grown(head), head.confidence) for head in heads)
        return Location(found[0].box, "head", found)
    animal = animals[0] if animals else np.zeros(mask.shape, np.bool_)
    face = _cat_face(pixels, animal, scale)
    if face is not None:
        return Location(face, "cat face", (FoundHead(face, None),))
    if animals:
        return Location(_head_of_animal(animal, scale), "animal")
    side = min(height, width)
    return Location(Box((width - side) // 2, (height - side) // 2, side, side), "centre")


@lru_cache(maxsize=1)
def _default_segmenter() -> Segmenter:
    return create_segmenter("deeplab")


@lru_cache(maxsize=len(_CASCADES))
def _cascade(name: str) -> cv2.CascadeClassifier:
    path = Path(cv2.__file__).parent / "data" / name
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise PhotograftError(f"{path}: OpenCV's face cascade is missing: install opencv-python-headless>=4.10,<5")
    return cascade


def _heads(
    pixels: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    animals: Sequence[NDArray[np.bool_]],
    scale: float,
    locator: HeadLocator,
) -> list[Head]:
    """All heads with enough evidence, in photo pixels, the heaviest first."""
    seen = [*locator.heads(pixels, least=_LEAST_HEAD)]
    for animal in animals[:_ZOOMED]:
        seen += _zoomed(pixels, animal, scale, locator)
    shares = {head: _share(mask, head, scale) for head in seen}
    evidence = {head: head.confidence * (_OFF_ANIMAL + (1 - _OFF_ANIMAL) * shares[head]) for head in seen}
    kept: list[Head] = []
    for head in sorted(seen, key=lambda head: -evidence[head]):
        if evidence[head] >= _LEAST_EVIDENCE and not any(_is_same(head, other) for other in kept):
            kept.append(head)
    believed = [head for head in kept if evidence[head] >= _EVIDENCE] or kept[:1]
    return sorted(believed, key=lambda head: -evidence[head] * (head.w * head.h) ** 0.5)


def _zoomed(pixels: NDArray[np.uint8], animal: NDArray[np.bool_], scale: float, locator: HeadLocator) -> list[Head]:
    """Heads in a window around an animal, unless that is nearly the whole photo."""
    rows, columns = np.flatnonzero(animal.any(axis=1)), np.flatnonzero(animal.any(axis=0))
    margin = _ZOOM_MARGIN * max(len(rows), len(columns))
    left, top = (max(int((ends[0] - margin) / scale), 0) for ends in (columns, rows))
    right, bottom = (int((ends[-1] + 1 + margin) / scale) for ends in (columns, rows))
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    if part.shape[0] * part.shape[1] > _ZOOM_LEAST * pixels.shape[0] * pixels.shape[1]:
        return []
    found = locator.heads(part, least=_LEAST_HEAD)
    return [head._replace(x=head.x + left, y=head.y + top) for head in found]


def _share(mask: NDArray[np.bool_], head: Head, scale: float) -> float:
    """How much of a head's box is animal; what reaches over the photo's border does not count."""
    x0, y0 = max(int(head.x * scale), 0), max(int(head.y * scale), 0)
    inside = mask[
        y0 : max(round((head.y + head.h) * scale), y0 + 1), x0 : max(round((head.x + head.w) * scale), x0 + 1)
    ]
    return float(inside.mean()) if inside.size else 0.0


def _is_same(a: Head, b: Head) -> bool:
    """Whether two boxes are of one head: they cover each other, or one lies in the other."""
    across = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    down = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    both, sizes = max(across, 0) * max(down, 0), (a.w * a.h, b.w * b.h)
    return both > _SAME_HEAD * (sum(sizes) - both) or both > _NESTED * min(sizes)


def _grown(head: Head) -> Box:
    """A head's box, grown to a training crop."""
    side = (head.w * head.h) ** 0.5 * _HEAD_GROWTH
    return _square(head.x + head.w / 2, head.y + head.h / 2 + _HEAD_DROP * side, side)


def _animals(mask: NDArray[np.float32], least_side: float) -> list[NDArray[np.bool_]]:
    """The connected regions of the mask that are large enough to be animals, the largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].min(axis=1)
    enough = [i for i in range(1, count) if areas[i] >= _LEAST_AREA * mask.size and sides[i] >= least_side]
    return [np.asarray(labels == i) for i in sorted(enough, key=lambda i: -areas[i])]


def _cat_face(pixels: NDArray[np.uint8], animal: NDArray[np.bool_], scale: float) -> Box | None:
    """The most confident cat face that lies on the animal, grown to a training crop."""
    if not animal.any():
        return None
    rows = np.flatnonzero(animal.any(axis=1))
    middle = (rows[0] + rows[-1]) / 2 / scale
    best, best_score = None, 0.0
    for x, y, side, confidence in _cascade_faces(pixels):
        overlap = _share(animal, Head(x, y, side, side, confidence), scale)
        least = _LEAST_CONFIDENCE if y + side / 2 < middle else _LEAST_CONFIDENCE_LOW
        if confidence >= least and overlap >= _LEAST_OVERLAP and confidence * overlap > best_score:
            best, best_score = (x + side / 2, y + side / 2, side), confidence * overlap
    if best is None:
        return None
    x, y, side = best
    return _square(x, y - _FACE_RISE * side, side * _FACE_GROWTH)


def _cascade_faces(pixels: NDArray[np.uint8]) -> list[tuple[float, float, float, float]]:
    """(left, top, side, confidence) of all candidates of both cascades, in photo pixels."""
    scale = min(1.0, _WORKING_SIDE / max(pixels.shape[:2]))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    size = (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
    grey = cv2.equalizeHist(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    least = max(24, min(grey.shape) // 10)
    faces = []
    for name in _CASCADES:
        found, _, weights = _cascade(name).detectMultiScale3(
            grey, scaleFactor=1.05, minNeighbors=3, minSize=(least, least), outputRejectLevels=True
        )
        for (x, y, w, h), weight in zip(found, np.ravel(weights), strict=True):
            faces.append((x / scale, y / scale, max(w, h) / scale, float(weight)))
    return faces


def _head_of_animal(animal: NDArray[np.bool_], scale: float) -> Box:
    """The head's square: as large as the animal's area suggests, at the upper end of its mask."""
    rows, columns = np.flatnonzero(animal.any(axis=1)), np.flatnonzero(animal.any(axis=0))
    top, extent = int(rows[0]), min(len(rows), len(columns))
    side = min(_HEAD_PER_ROOT_AREA * float(animal.sum()) ** 0.5, _HEAD_PER_EXTENT * extent)
    upper = np.nonzero(animal[top : top + max(int(side * _HEAD_TOP), 1)])[1]
    return _square(float(np.median(upper)) / scale, (top + side / 2) / scale, side / scale)


def _square(x: float, y: float, side: float) -> Box:
    whole = max(round(side), MIN_SIDE)
    return Box(round(x - whole / 2), round(y - whole / 2), whole, whole)
