"""A training's checkpoint and what it must hold: read for export, and before a training goes on from it."""

import itertools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from models.errors import PhotograftError
from models.header import Info
from models.names.wordnet import english
from models.reading import TENSORS, check_file
from models.schema import Name, Positive, Schema, Text, check, short
from models.tensors import DTYPES, check_finite

Count = Annotated[int, Field(ge=0, le=2**62)]
LARGEST = 16 * TENSORS  # with the optimisers' moments


class NetworkDescription(Schema):
    """A network of the training, by its kind and family in the registry and the keywords of its class."""

    kind: Name
    family: Name
    config: dict[str, Any]


class Checkpoint(Schema):
    """What export reads of a checkpoint.

    Attributes:
        networks: by their names in the module.
        state_dict: all weights and counts.
        classes: of the data; of a GAN's.
        generator: sha256 of the file that E, or A and B, belong to.
        projection_rate: of auxiliary networks.
        record: what the card says, see `train.callbacks.Tracking`.
    """

    model_config = ConfigDict(extra="allow")

    networks: Annotated[dict[Name, NetworkDescription], Field(min_length=1, max_length=64)]
    state_dict: Annotated[dict[str, Tensor], Field(max_length=100_000)]
    classes: Info = Field(default_factory=lambda: Info.model_validate({}))
    generator: Text | None = None
    projection_rate: Positive | None = None
    record: dict[str, Any] = Field(default_factory=dict)

    def count(self, name: str) -> int:
        """A count of the training; 0 for one that it does not have."""
        value = self.state_dict.get(name, torch.tensor(0))
        single = value.numel() == 1 and not value.is_floating_point()
        return check(Count, int(value) if single else value.tolist(), f"the checkpoint is damaged: {name}")


class ResumableCheckpoint(Checkpoint):
    """What a training needs to go on."""

    loops: Annotated[dict[str, Annotated[dict[str, Any], Field(min_length=1)]], Field(min_length=1)]
    optimizer_states: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=64)]
    callbacks: dict[str, dict[Any, Any]]
    epoch: Count
    global_step: Count
    version: Annotated[Text, Field(alias="pytorch-lightning_version")]

    def check_optimizers(self, optimizers: Sequence[torch.optim.Optimizer], path: Path) -> None:
        """Raise PhotograftError unless these have taken all moments that were kept."""
        if len(optimizers) != len(self.optimizer_states):
            there, kept = len(optimizers), len(self.optimizer_states)
            raise PhotograftError(f"{path} does not fit this training: {kept} optimisers for {there}")
        for weight, kept in itertools.chain.from_iterable(optimizer.state.items() for optimizer in optimizers):
            if any(isinstance(m, Tensor) and m.ndim and m.shape != weight.shape for m in kept.values()):
                raise PhotograftError(f"{path} does not fit this training: the moments of a weight have another shape")


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint of ours, without running anything that it may carry; see `read_resumable` for the errors."""
    found: Checkpoint = _read(path, Checkpoint)
    return found


def read_resumable(path: Path) -> ResumableCheckpoint:
    """A checkpoint of ours from which a training can go on.

    Raises:
        PhotograftError: missing, damaged, written by something else, or with weights that are no numbers.
    """
    found: ResumableCheckpoint = _read(path, ResumableCheckpoint)
    return found


def check_classes(checkpoint: Mapping[str, Any], class_names: Sequence[str]) -> None:
    """Raise PhotograftError for a checkpoint of other classes than the data's."""
    names = checkpoint.get("classes", {}).get("class_names", [])
    kept, given = [*map(english, names)], [*map(english, class_names)]  # earlier versions kept bare WordNet ids
    if kept != given:
        only = {"checkpoint": [n for n in kept if n not in given], "data": [n for n in given if n not in kept]}
        said = "; ".join(f"only in the {where}: {short(found)}" for where, found in only.items() if found)
        raise PhotograftError(
            f"the checkpoint was trained on {len(names)} classes and the data have {len(class_names)}"
            f" ({said or 'in another order'}): give the same data, or start anew"
        )


def _read(path: Path, schema: type[Checkpoint]) -> Any:
    check_file(path, "checkpoint", LARGEST)
    _check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged pickle raises is anything
        reason = str(error).split("\n")[0] or type(error).__name__
        if reason.startswith("Weights only"):  # torch goes on with how to execute what the file carries
            reason = "it holds more than tensors and plain values"
        raise PhotograftError(f"{path} is damaged or not a checkpoint: {reason:.200}") from error
    if not isinstance(content, dict) or "networks" not in content:
        raise PhotograftError(f"{path} was not written by Photograft's training: it names no networks")
    if not all(isinstance(key, str) for key in content):
        raise PhotograftError(f"{path} is damaged: it has keys that are no text")
    found: Checkpoint = check(schema, content, f"{path} is damaged")
    _check_tensors(found.state_dict, path)
    return found


def _check_archive(path: Path) -> None:
    """Raise PhotograftError unless a file is a zip as torch writes it: nothing is compressed, or there twice."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise PhotograftError(f"{path} is damaged or not a checkpoint: torch packs its files in another way")
            broken = archive.testzip()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise PhotograftError(f"{path} is damaged or not a checkpoint: {error!s:.200}") from error
    if broken is not None:
        raise PhotograftError(f"{path} is damaged or not a checkpoint: {short(broken)} is not what was written")


def _check_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise PhotograftError unless tensors are of usual types, as large as what the file holds of them, and finite."""
    for name, tensor in tensors.items():
        plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and tensor.dtype in DTYPES.values()
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise PhotograftError(f"{path} is damaged: {short(name)} is no ordinary tensor")
    check_finite(tensors, path)
