"""Loaders that yield the batches of the class-balanced stream, from memory or through worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.pictures import LabelledPictures, Prepared
from data.sampling import ClassBalancedSampler
from data.transforms import Batch, augment, central, stored_size
from models.errors import PhotograftError
from models.progress import counted

CPU = torch.device("cpu")
_Collated = tuple[torch.Tensor, NDArray[np.bool_], torch.Tensor, list[int]]


class PictureStore:
    """Prepared pictures by number: decoded once and kept in one uint8 tensor, or decoded when asked for.

    Args:
        pictures: the set.
        resolution: side of the networks' pictures.
        crop: "center" or "random".
        in_memory: decode everything at the first use (N * 3 * S * S bytes).
        device: where what was decoded is kept.
    """

    def __init__(
        self,
        pictures: LabelledPictures,
        *,
        resolution: int,
        crop: str,
        in_memory: bool,
        device: torch.device = CPU,
    ) -> None:
        self.pictures, self.resolution, self.crop, self.in_memory = pictures, resolution, crop, in_memory
        self.device = device
        self._images: torch.Tensor | None = None  # [N,3,S,S]
        self._movable: NDArray[np.bool_] = np.zeros(0, bool)
        self._labels: torch.Tensor = torch.zeros(0, dtype=torch.int64)

    @property
    def num_bytes(self) -> int:
        """Memory of the whole set when decoded."""
        return len(self.pictures) * 3 * stored_size(self.resolution, self.crop) ** 2

    def one(self, index: int) -> Prepared:
        """Decode one picture; see `LabelledPictures.prepare`."""
        return self.pictures.prepare(index, resolution=self.resolution, crop=self.crop)

    def many(self, indices: NDArray[np.int64]) -> tuple[torch.Tensor, NDArray[np.bool_], torch.Tensor]:
        """(uint8 [n,3,S,S], movable [n], int64 labels [n]); unreadable pictures are reported here."""
        if not self.in_memory:
            images, movable, labels, bad = collate([self.one(int(index)) for index in indices])
            self.pictures.report(bad)
            return images, movable, labels
        self.fill()
        assert self._images is not None
        chosen = torch.from_numpy(indices).to(self.device)
        return self._images[chosen], self._movable[indices], self._labels[chosen]

    def fill(self) -> None:
        """Decode everything, if it is to be kept in memory and is not yet."""
        if self.in_memory and self._images is None:
            self._images, self._labels = (part.to(self.device) for part in self._decode_all())

    def _decode_all(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures and labels, decoded on a few threads (Pillow's codecs release the interpreter lock)."""
        total, side = len(self.pictures), stored_size(self.resolution, self.crop)
        images = torch.empty(total, 3, side, side, dtype=torch.uint8)
        labels = torch.zeros(total, dtype=torch.int64)
        self._movable = np.zeros(total, bool)

        def fill(index: int) -> tuple[int, ...]:
            pixels, self._movable[index], labels[index], bad = self.one(index)
            images[index] = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
            return bad

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            try:
                for bad in counted(pool.map(fill, range(total)), "decoding", total, unit="pictures"):
                    self.pictures.report(bad)
            except BaseException:  # an error, or Ctrl-C: the pool would decode the rest first
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        self.pictures.report_total()
        return images, labels


def collate(items: list[Prepared]) -> _Collated:
    """Prepared pictures to (uint8 [n,3,S,S], movable [n], int64 labels [n], numbers of the unreadable ones)."""
    pixels, movable, labels, bad = zip(*items, strict=True)
    images = torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy())
    return images, np.array(movable, bool), torch.tensor(labels), sorted({number for some in bad for number in some})


class _Reader(torch.utils.data.Dataset[Prepared | PhotograftError]):
    """What a worker process needs of a store. Errors are handed over: raised there they would come with a traceback."""

    def __init__(self, store: PictureStore) -> None:
        self.store = store

    def __getitem__(self, index: int) -> Prepared | PhotograftError:
        try:
            return self.store.one(index)
        except PhotograftError as error:
            return error

    def __len__(self) -> int:
        return len(self.store.pictures)


def _collate_read(items: list[Prepared | PhotograftError]) -> _Collated | PhotograftError:
    prepared = [item for item in items if not isinstance(item, PhotograftError)]
    errors = [item for item in items if isinstance(item, PhotograftError)]
    return errors[0] if errors else collate(prepared)


