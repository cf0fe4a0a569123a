"""Spherical k-means against exact Lloyd on recorded data, and what it must hold on any data."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from infer.catalog import kmeans
from infer.catalog.kmeans import assign, seed_centres, spherical_kmeans
from models.errors import PhotograftError


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    path = Path(__file__).parents[2] / "golden" / "stylegan" / "ivrl_kmeans" / "io.npz"
    with np.load(path) as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files}


def blobs(n: int = 600, k: int = 5, channels: int = 12) -> tuple[Tensor, Tensor]:
    """Rows of any length around k directions, and which."""
    directions = F.normalize(torch.randn(k, channels), dim=1)
    which = torch.arange(n) % k
    return (directions[which] + 0.05 * torch.randn(n, channels)) * (0.1 + 5 * torch.rand(n, 1)), which


def inertia_of(x: Tensor, centres: Tensor) -> float:
    """The objective in another way: squared Euclidean distances of unit rows."""
    unit = F.normalize(x.double(), dim=1)
    return float(torch.cdist(unit, centres.double()).square().min(1).values.sum())


@pytest.mark.parametrize("prefix", ["", "hard_"])
def test_lloyd_from_given_centres_is_the_recorded_one(recorded: dict[str, Tensor], prefix: str) -> None:
    x, init = recorded[f"{prefix}X"], recorded[f"{prefix}init"]
    found = spherical_kmeans(x, len(init), init=init, tolerance=0)
    assert torch.equal(found.labels.int(), recorded[f"{prefix}lloyd_labels"])
    assert torch.allclose(found.centres, recorded[f"{prefix}lloyd_centers"], atol=1e-5)
    assert found.inertia == pytest.approx(float(recorded[f"{prefix}lloyd_inertia"]), rel=1e-5)


@pytest.mark.parametrize("prefix", ["", "hard_"])
def test_no_worse_than_the_released_code(recorded: dict[str, Tensor], prefix: str) -> None:
    x, k = recorded[f"{prefix}X"], len(recorded[f"{prefix}init"])
    found = spherical_kmeans(x, k, tolerance=0)
    assert found.inertia <= float(recorded[f"{prefix}inertia"])
    assert found.inertia <= 1.01 * float(recorded[f"{prefix}lloyd_inertia"])


def test_prediction_is_the_recorded_one(recorded: dict[str, Tensor]) -> None:
    assert torch.equal(assign(3.7 * recorded["X"], recorded["centers"]).int(), recorded["predict_scaled"])


def test_what_is_reported_belongs_together() -> None:
    x = torch.randn(3000, 16)
    found = spherical_kmeans(x, 7)
    assert torch.equal(found.labels, assign(x, found.centres))
    assert found.inertia == pytest.approx(inertia_of(x, found.centres), rel=1e-5)
    assert torch.allclose(found.centres.norm(dim=1), torch.ones(7))


def test_clusters_are_found_whatever_the_lengths_of_rows() -> None:
    x, which = blobs()
    found = spherical_kmeans(x, 5)
    assert all(len(found.labels[which == k].unique()) == 1 for k in range(5))
    assert len(found.labels.unique()) == 5


def test_tolerance_is_a_share_of_the_inertia() -> None:
    x = torch.randn(4000, 24)
    loose, exact = (spherical_kmeans(x, 8, init=x[:8], tolerance=t) for t in (5e-4, 0.0))
    assert loose.iterations < exact.iterations
    assert exact.inertia < loose.inertia < 1.02 * exact.inertia


def test_more_restarts_are_no_worse() -> None:
    x, _ = blobs(k=12, n=1200)
    few, many = (spherical_kmeans(x, 12, restarts=r, tolerance=0).inertia for r in (1, 16))
    assert many <= few


def test_seed_decides() -> None:
    x = torch.randn(9000, 8)  # more than the part on which restarts compete
    first, again, other = (spherical_kmeans(x, 6, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.labels, again.labels)
    assert torch.equal(first.centres, again.centres)
    assert not torch.equal(first.centres, other.centres)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(500, 8)
    whole = spherical_kmeans(x, 4, init=x[:4], tolerance=0)
    monkeypatch.setattr(kmeans, "CHUNK", 37)
    parts = spherical_kmeans(x, 4, init=x[:4], tolerance=0)
    assert torch.equal(whole.labels, parts.labels)
    assert whole.inertia == pytest.approx(parts.inertia, rel=1e-6)


def test_half_precision_rows() -> None:
    x, which = blobs()
    found = spherical_kmeans(x.half(), 5)
    assert found.centres.dtype == torch.float32
    assert all(len(found.labels[which == k].unique()) == 1 for k in range(5))


def test_empty_clusters_start_again() -> None:
    which = torch.arange(600) % 5
    x = torch.eye(12)[which] + 0.5 + 0.02 * torch.randn(600, 12)  # every cosine is positive: nothing is near to a zero
    centres = F.normalize(torch.stack([x[which == k].sum(0) for k in range(5)]), dim=1)
    init = torch.stack([*centres[:4], -centres[0]])  # the last is one that no row is near to
    found = spherical_kmeans(x, 5, init=init, tolerance=0)
    assert len(found.labels.unique()) == 5
    assert found.inertia < 1.01 * inertia_of(x, centres)


def test_fewer_directions_than_clusters() -> None:
    x = torch.eye(3).repeat(10, 1)
    found = spherical_kmeans(x, 5, tolerance=0)
    assert found.inertia == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(found.centres).all()


def test_zero_rows_count_for_nothing() -> None:
    x, _ = blobs()
    with_zeros = torch.cat([x, torch.zeros(50, x.shape[1])])
    plain, more = (spherical_kmeans(rows, 5, init=x[:5], tolerance=0) for rows in (x, with_zeros))
    assert torch.allclose(plain.centres, more.centres, atol=1e-6)
    assert plain.inertia == pytest.approx(more.inertia, rel=1e-5)


def test_mini_batches_come_near_to_lloyd() -> None:
    x, _ = blobs(n=6000)
    lloyd, batches = spherical_kmeans(x, 5), spherical_kmeans(x, 5, batch=500)
    assert batches.iterations == 1
    assert batches.inertia < 1.02 * lloyd.inertia
    assert torch.equal(batches.labels, assign(x, batches.centres))


def test_seeding_prefers_what_is_far() -> None:
    near = F.normalize(torch.tensor([[1.0, 0.0]]) + 0.001 * torch.randn(999, 2), dim=1)
    unit = torch.cat([near, torch.tensor([[-1.0, 0.0]])])
    centres = seed_centres(unit, 2, 20, torch.Generator().manual_seed(0))
    assert ((centres[..., 0] < 0).sum(1) == 1).float().mean() > 0.9


@pytest.mark.parametrize(("k", "init"), [(0, None), (11, None), (2, torch.zeros(3, 4))])
def test_refusals(k: int, init: Tensor | None) -> None:
    with pytest.raises(PhotograftError, match=r"clusters|centres"):
        spherical_kmeans(torch.randn(10, 4), k, init=init)
