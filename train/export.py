"""From a training checkpoint to the safetensors files that `infer.py` reads."""

import math
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.base import Generator, StyleGenerator
from models.errors import PhotograftError
from models.files import load_state, network_writer
from models.registry import KINDS
from models.writing import Writer, write_files
from train.codes import widen
from train.standing import measure_statistics
from train.tables import add_group_tables, folded


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, without running anything that it may carry.

    Raises:
        PhotograftError: missing, damaged, or written by something else.
    """
    if not path.is_file():
        raise PhotograftError(f"checkpoint not found: {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise PhotograftError(f"{path} is damaged or not a checkpoint: {reason}") from error
    if not isinstance(checkpoint, dict) or "networks" not in checkpoint:
        raise PhotograftError(f"{path} was not written by Photograft's training: it names no networks")
    return checkpoint


def export(
    checkpoint: Path,
    out: Path,
    *,
    average: bool = True,
    standing: int = 64,
    spread: float = 1.0,
    half: bool = True,
    learning_rate: float | None = None,
) -> list[Path]:
    """Write one file per network, all or none: `OUT.generator.safetensors`, `OUT.encoder.safetensors`, ...

    Args:
        checkpoint: a `.ckpt` of `train.py fit`.
        out: folder and stem of the files.
        average: the exponential moving average of generator and encoder, rather than the last step's weights.
        standing: batches of 64 samples from which the averaged generator's batch norm is measured anew (see
            `train.standing`); 0 keeps the running statistics of training.
        spread: factor on the reach of the prior, see `train.codes.widen`; for a checkpoint of a GAN.
        half: store float16 (half the size; read as float32).
        learning_rate: of projection with these A and B, which the editor reads from their file; None: the training's
            `projection_rate`.

    Returns:
        The files written.

    Raises:
        PhotograftError: a checkpoint that is missing, damaged or not ours, a folder that cannot be written, or a
            learning rate that is not positive or for a checkpoint without auxiliary networks.
    """
    content = read_checkpoint(checkpoint)
    state: dict[str, Tensor] = content["state_dict"]
    info = _info(content, learning_rate, checkpoint)
    if not 0 < spread < math.inf or (spread != 1 and "generator" not in content["networks"]):
        raise PhotograftError(f"--spread is {spread}: give a positive number, and a checkpoint with a generator")
    jobs: dict[Path, Writer] = {}
    for role, description in content["networks"].items():
        kind, family = description["kind"], description["family"]
        network = KINDS[kind].create(family, **description["config"])
        prefix = f"ema.{role}." if average and f"ema.{role}." in _prefixes(state, 2) else f"{role}."
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if isinstance(network, Generator):
            if any(".parametrizations." in key for key in part):
                add_group_tables(network, torch.tensor(info["groups"]))
            load_state(network, part, checkpoint)
            network = folded(network)
            if average and standing:
                measure_statistics(network, torch.tensor(info["distribution"]), standing)
            if isinstance(network, StyleGenerator):  # training has no use for it
                with torch.no_grad():
                    network.w_mean.copy_(network.sampled_w_mean())
        else:
            load_state(network, part, checkpoint)
        if spread != 1 and kind in ("generator", "encoder"):
            widen(network, spread)
        name = "projected" if family == "projected" else kind
        path = out.with_name(f"{out.name}.{name}.safetensors")
        if path in jobs:
            raise PhotograftError(f"{checkpoint} holds two networks for {path.name}: it is damaged")
        if path.exists() and path.samefile(checkpoint):
            raise PhotograftError(f"{path} is the checkpoint itself: choose another name")
        jobs[path] = network_writer(network, kind, info, torch.float16 if half else torch.float32)
    write_files(jobs)
    return list(jobs)


def _info(content: dict[str, Any], learning_rate: float | None, checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint's files say about themselves."""
    state: dict[str, Tensor] = content["state_dict"]
    info = dict(content.get("classes", {})) | {k: int(state[k]) for k in ("images_seen", "steps") if k in state}
    if "images_before" in state:  # the trainings that this one started from belong to the weights' history
        info["images_seen"] += int(state["images_before"])
    if "generator" in content:  # sha256 of the file that E, or A and B, belong to
        info["generator"] = content["generator"]
    if "projection_rate" in content:
        info["learning_rate"] = content["projection_rate"]
    if learning_rate is not None:
        if "auxiliary" not in content["networks"]:
            raise PhotograftError(f"--learning-rate is kept with auxiliary networks, and {checkpoint} has none")
        if not 0 < learning_rate < math.inf:
            raise PhotograftError(f"--learning-rate is {learning_rate}: give a positive number")
        info["learning_rate"] = learning_rate
    return info


def _prefixes(state: dict[str, Tensor], depth: int) -> set[str]:
    return {".".join(key.split(".")[:depth]) + "." for key in state}
