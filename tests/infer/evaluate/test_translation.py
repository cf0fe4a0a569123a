"""Translations: right classes are asked for, errors and overlaps are counted, the report is whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from infer.cli.main import main
from infer.editor.results import ResultFolder
from infer.evaluate import reconstruction, translation
from infer.evaluate.curves import validation_photos
from infer.evaluate.translation import draw_in_group, draw_targets, evaluate_translation, overlap
from infer.evaluate.translation_report import pair_rows, summary_rows, write_translation
from infer.projection.options import ProjectionOptions
from infer.projection.settling import CLASS_WEIGHT, SHAPE_WEIGHT, SettlingTarget
from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError
from models.perception.judges import to_uint8
from models.prepared import Networks
from models.zoo import Model, load_model
from tests.infer.projection.helpers import exact


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny))


def test_targets_are_other_classes_and_follow_the_distribution(model: Model) -> None:
    label = torch.arange(4).repeat(500)
    targets = draw_targets(model, label, 3, seed=0)
    assert targets.shape == (2000, 3)
    assert not bool((targets == label[:, None]).any())
    assert torch.equal(targets, draw_targets(model, label, 3, seed=0))
    assert not torch.equal(targets, draw_targets(model, label, 3, seed=1))
    shares = torch.bincount(targets[label == 0].flatten(), minlength=4) / 1500
    wanted = torch.tensor(model.distribution)
    torch.testing.assert_close(shares[1:], wanted[1:] / wanted[1:].sum(), atol=0.05, rtol=0)


def test_targets_in_a_group_are_in_it_and_not_the_own_class() -> None:
    groups = torch.tensor([1, 1, 2, 0])
    assert set(draw_in_group(groups, torch.tensor([2, 3] * 20), 1, seed=0).tolist()) == {0, 1}
    assert draw_in_group(groups, torch.tensor([0, 1, 0]), 1, seed=0).tolist() == [1, 0, 1]
    assert draw_in_group(groups, torch.tensor([2]), 2, seed=0).tolist() == [-1]  # the only one of its group


def bright(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A segmenter: what is bright is the animal."""
    return (pixels.mean(axis=2) > 128).astype(np.float32)


def test_overlap_is_intersection_over_union() -> None:
    first, second = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    assert np.isnan(overlap(bright, first, second))
    first[:, :, :4] = second[:, :, 2:6] = 255
    assert overlap(bright, first, second) == pytest.approx(2 / 6)
    assert overlap(bright, first, first) == 1.0
    assert overlap(bright, first, torch.zeros_like(first)) == 0.0


def test_report_of_a_random_model(
    model: Model, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "create_segmenter", lambda **_: bright)
    report = evaluate_translation(exact(model), pictures, photos=12, steps=(0, 1), translations=48, real=60, masks=3)
    assert (report.photos, report.translations, report.real) == (12, 48, 60)
    assert [found.steps for found in report.found] == [0, 1]
    pairs = {(p.source, p.target): p for p in report.found[0].pairs}
    assert ("cat", "cat") in pairs
    assert ("dog", "dog") not in pairs  # it has one class
    assert pairs["cat", "big cat"].photos == 6
    assert all(0 <= value <= 1 for p in pairs.values() for value in (p.error, p.real, p.unchanged))
    assert report.found[0].frechet > report.floor
    assert len(report.found[0].overlap) == 3
    written = write_translation(report, model, "data", ResultFolder(tmp_path))
    assert [path.name for path in written] == [
        f"tiny_translation{end}" for end in (".md", ".csv", "_classes.csv", "_0.png", "_1.png")
    ]
    assert all(path.stat().st_size for path in written)
    text = written[0].read_text()
    assert next(iter(model.hashes.values()))[:12] in text
    assert f"{report.found[1].frechet:.1f}" in text
    assert "settling weighs" not in text
    settled = replace(report, found=[replace(report.found[1], settling=3)])
    text = write_translation(settled, model, "data", ResultFolder(tmp_path))[0].read_text()
    assert f"settling weighs outline {SHAPE_WEIGHT:g} and class {CLASS_WEIGHT:g}" in text
    assert len(pair_rows(report)) == 1 + sum(len(found.pairs) for found in report.found)
    assert len(summary_rows(report)) == 3


def test_pairs_into_some_groups(model: Model, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "create_segmenter", lambda **_: bright)
    options = {"photos": 12, "steps": (0,), "translations": 12, "real": 40, "masks": 1}
    everything = evaluate_translation(exact(model), pictures, **options).found[0].pairs  # type: ignore[arg-type]
    some = evaluate_translation(exact(model), pictures, **options, into=["big cat"]).found[0].pairs  # type: ignore[arg-type]
    assert some == [pair for pair in everything if pair.target == "big cat"]
    assert some
    with pytest.raises(PhotograftError, match=r"\['bird'\].*big cat"):
        evaluate_translation(exact(model), pictures, **options, into=["bird"])  # type: ignore[arg-type]


def test_translations_after_projection_are_settled(
    model: Model, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "create_segmenter", lambda **_: bright)
    network = ProjectedDiscriminator(4, model.generator.resolution, mixed_channels=4, head_channels=4)
    network.outline.last.weight.normal_()
    reading = replace(model, projected=network.freeze())
    asked: list[tuple[torch.Tensor, torch.Tensor, int]] = []

    def settle(
        networks: Networks, latent: torch.Tensor, wanted: SettlingTarget, show: object, *, steps: int
    ) -> torch.Tensor:
        asked.append((wanted.outline, wanted.classes, steps))
        return torch.zeros_like(latent)

    monkeypatch.setattr(translation, "settle", settle)
    options = {"photos": 12, "steps": (0, 1), "translations": 24, "real": 40, "masks": 1, "settling": 3}
    report = evaluate_translation(exact(reading), pictures, **options)  # type: ignore[arg-type]
    assert [found.settling for found in report.found] == [0, 3]
    counts = [len(outline) for outline, _, _ in asked]
    pairs, on_sheet = sum(pair.photos for pair in report.found[1].pairs), 12 * translation.SHEET_TARGETS
    assert sum(counts) == 24 + pairs + on_sheet
    assert all(steps == 3 and bool((classes.sum(1) == 1).all()) for _, classes, steps in asked)
    sheet = report.found[1].sheet  # of settled codes: all zero here
    with torch.no_grad():
        shown = model.generator(torch.zeros(60, model.generator.latent_dim), sheet.targets.flatten())
    assert int((sheet.translations.flatten(0, 1).int() - to_uint8(shown).int()).abs().max()) <= 1
    photos = to_uint8(validation_photos(pictures, exact(model), 12, 1, encode=False).target)
    share = torch.tensor([float(bright(p.permute(1, 2, 0).numpy()).mean()) for p in photos])
    assert torch.allclose(asked[0][0].mean((1, 2)), share.repeat_interleave(2)[: counts[0]], atol=1e-5)
    assert evaluate_translation(exact(model), pictures, **options).found[1].settling == 0  # type: ignore[arg-type]


def test_photos_left_as_they_are_keep_their_class_and_their_place(
    model: Model, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a generator that gives the photos back, nothing becomes the target and every animal stays where it was."""
    monkeypatch.setattr(translation, "create_segmenter", lambda **_: bright)
    seen: list[torch.Tensor] = []
    make = translation.Translator.make

    def give_back(self: translation.Translator, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        seen.append(make(self, z, label))
        codes = self.model_codes  # type: ignore[attr-defined]
        nearest = torch.cdist(z, codes).argmin(1)
        return self.pictures[nearest]

    find = translation.find_codes

    def find_and_keep(*args: object, **options: object) -> torch.Tensor:
        z = find(*args, **options)  # type: ignore[arg-type]
        translation.Translator.model_codes = z  # type: ignore[attr-defined]
        return z

    monkeypatch.setattr(translation, "find_codes", find_and_keep)
    monkeypatch.setattr(translation.Translator, "make", give_back)
    found = evaluate_translation(
        exact(model), pictures, photos=12, steps=[0], translations=12, real=40, masks=12
    ).found[0]
    assert all(pair.error == pair.unchanged for pair in found.pairs)
    seen_iou = found.overlap[~found.overlap.isnan()]
    assert len(seen_iou)
    assert bool((seen_iou == 1).all())
    assert found.reconstruction == pytest.approx(0, abs=1e-3)
    monkeypatch.undo()
    del translation.Translator.model_codes  # type: ignore[attr-defined]


def test_command_and_its_errors(
    tiny: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "create_segmenter", lambda **_: bright)
    command = ["evaluate", "translation", str(tiny), "--data", str(pictures), "--out", str(tmp_path)]
    assert main([*command, "--photos", "4", "--steps", "0", "--translations", "8", "--real", "40", "--masks", "1"]) == 0
    assert "tiny_translation_0.png" in capsys.readouterr().out
    monkeypatch.setattr("models.processor.computes_bfloat16", lambda: False)
    few = ["--photos", "4", "--steps", "0", "--translations", "8", "--real", "40", "--masks", "1", "--settle", "0"]
    assert main([*command, *few, "--bf16"]) == 0
    assert "leave --bf16 out" in capsys.readouterr().err
    assert main([*command, "--steps", "x"]) == 2
    assert "--steps" in capsys.readouterr().err


def test_encoder_is_needed_for_zero_updates(model: Model, pictures: Path) -> None:
    with pytest.raises(PhotograftError, match="no encoder"):
        evaluate_translation(exact(replace(model, encoder=None)), pictures, steps=[0])


def test_latents_are_not_searched_again(
    model: Model, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "create_segmenter", lambda **_: bright)
    network = ProjectedDiscriminator(4, model.generator.resolution, mixed_channels=4, head_channels=4)
    network.outline.last.weight.normal_()
    reading = replace(model, projected=network.freeze())
    options = {"photos": 8, "steps": (0, 1), "translations": 8, "real": 40, "masks": 1, "settling": 1}
    options["folder"] = tmp_path / "kept"
    first = evaluate_translation(exact(reading), pictures, **options)  # type: ignore[arg-type]
    searched: list[int] = []

    def project_pictures(
        networks: Networks, target: torch.Tensor, names: list[str], *, options: ProjectionOptions, **_: object
    ) -> list[object]:
        searched.append(options.steps or 0)
        return original(networks, target, names, options=options)  # type: ignore[return-value]

    original = reconstruction.project_pictures
    monkeypatch.setattr(reconstruction, "project_pictures", project_pictures)
    monkeypatch.setattr(translation, "settle", None)
    again = evaluate_translation(exact(reading), pictures, **options)  # type: ignore[arg-type]
    assert set(searched) == {0}  # E alone
    assert [found.frechet for found in again.found] == [found.frechet for found in first.found]
    assert torch.equal(again.found[1].sheet.translations, first.found[1].sheet.translations)
    with pytest.raises(TypeError):
        evaluate_translation(exact(reading), pictures, **options | {"settling": 2})  # type: ignore[arg-type]
