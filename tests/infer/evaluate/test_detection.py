"""Intervals hold what they should, and a classifier finds what there is to find and no more."""

import numpy as np
import pytest
from scipy.stats import binomtest

from infer.evaluate.detection import bootstrap, detectability, wilson


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (7, 20), (20, 20), (301, 1000)])
def test_wilson_is_scipys(hits: int, count: int) -> None:
    wanted = binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits, count) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_nothing_has_no_interval() -> None:
    nothing = np.zeros(0)
    assert np.isnan(wilson(0, 0)).all()
    assert np.isnan(bootstrap(nothing, nothing.astype(np.int64), np.mean)).all()


def test_bootstrap_resamples_whole_photos() -> None:
    values = np.random.default_rng(0).normal(3, 1, 200)
    alone = bootstrap(values, np.arange(200), lambda x: float(np.mean(x)))
    half = 1.96 / np.sqrt(200)
    assert alone == pytest.approx((values.mean() - half, values.mean() + half), abs=0.04)
    together = bootstrap(np.repeat(values[:50], 4), np.repeat(np.arange(50), 4), lambda x: float(np.mean(x)))
    assert together[1] - together[0] == pytest.approx(2 * 1.96 * values[:50].std() / np.sqrt(50), rel=0.15)


def test_the_same_pictures_cannot_be_told_apart() -> None:
    features = np.random.default_rng(0).normal(0, 1, (60, 40))
    found = detectability(features, features, np.arange(60))
    assert found.accuracy == 0.5
    assert found.auc == pytest.approx(0.5, abs=0.01)
    assert found.count == 60


def test_chance_is_a_half_on_average() -> None:
    random = np.random.default_rng(0)
    found = [detectability(*random.normal(0, 1, (2, 80, 40)), np.arange(80)) for _ in range(8)]
    assert abs(np.mean([one.accuracy for one in found]) - 0.5) < 0.05
    assert abs(np.mean([one.auc for one in found]) - 0.5) < 0.05
    assert all(one.accuracy_interval[0] < one.accuracy < one.accuracy_interval[1] for one in found)


def test_a_difference_is_found() -> None:
    first, second = np.random.default_rng(0).normal(0, 1, (2, 80, 40))
    shifted = second.copy()
    shifted[:, :3] += 1.5
    some = detectability(first, shifted, np.arange(80))
    assert 0.7 < some.accuracy < 0.98
    assert some.auc > some.accuracy
    assert some.auc_interval[0] < some.auc < some.auc_interval[1]
    assert detectability(first, second + 5, np.arange(80)).accuracy == 1


def test_a_photo_that_is_there_several_times_is_not_learned_by_heart() -> None:
    """Each photo has a look of its own, and its edits another: seen in training, they would be recognised."""
    random = np.random.default_rng(0)
    looks = random.normal(0, 1, (20, 2, 60)).repeat(6, axis=0) + random.normal(0, 0.05, (120, 2, 60))
    first, second = looks[:, 0], looks[:, 1]
    assert detectability(first, second, np.arange(120)).accuracy > 0.95  # every edit taken for a photo of its own
    assert abs(detectability(first, second, np.arange(20).repeat(6)).accuracy - 0.5) < 0.2


def test_few_photos_tell_nothing() -> None:
    few = np.zeros((9, 4))
    assert np.isnan(detectability(few, few, np.arange(9)).accuracy)
