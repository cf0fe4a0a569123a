"""Training of the head locator on photos with boxes: the backbone is frozen, so its features are computed once."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from data.scenes import Scene, read_scenes
from models.errors import PhotograftError
from models.files import load_network
from models.perception.locator import (
    CHANNELS,
    GRID,
    LOCATOR_WEIGHTS,
    Backbone,
    HeadLocator,
    boxes_of,
    images_to_input,
    intersection_over_union,
    locator_loss,
    network_picture,
)
from models.perception.segmentation import VOC_ANIMALS, VOC_PERSON, load_deeplab
from models.processor import computes_bfloat16
from models.registry import KINDS
from train.divergence import check_terms
from train.perception.scene_views import MAX_HEADS, harder_view, random_view


@torch.inference_mode()
def segmented(scenes: list[Scene], *, half_precision: bool = True) -> list[Scene]:
    """The scenes with what DeepLab sees of animals and people in them, at the locator's resolution."""
    network, found = load_deeplab().to(memory_format=torch.channels_last), []
    for start in range(0, len(scenes), 16):
        chunk = scenes[start : start + 16]
        x = images_to_input(torch.from_numpy(np.stack([network_picture(scene.pixels) for scene in chunk])))
        with torch.autocast("cpu", torch.bfloat16, enabled=half_precision and computes_bfloat16()):
            logits = network(x.contiguous(memory_format=torch.channels_last))
        shares = F.avg_pool2d(logits.float().softmax(dim=1), 3, stride=2, padding=1)  # [N,21,129,129]
        animal, person = shares[:, list(VOC_ANIMALS)].sum(dim=1), shares[:, VOC_PERSON].clone()  # no view of all
        found += [replace(s, animal=a.numpy(), person=p.numpy()) for s, a, p in zip(chunk, animal, person, strict=True)]
    return found


class SceneFeatures(pl.LightningDataModule):
    """Batches {"features": float16 [N,416,17,17], "boxes": float32 [N,4,4], "species": int64 [N]}, all in memory.

    Args:
        root: folder of `*train*.tar` and `*val*.tar`, see `read_scenes`.
        batch_size: pictures per step.
        views: random views beside the photos themselves, as a share of their number.
        harder: views are `harder_view`'s: cut-outs, pasted and covered heads, people; else windows, `random_view`.
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
        harder: bool = False,
        half_precision: bool = True,
    ) -> None:
        super().__init__()
        self.root, self.batch_size, self.views = Path(root), batch_size, views
        self.balance, self.seed, self.half_precision, self.harder = balance, seed, half_precision, harder
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
        for round_ in range(math.ceil(self.views)):
            share = min(self.views - round_, 1)
            order, others = (rng.permutation(len(train))[: round(share * len(train))] for _ in range(2))
            seen = [train[i] for i in order]
            if self.harder:
                seen = segmented(seen, half_precision=self.half_precision)
            made = harder_view if self.harder else random_view
            views += [made(scene, train[i], rng) for scene, i in zip(seen, others, strict=True)]
        backbone = Backbone()
        self._train, self._val = self._features(backbone, views), self._features(backbone, val)

    @torch.no_grad()
    def _features(self, backbone: Backbone, scenes: list[Scene]) -> TensorDataset:
        features = torch.empty(len(scenes), CHANNELS, GRID, GRID, dtype=torch.float16)  # gigabytes: filled in place
        for start in range(0, len(scenes), 16):
            chunk = np.stack([network_picture(scene.pixels) for scene in scenes[start : start + 16]])
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half_precision and computes_bfloat16()):
                features[start : start + 16] = backbone(images_to_input(torch.from_numpy(chunk))).half()
        boxes = torch.zeros(len(scenes), MAX_HEADS, 4)
        for row, scene in zip(boxes, scenes, strict=True):
            row[: len(scene.boxes)] = torch.from_numpy(scene.boxes[:MAX_HEADS])
        species = torch.tensor([self.species.index(scene.species) for scene in scenes])
        return TensorDataset(features, boxes, species)

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
        start: file of a locator to go on from, or "embedded", instead of a new one.
    """

    def __init__(
        self,
        width: int = 96,
        dropout: float = 0.1,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        mirror: bool = True,
        start: str | None = None,
    ) -> None:
        super().__init__()
        self.locator = HeadLocator(width, dropout)
        self.started = start is not None
        if start is not None:
            file = LOCATOR_WEIGHTS if start == "embedded" else Path(start)
            known: HeadLocator = load_network(file, "locator")[0]
            if known.config["width"] != width:
                raise PhotograftError(f"{start} has width {known.config['width']}, not {width}: give --model.width")
            self.locator.load_state_dict(known.state_dict())
        self.locator.backbone.requires_grad_(False)
        self.learning_rate, self.weight_decay, self.mirror = learning_rate, weight_decay, mirror
        self._scores: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self) -> None:
        """Standardise the features; a resumed run has this from its checkpoint."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.trainer.global_step == 0 and not self.started:  # a locator that goes on keeps what it learnt with
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