class _Ahead(torch.utils.data.Sampler[list[int]]):
    """Picture indices of the coming batches, from the sampler's position when an epoch begins; it moves nothing.

    It does not hold the loader: in a cycle of references the worker processes would outlive their loader.
    """

    def __init__(self, sampler: ClassBalancedSampler, batch_size: int, steps: int) -> None:
        self.sampler, self.batch_size, self.steps = sampler, batch_size, steps

    def __iter__(self) -> Iterator[list[int]]:
        start = self.sampler.draws
        for step in range(self.steps):
            draws = start + step * self.batch_size * self.sampler.world_size
            yield self.sampler.draw(self.sampler.numbers(draws, self.batch_size)).tolist()

    def __len__(self) -> int:
        return self.steps


class TrainLoader:
    """`steps` batches of the endless stream per iteration, continuing after the batch that was handed out last.

    The position counts batches that were handed out, not those that workers have read ahead, and it is independent of
    epochs: Lightning's mid-epoch resume (which skips nothing by itself and only ends that epoch early) and its
    end-of-epoch resume both continue with the very next batch.

    Args:
        store: the pictures.
        sampler: this rank's stream; its position is the loader's.
        batch_size: per rank.
        steps: batches per iteration.
        flip: mirror half of the draws.
        num_workers: worker processes; 0 decodes in this one (right for pictures in memory).
        in_flight: whether the batch handed out last has not been trained on yet; it is then not counted as used.
    """

    def __init__(
        self,
        store: PictureStore,
        sampler: ClassBalancedSampler,
        *,
        batch_size: int,
        steps: int,
        flip: bool,
        num_workers: int = 0,
        in_flight: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.sampler, self.batch_size, self.steps, self.flip = store, sampler, batch_size, steps, flip
        self.in_flight = in_flight
        self._workers: torch.utils.data.DataLoader[Prepared | PhotograftError] | None = None
        if num_workers > 0 and not store.in_memory:
            self._workers = torch.utils.data.DataLoader(
                _Reader(store),
                batch_sampler=_Ahead(sampler, batch_size, steps),
                num_workers=num_workers,
                collate_fn=_collate_read,
                persistent_workers=True,
                prefetch_factor=4,
                generator=torch.Generator(),  # its own: else every epoch would draw from the training's random state
            )

    def close(self) -> None:
        """Stop the worker processes at once (the garbage collector takes seconds for it); iterating starts new ones."""
        iterator: Any = self._workers._iterator if self._workers is not None else None
        if iterator is not None and self._workers is not None:
            iterator._shutdown_workers()
            self._workers._iterator = None

    def __len__(self) -> int:
        return self.steps

    @property
    def draws_per_step(self) -> int:
        """Draws that one batch on every rank takes from the stream."""
        return self.batch_size * self.sampler.world_size

    def __iter__(self) -> Iterator[Batch]:
        read = iter(self._workers) if self._workers is not None else None
        for _ in range(self.steps):
            numbers = self.sampler.numbers(self.sampler.draws, self.batch_size)
            if read is None:
                images, movable, labels = self.store.many(self.sampler.draw(numbers))
            else:
                batch = next(read)
                if isinstance(batch, PhotograftError):
                    raise batch
                images, movable, labels, bad = batch
                self.store.pictures.report(bad)
            resolution, seed = self.store.resolution, self.sampler.seed
            images = augment(images, movable, numbers, resolution=resolution, seed=seed, flip=self.flip)
            self.sampler.draws += self.draws_per_step
            yield {"image": images, "label": labels}
        self.store.pictures.report_total()

    def state_dict(self) -> dict[str, Any]:
        """Position and identity of the stream, see `ClassBalancedSampler.state_dict`."""
        state = self.sampler.state_dict()
        state["draws"] -= self.draws_per_step if self.in_flight() else 0
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved position; see `ClassBalancedSampler.load_state_dict`."""
        self.sampler.load_state_dict(state)


class EvalLoader:
    """All pictures once in their fixed order, unaugmented; every rank gets the same number (the first ones repeat)."""

    def __init__(self, store: PictureStore, *, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.store, self.batch_size = store, batch_size
        total = len(store.pictures)
        each = -(-total // world_size)
        self._indices = (rank + world_size * np.arange(each, dtype=np.int64)) % max(total, 1)

    def __len__(self) -> int:
        return -(-len(self._indices) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self._indices), self.batch_size):
            images, movable, labels = self.store.many(self._indices[start : start + self.batch_size])
            yield {"image": central(images, movable, resolution=self.store.resolution), "label": labels}
