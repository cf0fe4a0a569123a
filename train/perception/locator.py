"""Training of the head locator on photos with boxes: the backbone is frozen, so its features are computed once."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from data.scenes import Scene, read_scenes
from models.perception.locator import (
    SIDE,
    Backbone,
    HeadLocator,
    boxes_of,
    images_to_input,
    intersection_over_union,
    locator_loss,
    network_picture,
)
from models.processor import computes_bfloat16
from models.registry import KINDS
from train.divergence import check_terms

MAX_HEADS = 4  # per picture
_GREY = (124, 117, 104)  # around a photo that a view zooms out of
_KEPT_SHARE = 0.6  # of a head that must be in a view to count as one


def window(scene: Scene, left: float, top: float, w: float, h: float, mirror: bool) -> Scene:
    """What a window (shares of the photo, may reach over its border) shows, as [257,257,3]."""
    height, width = scene.pixels.shape[:2]
    a, b = SIDE / (w * width), SIDE / (h * height)
    matrix = np.array([[a, 0, -left * width * a], [0, b, -top * height * b]])
    pixels = cv2.warpAffine(scene.pixels, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=_GREY)
    boxes = (scene.boxes - [left, top, left, top]) / [w, h, w, h]
    inside = boxes.clip(0, 1)
    whole, part = (np.prod(np.maximum(b[:, 2:] - b[:, :2], 0), axis=1) for b in (boxes, inside))
    boxes = inside[part > _KEPT_SHARE * whole]
    if mirror:
        pixels, boxes = pixels[:, ::-1], np.stack([1 - boxes[:, 2], boxes[:, 1], 1 - boxes[:, 0], boxes[:, 3]], axis=1)
    return Scene(np.ascontiguousarray(pixels), boxes.astype(np.float32), scene.species)


def random_view(scene: Scene, other: Scene, rng: np.random.Generator) -> Scene:
    """A random window of the scene; sometimes one without a head, sometimes two scenes side by side."""
    kind = rng.random()
    if kind < 0.15:
        side = 384
        pixels = np.hstack([cv2.resize(s.pixels, (side, side), interpolation=cv2.INTER_LINEAR) for s in (scene, other)])
        halves = [s.boxes * [0.5, 1, 0.5, 1] + [shift, 0, shift, 0] for s, shift in ((scene, 0), (other, 0.5))]
        pair = Scene(pixels.astype(np.uint8), np.concatenate(halves).astype(np.float32)[:MAX_HEADS], scene.species)
        return window(pair, 0, 0, 1, 1, mirror=bool(rng.random() < 0.5))
    if kind < 0.35:
        for _ in range(20):
            w, h = rng.uniform(0.3, 0.7, 2)
            left, top = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
            apart = (scene.boxes[:, 0] > left + w) | (scene.boxes[:, 2] < left)
            apart |= (scene.boxes[:, 1] > top + h) | (scene.boxes[:, 3] < top)
            if apart.all():
                return window(scene, left, top, w, h, mirror=bool(rng.random() < 0.5))
    w = float(np.exp(rng.uniform(np.log(0.45), np.log(1.25))))
    h = w * float(np.exp(rng.normal(0, 0.12)))
    if len(scene.boxes):  # the window holds the first head
        x0, y0, x1, y1 = scene.boxes[0]
        w, h = max(w, 1.05 * float(x1 - x0)), max(h, 1.05 * float(y1 - y0))
        left, top = rng.uniform(min(x1 - w, x0), max(x1 - w, x0)), rng.uniform(min(y1 - h, y0), max(y1 - h, y0))
    else:
        left, top = rng.uniform(min(0, 1 - w), max(0, 1 - w)), rng.uniform(min(0, 1 - h), max(0, 1 - h))
    if w <= 1:
        left = float(np.clip(left, 0, 1 - w))
    if h <= 1:
        top = float(np.clip(top, 0, 1 - h))
    return window(scene, float(left), float(top), w, h, mirror=True)


class SceneFeatures(pl.LightningDataModule):
    """Batches {"features": float16 [N,416,17,17], "boxes": float32 [N,4,4], "species": int64 [N]}, all in memory.

    Args:
        root: folder of `*train*.tar` and `*val*.tar`, see `read_scenes`.
        batch_size: pictures per step.
        views: random windows (`random_view`) beside the photos themselves, as a share of their number.
        balance: a picture is drawn with weight (count of its species) ** -balance.
        seed: of the views and the order.
        half_precision: compute the features in bfloat16 on CPUs that have instructions for it.
    """

    def __init__(
        self,
        root: str | Path,
        batch_size: int = 64,
        views: float = 0.3,
        balance: float = 0.4,
        seed: int = 0,
        half_precision: bool = True,
    ) -> None:
        super().__init__()
        self.root, self.batch_size, self.views = Path(root), batch_size, views
        self.balance, self.seed, self.half_precision = balance, seed, half_precision
        self.species: list[str] = []
        self._train: TensorDataset | None = None
        self._val: TensorDataset | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read the shards and compute the features, once."""
        if self._train is not None:
            return
        train, val = read_scenes(self.root, "train"), read_scenes(self.root, "val")
        self.species = sorted({scene.species for scene in train + val})
        rng = np.random.default_rng(self.seed)
        views = list(train)
        for index in range(round(self.views * len(train))):
            if index % len(train) == 0:
                order, others = rng.permutation(len(train)), rng.permutation(len(train))
            views.append(random_view(train[order[index % len(train)]], train[others[index % len(train)]], rng))
        backbone = Backbone()
        self._train, self._val = self._features(backbone, views), self._features(backbone, val)

    @torch.inference_mode()
    def _features(self, backbone: Backbone, scenes: list[Scene]) -> TensorDataset:
        parts = []
        for start in range(0, len(scenes), 16):
            chunk = np.stack([network_picture(scene.pixels) for scene in scenes[start : start + 16]])
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half_precision and computes_bfloat16()):
                parts.append(backbone(images_to_input(torch.from_numpy(chunk))).half())
        boxes = torch.zeros(len(scenes), MAX_HEADS, 4)
        for row, scene in zip(boxes, scenes, strict=True):
            row[: len(scene.boxes)] = torch.from_numpy(scene.boxes[:MAX_HEADS])
        species = torch.tensor([self.species.index(scene.species) for scene in scenes])
        return TensorDataset(torch.cat(parts).clone(), boxes, species)

    def train_dataloader(self) -> DataLoader[Any]:
        """Drawn with replacement, balanced by species."""
        assert self._train is not None
        species = self._train.tensors[2]
        counts = torch.bincount(species, minlength=len(self.species)).double()
        sampler = WeightedRandomSampler((counts[species] ** -self.balance).tolist(), len(species))
        return DataLoader(self._train, self.batch_size, sampler=sampler, drop_last=len(species) > self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """All in order."""
        assert self._val is not None
        return DataLoader(self._val, self.batch_size)

    def calibration(self) -> Tensor:
        """Features [<=512,416,17,17] of training photos, spread over the set."""
        assert self._train is not None
        features = self._train.tensors[0]
        return features[:: max(len(features) // 512, 1)][:512]


class LocatorTraining(pl.LightningModule):
    """Adam with a one-cycle cosine schedule on `locator_loss`; val/iou and val/found (share with IoU > 0.5).

    Args:
        width, dropout: of the network.
        learning_rate: its highest value.
        weight_decay: AdamW's.
        mirror: mirror the features of half of the batch (nearly what mirroring the pictures gives).
    """

    def __init__(
        self,
        width: int = 96,
        dropout: float = 0.1,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        mirror: bool = True,
    ) -> None:
        super().__init__()
        self.locator = HeadLocator(width, dropout)
        self.locator.backbone.requires_grad_(False)
        self.learning_rate, self.weight_decay, self.mirror = learning_rate, weight_decay, mirror
        self._scores: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self) -> None:
        """Standardise the features; a resumed run has this from its checkpoint."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.trainer.global_step == 0:
            self.locator.calibrate(data.calibration().to(self.device))

    def configure_optimizers(self) -> Any:
        """AdamW, stepped by batch."""
        learns = [p for p in self.locator.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learns, lr=self.learning_rate, weight_decay=self.weight_decay)
        steps = max(int(self.trainer.estimated_stepping_batches), 2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        """Loss of one batch."""
        features, boxes, _ = batch
        if self.mirror:
            turned = torch.rand(len(features), device=features.device) < 0.5
            features = torch.where(turned[:, None, None, None], features.flip(3), features)
            mirrored = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], dim=-1)
            boxes = torch.where(turned[:, None, None], mirrored, boxes)
        terms = locator_loss(self.locator(features), boxes)
        check_terms(terms, self.global_step)
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        return torch.stack(list(terms.values())).sum()

    def validation_step(self, batch: list[Tensor], batch_index: int) -> None:
        """IoU of the best cell's box with the nearest labelled head."""
        features, boxes, species = batch
        maps = self.locator(features)
        best = maps[:, 0].flatten(1).argmax(dim=1)
        found = boxes_of(maps).flatten(2)[torch.arange(len(best)), :, best]  # [N,4]
        self._scores.append((intersection_over_union(found[:, None], boxes).amax(dim=1), species))

    def on_validation_epoch_end(self) -> None:
        """Means over all photos and by species."""
        scores, species = (torch.cat(part) for part in zip(*self._scores, strict=True))
        self._scores.clear()
        self.log_dict({"val/iou": scores.mean(), "val/found": (scores > 0.5).float().mean()}, prog_bar=True)
        for index, name in enumerate(self.trainer.datamodule.species):  # type: ignore[attr-defined]
            if bool((species == index).any()):
                self.log(f"val/iou_{name.replace(' ', '_')}", scores[species == index].mean())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what export needs to rebuild the network."""
        family = KINDS["locator"].name_of(self.locator)
        checkpoint["networks"] = {"locator": {"kind": "locator", "family": family, "config": self.locator.config}}
