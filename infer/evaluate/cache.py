"""What an evaluation has computed, kept in a folder as it is done, so that an interrupted one goes on where it was.

A result's file has the hash of all it depends on as its name: it is computed again only when something has changed.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.writing import write_file

Results = dict[str, Tensor]


class ResultCache:
    """Takes results from a folder, or computes and keeps them.

    Args:
        folder: of the results, made with the first of them; None: nothing is kept.
        settings: what all results depend on, as JSON knows it.
    """

    def __init__(self, folder: Path | None, **settings: Any) -> None:
        self.folder, self.settings = folder, settings

    def __call__(self, compute: Callable[[], Results], **settings: Any) -> Results:
        """The result under the common and these settings: one that was kept, else what `compute` returns.

        Raises:
            PhotograftError: the result cannot be written.
        """
        if self.folder is None:
            return compute()
        text = json.dumps(self.settings | settings, sort_keys=True)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"
        found = _read(path, text)
        if found is None:
            found = compute()
            content = save({key: t.cpu().contiguous() for key, t in found.items()}, {"settings": text})
            write_file(path, lambda stream: stream.write(content))
        return found

    def each(self, asked: Sequence[tuple[Callable[[], Results], Mapping[str, Any]]]) -> Iterator[Results]:
        """The results of several (compute, settings), in their order.

        Where processes run the same evaluation together (`infer.folders.shared`), each computes its share first, and
        takes the others' from the folder.
        """
        if self.folder is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
            for compute, settings in asked[torch.distributed.get_rank() :: torch.distributed.get_world_size()]:
                self(compute, **settings)
            torch.distributed.barrier()
        for compute, settings in asked:
            yield self(compute, **settings)


def _read(path: Path, settings: str) -> Results | None:
    """What was kept, or None if there is nothing, a damaged file, or one of other settings."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("settings") != settings:
                return None
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError:
        return None
