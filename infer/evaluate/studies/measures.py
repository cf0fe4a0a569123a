"""What studies measure on edited samples beside what they were: where they changed, how, and how natural they look."""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from infer.evaluate.edit_measures import seam_score
from infer.evaluate.studies.setting import StudyJudge, number
from infer.photo.cielab import lab_of
from infer.pictures.convert import to_pixels
from models.perception.judges import frechet

COARSE = 16  # px on a side of what is called the coarse part of a picture: pose and outline, and no fur
_FEW = 16  # pictures below which a Fréchet distance says nothing


@dataclass
class Measured:
    """One way of editing, over all samples.

    Attributes:
        inside, outside: mean CIELAB distance (CIE 1976) to the unedited sample, in and out of the region.
        coarse, fine: mean squared change of the picture at 16 px, and of what that leaves out; pixels in [-1,1].
        seam: steepness across the region's rim over the sample's, see `infer.evaluate.edit_measures.seam_score`.
        wanted: mean CIELAB distance in the region to what is wanted there.
        target, own: how likely the judge finds the class asked for, and the sample's own.
        features: SqueezeNet's of all edited pictures.
    """

    inside: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    coarse: list[float] = field(default_factory=list)
    fine: list[float] = field(default_factory=list)
    seam: list[float] = field(default_factory=list)
    wanted: list[float] = field(default_factory=list)
    target: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)

    def add(
        self,
        edited: Tensor,
        before: Tensor,
        mask: Tensor,
        *,
        judge: StudyJudge | None = None,
        targets: Tensor | None = None,
        own: Tensor | None = None,
        wanted: Tensor | None = None,
        natural: bool = False,
    ) -> None:
        """One batch.

        Args:
            edited, before: [n,3,R,R] in [-1,1].
            mask: [R,R] or [n,R,R], the region.
            judge: of classes, for `targets` and `own`; of features, if `natural`.
            targets, own: [n] classes.
            wanted: [n,3,R,R], pictures that the region should look like.
            natural: keep features for a Fréchet distance.
        """
        masks = (mask if mask.ndim == 3 else mask[None]).expand(len(edited), *mask.shape[-2:])
        for one, other, where in zip(edited, before, masks, strict=True):
            region = where.numpy() > 0.5
            distance = lab_distance(one, other)
            self.inside.append(_mean(distance[region]))
            self.outside.append(_mean(distance[~region]))
            was, now = (to_pixels(picture[None]) for picture in (other, one))
            self.seam.append(seam_score(was, now, where.numpy().astype(np.float32), side=len(region)))
        coarse = resized(edited) - resized(before)
        fine = (edited - before) - F.interpolate(coarse, edited.shape[-2:], mode="bilinear", align_corners=False)
        self.coarse += coarse.square().mean((1, 2, 3)).tolist()
        self.fine += fine.square().mean((1, 2, 3)).tolist()
        if wanted is not None:
            for one, other, where in zip(edited, wanted, masks, strict=True):
                self.wanted.append(_mean(lab_distance(one, other)[where.numpy() > 0.5]))
        if judge is not None and targets is not None:
            self.target += judge.of_class(edited, targets).tolist()
        if judge is not None and own is not None:
            self.own += judge.of_class(edited, own).tolist()
        if judge is not None and natural:
            self.features.append(judge.features(edited))

    def cells(self, *names: str) -> list[str]:
        """Means over all samples, as cells of a table; empty for what was not measured."""
        return [number(_mean(np.array(getattr(self, name), np.float64))) for name in names]

    def distance(self, features: Tensor) -> str:
        """Fréchet distance of the edited pictures to others' features, as a cell; empty for too few."""
        if not self.features or min(len(features), sum(map(len, self.features))) < _FEW:
            return ""
        return number(frechet(torch.cat(self.features), features))


def resized(images: Tensor) -> Tensor:  # [N,3,R,R] -> [N,3,16,16]
    """The coarse part of pictures."""
    return F.interpolate(images, (COARSE, COARSE), mode="area")


def lab_distance(one: Tensor, other: Tensor) -> np.ndarray:  # [3,R,R] x2 in [-1,1] -> [R,R]
    """CIELAB distance (CIE 1976) pixel by pixel."""
    labs = [lab_of(to_pixels(picture[None])) for picture in (one, other)]
    return np.asarray(np.linalg.norm(labs[0] - labs[1], axis=-1))


def _mean(values: np.ndarray) -> float:
    """NaN of nothing, and of what is NaN alone."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
