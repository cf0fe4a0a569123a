"""Sharp pictures and what a generator might have made of them: pairs for the finishing network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.labels import parse_json
from data.report import Tally, printable, say_to_stderr
from data.shards import Sample, read_index, read_member
from data.transforms import UnreadablePicture, decode_picture
from models.errors import PhotograftError
from models.finisher import CELL, SCALE

_LATTICE, _NOISE, _COLOUR_NOISE = 10.0, 3.0, 2.0  # largest, in levels of 255
_BLUR = 0.7  # largest sigma, in pixels of the small picture
_PICTURES = (".png", ".webp", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Source:
    """Some of the shards in the folders.

    Attributes:
        shards: files `*SHARDS*train*.tar` and `*SHARDS*val*.tar` with `KEY.webp` (or .png, .jpg), and `KEY.json` if
            there is something to choose by. A sample with `KEY.low.png` brings its small picture: it is degraded no
            more, its large one is what a teacher made of that.
        side: of the pictures, others are left out.
        low: side of the small picture.
        share: how often a batch draws from here.
        least: `px` that its JSON must say: what was enlarged is no truth.
        without: `species` that its JSON must not say.
    """

    shards: str
    side: int
    low: int
    share: float = 1.0
    least: int = 0
    without: str = ""

    @property
    def factor(self) -> int:
        """Of the large picture's side to the small one's."""
        return self.side // self.low

    def check(self) -> None:
        """Raise PhotograftError for sizes that the network cannot be compared at."""
        if self.low < 2 * CELL or self.low % CELL or self.side not in (2 * self.low, SCALE * self.low):
            raise PhotograftError(f"source {self.shards!r}: side must be 2 or {SCALE} times an even low")


@dataclass(frozen=True)
class Pairs:
    """Pictures of one source: uint8 high [N,3,S,S], and low [N,3,L,L] if they bring theirs."""

    source: Source
    high: Tensor
    low: Tensor | None


def read_pairs(roots: list[Path], source: Source, part: str) -> Pairs:
    """All pictures of a source's shards for "train" or "val".

    Raises:
        PhotograftError: no shards, or none with a picture of the kind; a broken shard, picture or JSON.
    """
    shards = sorted(path for root in roots for path in root.glob(f"*{source.shards}*{part}*.tar"))
    if not shards:
        raise PhotograftError(f"no shards *{source.shards}*{part}*.tar in {', '.join(map(str, roots))}")
    tally, high, low = Tally(), list[NDArray[np.uint8]](), list[NDArray[np.uint8]]()
    for shard in shards:
        for key, sample in sorted(read_index(str(shard), tally).items()):
            try:
                found = _pair(shard, sample, source)
            except (UnreadablePicture, OSError, ValueError, TypeError) as error:
                raise PhotograftError(f"{shard.name}/{printable(key)}: {printable(str(error))}") from error
            if found is not None:
                high.append(found[0])
                low += [] if found[1] is None else [found[1]]
    for line in tally.lines():
        say_to_stderr(line)
    if not high or len(low) not in (0, len(high)):
        what = "no picture of the kind" if not high else "a .low.png in some samples and not in all"
        raise PhotograftError(f"source {source.shards!r}: there is {what}")
    return Pairs(source, _stacked(high), _stacked(low) if low else None)


def _pair(shard: Path, sample: Sample, source: Source) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None] | None:
    picture = next((sample[suffix] for suffix in _PICTURES if suffix in sample), None)
    if picture is None:
        return None
    with shard.open("rb") as raw:
        if ".json" in sample and (source.least or source.without):
            facts = parse_json(read_member(raw, sample[".json"]))
            if int(facts.get("px", 0)) < source.least or str(facts.get("species", "")) == (source.without or None):
                return None
        high = np.asarray(decode_picture(read_member(raw, picture)))
        if high.shape[:2] != (source.side, source.side):
            return None
        small = sample.get(".low.png")
        return high, None if small is None else np.asarray(decode_picture(read_member(raw, small)))


def _stacked(pictures: list[NDArray[np.uint8]]) -> Tensor:  # -> [N,3,H,W]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def degraded(small: Tensor, rng: torch.Generator) -> Tensor:  # [N,3,H,W] in [-1,1]
    """Pictures as a generator might have made them: a little soft, with noise and lattices of period two."""

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng)

    def normal(channels: int, height: int, width: int) -> Tensor:
        return torch.randn(n, channels, height, width, generator=rng) * (2 / 255)

    n, _, height, width = small.shape
    out = _blurred(small, drawn(n) * _BLUR)
    out = out + normal(1, height, width) * drawn(n, 1, 1, 1) * _NOISE
    out = out + normal(3, height, width) * drawn(n, 1, 1, 1) * _COLOUR_NOISE
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    waves = torch.stack([1 - 2 * (shift % 2) for shift in (rows + 0 * columns, columns + 0 * rows, rows + columns)])
    kind = torch.randint(3, (n,), generator=rng)
    where = F.interpolate(normal(3, 4, 4), (height, width), mode="bicubic", align_corners=False)  # fades in and out
    strength = drawn(n, 1, 1, 1).square() * _LATTICE
    return (out + where * strength * waves[kind][:, None]).clamp(-1, 1)


def _blurred(x: Tensor, sigma: Tensor) -> Tensor:  # sigma [N]
    at = torch.arange(-2.0, 3)
    taps = torch.exp(-at.square() / (2 * sigma[:, None].clamp_min(0.05) ** 2))
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]  # [3N,1,5]
    flat = F.pad(x.flatten(0, 1)[None], (2, 2, 2, 2), mode="reflect")
    flat = F.conv2d(F.conv2d(flat, taps[..., None], groups=len(taps)), taps[:, :, None], groups=len(taps))
    return flat[0].unflatten(0, (-1, 3))


class _Drawn(Dataset[list[dict[str, Tensor]]]):
    """Batches that depend on their number alone, so that a resumed training sees the same."""

    def __init__(self, pairs: list[Pairs], data: "SharpPictures", first: int) -> None:
        self.pairs, self.data, self.first = pairs, data, first

    def __len__(self) -> int:
        return self.data.steps_per_epoch

    def __getitem__(self, index: int) -> list[dict[str, Tensor]]:
        rng = torch.Generator().manual_seed((self.data.seed << 32) + self.first + index)
        shares = torch.tensor([pair.source.share for pair in self.pairs])
        other = int(torch.multinomial(shares, 1, generator=rng))
        return [self._part(self.pairs[i], rng) for i in (0, other)]

    def _part(self, pairs: Pairs, rng: torch.Generator) -> dict[str, Tensor]:
        window, factor = min(self.data.window, pairs.source.low), pairs.source.factor
        chosen = torch.randint(len(pairs.high), (self.data.batch_size,), generator=rng)
        corners = torch.randint((pairs.source.low - window) // CELL + 1, (len(chosen), 2), generator=rng) * CELL
        turned = torch.rand(len(chosen), generator=rng) < 0.5

        def cut(pictures: Tensor, scale: int) -> Tensor:
            side = window * scale
            parts = [
                pictures[i, :, scale * y : scale * y + side, scale * x : scale * x + side]
                for i, (y, x) in zip(chosen.tolist(), corners.tolist(), strict=True)
            ]
            cut = torch.stack([part.flip(2) if flip else part for part, flip in zip(parts, turned, strict=True)])
            return cut.float() / 127.5 - 1

        high = cut(pairs.high, factor)
        low = degraded(F.avg_pool2d(high, factor), rng) if pairs.low is None else cut(pairs.low, 1)
        return {"low": low, "high": high}


class _Whole(Dataset[tuple[str, dict[str, Tensor]]]):
    """Pictures for validation, each with the name of its source."""

    def __init__(self, pictures: Iterator[tuple[str, dict[str, Tensor]]]) -> None:
        self.pictures = list(pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[str, dict[str, Tensor]]:
        return self.pictures[index]


class SharpPictures(pl.LightningDataModule):
    """Batches of two parts {"low": [N,3,L,L], "high": [N,3,2L,2L] or [N,3,4L,4L]} in [-1,1], all in memory.

    The first part is of the first source, whose pictures are the reals of an adversary; the second is of any.

    Args:
        root: folder of shards, or several.
        sources: what to read there.
        batch_size: pictures per part.
        window: side of what is cut out of the small pictures.
        steps_per_epoch: batches until validation and checkpoint.
        seed: of all draws.
    """

    def __init__(
        self,
        root: str | Path | list[str],
        sources: list[Source],
        batch_size: int = 4,
        window: int = 32,
        steps_per_epoch: int = 200,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.roots = [Path(path) for path in (root if isinstance(root, list) else [root])]
        self.sources, self.batch_size, self.window = sources, batch_size, window
        self.steps_per_epoch, self.seed = steps_per_epoch, seed
        self._train: list[Pairs] = []
        self._val: list[Pairs] = []
        if not sources or sources[0].factor != SCALE or window < 2 * CELL or window % CELL:
            raise PhotograftError(f"the first source must be {SCALE} times as large as its small pictures, window even")
        for source in sources:
            source.check()

    def setup(self, stage: str | None = None) -> None:
        """Read the shards, once."""
        if not self._train:
            self._train = [read_pairs(self.roots, source, "train") for source in self.sources]
            self._val = [read_pairs(self.roots, source, "val") for source in self.sources]

    def train_dataloader(self) -> DataLoader[Any]:
        """Drawn anew in each epoch (`reload_dataloaders_every_n_epochs: 1`)."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        return DataLoader(_Drawn(self._train, self, epoch * self.steps_per_epoch), batch_size=None)

    def val_dataloader(self) -> DataLoader[Any]:
        """Whole pictures of each source, degraded in the same way every time."""
        return DataLoader(_Whole(self._whole()), batch_size=None)

    def _whole(self, most: int = 8) -> Iterator[tuple[str, dict[str, Tensor]]]:
        for pairs in self._val:
            rng = torch.Generator().manual_seed(self.seed)
            for i in range(min(most, len(pairs.high))):
                high = pairs.high[i : i + 1].float() / 127.5 - 1
                small = F.avg_pool2d(high, pairs.source.factor)
                low = degraded(small, rng) if pairs.low is None else pairs.low[i : i + 1].float() / 127.5 - 1
                yield pairs.source.shards, {"low": low, "high": high}
