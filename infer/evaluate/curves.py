"""Loss curves of projection on z and on zeta, from E and from random starts, kept in a folder as they are done.

A curve is a space and a start: [steps+1,N] losses of N photos before every update and after the last.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data import images_to_float
from data.loaders import PictureStore
from data.splits import open_splits
from infer.evaluate.cache import ResultCache
from infer.progress import Progress, untold
from infer.projection.options import ProjectionOptions
from infer.projection.search import project
from models.digests import digest, digests
from models.errors import PhotograftError
from models.prepared import Networks
from models.zoo import Model

FORMAT = 2  # of the kept curves
PIXEL_WEIGHT = 0.2  # of the paper's loss


@dataclass(frozen=True)
class Curve:
    """A line of Fig. 16: the space in which Adam moves ("z", "zeta") and where it starts ("encoder", "random")."""

    space: str
    start: str

    @property
    def name(self) -> str:
        """For a reader: "zeta from E"."""
        return f"{self.space} from {'E' if self.start == 'encoder' else 'random'}"


@dataclass(frozen=True)
class Photos:
    """N photos with their true classes.

    Attributes:
        target: float32 [N,3,R,R] in [-1,1].
        label: int64 [N], None if the model is unconditional.
        start: name of a start -> z [N,latent_dim].
    """

    target: Tensor
    label: Tensor | None
    start: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.target)

    def spread(self, n: int) -> "Photos":
        """n of them, evenly; all if there are fewer."""
        at = torch.from_numpy(evenly(len(self), n))
        label = None if self.label is None else self.label[at]
        return Photos(self.target[at], label, {name: z[at] for name, z in self.start.items()})


def evenly(total: int, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """n of the numbers 0..total-1, evenly spaced; all if there are fewer."""
    n = min(n, total)
    return (np.arange(n, dtype=np.int64) * total) // max(n, 1)


def curves_of(model: Model) -> list[Curve]:
    """The curves that a model's networks allow, "z from E" or else "z from random" first."""
    spaces = ["z"] if model.auxiliary is None else ["z", "zeta"]
    starts = ["random"] if model.encoder is None else ["encoder", "random"]
    return [Curve(space, start) for start in starts for space in spaces]


def validation_photos(root: Path, networks: Networks, n: int, seed: int, *, encode: bool = True) -> Photos:
    """n photos of the validation split, evenly spaced, as the generator would make them, and where they start.

    Args:
        root: the model's data: class folders or tar shards.
        networks: the model's classes must be those of the data; an unconditional one takes any.
        n: number of photos; all if there are fewer.
        seed: of the random starts.
        encode: find E's answers too, if there is an E.

    Raises:
        PhotograftError: data of other classes, or without validation pictures.
    """
    model, (train, val) = networks.model, open_splits(root)
    if model.class_names and train.class_names != model.class_names:
        raise PhotograftError(f"the classes in {root} are not those of model {model.name}: evaluate on its own data")
    if len(val) == 0:
        raise PhotograftError(f"{root} has no validation pictures: it is measured on those")
    store = PictureStore(val, resolution=model.generator.resolution, crop="center", in_memory=False)
    images, _, labels = store.many(evenly(len(val), n))
    target, label = images_to_float(images), labels if model.class_names else None
    start = {"random": model.generator.sample_latent(len(target), torch.Generator().manual_seed(seed))}
    e, device = networks.encoder if encode else None, networks.device
    if e is not None:
        with torch.no_grad():
            codes = [
                e.encode(target[i : i + 32].to(device), None if label is None else label[i : i + 32].to(device)).cpu()
                for i in range(0, len(target), 32)
            ]
        start["encoder"] = torch.cat(codes)
    return Photos(target, label, start)


class Runner:
    """Runs curves, or takes them from the folder where they were kept.

    Args:
        networks: with a Psi; with auxiliary networks for zeta.
        folder: of the kept curves.
        max_norm: see `infer.projection.search.project`; None as in the paper.
        batch_size: photos worked on at once. It changes no result beyond rounding, so it is no part of the name.
        progress: told of progress.
    """

    def __init__(
        self,
        networks: Networks,
        folder: Path,
        *,
        max_norm: float | None = None,
        batch_size: int = 32,
        progress: Progress | None = None,
    ) -> None:
        model = networks.model
        networks.psi  # noqa: B018 (raises where there is none)
        self.networks, self.model, self.max_norm, self.batch_size = networks, model, max_norm, batch_size
        self.progress: Progress = progress or untold
        self.done, self.total = 0, 0
        self._kept, self._digests = ResultCache(folder), digests(model)

    def run(self, photos: Photos, curve: Curve, rate: float, steps: int) -> Tensor:  # -> [steps+1,N]
        """Losses of a curve at a learning rate; infinite from where they are no numbers."""
        settings, what = self._settings(photos, curve, rate, steps), f"{curve.name}, rate {rate:.4g}"
        work, before = len(photos) * steps, self.done
        found = self._kept(lambda: {"losses": self._compute(photos, curve, rate, steps, what)}, **settings)
        self.done = before + work
        self.progress(what, self.done, self.total)
        return found["losses"]

    def _compute(self, photos: Photos, curve: Curve, rate: float, steps: int, what: str) -> Tensor:
        options = ProjectionOptions(
            space=curve.space,  # type: ignore[arg-type]
            steps=steps,
            learning_rate=rate,
            pixel_weight=PIXEL_WEIGHT,
            keep="best",  # the curve is the same; a rate at which Adam runs away at the end is then no error
            max_norm=self.max_norm,
        )
        parts = []
        for i in range(0, len(photos), self.batch_size):
            rows, before = slice(i, i + self.batch_size), self.done
            n = len(photos.target[rows])

            def progress(told: str, t: int, steps: int, before: int = before, n: int = n) -> None:
                self.done = before + t * n
                self.progress(what, self.done, self.total)

            found = project(
                self.networks,
                photos.target[rows],
                None if photos.label is None else photos.label[rows],
                options,
                start=photos.start[curve.start][rows],
                batch_size=self.batch_size,
                progress=progress,
            )
            parts.append(found.feature_curve + PIXEL_WEIGHT * found.pixel_curve)
        return torch.cat(parts, dim=1).nan_to_num(math.inf)

    def _settings(self, photos: Photos, curve: Curve, rate: float, steps: int) -> dict[str, Any]:
        """All that a curve depends on. A curve on z does not depend on A and B: new ones do not cost it."""
        parts = ["generator", self.networks.psi_name] + (["auxiliary"] if curve.space == "zeta" else [])
        label = [] if photos.label is None else [photos.label]
        return {
            "format": FORMAT,
            "space": curve.space,
            "rate": float(f"{rate:.12g}"),
            "steps": steps,
            "pixel_weight": PIXEL_WEIGHT,
            "max_norm": self.max_norm,
            "bf16": self.networks.dtype == torch.bfloat16,
            "photos": digest([photos.target, *label]),
            "start": digest([photos.start[curve.start]]),  # so E and the seed are in it
            **{part: self._digests[part] for part in parts},
        }
