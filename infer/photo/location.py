"""Find the head to edit: the learned locator, else OpenCV's cat-face cascades, else the animal's mask, else the centre.

The box is scaled as the training crops of the embedded generators are: the whole face with the ears, little else.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.box import MIN_SIDE, Box
from models.errors import PhotograftError
from models.perception.locator import HeadLocator, load_locator
from models.perception.segmentation import Segmenter, create_segmenter

# A head's box, ears included for cats and in part for dogs, is grown to a training crop and moved down a little.
_HEAD_GROWTH, _HEAD_DROP = 1.2, 0.02
# Confidence of the locator: all 300 validation photos reach it (5 % are below 0.63), 4 % of windows without a head do,
# and of pictures without animals only those of human heads.
_LEAST_HEAD = 0.4
_CASCADES = ("haarcascade_frontalcatface_extended.xml", "haarcascade_frontalcatface.xml")
_WORKING_SIDE = 512  # longest side at which faces are sought
_LEAST_CONFIDENCE = 1.0  # of a cascade's last stage; weaker ones are mostly fur and paws
_LEAST_OVERLAP = 0.6  # share of a face that is animal
_LEAST_AREA = 0.005  # share of the photo that an animal must fill
# The cascade's box is the face without the ears: grow it, upwards more than downwards.
_FACE_GROWTH, _FACE_RISE = 1.35, 0.14
_LEAST_CONFIDENCE_LOW = 2.0  # for a face in the lower half of its animal, where coats fool the cascade
# Head from the animal's area and extent, fitted on 249 photos with known heads.
_HEAD_PER_ROOT_AREA, _HEAD_PER_EXTENT, _HEAD_TOP = 0.8, 0.9, 0.4


@dataclass(frozen=True)
class Location:
    """A square box in photo pixels (it may reach over the border), and what found it."""

    box: Box
    how: Literal["head", "cat face", "animal", "centre"]


def locate(
    pixels: NDArray[np.uint8],
    segmenter: Segmenter | None = None,
    *,
    mask: NDArray[np.float32] | None = None,
    locator: HeadLocator | None = None,
) -> Location:
    """Find the head to edit in a photo (uint8 RGB [H,W,3]): of several confident ones the largest.

    segmenter: finds the animal where no head is found (default: the embedded DeepLab). mask: its result for this photo,
    float [H,W] in [0,1], if the caller already has it. locator: finds heads (default: the embedded one). A photo
    without any animal gives the centre square: the caller may ask for a box instead. Raises ValueError for pixels of
    another kind.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 RGB [H,W,3], not {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    if mask is not None and mask.shape != (height, width):
        raise ValueError(f"mask must be [{height},{width}], not {mask.shape}")
    head = _head(pixels, locator or load_locator())
    if head is not None:
        return Location(head, "head")
    if mask is None:
        mask = (segmenter or _default_segmenter())(pixels)
    animal = _largest_animal(mask)
    face = _cat_face(pixels, animal)
    if face is not None:
        return Location(face, "cat face")
    if animal.any():
        return Location(_head_of_animal(animal), "animal")
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


def _head(pixels: NDArray[np.uint8], locator: HeadLocator) -> Box | None:
    """The largest confident head, grown to a training crop."""
    heads = locator.heads(pixels, least=_LEAST_HEAD)
    if not heads:
        return None
    x, y, w, h, _ = max(heads, key=lambda head: head.w * head.h)
    side = (w * h) ** 0.5 * _HEAD_GROWTH
    return _square(x + w / 2, y + h / 2 + _HEAD_DROP * side, side)


def _largest_animal(mask: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest connected region of the mask; empty if that is too small to be an animal."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    if count < 2:
        return np.zeros(mask.shape, np.bool_)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    _, _, w, h, area = (int(v) for v in stats[largest])
    enough = area >= _LEAST_AREA * mask.size and min(w, h) >= MIN_SIDE
    return np.asarray(labels == largest if enough else np.zeros_like(labels, dtype=np.bool_))


def _cat_face(pixels: NDArray[np.uint8], animal: NDArray[np.bool_]) -> Box | None:
    """The most confident cat face that lies on the animal, grown to a training crop."""
    if not animal.any():
        return None
    rows = np.flatnonzero(animal.any(axis=1))
    middle = (rows[0] + rows[-1]) / 2
    best, best_score = None, 0.0
    for x, y, side, confidence in _cascade_faces(pixels):
        on_animal = animal[int(y) : int(y + side), int(x) : int(x + side)]
        overlap = float(on_animal.mean()) if on_animal.size else 0.0
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


def _head_of_animal(animal: NDArray[np.bool_]) -> Box:
    """The head's square: as large as the animal's area suggests, at the upper end of its mask."""
    rows, columns = np.flatnonzero(animal.any(axis=1)), np.flatnonzero(animal.any(axis=0))
    top, extent = int(rows[0]), min(len(rows), len(columns))
    side = min(_HEAD_PER_ROOT_AREA * float(animal.sum()) ** 0.5, _HEAD_PER_EXTENT * extent)
    upper = np.nonzero(animal[top : top + max(int(side * _HEAD_TOP), 1)])[1]
    return _square(float(np.median(upper)), top + side / 2, side)


def _square(x: float, y: float, side: float) -> Box:
    whole = max(round(side), MIN_SIDE)
    return Box(round(x - whole / 2), round(y - whole / 2), whole, whole)
