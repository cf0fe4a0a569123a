"""Tensors of safetensors files: described without reading them, read with bounds, and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.errors import PhotograftError
from models.reading import opened

FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
INTEGERS = {"BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32}
DTYPES = FLOATS | INTEGERS | {"I64": torch.int64}


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file, of which only the header is read yet.

    Attributes:
        path: of the file.
        metadata: its texts.
        described: name of each tensor -> an empty one of its shape and dtype, on the "meta" device.
    """

    path: Path
    metadata: Mapping[str, str]
    described: Mapping[str, Tensor]

    def read(self, *, single: bool = True, finite: bool = True) -> dict[str, Tensor]:
        """The tensors; floats as float32 unless `single` is False.

        Raises:
            PhotograftError: a file that changed since; NaN or infinite values unless `finite` is False.
        """
        with opened(self.path, "weights file", "pt") as file:
            tensors = {name: file.get_tensor(name) for name in self.described}
        if single:
            tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        if finite:
            check_finite(tensors, self.path)
        return tensors


def open_tensors(path: Path, what: str = "weights file") -> TensorFile:
    """The header of a safetensors file.

    Args:
        path: of the file.
        what: it is called in errors.

    Raises:
        PhotograftError: no file, a damaged one, or tensors of types that no network here has.
    """
    with opened(path, what, "pt") as file:
        described = {}
        for name in file.keys():  # noqa: SIM118 (not a dict)
            part = file.get_slice(name)
            dtype = part.get_dtype()
            if dtype not in DTYPES:
                raise PhotograftError(
                    f"{path}: tensor {name!r:.80} is of type {dtype}: convert it to float32 or float16"
                )
            described[name] = torch.empty(part.get_shape(), dtype=DTYPES[dtype], device="meta")
        return TensorFile(path, file.metadata() or {}, described)


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise PhotograftError, naming the tensor, if any weight is NaN or infinite, or a variance negative."""
    for key, tensor in tensors.items():
        if key.endswith("running_var") and bool((tensor < 0).any()):
            raise PhotograftError(f"{path}: {key!r:.80} holds negative variances: the file is unusable")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PhotograftError(f"{path}: weights {key!r:.80} hold NaN or infinite values: the file is unusable")
