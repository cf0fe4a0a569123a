"""What a run is made of, as flat names and values for loggers: config, data, device, versions, networks, git."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from data.module import ImageDataModule

PACKAGES = ("photograft", "torch", "torchvision", "pytorch-lightning", "numpy", "wandb")


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted names, as `train.py fit` takes them; a list's entries by their numbers."""
    if isinstance(value, Mapping):
        entries: Any = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str) and any(_nested(entry) for entry in value):
        entries = enumerate(value)
    else:
        return {prefix: list(value) if isinstance(value, tuple) else value}
    found: dict[str, Any] = {}
    for name, entry in entries:
        found |= flat(entry, f"{prefix}.{name}" if prefix else str(name))
    return found


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def describe_run(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """Data, device, versions, sizes of networks and git state, nested."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    return {
        "dataset": describe_data(data) if isinstance(data, ImageDataModule) else {},
        "device": _device(trainer),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "parameters": {name: sum(p.numel() for p in child.parameters()) for name, child in module.named_children()},
        "git": git_state(Path(__file__).parent),
    }


def describe_data(data: ImageDataModule) -> dict[str, Any]:
    """Classes, counts, and a hash over the names and classes of all pictures: two equal ones are the same pictures."""
    train, val = data.train_pictures, data.val_pictures
    names = hashlib.sha256()
    for pictures in (train, val):
        for record, label in zip(pictures.records, pictures.labels.tolist(), strict=True):
            names.update(f"{record.key}\0{label}\n".encode(errors="surrogateescape"))
        names.update(b"\n")
    return {
        "root": str(data.root),
        "hash": names.hexdigest()[:16],
        "num_classes": data.num_classes,
        "training_pictures": len(train),
        "validation_pictures": len(val),
        "class_names": list(data.class_names),
        "counts": train.counts.tolist(),
    }


def _device(trainer: pl.Trainer) -> dict[str, Any]:
    device = trainer.strategy.root_device
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "type": device.type,
        "name": kind,
        "processes": trainer.world_size,
        "nodes": trainer.num_nodes,
        "precision": str(trainer.precision),
        "threads": torch.get_num_threads(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, Any]:
    """Commit, branch and whether something is changed, of the checkout that a folder lies in; empty without one."""

    def ask(*words: str) -> str | None:
        command = ["git", "-C", str(folder), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = ask("rev-parse", "HEAD")
    if commit is None or ask("ls-files", "--error-unmatch", "record.py") is None:  # installed into another's checkout
        return {}
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", ":/")
    return {"commit": commit, "branch": ask("rev-parse", "--abbrev-ref", "HEAD"), "changed": bool(changed)}
