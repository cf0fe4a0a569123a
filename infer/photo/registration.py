"""Where a reconstruction and its photo do not line up, and how well the one explains the other.

A generator puts an eye near the photo's eye, not on it. How far off it is, is asked of the features of a network that
knows eyes: every place of the photo looks for what is most like it nearby in the reconstruction, together with its
neighbours. Optical flow finds the same where they lie near each other, and is lost beyond 6 % of the side.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from infer.photo.cielab import lab_of
from infer.photo.masks import Mask
from models.perception.features import MobileNetV2, create_features

Flow = NDArray[np.float32]
_Number = TypeVar("_Number", np.float32, np.uint8)

_SEEN = 128  # px on a side of what the network is shown: at 256 eyes are found no better
_STAGES = (3, 6)  # blocks of it whose outputs are compared, 32x32 and 16x16: deeper ones say less of where
_GRID = 32  # places on a side
_REACH = 5  # places: an eye of a reconstruction is up to 15 % of the side away
_TOGETHER = 1.5  # sigma in places, of neighbours that decide together
_SMOOTH = 1.5  # sigma in places, of the moves: without it 7 % of a picture folds over, with it 1 %
_SURE = 0.04  # of likeness: how much more alike another place must be to outweigh one
_WINDOW = 0.06  # of the side, in which likeness is judged
_COLOURS = 20.0  # CIELAB units by which colours may differ and still be much the same


@dataclass(frozen=True)
class Registration:
    """What is at p in the photo's crop is at p + flow(p) in the reconstruction.

    Attributes:
        flow: float32 [R,R,2], x and y in pixels of the generator's picture.
        explained: float32 [R,R] in [0,1], how well the reconstruction, moved so, explains the photo's crop.
    """

    flow: Flow
    explained: Mask

    @cached_property
    def inverse(self) -> Flow:  # [R,R,2]
        """What is at q in the reconstruction is at q + inverse(q) in the photo's crop."""
        found = -self.flow
        for _ in range(5):
            found = -_moved(self.flow, found)
        return found

    def to_photo(self, values: NDArray[_Number]) -> NDArray[_Number]:  # [r,r] or [r,r,C], float32 or uint8
        """A mask or a picture of the reconstruction, of any size, where it is in the photo."""
        return _moved(values, self.flow) if self.flow.any() else values

    def to_generator(self, values: NDArray[_Number]) -> NDArray[_Number]:  # [r,r] or [r,r,C], float32 or uint8
        """A mask or a picture of the photo's crop, of any size, where it is in the reconstruction."""
        return _moved(values, self.inverse) if self.flow.any() else values


def register(crop: NDArray[np.uint8], reconstruction: NDArray[np.uint8]) -> Registration:
    """How a reconstruction lies under its photo; no move at all where moving it does not bring the two nearer.

    Args:
        crop: uint8 [R,R,3] of the photo.
        reconstruction: uint8 [R,R,3], what the generator makes of it.
    """
    side = len(crop)
    coarse = cv2.resize(_matches(crop, reconstruction), (side, side), interpolation=cv2.INTER_CUBIC)
    flow = np.asarray(coarse * (side / _GRID), np.float32)
    as_it_is, moved = likeness(crop, reconstruction), likeness(crop, _moved(reconstruction, flow))
    if moved.mean() > as_it_is.mean():
        return Registration(flow, moved)
    return Registration(np.zeros_like(flow), as_it_is)


