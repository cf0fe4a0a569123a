"""Where a reconstruction and its photo do not line up, and how well the one explains the other.

A generator puts an eye near the photo's eye, not on it. Dense optical flow (Kroeger et al., "Fast Optical Flow using
Dense Inverse Search", 2016, OpenCV's) says how far off it is, so that masks painted on the photo and changes made in
the generator can be carried over.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.masks import Mask

Flow = NDArray[np.float32]

_SEEN = 256  # px on a side at which flow is found
_SMOOTH = 0.03  # of the side: a head bends as a whole
_FARTHEST = 0.08  # of the side: what seems farther off is another thing
_CONSISTENT = 0.012  # of the side: how far there and back may miss
_WINDOW = 0.06  # of the side, in which likeness is judged
_COLOURS = 20.0  # CIELAB units by which colours may differ and still be much the same


@dataclass(frozen=True)
class Registration:
    """What is at p in the photo's crop is at p + flow(p) in the reconstruction.

    Attributes:
        flow: float32 [R,R,2], x and y in pixels of the generator's picture.
    """

    flow: Flow

    @cached_property
    def inverse(self) -> Flow:  # [R,R,2]
        """What is at q in the reconstruction is at q + inverse(q) in the photo's crop."""
        found = -self.flow
        for _ in range(5):
            found = -_moved(self.flow, found)
        return found

    @property
    def farthest(self) -> float:
        """Of all moves the largest, in pixels of the generator's picture."""
        return float(np.linalg.norm(self.flow, axis=-1).max())

    def to_photo(self, values: NDArray[np.float32]) -> NDArray[np.float32]:  # [r,r] or [r,r,C]
        """Values on the reconstruction, of any size, where they are in the photo."""
        return _moved(values, self.flow)

    def to_generator(self, values: NDArray[np.float32]) -> NDArray[np.float32]:  # [r,r] or [r,r,C]
        """Values on the photo's crop, of any size, where they are in the reconstruction."""
        return _moved(values, self.inverse)


def register(crop: NDArray[np.uint8], reconstruction: NDArray[np.uint8]) -> Registration:
    """How a reconstruction lies under its photo; no move at all where moving it does not bring the two nearer.

    Args:
        crop: uint8 [R,R,3] of the photo.
        reconstruction: uint8 [R,R,3], what the generator makes of it.
    """
    side = len(crop)
    nothing = Registration(np.zeros((side, side, 2), np.float32))
    photo, made = (_grey(picture) for picture in (crop, reconstruction))
    there, back = _dense(photo, made), _dense(made, photo)
    missed = np.linalg.norm(there + _moved(back, there), axis=-1)
    trust = np.exp(-((missed / (_CONSISTENT * _SEEN)) ** 2)).astype(np.float32)
    sigma = _SMOOTH * _SEEN
    weight = cv2.GaussianBlur(trust, (0, 0), sigma)
    smooth = cv2.GaussianBlur(there * trust[..., None], (0, 0), sigma) / (weight + 0.05)[..., None]
    length = np.linalg.norm(smooth, axis=-1, keepdims=True)
    smooth *= np.minimum(1, _FARTHEST * _SEEN / np.maximum(length, 1e-6))
    flow = cv2.resize(smooth, (side, side), interpolation=cv2.INTER_AREA) * (side / _SEEN)
    found = Registration(np.asarray(flow, np.float32))
    moved = found.to_photo(reconstruction.astype(np.float32)).clip(0, 255).astype(np.uint8)
    return found if likeness(crop, moved).mean() > likeness(crop, reconstruction).mean() else nothing


def likeness(crop: NDArray[np.uint8], made: NDArray[np.uint8]) -> Mask:  # [R,R,3] twice -> [R,R]
    """How well a picture explains a photo, place by place, in [0,1]: structure as SSIM (Wang et al. 2004) compares it,
    of the lightness in a window, times nearness of the mean colours in CIELAB there."""
    sigma = max(_WINDOW * len(crop) / 2, 1.0)
    first, second = (_lab(picture) for picture in (crop, made))

    def mean(values: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)

    a, b = first[..., 0], second[..., 0]
    covariance = mean(a * b) - mean(a) * mean(b)
    spread = (mean(a * a) - mean(a) ** 2) + (mean(b * b) - mean(b) ** 2)
    noise = 4.0**2  # CIELAB units of lightness squared: flat places are alike
    structure = ((2 * covariance + noise) / (spread + noise)).clip(0, 1)
    apart = np.linalg.norm(mean(first) - mean(second), axis=-1)
    return np.asarray(structure * np.exp(-((apart / _COLOURS) ** 2)), np.float32)


def _lab(picture: NDArray[np.uint8]) -> NDArray[np.floating]:
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Evenly lit: a reconstruction is paler or darker than its photo."""
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (_SEEN, _SEEN), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.createCLAHE(2.0, (4, 4)).apply(grey), np.uint8)


def _dense(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Flow:
    """What is at p in the first is at p + flow(p) in the second."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(first, second, np.zeros((*first.shape, 2), np.float32)), np.float32)


def _moved(values: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """Values [r,r] or [r,r,C] at p + flow(p); the flow is that of a picture of its own size."""
    side = len(values)
    flow = cv2.resize(flow, (side, side), interpolation=cv2.INTER_LINEAR) * (side / len(flow))
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    found = cv2.remap(values, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)
