"""From a training checkpoint to the safetensors files that `infer.py` reads."""

import math
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from models.base import Generator, StyleGenerator
from models.errors import PhotograftError
from models.files import load_state, network_writer
from models.header import Info
from models.registry import KINDS
from models.schema import bounded, short
from models.tensors import check_finite
from models.writing import Writer, write_files
from train.card import CARD, card_text
from train.checkpoint import Checkpoint, NetworkDescription, read_checkpoint
from train.gan.codes import widen
from train.standing import measure_statistics
from train.tables import add_group_tables, folded

Batches = Annotated[int, Field(ge=0, le=10_000)]


@bounded
def export(
    checkpoint: Path,
    out: Path,
    *,
    average: bool = True,
    standing: Batches = 64,
    spread: float = 1.0,
    half: bool = True,
    learning_rate: float | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write one file per network, and a card, all or none: `OUT.generator.safetensors`, ..., `OUT.md`.

    Args:
        checkpoint: a `.ckpt` of `train.py fit`.
        out: folder and stem of the files.
        average: the exponential moving average of generator and encoder, rather than the last step's weights.
        standing: batches of 64 samples from which the averaged generator's batch norm is measured anew (see
            `train.standing`); 0 keeps the running statistics of training.
        spread: factor on the reach of the prior, see `train.gan.codes.widen`; for a checkpoint of a GAN.
        half: store float16 (half the size; read as float32).
        learning_rate: of projection with these A and B, which the editor reads from their file; None: the training's
            `projection_rate`.
        overwrite: replace files that are there.

    Returns:
        The weights' files.

    Raises:
        PhotograftError: a checkpoint that is missing, damaged or not ours, a folder that cannot be written, files that
            are there already, or a learning rate that is not positive or for a checkpoint without auxiliary networks.
    """
    if out.name in ("", "..") or "\0" in str(out):
        raise PhotograftError(f"{short(str(out))}: give a folder and the stem of the files, such as out/my-model")
    content = read_checkpoint(checkpoint)
    info = _info(content, learning_rate, checkpoint)
    if not 0 < spread < math.inf or (spread != 1 and "generator" not in content.networks):
        raise PhotograftError(f"--spread is {spread}: give a positive number, and a checkpoint with a generator")
    paths = _paths(content, out, checkpoint)
    there = [path.name for path in paths.values() if path.is_file()]
    if there and not overwrite:
        raise PhotograftError(f"{out.parent} has {', '.join(there)}: choose another name, or --overwrite")
    jobs, about = dict[Path, Writer](), dict[str, str]()
    for role, described in content.networks.items():
        prefix = f"ema.{role}." if average and f"ema.{role}." in _prefixes(content.state_dict, 2) else f"{role}."
        part = {key.removeprefix(prefix): t for key, t in content.state_dict.items() if key.startswith(prefix)}
        network = _filled(described, part, content.classes, checkpoint)
        if isinstance(network, Generator):
            network = folded(network)
            if average and standing:
                measure_statistics(network, torch.tensor(content.classes.distribution), standing)
            if isinstance(network, StyleGenerator):  # training has no use for it
                with torch.no_grad():
                    network.w_mean.copy_(network.sampled_w_mean())
        if spread != 1 and described.kind in ("generator", "encoder"):
            widen(network, spread)
        check_finite(network.state_dict(), checkpoint)
        path = paths[role]
        jobs[path] = network_writer(network, described.kind, info, torch.float16 if half else torch.float32)
        size = sum(p.numel() for p in network.parameters())
        about[path.name] = f"{described.kind}, {described.family}: {size / 1e6:.1f} M parameters"
    text = card_text(out.name, {**content.record, "counts": info}, about)
    write_files({**jobs, paths[CARD]: lambda stream: stream.write(text.encode())})
    return list(jobs)


def _paths(content: Checkpoint, out: Path, checkpoint: Path) -> dict[str, Path]:
    """Where each network is written, and the card."""
    paths: dict[str, Path] = {}
    for role, described in content.networks.items():
        if described.kind not in KINDS:
            raise PhotograftError(f"{checkpoint} is damaged: unknown kind of network {short(described.kind)}")
        name = "projected" if described.family == "projected" else described.kind
        path = out.with_name(f"{out.name}.{name}.safetensors")
        if path in paths.values():
            raise PhotograftError(f"{checkpoint} holds two networks for {path.name}: it is damaged")
        if path.exists() and path.samefile(checkpoint):
            raise PhotograftError(f"{path} is the checkpoint itself: choose another name")
        paths[role] = path
    # E, and A and B, are written beside a generator that has a card of its own
    kinds = {described.kind for described in content.networks.values()}
    paths[CARD] = out.with_name(".".join([out.name, *([] if "generator" in kinds else sorted(kinds)), "md"]))
    return paths


def _filled(described: NetworkDescription, state: dict[str, Tensor], classes: Info, checkpoint: Path) -> Any:
    """A network with its weights, which are known to fit it before it takes any memory."""
    for device, tensors in (("meta", {key: t.to("meta") for key, t in state.items()}), ("cpu", state)):
        with torch.device(device):
            try:
                network = KINDS[described.kind].create(described.family, **described.config)
            except PhotograftError as error:
                raise PhotograftError(f"{checkpoint} is damaged: {error}") from error
            if isinstance(network, Generator):
                classes.check_classes(network.num_classes, checkpoint)
                if network.num_classes and not (classes.groups and classes.distribution):
                    raise PhotograftError(f"{checkpoint} is damaged: it says nothing of the classes")
                if any(".parametrizations." in key for key in state):
                    add_group_tables(network, torch.tensor(classes.groups, device="cpu"))
            load_state(network.to(device), tensors, checkpoint)
    return network


def _info(content: Checkpoint, learning_rate: float | None, checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint's files say about themselves."""
    info = content.classes.model_dump(exclude_unset=True)
    info |= {name: content.count(name) for name in ("images_seen", "steps") if name in content.state_dict}
    if "images_before" in content.state_dict:  # the trainings that this one started from belong to the history
        info["images_seen"] = content.count("images_seen") + content.count("images_before")
    if content.generator is not None:
        info["generator"] = content.generator
    if content.projection_rate is not None:
        info["learning_rate"] = content.projection_rate
    if learning_rate is not None:
        if "auxiliary" not in content.networks:
            raise PhotograftError(f"--learning-rate is kept with auxiliary networks, and {checkpoint} has none")
        if not 0 < learning_rate < math.inf:
            raise PhotograftError(f"--learning-rate is {learning_rate}: give a positive number")
        info["learning_rate"] = learning_rate
    return info


def _prefixes(state: dict[str, Tensor], depth: int) -> set[str]:
    return {".".join(key.split(".")[:depth]) + "." for key in state}
