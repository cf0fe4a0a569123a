"""Proposals of names from planted places."""

import torch
from torch import Tensor

from infer.catalog.naming import animal_shares, places, propose
from tests.infer.conftest import ellipse


def spot(x: float, y: float, radius: float, size: int = 32) -> Tensor:  # -> [size,size]
    """A soft spot, in shares of the picture."""
    at = (torch.arange(size) + 0.5) / size
    return torch.exp(-((at - x).square() + (at - y)[:, None].square()) / radius**2)


def head() -> Tensor:
    """Left eye, right eye, muzzle, forehead, chin, and the frame around everything."""
    frame = 1 - spot(0.5, 0.5, 0.4)
    parts = [spot(0.38, 0.37, 0.08), spot(0.63, 0.37, 0.08), spot(0.5, 0.58, 0.12), spot(0.5, 0.12, 0.15)]
    return torch.stack([*parts, spot(0.5, 0.9, 0.15), frame])


def test_places() -> None:
    found = places(head())
    assert [place.mirror for place in found] == [1, 0, 2, 3, 4, 5]
    assert all(place.symmetry > 0.8 for place in found)
    assert abs(found[0].x - 0.38) < 0.02
    assert abs(found[2].y - 0.58) < 0.02
    assert found[5].spread > 0.42 > found[4].spread


def test_guesses() -> None:
    expected = {"eyes": (0, 1), "muzzle": (2,), "forehead": (3,), "chin": (4,), "background": (5,)}
    assert propose(head()) == expected
    assert propose(head(), [0.9, 0.9, 1.0, 0.9, 0.2, 0.1]) == {
        "eyes": (0, 1),
        "muzzle": (2,),
        "forehead": (3,),
        "background": (4, 5),
    }


def test_every_cluster_is_named_once() -> None:
    maps = torch.rand(12, 16, 16)
    maps[3] = 0
    found = propose(maps)
    assert sorted(k for clusters in found.values() for k in clusters) == list(range(12))
    assert found["empty"] == (3,)


def test_animal_shares() -> None:
    maps = torch.zeros(2, 2, 8, 8)
    maps[:, 0, 2:6, 2:6] = 1
    maps[:, 1] = 1 - maps[:, 0]
    picture = torch.zeros(64, 64, 3, dtype=torch.uint8).numpy()
    inside, outside = animal_shares(maps, [picture, picture], ellipse)
    assert inside > 0.95
    assert outside < 0.4
