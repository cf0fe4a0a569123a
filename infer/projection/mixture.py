"""The class of a picture: one of the model's, or a mixture where none of them is right by itself.

A generator takes weights of classes as it takes a class, so a breed that it was never shown may lie between those it
knows. A mixture is said as a mapping from names to weights, and is a row [K] of weights to the networks.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.errors import PhotograftError
from models.names.choice import IMAGENET
from models.schema import short
from models.zoo import Model

Source = str | Mapping[str, float]
"""A class's name, or the weights of several by their names."""
_SUM = 1e-3  # weights that sum to 1 but for so much are taken as they are: a recipe's come back to the bit


def source_label(model: Model, source: Source) -> Tensor:
    """What networks take for a class: int64 [1], or float32 [1,K] for a mixture.

    Raises:
        PhotograftError: an unknown class, one that is named twice, or weights that are no positive numbers.
    """
    if isinstance(source, str):
        return torch.tensor([model.class_index(source)])
    given: Any = source  # from callers that no type checker has seen
    if not isinstance(given, Mapping) or not given:
        raise PhotograftError(f"a class is a name, or weights by names, not {short(given)}")
    weights = torch.zeros(1, len(model.class_names))
    for name, weight in given.items():
        real = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not real or not 0 < weight <= 1e6:
            raise PhotograftError(f"the weight of {short(name)} must be a positive number, not {short(weight)}")
        index = model.class_index(name)
        if weights[0, index] > 0:
            raise PhotograftError(f"class {model.class_names[index]!r} is named twice in a mixture")
        weights[0, index] = weight
    total = float(weights.sum())
    return classes_of(weights if abs(total - 1) <= _SUM else weights / total)


def classes_of(label: Tensor) -> Tensor:
    """Weights of classes [N,K] as classes [N] where all of them are one class; else as they are."""
    if label.ndim == 2 and bool((label.amax(1) == 1).all() and ((label != 0).sum(1) == 1).all()):
        return label.argmax(1)
    return label


def heaviest(label: Tensor) -> int:
    """The class of one picture, [1] or [1,K], that there is most of."""
    return int(label[0] if label.ndim == 1 else label[0].argmax())


def shares(label: Tensor, num_classes: int) -> Tensor:
    """Classes [N] or weights [N,K] as weights, float32 [N,K]."""
    return label.float() if label.ndim == 2 else torch.nn.functional.one_hot(label, num_classes).float()


def said_source(model: Model, label: Tensor | None) -> str | dict[str, float] | None:
    """The class of one picture, [1] or [1,K], by names, the heaviest first; None where there are no names."""
    if label is None or not model.class_names:
        return None
    if label.ndim == 1:
        return model.class_names[int(label)]
    order = [k for k in label[0].argsort(descending=True, stable=True).tolist() if label[0, k] > 0]
    # float32 in as few digits as say it
    return {model.class_names[k]: float(str(np.float32(label[0, k].item()))) for k in order}


def source_title(source: Source | None) -> str | None:
    """A class for people: its name, or shares of several."""
    if source is None or isinstance(source, str):
        return source
    return ", ".join(f"{weight:.0%} {name}" for name, weight in source.items())


def parse_source(model: Model, text: str) -> Source:
    """A class from "pug", a mixture from "pug:0.6,beagle:0.4" or, in equal shares, from "pug,beagle".

    Classes are said as `models.names.choice` understands them, also "imagenet:254:0.6,n02088364:0.4".

    Raises:
        PhotograftError: unknown classes, or weights that are no positive numbers.
    """
    if text in model.class_names or IMAGENET.fullmatch(text.strip()) or not set(text) & set(":,"):
        return model.class_names[model.class_index(text)]
    found: dict[str, float] = {}
    for part in text.split(","):
        name, colon, weight = part.rpartition(":")
        if not colon or IMAGENET.fullmatch(part.strip()):
            name, weight = part, "1"
        try:
            number = float(weight)
        except ValueError:
            raise PhotograftError(f"a mixture is CLASS:WEIGHT,CLASS:WEIGHT, not {short(text)}") from None
        known = model.class_names[model.class_index(name.strip())]
        if known in found:
            raise PhotograftError(f"class {known!r} is named twice in a mixture")
        found[known] = number
    label = source_label(model, found)  # checks the weights
    return said_source(model, label) or found


def nearest_classes(logits: Tensor, most: int, temperature: float, alone: float) -> Tensor:
    """Mixtures from a classifier's logits [N,K]: float32 [N,K] on the CPU, of sum 1.

    Args:
        logits: of pictures.
        most: classes of a mixture; the likeliest ones share what there is.
        temperature: the logits are divided by it.
        alone: a class that is likelier than that is the picture's only one.
    """
    likely = (logits.float().cpu() / temperature).softmax(1)
    values, indices = likely.topk(min(most, likely.shape[1]), dim=1)
    whole = (values[:, :1] > alone).expand_as(values)
    first = torch.zeros_like(values)
    first[:, 0] = 1
    values = torch.where(whole, first, values / values.sum(1, keepdim=True))
    # in thousandths, so that a recipe is readable; what is missing of 1 is the first one's
    parts = (values * 1000).round()
    parts[:, 0] += 1000 - parts.sum(1)
    return torch.zeros_like(likely).scatter_(1, indices, parts / 1000)
