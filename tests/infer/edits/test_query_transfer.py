"""Query vectors: the released code's numbers, the optimum of Eq. 5 against a solver, and edits of recorded styles."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from infer.edits.query_transfer import (
    Part,
    Query,
    check_transfers,
    damped,
    released_sequential,
    sequential,
    simultaneous,
    transfer,
)
from models.base import Generator, Layer, Modulation
from models.errors import PhotograftError, UnsupportedEdit

GOLDEN = Path(__file__).parents[2] / "golden" / "stylegan"


def arrays(name: str, file: str = "io.npz") -> dict[str, Tensor]:
    with np.load(GOLDEN / name / file) as found:
        return {key: torch.from_numpy(np.asarray(found[key])) for key in found.files}


def meta(name: str) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / name / "meta.json").read_text()))


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    return arrays("ivrl_style_interpolator")


def contributions(recorded: dict[str, Tensor], label: str) -> list[Tensor]:
    """M of one of the labels a, b, c, d, per layer."""
    count = sum(key.startswith("M.") for key in recorded)
    return [recorded[f"M.{i}"]["abcd".index(label)] for i in range(count)]


# ---------------------------------------------------------------------- the released code


@pytest.mark.parametrize("case", meta("ivrl_style_interpolator")["cases"], ids=lambda case: str(case["id"]))
def test_released_queries(recorded: dict[str, Tensor], case: dict[str, Any]) -> None:
    q = released_sequential(contributions(recorded, case["label"]), case["epsilon"], case["rho"])
    for i, layer in enumerate(q):
        assert torch.equal(layer, recorded[f"q.{case['id']}.{i}"])


def test_released_edge_cases() -> None:
    found = arrays("ivrl_style_interpolator", "edge.npz")
    compared = 0
    for key, expected in found.items():
        if not key.startswith("q."):
            continue
        name, numbers = key[2:].split(".", 1)
        rho, epsilon = edge_numbers(numbers)
        (q,) = released_sequential([found[f"M.{name}"]], epsilon, rho)
        if len(found[f"M.{name}"].unique()) < len(q) and 0 < q.sum() < len(q):
            assert q.sum() == expected.sum(), key  # which of equal channels come first is not told
        else:
            assert torch.equal(q, expected), key
        compared += 1
    assert compared > 200


def edge_numbers(text: str) -> tuple[float, float]:
    """rho and epsilon of "0.1.1e-06" or "0.5.2.5": rho is the first number with its decimals."""
    whole, decimals, epsilon = text.split(".", 2)
    return float(f"{whole}.{decimals}"), float(epsilon)


def styles(ys: dict[str, Tensor], rows: slice) -> list[Modulation]:
    """Recorded [N,2,C] (scale without its 1, shift) as modulations."""
    count = sum(key.startswith("ys.") for key in ys)
    return [Modulation(ys[f"ys.{i}"][rows, 0] + 1, ys[f"ys.{i}"][rows, 1]) for i in range(count)]


def test_released_edits_of_styles(recorded: dict[str, Tensor]) -> None:
    about, ys = meta("ivrl_stylegan1"), arrays("ivrl_stylegan1")
    edits = arrays("ivrl_stylegan1", "edits.npz")
    source, reference = styles(ys, slice(0, 1)), styles(ys, slice(1, 3))
    compared = 0
    for case in about["edit"]:
        q = released_sequential(contributions(recorded, case["label"]), case["eps"], case["rho"])
        edited = transfer(source, [Part(reference, q)])
        for i, m in enumerate(edited):
            key = f"edit.{case['k']}.ys.{i}"
            if key in edits:
                assert m.shift is not None
                expected = edits[key]
                assert torch.allclose(m.scale, expected[:, 0] + 1, atol=1e-6), key
                assert torch.allclose(m.shift, expected[:, 1], atol=1e-6), key
                compared += 1
    assert compared == 9


def test_released_mode_of_a_query(recorded: dict[str, Tensor]) -> None:
    m = contributions(recorded, "a")
    found = Query(epsilon=50, rho=0.1, released=True).of(m)
    budgets = [5.0] * 4 + [50.0] * (len(m) - 4)
    assert damped([50.0] * len(m)) == budgets
    for a, b in zip(found, released_sequential(m, budgets, 0.1), strict=True):
        assert torch.equal(a, b)
    assert damped([3.0, 8.0]) == [3.0, 5.0]


# ---------------------------------------------------------------------- Eq. 5


def solved(contributions: Tensor, epsilon: float, rho: float) -> float:
    """The best value of Eq. 5's objective by a solver of linear programs."""
    m = contributions.double().numpy()
    found = linprog(-(m - rho * (1 - m)), A_ub=(1 - m)[None], b_ub=[epsilon], bounds=(0, 1), method="highs")
    assert found.success
    return -float(found.fun)


