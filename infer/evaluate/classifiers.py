"""ImageNet classifiers as judges of class: torchvision's, or a MobileNet v2 file, with a map from our classes.

A projected discriminator looks through an ImageNet network, so a classifier of the same kind flatters what was trained
against it; the probe of `infer.evaluate.judging` does not.
"""

from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from infer.evaluate.judging import BATCH, Hits, share
from infer.progress import Progress
from models.errors import PhotograftError
from models.perception.features import with_classifier
from models.perception.judges import resize_bicubic
from models.reading import read_yaml
from models.schema import short
from models.zoo import Model

SIDE = 224


class Classifier:
    """A classifier of other classes than the model's, and which of its classes are which of ours.

    Args:
        name: for the table.
        network: float [N,3,224,224] in [0,1] -> logits [N,M].
        index_map: [K] lists of the classifier's indices; an empty one leaves the class out of the measure.
    """

    def __init__(self, name: str, network: nn.Module, index_map: list[list[int]]) -> None:
        self.name, self.network, self.index_map = name, network, index_map

    @torch.no_grad()
    def hits(self, images: Tensor, labels: Tensor, groups: Tensor, progress: Progress, what: str) -> Hits:
        """Shares of the pictures uint8 [N,3,R,R] of mapped classes that it names as asked; groups [K]."""
        known = torch.tensor([bool(indices) for indices in self.index_map])
        images, labels = images[known[labels]], labels[known[labels]]
        parts = enumerate(images.split(BATCH))
        best = torch.cat([self._best(part, progress, what, i * BATCH, len(images)) for i, part in parts])  # [N,5]
        members = [torch.tensor(indices) for indices in self.index_map]
        of_group = [torch.cat([m for m, g in zip(members, groups, strict=True) if g == own]) for own in groups]
        right = torch.stack([torch.isin(row, members[k]) for row, k in zip(best, labels.tolist(), strict=True)])
        group = torch.stack([torch.isin(row[0], of_group[k]) for row, k in zip(best, labels.tolist(), strict=True)])
        return Hits(share(right[:, 0]), share(right.any(1)), share(group))

    def _best(self, images: Tensor, progress: Progress, what: str, before: int, total: int) -> Tensor:  # -> [n,5]
        logits = self.network(resize_bicubic(images.float(), SIDE) / 255)
        progress(what, before + len(images), total)
        return logits.topk(5).indices


def load_classifier(name: str, index_map: Path, model: Model) -> Classifier:
    """A classifier by torchvision's name, or a MobileNet v2 file with its classifier, and the map to its classes.

    Args:
        name: of a torchvision classification model (its default weights are cached or downloaded), or a .safetensors.
        index_map: YAML, class name -> list of the classifier's indices; classes that are missing are left out.
        model: whose classes are mapped.

    Raises:
        PhotograftError: unknown name, weights that cannot be had, a map that does not fit.
    """
    mapped = _read_map(index_map, model)
    if name.endswith(".safetensors"):
        return Classifier(Path(name).stem, _Scaled(with_classifier(Path(name)), (0.5,) * 3, (0.5,) * 3), mapped)
    try:
        weights: Any = torchvision.models.get_model_weights(name).DEFAULT
        network = torchvision.models.get_model(name, weights=weights)
    except ValueError as error:
        raise PhotograftError(f"unknown classifier {name!r}: a torchvision model or a .safetensors file") from error
    except OSError as error:
        raise PhotograftError(f"weights of {name} cannot be downloaded ({error}): give a .safetensors file") from error
    preset = weights.transforms()
    return Classifier(name, _Scaled(network, preset.mean, preset.std).eval(), mapped)


def _read_map(path: Path, model: Model) -> list[list[int]]:
    content = read_yaml(path, "index map")
    if not isinstance(content, dict) or not all(
        isinstance(v, list) and all(isinstance(i, int) for i in v) for v in content.values()
    ):
        raise PhotograftError(f"{path} is no index map: give lines such as `lion: [291]`")
    known: dict[int, list[int]] = {}
    for name, indices in content.items():
        label = _class_of(model, name, path)
        if label in known:
            raise PhotograftError(f"{path} maps {model.class_names[label]!r} twice")
        known[label] = indices
    return [known.get(label, []) for label in range(len(model.class_names))]


def _class_of(model: Model, name: object, path: Path) -> int:
    try:
        return model.class_index(str(name))
    except PhotograftError as error:
        raise PhotograftError(f"{path} maps {short(name)}, which is no class of model {model.name}: {error}") from error


class _Scaled(nn.Module):
    """A network that is given pictures in [0,1]."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = (torch.tensor(v).view(3, 1, 1) for v in (mean, std))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits
