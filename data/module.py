"""The Lightning data module: class-balanced training batches that resume to the picture, and a fixed validation set."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_only

from data.classes import ClassChoice
from data.corrupt import check_max_corrupt
from data.loaders import EvalLoader, PictureStore, TrainLoader
from data.memory import free_memory
from data.often import read_often
from data.pictures import LabelledPictures
from data.report import printable, say_to_stderr
from data.sampling import ClassBalancedSampler, class_distribution
from data.splits import open_splits
from data.values import is_number
from models.errors import PhotograftError
from models.terminal import Say

__all__ = ["ImageDataModule"]

MAX_RESOLUTION, MAX_BATCH, MAX_WORKERS = 4096, 2**16, 1024
AUTO_CACHE_LIMIT = 8 * 2**30  # bytes; cache="auto" also leaves half of the free memory alone


class ImageDataModule(pl.LightningDataModule):
    """Batches {"image": uint8 [N,3,R,R] RGB, "label": int64 [N] in 0..K-1}; `data.to_float` makes [-1, 1] of them.

    The training stream is endless and a pure function of the seed; an epoch is only a number of steps. Its position is
    part of every checkpoint, and a resumed run gets exactly the batches that the first would have had. `cache` and
    `num_workers` change the speed, never the batches.

    Args:
        root: class folders or tar shards, see `data.open_splits`.
        resolution: side R of the pictures.
        batch_size: pictures per batch on each rank.
        classes: names, WordNet ids, groups or positions ("position:151-293"), or a list of these; None for all. See
            `data.classes.choose_classes`.
        min_images: drop classes with fewer training pictures.
        balance: a picture is drawn with weight (count of its class) ** -balance: 0 natural ... 1 all classes alike.
        num_workers: processes that decode when the pictures are not in memory; 0 decodes in the training process.
        seed: of the order, the windows and the mirroring; the same on all ranks.
        cache: "memory" keeps the decoded set in this process (N*3*R*R bytes), "device" on the accelerator (a GPU need
            not wait for the host then), "none" decodes each time, "auto" keeps it in memory if it fits well.
        steps_per_epoch: batches per epoch on each rank.
        images_per_epoch: the same in pictures over all ranks; by default the size of the training set.
        flip: mirror half of the pictures.
        crop: "center" takes the central square; "random" a window of 0.9 of it at a random place (its middle for
            validation). Pictures that are already square at the resolution are left as they are.
        val_root: validation pictures, when they do not lie in the usual place beside the training ones.
        val_fraction: part that is kept for validation when there is no validation split.
        val_batch_size: as `batch_size`, which is the default.
        picture: which member of a shard's samples is the picture ("jpg"); by default the only one.
        labels: where labels are told, see `data.catalogue.open_catalogue`: for shards "cls" (default), "json" or
            "json:FIELD"; for folders a file such as "dataset.json".
        value_range: the values of black and white in pictures of more than 8 bits, where files do not state them.
        max_corrupt: how many pictures, and how many shards, may be damaged before the training ends: a share below 1
            (of pictures always ten), a count from 1 on, 0 for none, null for any number of pictures. The first ones
            are named, and others take their places.
        names: a file that names the classes, with a line FOLDER,NAME for each; see `data.names.read_names`.
        often: a file of pictures that are drawn more often than others of their class, with a line PICTURE,TIMES for
            each; see `data.often.read_often`. `train.py turned` writes one.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        resolution: int,
        batch_size: int,
        classes: ClassChoice | None = None,
        min_images: int = 0,
        balance: float = 0.5,
        num_workers: int = 2,
        seed: int = 0,
        cache: Literal["auto", "memory", "device", "none"] = "auto",
        steps_per_epoch: int | None = None,
        images_per_epoch: int | None = None,
        flip: bool = True,
        crop: Literal["center", "random"] = "center",
        val_root: str | Path | None = None,
        val_fraction: float = 0.05,
        val_batch_size: int | None = None,
        picture: str | None = None,
        labels: str | None = None,
        value_range: tuple[float, float] | None = None,
        max_corrupt: float | None = 0.05,
        names: str | None = None,
        often: str | None = None,
    ) -> None:
        super().__init__()
        _check_number("resolution", resolution, 1, MAX_RESOLUTION)
        _check_number("batch_size", batch_size, 1, MAX_BATCH)
        _check_number("num_workers", num_workers, 0, MAX_WORKERS)
        _check_number("min_images", min_images, 0)
        _check_number("seed", seed, 0)
        if val_batch_size is not None:
            _check_number("val_batch_size", val_batch_size, 1, MAX_BATCH)
        for name, value in (("steps_per_epoch", steps_per_epoch), ("images_per_epoch", images_per_epoch)):
            if value is not None:
                _check_number(name, value, 1)
        if not is_number(balance) or not 0.0 <= balance <= 1.0:
            raise PhotograftError(
                f"balance is {balance!r:.60}: give a number from 0 (natural) to 1 (all classes alike)"
            )
        if cache not in ("auto", "memory", "device", "none"):
            raise PhotograftError(f"cache is {cache!r}: give auto, memory, device or none")
        if crop not in ("center", "random"):
            raise PhotograftError(f"crop is {crop!r}: give center or random")
        if steps_per_epoch is not None and images_per_epoch is not None:
            raise PhotograftError("give steps_per_epoch or images_per_epoch, not both")
        self.root, self.resolution, self.batch_size, self.classes = root, resolution, batch_size, classes
        self.min_images, self.balance, self.num_workers, self.seed = min_images, balance, num_workers, seed
        self.cache, self.flip, self.crop = cache, flip, crop
        self.steps_per_epoch, self.images_per_epoch = steps_per_epoch, images_per_epoch
        self.val_root, self.val_fraction, self.val_batch_size = val_root, val_fraction, val_batch_size or batch_size
        self.picture, self.labels, self.value_range = picture, labels, value_range
        self.max_corrupt, self.names, self.often = check_max_corrupt(max_corrupt), names, often
        self._splits: tuple[LabelledPictures, LabelledPictures] | None = None
        self._times: NDArray[np.int64] | None = None
        self._stores: dict[str, PictureStore] = {}
        self._loader: TrainLoader | None = None  # the last one made without a Trainer
        self._resume: dict[str, Any] | None = None

    # --- what the data is (indexed at the first use, without a Trainer too) ---

    @property
    def train_pictures(self) -> LabelledPictures:
        """The training set; its `corrupt` lists the unreadable pictures met."""
        return self._open()[0]

    @property
    def val_pictures(self) -> LabelledPictures:
        """The validation set, possibly empty."""
        return self._open()[1]

    @property
    def num_classes(self) -> int:
        """K."""
        return self.train_pictures.num_classes

    @property
    def class_names(self) -> list[str]:
        """K names, in the order of the labels."""
        return self.train_pictures.class_names

    @property
    def class_ids(self) -> list[str]:
        """K folders' names, or numbers in shards."""
        return self.train_pictures.class_ids

    @property
    def groups(self) -> list[int]:
        """A group number per class (species, when the data tells)."""
        return self.train_pictures.groups

    @property
    def group_names(self) -> list[str]:
        """The groups' names."""
        return self.train_pictures.group_names

    @property
    def class_distribution(self) -> torch.Tensor:
        """Share of each class in the training batches, float32 [K]: draw the labels of prior samples from it."""
        return torch.from_numpy(class_distribution(self.train_pictures.counts, self.balance)).float()

    def stream_identity(self) -> dict[str, Any]:
        """What the training stream depends on: two equal ones are the same pictures in the same order."""
        return self._sampler(0, 1).identity()

    # --- Lightning ---

    def setup(self, stage: str | None = None) -> None:
        """Index the data. A new `fit` starts at the beginning of the stream; a resume then loads its position."""
        self._open()
        if stage == "fit":
            self._loader = self._resume = None

    def train_dataloader(self) -> TrainLoader:
        """This rank's part of the stream, `steps` batches per epoch, from the position that the training has.

        Calling it during a training gives an independent look at the coming batches: the training's own loader does
        not move, and its position stays the one that checkpoints hold.
        """
        rank, world_size = self._rank()
        state = self.state_dict()
        sampler = self._sampler(rank, world_size)
        images = self.images_per_epoch or len(self.train_pictures)
        this = weakref.ref(self)  # no cycle of references: the loader's workers end with the last use of the module
        store = self._store("train")
        if self.trainer is not None:  # here and not at the first step, whose time would be the decoding's
            store.fill()
        loader = TrainLoader(
            store,
            sampler,
            batch_size=self.batch_size,
            steps=self.steps_per_epoch or max(1, images // (self.batch_size * world_size)),
            flip=self.flip,
            num_workers=self.num_workers,
            in_flight=lambda: (module := this()) is not None and module._in_flight(),
        )
        if state:
            loader.load_state_dict(state)
        if self.trainer is None:
            self._loader = loader
        return loader

    def val_dataloader(self) -> EvalLoader | list[EvalLoader]:
        """The validation pictures in a fixed order, or no loader when there are none."""
        if not len(self.val_pictures):
            return []
        rank, world_size = self._rank()
        return EvalLoader(self._store("val"), batch_size=self.val_batch_size, rank=rank, world_size=world_size)

    def teardown(self, stage: str | None = None) -> None:
        """Stop the worker processes; the position and the decoded pictures stay."""
        loader = self._training_loader()
        if loader is not None:
            loader.close()

    def state_dict(self) -> dict[str, Any]:
        """Position and identity of the training stream; empty before the first batch."""
        loader = self._training_loader()
        return dict(self._resume or {}) if loader is None else loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the stream at a saved position (batch size and number of ranks may differ).

        Raises:
            PhotograftError: the pictures, the seed, the balance or `often` are not those of the checkpoint.
        """
        if not state_dict:
            return
        self._sampler(0, 1).load_state_dict(state_dict)  # raises for another stream
        self._resume = dict(state_dict)
        loader = self._training_loader()
        if loader is not None:
            loader.load_state_dict(state_dict)

    # --- inside ---

    def _training_loader(self) -> TrainLoader | None:
        """The loader that the Trainer draws from; without a Trainer the one that was made last."""
        loader = self._loader if self.trainer is None else self.trainer.train_dataloader
        return loader if isinstance(loader, TrainLoader) else None

    def _open(self) -> tuple[LabelledPictures, LabelledPictures]:
        if self._splits is None:
            say: Say = say_to_stderr if getattr(rank_zero_only, "rank", 0) == 0 else lambda _: None
            splits = open_splits(
                self.root,
                classes=self.classes,
                min_images=self.min_images,
                val_root=self.val_root,
                val_fraction=self.val_fraction,
                picture=self.picture,
                labels=self.labels,
                value_range=self.value_range,
                max_corrupt=self.max_corrupt,
                names=self.names,
                say=say,
            )
            if self.often is not None:
                self._times, line = read_often(self.often, splits[0].records)
                say(line)
            self._splits = splits
        return self._splits

    def _sampler(self, rank: int, world_size: int) -> ClassBalancedSampler:
        labels = self.train_pictures.labels
        return ClassBalancedSampler(
            labels, power=self.balance, seed=self.seed, rank=rank, world_size=world_size, times=self._times
        )

    def _store(self, split: Literal["train", "val"]) -> PictureStore:
        if split not in self._stores:
            pictures = self.train_pictures if split == "train" else self.val_pictures
            kept, device = self.cache in ("memory", "device"), torch.device("cpu")
            if self.cache == "device" and self.trainer is not None:
                device = self.trainer.strategy.root_device
            store = PictureStore(pictures, resolution=self.resolution, crop=self.crop, in_memory=kept, device=device)
            if self.cache == "auto":
                store.in_memory = store.num_bytes <= min(AUTO_CACHE_LIMIT, free_memory() // 2)
            self._stores[split] = store
        return self._stores[split]

    def _rank(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _in_flight(self) -> bool:
        """Whether Lightning has taken a batch that it has not finished (a checkpoint written on an exception)."""
        if self.trainer is None:
            return False
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return bool(progress.ready > progress.processed)


def _check_number(name: str, value: object, low: int, high: int = 2**63 - 1) -> None:
    """Raise PhotograftError unless it is a whole number between these."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        limit = f"from {low} to {high:,}" if high < 2**62 else f"of at least {low}"
        raise PhotograftError(f"{name} is {printable(repr(value), 40)}: give a whole number {limit}")
