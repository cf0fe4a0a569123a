"""What the judges of samples and of translations share: features, real pictures, and a probe that names classes."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.loaders import EvalLoader, PictureStore
from data.sampling import ClassBalancedSampler
from data.splits import open_splits
from infer.progress import Progress
from models.errors import PhotograftError
from models.names.wordnet import english
from models.zoo import Model

BATCH = 64


@dataclass(frozen=True)
class Hits:
    """Shares of pictures whose class (top-1, in the top-5) and group (of the top-1) the probe names as asked."""

    class_top1: float
    class_top5: float
    group_top1: float


def share(mask: Tensor) -> float:
    """How much of a mask is set, in [0,1]; NaN for an empty one."""
    return float(mask.float().mean())


class Probe:
    """Linear classifier on a judge's features, fitted to real pictures. Features [N,D], labels [N]."""

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int, steps: int = 2000, seed: int = 0) -> None:
        self.mean, self.std = features.mean(0), features.std(0).clamp_min(1e-6)
        random = torch.Generator().manual_seed(seed)
        self.linear = nn.Linear(features.shape[1], num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        optimizer = torch.optim.AdamW(self.linear.parameters(), 1e-3, weight_decay=1e-2)
        standard = (features - self.mean) / self.std
        for _ in range(steps):
            pick = torch.randint(0, len(standard), (256,), generator=random)
            optimizer.zero_grad()
            F.cross_entropy(self.linear(standard[pick]), labels[pick]).backward()
            optimizer.step()

    @torch.no_grad()
    def hits(self, features: Tensor, labels: Tensor, groups: Tensor) -> Hits:
        """How often it names what was asked for; groups [K] is the group of each class."""
        right, best = self._right(features, labels)
        group = groups[best[:, 0]] == groups[labels]
        return Hits(share(right[:, 0]), share(right.any(1)), share(group))

    def _right(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Which of its first five are the label [N,5], and the five."""
        best = self.first_five(features)
        return best == labels[:, None], best

    @torch.no_grad()
    def first_five(self, features: Tensor) -> Tensor:  # [N,D] -> [N,5]
        """The classes that it names first, the best first; all of them if there are fewer."""
        logits = self.linear((features - self.mean) / self.std)
        return logits.topk(min(5, logits.shape[1])).indices

    @torch.no_grad()
    def probabilities(self, features: Tensor) -> Tensor:  # [N,D] -> [N,K]
        """How likely it finds every class; sums to 1."""
        return self.linear((features - self.mean) / self.std).softmax(1)

    @torch.no_grad()
    def names_in_top5(self, features: Tensor, labels: Tensor) -> Tensor:  # [N,D], [N] -> bool [N]
        """Whether the class asked for is among its first five."""
        return self._right(features, labels)[0].any(1)


@torch.no_grad()
def judge_features(
    judge: nn.Module, images: Tensor, progress: Progress, what: str
) -> Tensor:  # uint8 [N,3,R,R] -> [N,D]
    """Features of pictures, in batches; the judge is on its device, they come back on the CPU."""
    device, parts = next(judge.parameters()).device, []
    for i in range(0, len(images), BATCH):
        parts.append(judge(images[i : i + BATCH].to(device)).float().cpu())
        progress(what, min(i + BATCH, len(images)), len(images))
    return torch.cat(parts)


def real_pictures(root: Path, model: Model, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """n training pictures drawn as in training, and all validation pictures, each with labels; uint8 [N,3,R,R].

    Raises:
        PhotograftError: data whose classes are not the model's.
    """
    train, val = open_splits(root)
    if [*map(english, train.class_names)] != [*map(english, model.class_names)]:  # as bare WordNet ids once
        raise PhotograftError(f"the classes in {root} are not those of model {model.name}: evaluate on its own data")
    resolution = model.generator.resolution
    numbers = ClassBalancedSampler(train.labels, power=0.5, seed=seed).indices(0, n)
    images, _, labels = PictureStore(train, resolution=resolution, crop="center", in_memory=False).many(numbers)
    store = PictureStore(val, resolution=resolution, crop="center", in_memory=False)
    batches = list(EvalLoader(store, batch_size=BATCH))
    return images, labels, torch.cat([b["image"] for b in batches]), torch.cat([b["label"] for b in batches])
