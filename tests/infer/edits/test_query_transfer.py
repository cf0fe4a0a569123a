"""Queries: the released code's numbers, Eq. 5 against a linear program, and what a transfer leaves alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from infer.edits.query_transfer import (
    Transfer,
    global_query,
    released_query,
    sequential_query,
    simultaneous_query,
    transfer,
)
from models.base import Generator, Layer, Modulation, Tap
from models.errors import PhotograftError, UnsupportedEdit
from models.generators.sngan import SNGANGenerator

FOLDER = Path(__file__).parents[2] / "golden" / "stylegan" / "ivrl_style_interpolator"
META: dict[str, Any] = json.loads((FOLDER / "meta.json").read_text())


def random_contribution(seed: int, widths: tuple[int, ...] = (5, 7, 3)) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.rand(width, generator=random) ** 2 for width in widths]


# --- the released code ---


@pytest.mark.parametrize("case", META["cases"], ids=lambda case: str(case["id"]))
def test_released_queries(case: dict[str, Any]) -> None:
    with np.load(FOLDER / "io.npz") as io:
        row = "abcd".index(case["label"])
        layers = sorted(int(key[2:]) for key in io.files if key.startswith("M."))
        found = released_query([torch.from_numpy(io[f"M.{i}"][row]) for i in layers], case["epsilon"], case["rho"])
        for i, q in zip(layers, found, strict=True):
            assert q.tolist() == io[f"q.{case['id']}.{i}"].tolist()


def test_released_edge_cases() -> None:
    compared = 0
    with np.load(FOLDER / "edge.npz") as edge:
        for key in (key for key in edge.files if key.startswith("q.")):
            _, name, rho_epsilon = key.split(".", 2)
            rho, epsilon = _two_numbers(rho_epsilon)
            (q,) = released_query([torch.from_numpy(edge[f"M.{name}"])], epsilon, rho)
            expected = edge[key]
            if name in ("ties", "all_zero", "all_one"):  # which of the equal ones, an unstable sort decides
                q, expected = q.sort().values, np.sort(expected)
            assert q.tolist() == expected.tolist(), key
            compared += 1
    assert compared > 200


def _two_numbers(text: str) -> tuple[float, float]:
    """'0.1.1e-06' -> 0.1, 1e-06: rho has one digit after its point."""
    return float(text[:3]), float(text[4:])


def test_released_settings_per_layer() -> None:
    m = random_contribution(0)
    damped = released_query(m, [0.0, 2.0, 2.0], [0.1, 0.0, 0.5])
    assert damped[0].sum() == 0
    assert torch.equal(damped[1], released_query(m, 2.0)[1])
    assert torch.equal(damped[2], released_query(m, 2.0, 0.5)[2])
    with pytest.raises(PhotograftError, match="one value"):
        released_query(m, [1.0, 2.0])


# --- the paper ---


@pytest.mark.parametrize("seed", range(12))
def test_sequential_is_the_optimum(seed: int) -> None:
    m = random_contribution(seed)
    random = np.random.default_rng(seed)
    epsilon, rho = float(random.uniform(0, 8)), float(random.choice([0, 0.05, 0.3, 1.0]))
    flat = torch.cat(m).double().numpy()
    value, cost = flat - rho * (1 - flat), 1 - flat
    best = linprog(-value, A_ub=cost[None], b_ub=[epsilon], bounds=(0, 1))
    found = torch.cat(sequential_query(m, epsilon, rho)).double().numpy()
    assert found @ cost <= epsilon + 1e-6
    assert found @ value == pytest.approx(-best.fun, abs=1e-5)
    assert ((found > 0) & (found < 1)).sum() <= 1  # only the last channel is a part


def test_sequential_at_its_ends() -> None:
    m = random_contribution(3)
    assert all(not q.any() for q in sequential_query(m, 0.0))
    assert all(bool((q == 1).all()) for q in sequential_query(m, float("inf")))
    thresholded = sequential_query(m, float("inf"), rho=0.5)
    assert all(torch.equal(q, (one > 1 / 3).float()) for q, one in zip(thresholded, m, strict=True))
    free = sequential_query([torch.tensor([1.0, 0.2, 1.0])], 0.0)
    assert free[0].tolist() == [1, 0, 1]  # what acts nowhere else costs nothing


def test_simultaneous_and_global() -> None:
    m = [torch.tensor([0.0, 0.1, 0.5])]
    assert simultaneous_query(m, 3.0)[0].tolist() == pytest.approx([0, 0.3, 1])
    assert global_query(m, 0.3)[0].tolist() == pytest.approx([0.3] * 3)
    for bad in (-1.0, float("nan"), 1.5):
        with pytest.raises(PhotograftError, match="lambda"):
            global_query(m, bad)
    for epsilon, rho in ((-1.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(PhotograftError, match="0 or more"):
            sequential_query(m, epsilon, rho)
    with pytest.raises(PhotograftError, match=r"\[0,1\]"):
        sequential_query([torch.tensor([1.2])], 1.0)


# --- transfer ---


@pytest.fixture(scope="module")
def generator() -> SNGANGenerator:
    torch.manual_seed(0)
    network = SNGANGenerator([8, 6, 4], 5, 3)
    for layer in network.modulated_layers:
        norm: Any = network.get_submodule(layer.name)
        torch.nn.init.normal_(norm.gamma)
        torch.nn.init.normal_(norm.beta)
    return network.freeze()


def of_class(generator: Generator, label: int) -> list[Modulation]:
    return generator.modulations(torch.zeros(2, 5), torch.full((2,), label))


def queries(generator: Generator, value: float) -> list[Tensor]:
    return [torch.full((layer.channels,), value) for layer in generator.modulated_layers]


def test_transfer_goes_from_source_to_reference(generator: SNGANGenerator) -> None:
    source, reference = of_class(generator, 0), of_class(generator, 1)
    for q, end in ((0.0, source), (1.0, reference)):
        mixed = transfer(generator, source, [Transfer(reference, queries(generator, q))], shift=True)
        for m, e in zip(mixed, end, strict=True):
            torch.testing.assert_close(m.scale, e.scale)
            torch.testing.assert_close(m.shift, e.shift)
    scales_only = transfer(generator, source, [Transfer(reference, queries(generator, 1.0))])
    for m, s, r in zip(scales_only, source, reference, strict=True):
        torch.testing.assert_close(m.scale, r.scale)
        assert m.shift is s.shift


def test_channels_that_are_closed_stay(generator: SNGANGenerator) -> None:
    source, reference = of_class(generator, 0), of_class(generator, 1)
    q = queries(generator, 0.0)
    q[1][2] = 0.25
    mixed = transfer(generator, source, [Transfer(reference, q)])
    changed = [(i, c) for i, (m, s) in enumerate(zip(mixed, source, strict=True)) for c in _differing(m, s)]
    assert changed == [(1, 2)]
    expected = 0.75 * source[1].scale[:, 2] + 0.25 * reference[1].scale[:, 2]
    torch.testing.assert_close(mixed[1].scale[:, 2], expected)


def _differing(first: Modulation, second: Modulation) -> list[int]:
    return [int(c) for c in (first.scale != second.scale).any(0).nonzero()[:, 0]]


def test_several_references_share_a_channel(generator: SNGANGenerator) -> None:
    source, first, second = (of_class(generator, k) for k in range(3))
    both = [Transfer(first, queries(generator, 1.0)), Transfer(second, queries(generator, 1.0))]
    for m, a, b in zip(transfer(generator, source, both), first, second, strict=True):
        torch.testing.assert_close(m.scale, (a.scale + b.scale) / 2)
    parts = [Transfer(first, queries(generator, 0.25)), Transfer(second, queries(generator, 0.5))]
    for m, s, a, b in zip(transfer(generator, source, parts), source, first, second, strict=True):
        torch.testing.assert_close(m.scale, 0.25 * s.scale + 0.25 * a.scale + 0.5 * b.scale)


def test_spatial_sources_are_mixed_everywhere(generator: SNGANGenerator) -> None:
    source, reference = of_class(generator, 0), of_class(generator, 1)
    sizes = [layer.resolution for layer in generator.modulated_layers]
    spatial = [
        Modulation(*(t[:, :, None, None].expand(-1, -1, r, r) for t in (m.scale, m.shift) if t is not None))
        for m, r in zip(source, sizes, strict=True)
    ]
    share = [Transfer(reference, queries(generator, 0.5))]
    for m, flat in zip(transfer(generator, spatial, share), transfer(generator, source, share), strict=True):
        torch.testing.assert_close(m.scale, flat.scale[:, :, None, None].expand_as(m.scale))


def test_what_does_not_fit_is_refused(generator: SNGANGenerator) -> None:
    source = of_class(generator, 0)
    with pytest.raises(PhotograftError, match="do not fit"):
        transfer(generator, source, [Transfer(source, [q[:-1] for q in queries(generator, 1.0)])])

    class Plain(SNGANGenerator):
        """Without a place for a modulation."""

        layers = (Layer("linear", 4, 8, modulated=False),)

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

        def synthesize(self, latent: Tensor, modulations: Any, tap: Tap | None = None) -> Tensor:
            raise AssertionError

    with pytest.raises(UnsupportedEdit, match="no modulations"):
        transfer(Plain(), [], [])
