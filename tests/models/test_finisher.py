"""The finishing network: colours kept, lattices free to go, the embedded file; the reader of the teacher's files."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torch import nn

from models.errors import PhotograftError
from models.files import load_network, save_network
from models.finisher import CELL, FINISHER_WEIGHTS, SCALE, Finisher, enlarged, load_finisher, with_colours
from models.teacher import Teacher, teacher_files

CAT = data.cat()[20:276, 140:396]  # [256,256,3] uint8: a cat's face


@pytest.fixture(scope="module")
def embedded() -> Finisher:
    return load_finisher()


def halved(pixels: np.ndarray, side: int) -> np.ndarray:
    """Means over cells of side x side pixels."""
    height, width = (n // side for n in pixels.shape[:2])
    cells: np.ndarray = pixels.reshape(height, side, width, side, -1).astype(float).mean((1, 3))
    return cells


def test_means_over_cells_are_the_inputs_whatever_is_drawn() -> None:
    torch.manual_seed(0)
    x = F.interpolate(torch.rand(2, 3, 8, 8), 24, mode="bicubic") * 2 - 1
    drawn = enlarged(x) + 0.3 * F.interpolate(torch.randn(2, 3, 12, 12), 96, mode="bicubic") + 0.2  # another cast too
    kept = with_colours(drawn, x)
    before, after = (
        (F.avg_pool2d(y, CELL * SCALE) - F.avg_pool2d(x, CELL)).abs().mean() * 127.5 for y in (drawn, kept)
    )
    assert before > 20
    assert after < before / 10
    assert abs(float((kept.mean() - x.mean()) * 127.5)) < 0.3
    exact = F.interpolate(F.avg_pool2d(x, CELL), scale_factor=CELL * SCALE)  # has the means already
    assert torch.allclose(with_colours(exact, x), exact, atol=1e-5)


def test_detail_within_a_cell_is_free() -> None:
    """A lattice of period two is gone from the output where the network draws none."""
    x = torch.full((1, 3, 16, 16), 0.1)
    x[..., ::2] += 0.2
    assert torch.allclose(with_colours(torch.full((1, 3, 64, 64), 0.2), x), torch.full((1, 3, 64, 64), 0.2), atol=1e-6)


def test_a_fresh_network_is_nearly_the_enlargement() -> None:
    torch.manual_seed(0)
    network, x = Finisher(8, 2).freeze(), torch.rand(1, 3, 16, 16) * 2 - 1
    assert network(x).shape == (1, 3, 64, 64)
    assert (network(x) - with_colours(enlarged(x), x)).abs().mean() < 0.1


@pytest.mark.parametrize("bad", [np.zeros((8, 8)), np.zeros((8, 8, 3)), np.zeros((7, 8, 3), np.uint8)])
def test_pixels_of_another_kind(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="even sides"):
        Finisher(4, 1).finish(bad)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "my.finisher.safetensors"
    save_network(path, Finisher(8, 2), "finisher")
    network, header = load_network(path, "finisher")
    assert (header.family, header.config, network.config) == ("residual", {"width": 8, "blocks": 2}, network.config)
    with pytest.raises(PhotograftError, match="not a finisher"):
        load_network(FINISHER_WEIGHTS.with_name("locator.safetensors"), "finisher")


def test_the_embedded_network(embedded: Finisher) -> None:
    """Small, four times as large, colours in place, the same twice, and sharper than the cubic enlargement."""
    assert FINISHER_WEIGHTS.stat().st_size <= 1.5e6
    small = halved(CAT, 2).round().astype(np.uint8)
    large = embedded.finish(small)
    assert large.shape == (512, 512, 3)
    assert large.dtype == np.uint8
    assert np.array_equal(large, embedded.finish(small))
    off = np.abs(halved(large, CELL * SCALE) - halved(small, CELL))
    assert off.mean() < 0.5
    assert np.quantile(off, 0.99) < 3
    assert abs(large.astype(float).mean((0, 1)) - small.mean((0, 1))).max() < 0.3
    cubic = enlarged(torch.from_numpy(small).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0).numpy()
    edges, plain = (np.abs(np.diff(picture.astype(float), axis=1)).mean() for picture in (large, cubic))
    assert edges > 1.03 * plain


def test_the_embedded_network_is_nearer_to_the_truth_than_cubic(embedded: Finisher) -> None:
    small = halved(CAT, 2).round().astype(np.uint8)
    drawn = halved(embedded.finish(small), 2)
    x = torch.from_numpy(small).permute(2, 0, 1)[None].float()
    cubic = halved(with_colours(enlarged(x), x)[0].permute(1, 2, 0).numpy(), 2)
    assert np.abs(drawn - CAT).mean() < np.abs(cubic - CAT).mean()


# ---------------------------------------------------------------------- the teacher


def write_ncnn(folder: Path, network: nn.Module) -> tuple[Path, Path]:
    """A network's convolutions as ncnn writes them."""
    lines, content = ["7767517", "9 9"], b""
    for index, module in enumerate(network.modules()):
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            lines.append(f"Convolution c{index} 1 1 a b 0={module.out_channels} 1=3 6={module.weight.numel()}")
            half = module.weight.detach().numpy().astype("<f2").tobytes()
            content += b"\x47\x6b\x30\x01" + half + b"\0" * (-len(half) % 4)
            content += struct.pack(f"<{module.out_channels}f", *module.bias.tolist())
    paths = folder / "realesrgan-x4plus.param", folder / "realesrgan-x4plus.bin"
    paths[0].write_text("\n".join(lines))
    paths[1].write_bytes(content)
    return paths


def test_the_teachers_files_are_read(tmp_path: Path) -> None:
    from models.checkpoints.ncnn import load_convolutions

    torch.manual_seed(0)
    written, read = Teacher(groups=1).eval(), Teacher(groups=1).eval()
    load_convolutions(read, *write_ncnn(tmp_path, written))
    for key, value in written.state_dict().items():
        expected = value.half().float() if key.endswith("weight") else value
        assert torch.equal(read.state_dict()[key], expected), key
    picture = CAT[:16, :16].copy()
    finished = read.finish(picture)
    assert finished.shape == (64, 64, 3)


@pytest.mark.parametrize("what", ["short", "kind", "nan", "other", "text"])
def test_damaged_files_of_the_teacher(tmp_path: Path, what: str) -> None:
    from models.checkpoints.ncnn import load_convolutions

    network = Teacher(groups=1)
    param, weights = write_ncnn(tmp_path, network)
    content = weights.read_bytes()
    if what == "short":
        weights.write_bytes(content[:-4])
    elif what == "kind":
        weights.write_bytes(b"\0" * 4 + content[4:])
    elif what == "nan":
        weights.write_bytes(content[:4] + b"\xff\xff" + content[6:])
    elif what == "other":
        network = Teacher(groups=2)
    else:
        param.write_text("nonsense")
    with pytest.raises(PhotograftError, match=r"damaged|describes another network"):
        load_convolutions(network, param, weights)


def test_a_teacher_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.teacher.PACKAGE", "no_such_package_of_ours")
    with pytest.raises(PhotograftError, match="photograft\\[sharp\\]"):
        teacher_files()
