"""What a run does with every photo, and how it goes about it."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from data.memory import free_memory
from infer.edits.choices import Scale
from infer.photo.choices import DEFAULT_FINISH, Finish, FormatName, Method
from infer.photo.place import Place
from infer.projection.mixture import Source
from infer.projection.options import UNSET, ProjectionOptions
from infer.projection.presets import DEFAULT_PRESET
from models.device import find_device
from models.schema import Count, check

BATCH, GPU_BATCH = 4, 16  # photos that are projected together
PROCESS = 2 * 2**30  # bytes of memory that one process may need
WORTH = 8  # photos for which another process is worth its start


@dataclass(frozen=True)
class FolderOptions:
    """What a run does with every photo; its edits are the photo's own, see `infer.folders.items.Item`.

    Attributes:
        place: where, for photos without a box of their own; see `infer.editor.opening.Opening.set_photo`.
        skip_unfound: photos without a head are no failures.
        source, preset, projection: see `infer.projection.model.project_pictures`.
        method, settle, finish, recolour_body, scale: see `infer.editor.editor.Editor.edit`.
        segmenter: see `infer.editor.session.Session`.
        format, lossless: of results.
    """

    place: Place = field(default_factory=Place)
    skip_unfound: bool = False
    source: Source | None = None
    preset: str = DEFAULT_PRESET
    projection: ProjectionOptions = UNSET
    method: Method | None = None
    settle: int | None = None
    finish: Finish = DEFAULT_FINISH
    recolour_body: bool = False
    scale: Scale = "photo"
    segmenter: str = "deeplab"
    format: FormatName | None = None
    lossless: bool = False

    @property
    def of_edit(self) -> dict[str, Any]:
        """What `Editor.edit` takes of them."""
        return {name: getattr(self, name) for name in ("method", "settle", "finish", "recolour_body", "scale")}


@dataclass(frozen=True)
class Work:
    """How a run goes about it.

    Attributes:
        devices: processes on this machine, one for each device; the processor's threads are shared out among them, and
            a photo's bytes depend on how many it has. None: all GPUs, or as many as the processor has threads and
            memory for. What torchrun or Slurm start counts instead.
        batch: photos that are projected together; more are faster, and a photo's rounding depends on the others. 1: the
            bytes of a command of its own, with as many threads. None: 4, and 16 on a GPU.
        resume: leave out what an earlier run has done in the same way.
        pixels: of photos that are worked on together, at most; a larger photo is alone.
    """

    devices: int | None = None
    batch: int | None = None
    resume: bool = False
    pixels: int = 20_000_000

    def __post_init__(self) -> None:
        for name in ("devices", "batch"):
            check(Count | None, getattr(self, name), name)

    def chosen(self, device: str, photos: int) -> "Work":
        """The same with numbers for this machine. Raises PhotograftError where the device is not there."""
        where = find_device(device)
        devices, batch = self.devices, self.batch or (BATCH if where.type == "cpu" else GPU_BATCH)
        if devices is None and where.type == "cpu":
            devices = min(torch.get_num_threads(), free_memory() // PROCESS, photos // WORTH)
        elif devices is None:
            devices = torch.cuda.device_count() if where.type == "cuda" else 1
        return replace(self, devices=max(1, devices), batch=batch)


USUAL = Work()
