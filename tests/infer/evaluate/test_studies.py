"""Studies of the papers' figures: each on a small model, its table against what must hold, and the files it writes."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from infer.catalog.catalog import Catalog, build_catalog
from infer.cli.main import main
from infer.editor.results import ResultFolder
from infer.edits.scbn import Region, class_modulations
from infer.evaluate.choices import STUDIES
from infer.evaluate.studies import class_studies
from infer.evaluate.studies.measures import Measured, lab_distance
from infer.evaluate.studies.photo_studies import FRAMES
from infer.evaluate.studies.report import RUNS, run_studies
from infer.evaluate.studies.setting import Found, Setting, StudyJudge, halves, pairs, region
from infer.evaluate.studies.sheets import captioned, outlined
from infer.photo.photo import Photo
from models.errors import PhotograftError, UnsupportedEdit
from models.files import save_network
from models.generators.sngan import SNGANGenerator
from models.prepared import Networks
from models.zoo import Model, load_model
from tests.infer.conftest import CAT, ellipse
from tests.infer.tiny_model import CLASSES, RESOLUTION
from tests.infer.tiny_styles import write_catalog, write_style_model
from tests.refusals import refused

Capture = pytest.CaptureFixture[str]
Make = Callable[..., Setting]
Table = dict[str, dict[str, float]]
COUNT = 20  # samples: enough for a Fréchet distance to be given


@pytest.fixture(autouse=True)
def quick_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infer.editor.session._network", lambda name, device: ellipse)


@pytest.fixture(scope="module")
def judge(tiny: Path) -> StudyJudge:
    return StudyJudge(Networks.of(load_model(str(tiny)), "cpu"))


@pytest.fixture(scope="module")
def make(tiny: Path, judge: StudyJudge) -> Make:
    def setting(model: Model | None = None, catalog: Catalog | None = None, **changes: object) -> Setting:
        networks = Networks.of(model or load_model(str(tiny)), "cpu")

        def opened() -> Catalog:
            assert catalog is not None
            return catalog

        made = Setting(networks, judge, COUNT, 2, 0, 1.0, Photo(None, CAT, "PNG"), "balanced", 1, "lion", opened)
        return replace(made, **changes)  # type: ignore[arg-type]

    return setting


def table(found: Found, keys: int = 1) -> Table:
    """The rows by what their first cells say; empty cells are NaN."""
    header, *rows = found.rows
    return {
        " ".join(row[:keys]): {
            n: float(v) if v else float("nan") for n, v in zip(header[keys:], row[keys:], strict=True)
        }
        for row in rows
    }


# ---------------------------------------------------------------------- samples and measures


def test_every_study_is_named_and_run() -> None:
    assert list(STUDIES) == list(RUNS)


def test_targets_are_others_than_the_samples_own(make: Make) -> None:
    seen = set()
    for pair in pairs(make(pictures=40), ""):
        assert pair.samples.label is not None
        assert pair.others.label is not None
        assert torch.equal(pair.samples.label, pair.others.label)
        assert not (pair.targets == pair.samples.label).any()
        assert (pair.targets[0] != pair.targets[1]).all()
        assert not torch.equal(pair.samples.latent, pair.others.latent)
        seen |= set(pair.targets.flatten().tolist())
    assert seen == set(range(len(CLASSES)))
    (first, *_), (again, *_) = (list(pairs(make(), "")) for _ in range(2))
    assert torch.equal(first.image, again.image)
    own = torch.cat([p.others.label == p.samples.label for p in pairs(make(), "", same_class=False)])  # type: ignore[operator, misc]
    assert not own.all()


def test_the_region_and_its_halves() -> None:
    mask = region(64)
    assert 0.25 < float(mask.mean()) < 0.4
    left, right = halves(mask)
    assert torch.equal(left + right, mask)
    assert float(left[:, 32:].sum() + right[:, :32].sum()) == 0


def test_measures_of_pictures_that_are_known() -> None:
    """White where there was black: a CIELAB distance of 100, in the region alone."""
    mask = torch.zeros(32, 32)
    mask[8:24, 8:24] = 1
    before = -torch.ones(1, 3, 32, 32)
    after = torch.where(mask > 0.5, 1.0, before)
    found = Measured()
    found.add(after, before, mask, wanted=after)
    assert found.inside == pytest.approx([100], abs=0.1)
    assert found.outside == [0]
    assert found.wanted == [0]
    assert found.seam[0] > 10
    assert found.coarse[0] == pytest.approx(4 * 0.25)
    assert lab_distance(after[0], before[0]).max() == pytest.approx(100, abs=0.1)
    still = Measured()
    still.add(before, before, mask)
    assert (still.inside, still.coarse, still.fine, still.seam) == ([0], [0], [0], [1])
    stripes = before + 0.5 * (torch.arange(32) % 2 * 2 - 1)  # finer than 16 px
    still.add(stripes, before, mask)
    assert still.fine[1] == pytest.approx(0.25)
    assert still.coarse[1] == pytest.approx(0, abs=1e-9)
    assert still.cells("inside", "target")[1] == "", "nobody judged"
    assert still.distance(torch.zeros(100, 4)) == "", "too few"


def test_judges(make: Make, judge: StudyJudge, pictures: Path) -> None:
    images = torch.full((2, 3, RESOLUTION, RESOLUTION), -0.9)
    assert judge.of_class(images, torch.tensor([0, 1])).isnan().all()
    probe = StudyJudge(make().networks, pictures, real=40)
    likely = probe.probabilities(images)
    assert torch.allclose(likely.sum(1), torch.ones(2))
    files = [pictures / "val" / name / "0.png" for name in CLASSES]
    real = torch.stack([torch.from_numpy(np.asarray(Image.open(file)).copy()) for file in files])
    known = probe.probabilities(real.permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert known.argmax(1).tolist() == [0, 1, 2, 3], "colours of their own"
    assert torch.equal(probe.of_class(images, torch.tensor([2, 0])), likely[[0, 1], [2, 0]])
    assert "SqueezeNet" in probe.name


# ---------------------------------------------------------------------- studies on samples


def test_strength_grows_from_nothing(make: Make) -> None:
    found = class_studies.strength(make())
    rows = table(found)
    inside = [rows[way]["inside"] for way in ("0%", "25%", "50%", "75%", "100%")]
    assert inside[0] < 0.01 < inside[1]
    assert inside == sorted(inside)
    assert found.sheet.shape[0] > 2 * RESOLUTION
    assert all(row["outside"] <= row["inside"] for row in rows.values())


def test_layers_are_the_first_and_the_rest(make: Make) -> None:
    setting = make()
    pair = next(iter(pairs(setting, "")))
    generator, mask = setting.generator, region(RESOLUTION)
    edited = class_studies.changed(generator, pair, mask, 1.0, [0])
    one = pair.samples[:1]
    assert one.label is not None
    wanted = [Region(mask, int(pair.targets[0, 0]))]
    by_hand = class_modulations(generator, one.latent, one.label, wanted, layers=[0])
    assert torch.allclose(edited[:1], generator.synthesize(one.latent, by_hand), atol=1e-5)
    rows = table(class_studies.layers(setting))
    assert list(rows) == list(class_studies.LAYERS)
    assert 0 < rows["the first"]["inside"] < rows["all layers"]["inside"]
    assert rows["all but the first"]["inside"] > 0


def test_blending_more_layers_brings_more_of_the_reference(make: Make) -> None:
    rows = table(RUNS["blend-layers"](make()), keys=2)
    near = [rows[f"up to {size} px 1"]["wanted"] for size in (4, 8, 16, 32)]
    assert near == sorted(near, reverse=True)
    assert rows["none 0"]["wanted"] > near[0] > near[-1]
    half, whole = ([rows[f"up to {size} px {m}"]["inside"] for size in (4, 8, 16, 32)] for m in ("0.5", "1"))
    assert all(less < more for less, more in zip(half, whole, strict=True))


def test_latents_change_everything_and_features_the_region(make: Make) -> None:
    rows = table(RUNS["interpolation"](make()), keys=2)
    assert rows["latents 1"]["wanted"] == 0, "the reference itself"
    assert rows["features 1"]["outside"] < rows["latents 1"]["outside"]
    assert rows["features 1"]["frechet"] > 0
    steps = [rows[f"features {w}"]["inside"] for w in ("0.25", "0.5", "0.75", "1")]
    assert steps == sorted(steps)


@pytest.mark.parametrize("name", ["class-collage", "feature-collage"])
def test_collages(make: Make, name: str) -> None:
    found = RUNS[name](make())
    rows = table(found)
    pasted, blended, internal = (rows[way] for way in ("pixel collage", "+ Poisson", "internal collage"))
    assert (pasted["outside"], blended["outside"]) == (0, 0)
    assert pasted["wanted"] < 0.5, "a pasted region is what was wanted, but for rounding"
    assert internal["outside"] > 0, "a generator's changes reach further"
    assert blended["seam"] < pasted["seam"]
    assert rows["none"]["inside"] == 0
    assert all(row["frechet"] > 0 for row in rows.values())


def test_transfer_of_a_part(make: Make, tmp_path: Path) -> None:
    model = load_model(str(write_style_model(tmp_path)))
    catalog = replace(build_catalog(model, clusters=4, samples=12), names={"eyes": (0,), "mouth": (1, 2)})
    rows = table(RUNS["transfer"](make(model, catalog, to="lion")), keys=2)
    assert set(rows) == {"none none", *(f"{part} {way}" for part in ("eyes", "mouth") for way in
                                         ("query", "blend 32 px", "blend 64 px", "Poisson"))}  # fmt: skip
    for part in ("eyes", "mouth"):
        assert rows[f"{part} query"]["inside"] > 0
        assert rows[f"{part} Poisson"]["outside"] == 0
        assert rows[f"{part} blend 64 px"]["wanted"] <= rows[f"{part} blend 32 px"]["wanted"] + 1e-6, "16 px: the same"


# ---------------------------------------------------------------------- studies on a photo


def test_a_photo_in_all_classes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infer.evaluate.studies.photo_studies.COLUMNS", 3)
    found = RUNS["classes"](make())
    header, *rows = found.rows
    assert [row[1] for row in rows] == CLASSES
    assert [row[2] for row in rows] == ["cat", "cat", "dog", "big cat"]
    likeness, change = header.index("likeness"), header.index("change")
    assert {row[header.index("target")] for row in rows} == {""}, "nobody judges"
    assert all(-1 <= float(row[likeness]) <= 1 for row in rows)
    own = min(rows, key=lambda row: float(row[change]))
    assert (float(own[change]), float(own[likeness])) == (0, pytest.approx(1)), "its own class is the projection"
    assert sorted(float(row[change]) for row in rows)[1] > 0.5
    assert found.sheet.shape == (2 * (96 + 16), 3 * 100 - 4, 3)


def test_a_morph_begins_at_the_photo(make: Make) -> None:
    found = RUNS["morph"](make())
    rows = table(found)
    assert len(found.frames) == len(rows) == FRAMES
    assert rows["0"]["square"] == 0
    assert {row["outside"] for row in rows.values()} == {0}
    square = [row["square"] for row in rows.values()]
    assert square == sorted(square)
    assert square[-1] > 1
    assert max(found.frames[0].shape) <= 300


# ---------------------------------------------------------------------- the command


def test_the_command_writes_tables_sheets_and_films(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    options = ["--model", str(tiny), "--pictures", "3", "--shown", "2", "--steps", "1", "--to", "black-cat"]
    assert main(["evaluate", "studies", *options, "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "transfer is left out: no catalog at" in shown.err
    names = {path.name for path in tmp_path.iterdir()}
    made = [name for name in STUDIES if name != "transfer"]
    assert {f"tiny_{name}.{kind}" for name in made for kind in ("csv", "jpg")} | {"tiny_morph.gif"} <= names
    assert [line for line in shown.out.splitlines() if line.endswith("tiny_morph.gif")]
    for name in made:
        with Image.open(tmp_path / f"tiny_{name}.jpg") as sheet:
            assert min(sheet.size) > RESOLUTION
        rows = list(csv.reader((tmp_path / f"tiny_{name}.csv").read_text().splitlines()))
        assert len(rows) > 2
        assert len(set(map(len, rows))) == 1
    before = (tmp_path / "tiny_strength.csv").read_bytes()
    assert main(["evaluate", "studies", "strength", *options, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "tiny_strength.csv").read_bytes() == before


def test_the_command_uses_a_catalog(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    model = load_model(str(tiny))
    catalog = replace(build_catalog(model, clusters=4, samples=12), names={"ears": (0,), "eyes": (1,)})
    (file, *_) = write_catalog(catalog, tmp_path / "own.catalog.safetensors")
    options = ["--model", str(tiny), "--pictures", "3", "--shown", "2", "--catalog", str(file)]
    assert main(["evaluate", "studies", "transfer", *options, "--out", str(tmp_path)]) == 0
    assert "eyes" in (tmp_path / "tiny_transfer.csv").read_text()


def test_mistakes(tiny: Path, tmp_path: Path, capsys: Capture) -> None:
    def ask(*words: str) -> int:
        return main(["evaluate", "studies", *words, "--model", str(tiny), "--out", str(tmp_path / "out")])

    refused(ask("strenght"), capsys, "unknown study 'strenght': did you mean strength", tmp_path / "out")
    refused(ask("strength", "--pictures", "2", "--shown", "3"), capsys, "3 pictures cannot be shown of 2")
    refused(ask("morph", "--to", "wolf"), capsys, "unknown class 'wolf'", tmp_path / "out")
    refused(ask("transfer", "--pictures", "4"), capsys, "no catalog at", tmp_path / "out")
    refused(ask("morph", "--photo", str(tmp_path / "none.jpg")), capsys, "none.jpg: no such file", tmp_path / "out")


def test_what_a_model_cannot_take_is_left_out_or_refused(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "plain.safetensors"
    save_network(file, SNGANGenerator([8, 8, 8]), "generator")
    setting, done, said = make(load_model(str(file)), pictures=3), [], []  # type: ignore[var-annotated]
    results = ResultFolder(tmp_path / "out")
    run_studies(
        ["strength", "blend-layers", "classes", "morph"],
        setting,
        results,
        done=lambda name, found, paths: done.append(name),
        skipped=said.append,
    )
    assert done == ["blend-layers"], "which needs no classes"
    assert [line.partition(" ")[0] for line in said] == ["strength", "classes", "morph"]
    with pytest.raises(UnsupportedEdit, match="no classes to change"):
        run_studies(["strength"], setting, results, done=lambda *_: None)
    assert isinstance(UnsupportedEdit(""), PhotograftError)


def test_sheets() -> None:
    mask = torch.zeros(16, 16)
    mask[4:12, 4:12] = 1
    shown = outlined(np.full((16, 16, 3), 128, np.uint8), mask, mask.T.roll(4, 0))
    assert {tuple(pixel) for pixel in shown.reshape(-1, 3).tolist()} == {(128, 128, 128), (220, 30, 30), (30, 170, 60)}
    assert tuple(shown[0, 0]) == tuple(shown[6, 6]) == (128, 128, 128)
    grid = captioned([shown] * 5, list("abcde"), columns=2, size=32)
    assert grid.shape == (3 * 48, 2 * 36 - 4, 3)
