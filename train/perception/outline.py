"""Teach a model's projected discriminator to read outlines: `python train.py outline MODEL --data FOLDER`.

Its teacher is DeepLab, on real pictures and on the generator's own, which are what it reads later.
"""

from pathlib import Path

import torch
from torch import Tensor

from data import images_to_float
from data.module import ImageDataModule
from models.errors import PhotograftError
from models.files import load_network, save_network
from models.perception.outline import OUTLINE, Reads, fit_outline, segment, shrunk
from models.perception.segmentation import create_segmenter
from models.progress import counted, counting
from models.schema import Count, Seed, bounded
from models.zoo import Model, load_model, model_files, model_stem

HELD_OUT = 0.1  # share of the pictures that it is tested on
BATCH = 50


@bounded
def teach_outline(
    name: str, data: Path, *, pictures: Count = 1500, samples: Count = 1000, epochs: Count = 10, seed: Seed = 0
) -> tuple[Path, dict[str, float]]:
    """Fit the outline of a model's projected discriminator and write its file anew.

    Args:
        name: of a model, or path of its generator.
        data: the model's: class folders or tar shards.
        pictures, samples: real and generated ones that are segmented.
        epochs: of the fit.
        seed: of samples, and of the order of pictures.

    Returns:
        The file, and for real pictures and samples held out the median IoU with the teacher.

    Raises:
        PhotograftError: a model without a projected discriminator, data that cannot be read, too few pictures.
    """
    if min(pictures, samples) < 10:
        raise PhotograftError(f"{pictures} pictures and {samples} samples are too few: give 10 of each at least")
    model, path = load_model(name), model_files(model_stem(name)).get("projected")
    if path is None or not path.is_file():
        raise PhotograftError(f"model {name} has no projected discriminator that could read outlines")
    network, header = load_network(path, "discriminator")
    network.to(memory_format=torch.channels_last)
    kinds = {"real": _real(data, model, pictures, seed), "samples": _samples(model, samples, seed)}
    segmenter = create_segmenter()
    learnt: list[tuple[Tensor, Tensor]] = []
    kept: dict[str, tuple[Tensor, Tensor]] = {}
    for kind, images in kinds.items():
        parts = counted(images.split(BATCH), f"segmenting {kind}", unit="batches")
        masks = torch.cat([segment(segmenter, part, OUTLINE) for part in parts])
        n = max(1, round(HELD_OUT * len(images)))
        learnt.append((images[n:], masks[n:]))
        kept[kind] = (images[:n], masks[:n])
    with counting("fitting", unit="steps") as say:
        fit_outline(
            network,
            torch.cat([images for images, _ in learnt]),
            torch.cat([masks for _, masks in learnt]),
            epochs=epochs,
            seed=seed,
            say=say,
        )
    save_network(path, network, header.kind, header.info, torch.float16)
    return path, {kind: _agreement(network, *pair) for kind, pair in kept.items()}


def _real(data: Path, model: Model, n: int, seed: int) -> Tensor:  # -> [N,3,R,R] in [-1,1]
    """Pictures of the model's data as training draws them."""
    resolution = model.generator.resolution
    module = ImageDataModule(
        root=str(data), resolution=resolution, batch_size=BATCH, num_workers=0, cache="none", seed=seed
    )
    module.setup("fit")
    parts: list[Tensor] = []
    for batch in module.train_dataloader():
        parts.append(images_to_float(batch["image"]))
        if sum(map(len, parts)) >= n:
            break
    return torch.cat(parts)[:n]


@torch.no_grad()
def _samples(model: Model, n: int, seed: int) -> Tensor:  # -> [N,3,R,R] in [-1,1]
    """Samples of the model, classes drawn as training drew them."""
    random, generator = torch.Generator().manual_seed(seed), model.generator
    label: Tensor | None = None
    if generator.num_classes:
        label = torch.multinomial(torch.tensor(model.distribution), n, replacement=True, generator=random)
    z = generator.sample_latent(n, random)
    parts = [generator(z[i : i + BATCH], None if label is None else label[i : i + BATCH]) for i in range(0, n, BATCH)]
    return torch.cat(parts).clamp(-1, 1)


@torch.no_grad()
def _agreement(network: Reads, images: Tensor, masks: Tensor) -> float:
    """Median IoU of what it reads with masks [N,64,64], both at its own resolution and at 0.5."""
    found = torch.cat([network.outline(network.project(part).stages) for part in images.split(BATCH)])
    wanted = shrunk(masks, found) > 0.5
    both, either = ((found > 0.5) & wanted).sum((1, 2)), ((found > 0.5) | wanted).sum((1, 2))
    return float((both / either.clamp_min(1)).median())
