"""The measurements: what is timed is what is named, and the tables hold it."""

import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from infer.evaluate import speed as module
from infer.evaluate.speed import (
    PAPER_AUXILIARY,
    StyleTiming,
    Timing,
    bench,
    measure,
    measure_overhead,
    measure_presets,
    measure_styles,
)
from infer.projection.presets import PRESETS
from models.auxiliary import AuxiliaryNetworks
from models.zoo import load_model

SMALL: dict[str, object] = {"ch": 2, "layouts": ("resnet_32", "snresnet_64"), "num_classes": 3, "repeats": 5}


def test_iteration_is_more_than_a_forward() -> None:
    timing = measure(**SMALL)  # type: ignore[arg-type]
    assert 0 < timing.forward < timing.iteration
    assert timing.forwards > 1


def test_share_of_b_grows_with_it() -> None:
    small = measure_overhead(AuxiliaryNetworks(16, zeta_dim=32, hidden_a=8, hidden_b=8), **SMALL)  # type: ignore[arg-type]
    paper = measure_overhead(AuxiliaryNetworks(**PAPER_AUXILIARY), **SMALL)  # type: ignore[arg-type]
    assert paper.auxiliary > 3 * small.auxiliary
    assert paper.share == pytest.approx(paper.auxiliary / paper.z)


def test_styles_are_timed() -> None:
    small = measure_styles(rows=256, row_channels=8, clusters=2, channels=(8, 8), repeats=5)
    large = measure_styles(rows=4096, row_channels=64, clusters=40, channels=(64, 64, 64, 64), repeats=5)
    assert large.catalog > small.catalog
    assert large.image > small.image
    assert StyleTiming(9, 9, 1.2).passed
    assert not StyleTiming(0, 0, 1.21).passed
    assert Timing(1, 4, 4).passed
    assert not Timing(1, 1, 4.01).passed


def test_presets_take_ever_longer(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "balanced", dataclasses.replace(PRESETS["balanced"], steps=5))
    monkeypatch.setitem(PRESETS, "best", dataclasses.replace(PRESETS["best"], steps=60, tuning=5))
    times = measure_presets(load_model(str(tiny)))
    assert times["fast"][0] < times["balanced"][0] < times["best"][0]
    assert times["fast"][1] < times["balanced"][1]


def test_tables(tiny_zeta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(str(tiny_zeta))
    monkeypatch.setattr(module, "load_model", lambda name: model)
    styles = {"rows": 64, "row_channels": 4, "clusters": 2, "channels": (8, 8), "repeats": 1}
    for name in ("measure", "measure_overhead", "measure_styles"):
        small_options = styles if name == "measure_styles" else SMALL
        whole = getattr(module, name)

        def small(
            *arguments: object, whole: object = whole, less: dict[str, object] = small_options, **options: object
        ) -> object:
            return whole(*arguments, **(options | less))  # type: ignore[operator]

        monkeypatch.setattr(module, name, small)
    monkeypatch.setattr(module, "measure_presets", lambda model, device: dict.fromkeys(PRESETS, (0.5, 0.75)))
    console = Console(width=160, record=True, quiet=False)
    timings = bench(repeats=1, console=console)
    text = console.export_text()
    assert len(timings) == 3
    for words in ("128-1000-10000-1000-128", "8-20-40-20-8", "of tiny", "StyleGAN2 at 256 px", *PRESETS, "0.750 s"):
        assert words in text