def value(m: Tensor, q: Tensor, rho: float) -> float:
    return float((q.double() * (m.double() - rho * (1 - m.double()))).sum())


@pytest.mark.parametrize("seed", range(40))
def test_sequential_is_the_optimum(seed: int) -> None:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 30, size=3).tolist()
    epsilon, rho = float(random.uniform(0, 15)), float(random.uniform(0, 1.5))
    layers = [torch.from_numpy(random.beta(0.6, 2.0, n)).float() for n in sizes]
    joint, q = torch.cat(layers), torch.cat(sequential(layers, epsilon, rho))
    assert ((q >= 0) & (q <= 1)).all()
    assert float((q.double() * (1 - joint.double())).sum()) <= epsilon + 1e-5
    assert value(joint, q, rho) == pytest.approx(solved(joint, epsilon, rho), abs=1e-5)
    for m, own in zip(layers, sequential(layers, epsilon, rho, per_layer=True), strict=True):
        assert value(m, own, rho) == pytest.approx(solved(m, epsilon, rho), abs=1e-5)


def test_sequential_by_hand() -> None:
    m = [torch.tensor([0.2, 0.9]), torch.tensor([0.5, 0.05])]
    q = sequential(m, epsilon=0.35, rho=1 / 9)  # 0.9 costs 0.1; of 0.5, which costs 0.5, a half fits
    assert torch.allclose(torch.cat(q), torch.tensor([0, 1, 0.5, 0]), atol=1e-6)
    q = sequential(m, epsilon=100, rho=1 / 9)  # 0.05 is below rho / (1 + rho) = 0.1
    assert torch.cat(q).tolist() == [1, 1, 1, 0]
    q = sequential(m, epsilon=0.35, rho=1 / 9, per_layer=True)
    assert torch.allclose(torch.cat(q), torch.tensor([0.3125, 1, 0.7, 0]), atol=1e-6)


def test_budget_of_none_is_a_tenth_of_the_channels() -> None:
    m = [torch.rand(30), torch.rand(50)]
    assert torch.equal(torch.cat(sequential(m)), torch.cat(sequential(m, 8.0)))
    own = [sequential([layer], 0.1 * len(layer))[0] for layer in m]
    assert torch.equal(torch.cat(Query(per_layer=True).of(m)), torch.cat(own))


def test_no_budget_still_takes_what_costs_nothing() -> None:
    q = sequential([torch.tensor([1.0, 0.99, 0.0])], epsilon=0)
    assert q[0].tolist() == [1, 0, 0]


def test_more_budget_never_takes_away() -> None:
    m = [torch.rand(50), torch.rand(20)]
    steps = [torch.cat(sequential(m, e)) for e in (0.0, 0.5, 1.0, 4.0, 30.0)]
    assert all((a <= b + 1e-6).all() for a, b in pairwise(steps))


def test_simultaneous_and_global() -> None:
    m = [torch.tensor([0.1, 0.6, 1.0])]
    assert torch.allclose(simultaneous(m, 2.0)[0], torch.tensor([0.2, 1.0, 1.0]))
    assert torch.equal(Query("simultaneous", lam=2.0).of(m)[0], simultaneous(m, 2.0)[0])
    assert torch.allclose(Query("global", lam=0.3).of(m)[0], torch.full((3,), 0.3))
    assert torch.equal(Query(epsilon=0.5).of(m)[0], sequential(m, 0.5)[0])


