"""The least real z are left out of samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infer.cli.main import main
from infer.evaluate.generator import draw_samples
from infer.pictures.samples import drawn_for, most_real, sample_rows, scores_of
from infer.progress import untold
from models.discriminators.projected import ProjectedDiscriminator
from models.errors import PhotograftError
from models.prepared import Networks
from models.zoo import Model, load_model


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    """With a random projected discriminator."""
    torch.manual_seed(3)
    network = ProjectedDiscriminator(4, 32, mixed_channels=4, head_channels=4)
    network.calibrate(torch.rand(8, 3, 32, 32) * 2 - 1)
    return replace(load_model(str(tiny)), projected=network.freeze())


def test_the_least_real_columns_are_left_out(model: Model) -> None:
    plain = sample_rows(model, [0, 2], 8, seed=5)
    left = sample_rows(model, [0, 2], 6, seed=5, reject=0.25)
    assert drawn_for(6, 0.25) == 8
    images = [torch.from_numpy(np.stack(row)).permute(0, 3, 1, 2) / 127.5 - 1 for row in plain]
    scores = sum(scores_of(model, x, torch.full((8,), k)) for x, k in zip(images, (0, 2), strict=True))
    assert isinstance(scores, torch.Tensor)
    kept = sorted(range(8), key=lambda i: -float(scores[i]))[:6]
    for row, fewer in zip(plain, left, strict=True):
        assert [x.tobytes() for x in fewer] == [row[i].tobytes() for i in sorted(kept)]


def test_nothing_is_rejected_unasked(model: Model) -> None:
    pairs = zip(sample_rows(model, [1], 3, seed=2), sample_rows(model, [1], 3, seed=2, reject=0.0), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert drawn_for(5, 0.0) == 5
    assert most_real(torch.tensor([0.3, 0.1, 0.2]), 2).tolist() == [0, 2]


def test_samples_that_are_judged(model: Model) -> None:
    networks = Networks.of(model, "cpu", dtype=torch.float32)
    images, labels = draw_samples(networks, 16, 3, 1.0, untold)
    fewer, kept = draw_samples(networks, 12, 3, 1.0, untold, reject=0.25)
    scores = scores_of(model, images / 127.5 - 1, labels)
    rows = scores.topk(12).indices.sort().values
    assert torch.equal(fewer, images[rows])
    assert torch.equal(kept, labels[rows])


def test_without_a_judge_nothing_can_be_rejected(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PhotograftError, match="no projected discriminator"):
        sample_rows(load_model(str(tiny)), [0], 2, reject=0.5)
    command = ["sample", "--model", str(tiny), "--columns", "2", "-o", str(tmp_path)]
    assert main([*command, "--reject", "0.5"]) == 2
    assert "leave --reject at 0" in capsys.readouterr().err
    assert main(command) == 0