def likeness(crop: NDArray[np.uint8], made: NDArray[np.uint8]) -> Mask:  # [R,R,3] twice -> [R,R]
    """How well a picture explains a photo, place by place, in [0,1]: structure as SSIM (Wang et al. 2004) compares it,
    of the lightness in a window, times nearness of the mean colours in CIELAB there."""
    sigma = max(_WINDOW * len(crop) / 2, 1.0)
    first, second = (lab_of(picture) for picture in (crop, made))

    def mean(values: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)

    a, b = first[..., 0], second[..., 0]
    covariance = mean(a * b) - mean(a) * mean(b)
    spread = (mean(a * a) - mean(a) ** 2) + (mean(b * b) - mean(b) ** 2)
    noise = 4.0**2  # CIELAB units of lightness squared: flat places are alike
    structure = ((2 * covariance + noise) / (spread + noise)).clip(0, 1)
    apart = np.linalg.norm(mean(first) - mean(second), axis=-1)
    return np.asarray(structure * np.exp(-((apart / _COLOURS) ** 2)), np.float32)


@lru_cache(maxsize=1)
def _network() -> MobileNetV2:
    network = create_features("mobilenet_v2")
    assert isinstance(network, MobileNetV2)
    return network


@torch.no_grad()
def _matches(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Flow:  # [R,R,3] twice -> [g,g,2], in places
    """What is at p in the first is at p + flow(p) in the second: the mean place of all within reach, by how alike they
    are with their neighbours."""
    photo, made = _described(first, second)
    side = _GRID + 2 * _REACH
    every = (photo @ F.pad(made, (_REACH,) * 4, mode="replicate").flatten(1)).numpy()  # [g*g,side*side]
    offsets = np.arange(-_REACH, _REACH + 1)
    y, x = np.meshgrid(np.arange(_GRID), np.arange(_GRID), indexing="ij")
    rows, columns = (at.ravel()[:, None, None] + _REACH for at in (y, x))
    near = ((rows + offsets[:, None]) * side + columns + offsets).reshape(_GRID**2, -1)
    alike = np.take_along_axis(every, near, axis=1).reshape(_GRID, _GRID, -1)
    alike = cv2.GaussianBlur(alike, (0, 0), _TOGETHER, borderType=cv2.BORDER_REPLICATE)
    weight = np.exp((alike - alike.max(axis=-1, keepdims=True)) / _SURE)
    weight /= weight.sum(axis=-1, keepdims=True)
    by_row = weight.reshape(_GRID, _GRID, len(offsets), len(offsets))
    found = np.stack([by_row.sum(2) @ offsets, by_row.sum(3) @ offsets], axis=-1).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(found, (0, 0), _SMOOTH, borderType=cv2.BORDER_REPLICATE), np.float32)


def _described(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of two pictures, [g*g,C] and [C,g,g], whose products are the likeness of places in [-1,1]."""
    seen = [cv2.resize(picture, (_SEEN, _SEEN), interpolation=cv2.INTER_CUBIC) for picture in (first, second)]
    x = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).float() / 127.5 - 1
    outputs = _network().stage(x.contiguous(memory_format=torch.channels_last), _STAGES[-1])
    parts = []
    for block in _STAGES:
        found = outputs[block] - outputs[block].mean(dim=(2, 3), keepdim=True)  # what all of a picture has says nothing
        found = found / (found.std(dim=(2, 3), keepdim=True).mean(dim=0) + 1e-6)
        found = F.interpolate(found, (_GRID, _GRID), mode="bilinear", align_corners=False)
        parts.append(F.normalize(found, dim=1) / len(_STAGES) ** 0.5)
    photo, made = torch.cat(parts, dim=1)
    return photo.flatten(1).T, made


def _moved(values: NDArray[_Number], flow: Flow) -> NDArray[_Number]:
    """Values [r,r] or [r,r,C] at p + flow(p); the flow is that of a picture of its own size.

    Pictures keep their detail, by cubic interpolation; masks their range, by linear.
    """
    side = len(values)
    flow = cv2.resize(flow, (side, side), interpolation=cv2.INTER_LINEAR) * (side / len(flow))
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    way = cv2.INTER_CUBIC if values.ndim == 3 and values.shape[2] > 2 else cv2.INTER_LINEAR
    found = cv2.remap(values, x + flow[..., 0], y + flow[..., 1], way, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, values.dtype)
