"""Training of the pose network: heads that are upright are turned by known angles; their features are computed once."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from data.report import Tally, printable, say_to_stderr
from data.scenes import read_scenes
from data.shards import pictures_of, read_index, read_member
from data.transforms import UnreadablePicture, decode_picture
from models.errors import PhotograftError
from models.perception.pose import CHANNELS, SIDE, Backbone, PoseNetwork, disc
from models.processor import computes_bfloat16
from train.counters import CountingModule
from train.divergence import check_terms
from train.networks import describe

STORED = 128  # px on a side of a head in memory
_LEAST, _MOST = 0.7, 1.0  # of a view's diameter, in pictures: it never leaves its picture, whose border would say all
_AROUND = (1.2, 1.9)  # squares of scenes, in roots of the areas of the heads' boxes; 1.2 is a training crop


def read_heads(root: Path, part: str) -> NDArray[np.uint8]:  # -> [N,128,128,3]
    """Square pictures of heads from all shards `*PART*.tar` of a folder. Raises PhotograftError if there are none."""
    tally, heads = Tally(), []
    for shard in sorted(root.glob(f"*{part}*.tar")):
        samples = dict(sorted(read_index(str(shard), tally).items()))
        with shard.open("rb") as raw:
            for key, _, picture in pictures_of(str(shard), samples, "webp,jpg,jpeg,png", tally):
                try:
                    pixels = np.asarray(decode_picture(read_member(raw, picture)))
                except (UnreadablePicture, OSError, ValueError) as error:
                    raise PhotograftError(f"{shard.name}/{printable(key)}: {printable(str(error))}") from error
                heads.append(_stored(pixels))
    for line in tally.lines():
        say_to_stderr(line)
    if not heads:
        raise PhotograftError(f"no pictures in shards *{part}*.tar in {root}: give the folder of heads")
    return np.stack(heads)


def read_around(root: Path, part: str, seed: int) -> NDArray[np.uint8]:  # -> [N,128,128,3]
    """The same with what is around the heads of scenes, where the photo has that."""
    rng, heads = np.random.default_rng(seed), []
    for scene in read_scenes(root, part):
        height, width = scene.pixels.shape[:2]
        for x0, y0, x1, y1 in (scene.boxes * [width, height, width, height]).tolist():
            side = ((x1 - x0) * (y1 - y0)) ** 0.5
            x, y, reach = (x0 + x1) / 2, (y0 + y1) / 2, side * rng.uniform(*_AROUND) / 2
            reach = min(reach, x, y, width - x, height - y)
            if 2 * reach >= max(_AROUND[0] * side, 32):
                left, top, size = round(x - reach), round(y - reach), int(2 * reach)
                heads.append(_stored(scene.pixels[max(top, 0) :, max(left, 0) :][:size, :size]))
    if not heads:
        raise PhotograftError(f"no head in the scenes of {root} has enough around it")
    return np.stack(heads)


def _stored(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    way = cv2.INTER_AREA if len(pixels) > STORED else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (STORED, STORED), interpolation=way), np.uint8)


def turned(pictures: Tensor, degrees: Tensor, rng: torch.Generator, *, harder: bool) -> Tensor:  # [N,3,128,128]
    """Pictures [N,3,S,S] in [-1,1] turned clockwise by angles [N], windows of random sizes and places.

    harder: mirrored, and in other light, colours and sharpness, too.
    """
    n, radians = len(pictures), torch.deg2rad(degrees)

    def drawn(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=rng) * (high - low) + low

    size = drawn(_LEAST, _MOST)
    x, y = ((1 - size) * drawn(-1, 1) * 0.7 for _ in range(2))  # within the picture: 0.7 each way
    mirror = torch.where(drawn(0, 1) < 0.5, -1.0, 1.0) if harder else torch.ones(n)
    cos, sin = size * radians.cos(), size * radians.sin()
    rows = torch.stack([mirror * cos, mirror * sin, x]), torch.stack([-sin, cos, y])
    grid = F.affine_grid(torch.stack(rows).permute(2, 0, 1), [n, 3, SIDE, SIDE], align_corners=False)
    out = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    if not harder:
        return out
    soft = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    out = torch.lerp(out, soft, drawn(-0.5, 1)[:, None, None, None])
    grey = out.mean(1, keepdim=True)
    out = torch.lerp(grey, out, drawn(0, 1.4)[:, None, None, None])
    out = out * drawn(0.6, 1.4)[:, None, None, None] + drawn(-0.3, 0.3)[:, None, None, None]
    out = out + 0.1 * torch.randn(n, 3, 1, 1, generator=rng)
    return (out + drawn(0, 0.06)[:, None, None, None] * torch.randn(out.shape, generator=rng)).clamp(-1, 1)


class TurnedHeads(pl.LightningDataModule):
    """Batches [fine, coarse, degrees]: float16 features of `Backbone` and float32 [N] rolls, all in memory.

    Args:
        root: folder of `*train*.tar` and `*val*.tar` with square pictures of upright heads.
        scenes: folder of whole photos with boxes, see `data.scenes.read_scenes`, to know what is around heads; or None.
        views: of each head, each turned anew.
        batch_size: views per step.
        seed: of all draws.
        half_precision: compute the features in bfloat16 on CPUs that have instructions for it.
    """

    def __init__(
        self,
        root: str | Path,
        scenes: str | Path | None = None,
        views: int = 3,
        batch_size: int = 128,
        seed: int = 0,
        half_precision: bool = True,
    ) -> None:
        super().__init__()
        self.root, self.scenes = Path(root), None if scenes is None else Path(scenes)
        self.views, self.batch_size, self.seed, self.half_precision = views, batch_size, seed, half_precision
        self._train: TensorDataset | None = None
        self._val: dict[str, TensorDataset] = {}

    @property
    def parts(self) -> list[str]:
        """Names of what is validated on, in their order."""
        return list(self._val)

    def setup(self, stage: str | None = None) -> None:
        """Read the shards and compute the features, once."""
        if self._train is not None:
            return
        backbone, rng = Backbone(), torch.Generator().manual_seed(self.seed)
        read = {part: {"heads": read_heads(self.root, part)} for part in ("train", "val")}
        if self.scenes is not None:
            for part, sources in read.items():
                sources["scenes"] = read_around(self.scenes, part, self.seed)
        heads = np.concatenate(list(read["train"].values()))
        order = np.concatenate([np.arange(len(heads))] * self.views)
        self._train = self._features(backbone, heads, order, around(len(order), rng), rng, harder=True)
        for name, held in read["val"].items():
            every = np.arange(len(held))
            for kind, degrees in (("upright", torch.zeros(len(held))), ("turned", around(len(held), rng))):
                self._val[f"{name}_{kind}"] = self._features(backbone, held, every, degrees, rng, harder=False)

    @torch.no_grad()
    def _features(
        self,
        backbone: Backbone,
        heads: NDArray[np.uint8],
        order: NDArray[np.int64],
        degrees: Tensor,
        rng: torch.Generator,
        *,
        harder: bool,
    ) -> TensorDataset:
        features = [
            torch.empty(len(order), c, s, s, dtype=torch.float16) for c, s in zip(CHANNELS, (8, 4), strict=True)
        ]
        for start in range(0, len(order), 32):  # gigabytes: filled in place
            chosen = slice(start, start + 32)
            pictures = torch.from_numpy(heads[order[chosen]]).permute(0, 3, 1, 2).float() / 127.5 - 1
            views = turned(pictures, degrees[chosen], rng, harder=harder)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half_precision and computes_bfloat16()):
                for kept, found in zip(features, backbone(views * disc(views)), strict=True):
                    kept[chosen] = found.half()
        return TensorDataset(*features, degrees)

    def train_dataloader(self) -> DataLoader[Any]:
        """In random order."""
        assert self._train is not None
        return DataLoader(self._train, self.batch_size, shuffle=True, drop_last=len(self._train) > self.batch_size)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """All heads of each source, upright, and turned by angles all around."""
        return [DataLoader(part, 128) for part in self._val.values()]


class PoseTraining(CountingModule):
    """AdamW with a one-cycle cosine schedule on the squared distance from the roll's unit vector.

    Args:
        width, dropout: of the network.
        learning_rate: its highest value.
        weight_decay: AdamW's.
    """

    def __init__(
        self, width: int = 64, dropout: float = 0.2, learning_rate: float = 2e-3, weight_decay: float = 1e-2
    ) -> None:
        super().__init__()
        self.pose = PoseNetwork(width, dropout)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self._errors: dict[str, list[Tensor]] = defaultdict(list)

    def configure_optimizers(self) -> Any:
        """See the class."""
        learns = [p for p in self.pose.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learns, self.learning_rate, weight_decay=self.weight_decay)
        steps = max(int(self.trainer.estimated_stepping_batches), 2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps, pct_start=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        """Loss of one batch."""
        fine, coarse, degrees = batch
        loss = (self.pose(fine, coarse) - unit_vectors(degrees)).square().sum(1).mean()
        check_terms({"distance": loss}, self.steps)
        self.log("train/distance", loss.detach())
        self.count(len(degrees))
        return loss

    def validation_step(self, batch: list[Tensor], batch_index: int, dataloader_idx: int = 0) -> None:
        """Errors of one batch, in degrees."""
        fine, coarse, degrees = batch
        found = self.pose(fine, coarse)
        off = torch.rad2deg(torch.atan2(found[:, 1], found[:, 0])) - degrees
        name = self.trainer.datamodule.parts[dataloader_idx]  # type: ignore[attr-defined]
        self._errors[name].append(((off + 180) % 360 - 180).abs())

    def on_validation_epoch_end(self) -> None:
        """Median error, share within 15 degrees, and share of upright heads that seem turned by more than 25."""
        for name, parts in self._errors.items():
            errors = torch.cat(parts)
            self.log_dict({f"val/{name}_median": errors.median(), f"val/{name}_within": (errors <= 15).float().mean()})
            if name.endswith("upright"):
                self.log(f"val/{name}_alarms", (errors > 25).float().mean())
        self._errors.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs to rebuild the network."""
        checkpoint["networks"] = describe({"pose": ("pose", self.pose)})


def around(count: int, rng: torch.Generator) -> Tensor:  # -> [N]
    """Angles of all directions, in degrees."""
    return torch.rand(count, generator=rng) * 360 - 180


def unit_vectors(degrees: Tensor) -> Tensor:  # [N] -> [N,2]
    """Cosine and sine."""
    return torch.stack([torch.cos(degrees * (math.pi / 180)), torch.sin(degrees * (math.pi / 180))], dim=1)
