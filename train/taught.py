"""What the teacher makes of a generator's samples, as shards for the finishing network: `python train.py taught`."""

import io
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from models.errors import PhotograftError
from models.perception.judges import to_uint8
from models.progress import counted
from models.schema import Count, Seed, bounded
from models.teacher import load_teacher
from models.writing import write_files
from models.zoo import load_model

VALIDATION = 12  # of the pictures
BATCH = 50
Pixels = NDArray[np.uint8]


@bounded
def write_taught(name: str, out: Path, *, pictures: Count = 150, seed: Seed = 0) -> list[Path]:
    """Write `taught-{train,val}-000.tar` of `KEY.low.png`, a sample, and `KEY.png`, the teacher's, four times as large.

    Classes are drawn with the roots of their shares, so that rare ones are seen. 128 px take some seconds each.

    Args:
        name: of a model, or path of its generator.
        out: folder.
        pictures: at least two; a twelfth or `VALIDATION`, if that is fewer, are for validation.
        seed: of the samples.

    Raises:
        PhotograftError: an unknown model, no teacher, too few pictures, or a folder that cannot be written.
    """
    if pictures < 2:
        raise PhotograftError("pictures must be at least 2, for training and for validation")
    teacher, model = load_teacher(), load_model(name)
    generator, shares = model.generator, torch.tensor(model.distribution)
    random = torch.Generator().manual_seed(seed)
    label = torch.multinomial(shares.sqrt(), pictures, replacement=True, generator=random) if len(shares) else None
    z = generator.sample_latent(pictures, random)
    with torch.no_grad():
        parts = [
            to_uint8(generator(z[i : i + BATCH], None if label is None else label[i : i + BATCH]))
            for i in range(0, pictures, BATCH)
        ]
    low = torch.cat(parts).permute(0, 2, 3, 1).contiguous().numpy()
    high = [teacher.finish(picture) for picture in counted(low, "the teacher works", unit="pictures")]
    kept = min(VALIDATION, max(1, pictures // 12))
    parts_of = {"val": range(kept), "train": range(kept, pictures)}
    jobs = {
        out / f"taught-{part}-000.tar": partial(_write_shard, [(f"{i:05d}", low[i], high[i]) for i in numbers])
        for part, numbers in parts_of.items()
    }
    write_files(jobs)
    return list(jobs)


def _write_shard(samples: Sequence[tuple[str, Pixels, Pixels]], stream: BinaryIO) -> None:
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for key, low, high in samples:
            for suffix, pixels in ((".low.png", low), (".png", high)):
                data = io.BytesIO()
                Image.fromarray(pixels).save(data, "PNG")
                info = tarfile.TarInfo(key + suffix)
                info.size = len(data.getvalue())
                data.seek(0)
                tar.addfile(info, data)