# ---------------------------------------------------------------------- transfer


def modulations(n: int, *, shift: bool = True, spatial: int | None = None) -> list[Modulation]:
    shape = (n, 5) if spatial is None else (n, 5, spatial, spatial)
    return [Modulation(torch.randn(shape), torch.randn(shape) if shift else None) for _ in range(2)]


def test_ends_of_a_transfer() -> None:
    source, reference = modulations(3), modulations(1)
    same = transfer(source, [Part(reference, [torch.zeros(5)] * 2)], shift=True)
    whole = transfer(source, [Part(reference, [torch.ones(5)] * 2)], shift=True)
    for s, r, a, b in zip(source, reference, same, whole, strict=True):
        assert s.shift is not None and r.shift is not None and a.shift is not None and b.shift is not None  # noqa: PT018
        assert torch.equal(a.scale, s.scale)
        assert torch.equal(a.shift, s.shift)
        assert torch.allclose(b.scale, r.scale.expand(3, -1), atol=1e-6)
        assert torch.allclose(b.shift, r.shift.expand(3, -1), atol=1e-6)


def test_shift_stays_unless_asked_for() -> None:
    source, reference = modulations(1), modulations(4)
    kept = transfer(source, [Part(reference, [torch.ones(5)] * 2)])
    for s, m in zip(source, kept, strict=True):
        assert s.shift is not None
        assert m.shift is not None
        assert torch.equal(m.shift, s.shift.expand(4, -1))


def test_without_shift_as_in_stylegan2() -> None:
    source, reference = modulations(2, shift=False), modulations(2, shift=False)
    assert all(m.shift is None for m in transfer(source, [Part(reference, [torch.ones(5)] * 2)], shift=True))


def test_several_references_stay_between_the_ends() -> None:
    source, first, second = modulations(1), modulations(1), modulations(1)
    q = [torch.rand(5), torch.rand(5)]
    p = [torch.rand(5), torch.rand(5)]
    found = transfer(source, [Part(first, q), Part(second, p)])
    for i, m in enumerate(found):
        expected = (1 - p[i]) * ((1 - q[i]) * source[i].scale + q[i] * first[i].scale) + p[i] * second[i].scale
        assert torch.allclose(m.scale, expected, atol=1e-6)


def test_spatial_modulations() -> None:
    source, reference = modulations(1, spatial=4), modulations(1)
    q = [torch.rand(5), torch.rand(5)]
    found = transfer(source, [Part(reference, q)], shift=True)
    flat = transfer(
        [m.map(lambda t: t[:, :, 1, 2]) for m in source], [Part(reference, q)], shift=True
    )  # the same at one place
    for m, f in zip(found, flat, strict=True):
        assert m.shift is not None
        assert f.shift is not None
        assert torch.allclose(m.scale[:, :, 1, 2], f.scale, atol=1e-6)
        assert torch.allclose(m.shift[:, :, 1, 2], f.shift, atol=1e-6)


class _NoModulation(Generator):
    layers = (Layer("conv", 4, 8, modulated=False),)

    def modulations(self, latent: Tensor, label: Tensor | None = None) -> list[Modulation]:
        return []

    def synthesize(self, latent: Tensor, modulations: Any, tap: Any = None) -> Tensor:
        return latent


def test_refusals() -> None:
    with pytest.raises(UnsupportedEdit, match="no modulated layers"):
        check_transfers(_NoModulation())
    for bad in ({"mode": "best"}, {"epsilon": -1}, {"rho": float("nan")}, {"mode": "global", "lam": 1.5}):
        with pytest.raises(PhotograftError):
            Query(**bad)
    source = modulations(1)
    with pytest.raises(PhotograftError, match="queries"):
        transfer(source, [Part(source, [torch.ones(5)])])
    with pytest.raises(PhotograftError, match="does not fit"):
        transfer(source, [Part(source, [torch.ones(4)] * 2)])
    with pytest.raises(PhotograftError, match="for 1 layers"):
        released_sequential([torch.ones(3)], [1.0, 2.0], 0.1)
