"""One class: refused where classes are changed, trained where a training is unconditional."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import PhotograftError
from tests.train.tiny import adversaries, fit, gan, write_folders
from train.gan.adversaries import ProjectedAdversary, SNProjectionAdversary
from train.gan.sources import Stage

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
    pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes."""
    return write_folders(tmp_path / "data", count=6)


def plain(**more: Any) -> dict[str, Any]:
    """A GAN of prior samples alone."""
    return {"encoder": None, "stages": [Stage()], "terms": [], **more}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "translations and mismatch"),
        (plain(adversaries=[ProjectedAdversary(mismatch=0.1, mixed_channels=4)]), r"\(mismatch\)"),
    ],
)
def test_a_training_that_changes_classes_needs_two(
    settings: dict[str, Any], reason: str, root: Path, tmp_path: Path
) -> None:
    with pytest.raises(PhotograftError, match=f"ape holds one class, ape, and this .*{reason}.* as root") as error:
        fit(root / "ape", tmp_path / "run", 1, make=lambda: gan(**settings))
    assert "\n" not in str(error.value)


def test_a_training_without_classes_goes_on(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = plain(adversaries=[SNProjectionAdversary("snresnet_small", ch=2)])
    module = fit(root / "ape", tmp_path / "run", 1, make=lambda: gan(**small))
    assert int(module.steps) == 1
    said = capsys.readouterr().err
    assert f"one class only, ape: if this is one class's own folder, give the folder above as root, {root}" in said


def test_adversaries_of_the_tests_do_look_at_classes() -> None:
    assert any(getattr(adversary, "mismatch", 0) for adversary in adversaries())
