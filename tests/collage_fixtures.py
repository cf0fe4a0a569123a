"""Golden fixtures of the original collaging code: `X.io.npz` holds what `Y.snapshot.npz` computed, see manifest.json.

The folder is tests/golden/collage, or the one that PHOTOGRAFT_GOLDEN names; tests run over whatever fixtures it holds.
Errors are compared array by array, and a fixture of which an array was never looked at fails. Arrays that another
folder's fixtures need not hold are compared by `check_if_held`, whose test says what it skipped.
"""

import json
import os
import re
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.base import Configurable
from models.checkpoints.formats import read

FOLDER = Path(os.environ.get("PHOTOGRAFT_GOLDEN") or Path(__file__).parent / "golden" / "collage")

IMAGE = {"rtol": 0.0, "atol": 5e-5}
LATENT = {"rtol": 1e-4, "atol": 1e-5}
DISCRIMINATOR = {"rtol": 1e-4, "atol": 1e-6}
TRAJECTORY = {"rtol": 0.0, "atol": 1e-4}
# arrays of the training step of A and B
OUTER_STEP = ("outer_", "after_step__", "fast_losses", "fast_alpha", "zeta_after_T", "out_T", "ae_loss")

worst: dict[str, float] = {}  # fixture/array -> largest share of its tolerance


@cache
def manifest() -> dict[str, Any]:
    """What the folder's fixtures are."""
    return dict(json.loads((FOLDER / "manifest.json").read_text()))


def names(prefix: str) -> list[str]:
    """Fixtures whose name begins so and whose files are there."""
    entries = [(n, e) for n, e in manifest().items() if n.startswith(prefix) and e.get("uses_snapshot")]
    present = [n for n, e in entries if (FOLDER / e["io"]).exists() and snapshot_path(e["uses_snapshot"]).exists()]
    return sorted(present)


def uses(name: str) -> str:
    """Snapshot that a fixture was computed with."""
    return str(manifest()[name]["uses_snapshot"])


def snapshot_path(name: str) -> Path:
    """File of a snapshot."""
    return FOLDER / f"{name}.snapshot.npz"


def networks(name: str) -> dict[str, Configurable]:
    """Fresh networks of a snapshot, by kind."""
    return dict(read(snapshot_path(name)).networks)


def network(name: str, kind: str) -> Any:
    """One fresh network of a snapshot."""
    return networks(name)[kind]


def link_path(name: str, net: Configurable) -> str:
    """The original's dotted name of one of our parameters: blocks.0.conv1.weight -> block2.c1.W."""
    end = len(net.config.get("channels", ())) + 1
    if type(net).__name__ == "SNProjectionDiscriminator":
        first, top = 1, {"linear": f"l{end}", "embedding": "l_y"}
    elif type(net).__name__ == "ResNetEncoder":
        first, top = 2, {"linear": f"l{end}", "conv": "l1", "prelu": "prelu_out"}
    else:
        first, top = 2, {"linear": "l1", "norm": f"b{end}", "to_rgb": f"l{end}"}
    top |= {"a1": "lA1", "a2": "lA2", "b1": "lB1", "b2": "lB2", "prelu_zeta": "preluMiddleW", "prelu_z": "preluW"}
    inner = {"conv1": "c1", "conv2": "c2", "skip": "c_sc", "norm1": "b1", "norm2": "b2"}
    tables = {"weight": "W", "bias": "b", "gamma": "gammas.W", "beta": "betas.W"}
    head, *rest, value = name.split(".")
    if head == "norm":
        return f"{top[head]}.{'gamma' if value == 'weight' else 'beta'}"
    if head == "blocks":
        return f"block{int(rest[0]) + first}.{inner[rest[1]]}.{tables[value]}"
    return f"{top[head]}.{tables[value]}"


class Fixture:
    """The arrays of one fixture, and which of them were looked at.

    As a context manager it fails at its end if one was not.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        with np.load(FOLDER / manifest()[name]["io"], allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.left = set(self.arrays)

    def __enter__(self) -> "Fixture":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            assert not self.left, f"{self.name}: never compared: {sorted(self.left)}"

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def get(self, key: str) -> Tensor:
        """An array as a tensor; integers as int64."""
        self.left.discard(key)
        array = torch.from_numpy(np.asarray(self.arrays[key]))
        return array.long() if array.dtype == torch.int32 else array

    def maps(self, prefix: str) -> list[Tensor]:
        """Arrays that begin so, in order."""
        return [self.get(key) for key in self.keys(prefix)]

    def keys(self, prefix: str) -> list[str]:
        """Names of arrays that begin so, sorted."""
        return sorted(key for key in self.arrays if key.startswith(prefix))

    def check(self, key: str, value: Tensor | float, *, rtol: float, atol: float) -> None:
        """Compare a value with an array; `_item0` and `_strideK` in its name say which part was recorded."""
        expected = self.get(key)
        value = torch.as_tensor(value).detach()
        value = cut(key, value).reshape(expected.shape)
        error = (value.double() - expected.double()).abs()
        share = (error / (atol + rtol * expected.double().abs())).max().item() if error.numel() else 0.0
        worst[f"{self.name}/{key}"] = share
        assert share <= 1, f"{self.name}/{key}: off by {error.max().item():.3g}, {share:.2f} times the tolerance"

    def check_if_held(
        self, subtests: pytest.Subtests, key: str, value: Tensor | float, *, rtol: float, atol: float
    ) -> None:
        """`check` as a subtest, which is skipped where the fixture has no such array."""
        with subtests.test(key):
            if key not in self:
                pytest.skip(f"{self.name} does not hold {key}")
            self.check(key, value, rtol=rtol, atol=atol)

    def check_uint8(self, key: str, image: Tensor) -> None:
        """Compare a displayed picture: equal but for values that float noise puts on the other side of an integer."""
        expected = self.get(key)
        scaled = cut(key, image.detach()) * 127.5 + 127.5  # the original truncates
        shown = scaled.clamp(0, 255).to(torch.uint8).reshape(expected.shape)
        edge = (scaled - scaled.round()).abs().reshape(expected.shape) < 5e-5 * 127.5
        difference = (shown.int() - expected.int()).abs()
        assert bool(((difference == 0) | ((difference == 1) & edge)).all()), f"{self.name}/{key}"


def cut(key: str, value: Tensor) -> Tensor:
    """The part of a value [N,C,H,W] that was recorded under this name."""
    if "_item0" in key:
        value = value[:1]
    if match := re.search(r"_stride(\d+)$", key):
        value = value[..., :: int(match[1]), :: int(match[1])]
    return value
