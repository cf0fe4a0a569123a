"""The class-balanced stream: statistics, purity, ranks, resume."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data import ClassBalancedSampler, class_distribution
from models.errors import PhotograftError

COUNTS = np.array([1000, 100, 9, 1])
LABELS = np.repeat(np.arange(4), COUNTS)


def first(count: int, **settings: Any) -> NDArray[np.int64]:
    return ClassBalancedSampler(LABELS, **settings).indices(0, count)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_class_shares_follow_the_power(power: float) -> None:
    weights = COUNTS ** (1 - power)
    expected = weights / weights.sum()
    np.testing.assert_allclose(class_distribution(COUNTS, power), expected)
    np.testing.assert_allclose(ClassBalancedSampler(LABELS, power=power).class_distribution(), expected)
    rounds = 7
    drawn = np.bincount(LABELS[first(rounds * len(LABELS), power=power)], minlength=4)
    assert np.abs(drawn - rounds * len(LABELS) * expected).max() <= 1  # quotas are exact, rounding never accumulates


@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_pictures_of_a_class_are_used_equally_often(power: float) -> None:
    uses = np.bincount(first(20 * len(LABELS), power=power), minlength=len(LABELS))
    for label in range(4):
        inside = uses[label == LABELS]
        assert inside.max() - inside.min() <= 1


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_pictures_are_used_as_often_as_asked_for(power: float) -> None:
    times = np.ones(len(LABELS), np.int64)
    times[[0, 5, 1000]] = 3, 5, 2
    drawn = first(40 * len(LABELS), power=power, times=times)
    uses = np.bincount(drawn, minlength=len(LABELS)) / times
    assert (np.bincount(LABELS[drawn]) == np.bincount(LABELS[first(40 * len(LABELS), power=power)])).all()
    for label in range(4):
        inside = uses[label == LABELS]
        assert inside.max() - inside.min() <= 1


def test_natural_rounds_are_permutations() -> None:
    drawn = first(2 * len(LABELS), power=0.0).reshape(2, -1)
    assert (np.sort(drawn) == np.arange(len(LABELS))).all()
    assert (drawn[0] != drawn[1]).any()


def test_shares_hold_within_parts_of_a_round() -> None:
    drawn = LABELS[first(400, power=1.0)]
    assert (np.abs(np.bincount(drawn, minlength=4) - 100) < 40).all()


def test_class_without_pictures_is_never_drawn() -> None:
    sampler = ClassBalancedSampler(np.array([0, 2, 2, 4]), power=1.0)
    assert sampler.class_distribution().tolist() == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3])
    assert sorted(set(sampler.indices(0, 100).tolist())) == [0, 1, 2, 3]


def test_stream_is_a_pure_function() -> None:
    whole = first(3000, seed=5)
    sampler = ClassBalancedSampler(LABELS, seed=5)
    for start in (2500, 0, 1109, 1110):  # any order, across the borders of rounds
        assert (sampler.indices(start, 400) == whole[start : start + 400]).all()
    assert (first(3000, seed=6) != whole).any()
    assert (first(10, seed=-1) == first(10, seed=-1)).all()


def test_ranks_are_disjoint_interleaved_and_equally_long() -> None:
    whole = first(900)
    parts = [first(300, rank=rank, world_size=3) for rank in range(3)]
    assert (np.stack(parts, 1).reshape(-1) == whole).all()
    lengths = {len(list(ClassBalancedSampler(LABELS, rank=r, world_size=3, length=77))) for r in range(3)}
    assert lengths == {77}
    pure = [ClassBalancedSampler(LABELS, power=0.0, rank=r, world_size=2).indices(0, 555) for r in range(2)]
    assert not set(pure[0].tolist()) & set(pure[1].tolist())


@pytest.mark.parametrize("step", [0, 1, 1023, 1024, 1500])
def test_resume_gives_the_same_stream(step: int) -> None:
    whole = list(itertools.islice(ClassBalancedSampler(LABELS, rank=1, world_size=2), 2000))
    used = ClassBalancedSampler(LABELS, rank=1, world_size=2)
    assert list(itertools.islice(used, step)) == whole[:step]
    assert used.position == step
    resumed = ClassBalancedSampler(LABELS, rank=1, world_size=2)
    resumed.load_state_dict(used.state_dict())
    assert list(itertools.islice(resumed, 2000 - step)) == whole[step:]


def test_epochs_continue_the_stream() -> None:
    sampler = ClassBalancedSampler(LABELS, length=600)
    assert len(sampler) == 600
    assert list(sampler) + list(sampler) == first(1200).tolist()


def test_endless_stream_has_no_length() -> None:
    with pytest.raises(TypeError):
        len(ClassBalancedSampler(LABELS))


@pytest.mark.parametrize("changes", [{"seed": 1}, {"power": 0.2}, {"labels": LABELS[::-1]}])
def test_state_of_another_stream_is_refused(changes: dict[str, Any]) -> None:
    state = ClassBalancedSampler(LABELS).state_dict()
    with pytest.raises(PhotograftError, match="changed since the checkpoint"):
        ClassBalancedSampler(**{"labels": LABELS, **changes}).load_state_dict(state)


def test_how_often_pictures_are_drawn_is_part_of_the_stream() -> None:
    plain, often = ClassBalancedSampler(LABELS), ClassBalancedSampler(LABELS, times=1 + (LABELS > 1))
    assert ClassBalancedSampler(LABELS, times=np.ones_like(LABELS)).identity() == plain.identity()
    for one, other in ((plain, often), (often, plain)):
        with pytest.raises(PhotograftError, match="often changed since the checkpoint"):
            one.load_state_dict(other.state_dict())
    often.load_state_dict(often.state_dict())


@pytest.mark.parametrize("power", [-0.1, 1.1, float("nan")])
def test_bad_power(power: float) -> None:
    with pytest.raises(PhotograftError, match="balance is"):
        ClassBalancedSampler(LABELS, power=power)


def test_no_pictures() -> None:
    with pytest.raises(PhotograftError, match="no pictures"):
        ClassBalancedSampler(np.zeros(0, np.int64))
