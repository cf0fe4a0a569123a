"""Class-balanced draws as a pure function of the draw's number.

The stream of picture indices is cut into rounds of N draws (N = size of the set). In a round each class gets its
exact quota (rounded so that the rounding never accumulates), taken from the class's own endless sequence of
permutations: all pictures of a class are used equally often, within one, or so many times as often as is asked for.
Draw number n is thus fixed by (seed, n) alone. Rank r of W takes the draws with n % W == r. A resume needs one
number: how many draws have been used.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import PhotograftError


def class_distribution(counts: NDArray[np.int64], power: float) -> NDArray[np.float64]:
    """Probability of each class when a picture is drawn with weight (count of its class) ** -power.

    Args:
        counts: int64 [K], pictures per class.
        power: 0 natural frequencies ... 1 all classes alike.

    Returns:
        float64 [K], sums to 1; 0 for a class without pictures.
    """
    weights = np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** (1.0 - power), 0.0)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


class ClassBalancedSampler(torch.utils.data.Sampler[int]):
    """This rank's part of the class-balanced stream of picture indices.

    Iterating continues at `position` and moves it on; `length` indices per iteration, without end for None. For loaders
    that read ahead, `indices` gives any part of the stream without moving anything.

    Args:
        labels: int64 [N], class of each picture.
        power: balance, 0 (natural) to 1 (all classes alike).
        seed: of the stream; the same on all ranks.
        rank: this process, 0..world_size-1.
        world_size: number of processes; their parts are disjoint and of equal length.
        length: indices per iteration on this rank.
        times: int64 [N], how often each picture is drawn where others of its class are drawn once; None: all alike.

    Raises:
        PhotograftError: no pictures, or a power outside [0, 1].
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        *,
        power: float = 0.5,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        length: int | None = None,
        times: NDArray[np.int64] | None = None,
    ) -> None:
        if len(labels) == 0:
            raise PhotograftError("no pictures to draw from: check the data folder and the chosen classes")
        if not 0.0 <= power <= 1.0:
            raise PhotograftError(f"balance is {power}: give a number from 0 (natural) to 1 (all classes alike)")
        assert 0 <= rank < world_size
        self.labels = np.asarray(labels, dtype=np.int64)
        self.power, self.seed, self.rank, self.world_size, self.length = power, seed, rank, world_size, length
        self.draws = 0  # used by all ranks together
        assert times is None or (len(times) == len(labels) and times.min() > 0)
        self.times = np.ones_like(self.labels) if times is None else np.asarray(times, dtype=np.int64)
        members = (np.flatnonzero(self.labels == k) for k in range(int(self.labels.max()) + 1))
        self._members = [np.repeat(own, self.times[own]) for own in members]
        self._rounds: dict[int, NDArray[np.int64]] = {}
        probabilities = class_distribution(np.bincount(self.labels).astype(np.int64), power)
        self._cumulative = np.concatenate([[0.0], np.cumsum(probabilities)])
        self._cumulative[-1] = 1.0

    @property
    def position(self) -> int:
        """Indices used so far on this rank."""
        return self.draws // self.world_size

    def class_distribution(self) -> NDArray[np.float64]:
        """Share of each class in the stream, float64 [K]: draw the labels of prior samples from it."""
        return np.diff(self._cumulative)

    def draw(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Picture indices, int64 [n], of the given draws of the whole stream (a pure function)."""
        numbers = np.asarray(numbers, dtype=np.int64)
        rounds, places = np.divmod(numbers, len(self.labels))
        result = np.empty_like(numbers)
        for number in np.unique(rounds):
            inside = rounds == number
            result[inside] = self._round(int(number))[places[inside]]
        return result

    def numbers(self, draws: int, count: int) -> NDArray[np.int64]:
        """Numbers of this rank's next `count` draws, int64 [count], when all ranks together have used `draws`."""
        return draws + self.rank + self.world_size * np.arange(count, dtype=np.int64)

    def indices(self, position: int, count: int) -> NDArray[np.int64]:
        """Picture indices `position` ... `position + count - 1` of this rank's part, int64 [count]."""
        return self.draw(self.numbers(position * self.world_size, count))

    def __iter__(self) -> Iterator[int]:
        left = self.length
        while left is None or left > 0:
            chunk = min(1024, left) if left is not None else 1024
            for index in self.indices(self.position, chunk):
                self.draws += self.world_size
                yield int(index)
            left = None if left is None else left - chunk

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("this stream has no end; give the sampler a length")
        return self.length

    def identity(self) -> dict[str, Any]:
        """What the stream depends on, with a checksum of the labels: two equal ones give the same draws."""
        checksum = zlib.crc32(self.labels.tobytes())
        known = {"seed": self.seed, "power": self.power, "pictures": len(self.labels), "labels": checksum}
        often = {"often": zlib.crc32(self.times.tobytes())} if (self.times > 1).any() else {}
        return known | often

    def state_dict(self) -> dict[str, Any]:
        """The position (draws of all ranks) and the identity of the stream."""
        return {"draws": self.draws, **self.identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved position; the world size may differ.

        Raises:
            PhotograftError: the state belongs to another stream (other pictures, seed, balance or `times`).
        """
        own = {"often": None, **self.identity()}
        changed = [name for name, value in own.items() if state.get(name) != value]
        if changed:
            raise PhotograftError(f"cannot resume the data stream: {', '.join(changed)} changed since the checkpoint")
        draws = state.get("draws")
        if type(draws) is not int or not 0 <= draws < 2**62:
            raise PhotograftError("cannot resume the data stream: the checkpoint's position in it is damaged")
        self.draws = draws

    def _round(self, number: int) -> NDArray[np.int64]:
        """The N picture indices of one round; the last two rounds are kept."""
        if number not in self._rounds:
            first, last = self._quota(number), self._quota(number + 1)
            parts = [self._sequence(k, int(a), int(b)) for k, (a, b) in enumerate(zip(first, last, strict=True))]
            order = np.random.default_rng([self.seed & (2**64 - 1), 1, number]).permutation(len(self.labels))
            while len(self._rounds) >= 2:
                self._rounds.pop(min(self._rounds))
            self._rounds[number] = np.concatenate(parts)[order]
        return self._rounds[number]

    def _quota(self, number: int) -> NDArray[np.int64]:
        """Draws of each class before round `number`, int64 [K]; never falls with `number` for powers in [0, 1]."""
        edges = np.floor(number * len(self.labels) * self._cumulative + 1e-6)
        return np.diff(edges).astype(np.int64)

    def _sequence(self, cls: int, first: int, last: int) -> NDArray[np.int64]:
        """Elements first..last-1 of the endless sequence of permutations of one class."""
        members = self._members[cls]
        if last <= first:
            return members[:0]
        size = len(members)
        passes = [
            members[np.random.default_rng([self.seed & (2**64 - 1), 0, cls, number]).permutation(size)]
            for number in range(first // size, (last - 1) // size + 1)
        ]
        start = first // size * size
        return np.concatenate(passes)[first - start : last - start]
