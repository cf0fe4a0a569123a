"""The independent judge of single pictures: which class a probe on SqueezeNet features names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infer.evaluate.cache import ResultCache, Results
from infer.evaluate.choices import REAL
from infer.evaluate.edit_measures import Picture
from infer.evaluate.generator import INDEPENDENT
from infer.evaluate.judging import Probe, judge_features, real_pictures
from infer.progress import Progress, untold
from models.digests import digest
from models.perception.judges import JUDGES
from models.prepared import Networks, prepare

FORMAT = 1  # of kept features


@dataclass(frozen=True)
class Verdict:
    """What the probe says of a picture: whether the class asked for is its first, among its first five, and whether
    its first is of the same group (species)."""

    first: bool
    five: bool
    group: bool


class ClassJudge:
    """The independent probe, fitted to real pictures of a model's data.

    Args:
        networks: of a model of these classes; the judge is where they are.
        root: its data: class folders or tar shards; None: pictures have features, and no classes.
        seed: of the pictures drawn.
        real: number of them.
        folder: where features are kept; None: nowhere.
        progress: told of progress.

    Raises:
        PhotograftError: data of other classes.
    """

    def __init__(
        self,
        networks: Networks,
        root: Path | None,
        *,
        seed: int = 1,
        real: int = REAL,
        folder: Path | None = None,
        progress: Progress = untold,
    ) -> None:
        self.judge = prepare(JUDGES[INDEPENDENT](), channels_last=networks.channels_last, device=networks.device)
        self.probe: Probe | None = None
        self.groups = torch.tensor(networks.model.groups)
        if root is None:
            return
        progress("reading real pictures", 0, 1)
        images, labels, _, _ = real_pictures(root, networks.model, real, seed)

        def compute() -> Results:
            return {"features": judge_features(self.judge, images, progress, "judging real pictures")}

        features = ResultCache(folder, format=FORMAT)(compute, real=digest([images]), judge=INDEPENDENT)["features"]
        progress("fitting the probe", 0, 1)
        self.probe = Probe(features, labels, len(self.groups))

    def features(self, pixels: Picture) -> Tensor:  # [h,w,3] -> [1,512]
        """SqueezeNet features of one picture."""
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
        return judge_features(self.judge, image, untold, "")

    def verdict(self, pixels: Picture, target: int) -> Verdict | None:
        """On one picture [R,R,3]; None without data."""
        if self.probe is None:
            return None
        best = self.probe.first_five(self.features(pixels))[0].tolist()
        return Verdict(best[0] == target, target in best, bool(self.groups[best[0]] == self.groups[target]))
