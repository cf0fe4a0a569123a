"""The window that training looks through: every place of it, to the last; and JPEGs that are decoded reduced."""

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from skimage.data import astronaut

from data.transforms import augment, central, decode_reduced, prepare_picture

SIDE, ROOM = 5, 2  # of the window, and how far it can move


def places(n: int) -> torch.Tensor:  # -> uint8 [n,3,7,7]
    """Pictures whose red says the row and whose green the column."""
    rows, columns = torch.meshgrid(torch.arange(SIDE + ROOM), torch.arange(SIDE + ROOM), indexing="ij")
    return torch.stack([rows, columns, rows * 0]).to(torch.uint8).expand(n, -1, -1, -1)


def test_a_window_takes_every_place_equally_often() -> None:
    draws = np.arange(3600, dtype=np.int64)
    movable = np.ones(len(draws), bool)
    seen = augment(places(len(draws)), movable, draws, resolution=SIDE, seed=3, flip=False)
    tops, lefts = seen[:, 0, 0, 0], seen[:, 1, 0, 0]
    windows = places(1)[0].unfold(1, SIDE, 1).unfold(2, SIDE, 1)  # [3,ROOM+1,ROOM+1,SIDE,SIDE]
    assert torch.equal(seen, windows[:, tops.long(), lefts.long()].transpose(0, 1))  # whole windows
    counts = torch.bincount(tops.long() * (ROOM + 1) + lefts.long(), minlength=(ROOM + 1) ** 2)
    assert len(counts) == (ROOM + 1) ** 2
    assert int(counts.min()) > 320  # of 400; the deviation is 19
    assert int(counts.max()) < 480


def test_what_cannot_move_stays_and_half_is_mirrored() -> None:
    draws = np.arange(1000, dtype=np.int64)
    still = np.zeros(len(draws), bool)
    seen = augment(places(len(draws)), still, draws, resolution=SIDE, seed=3, flip=True)
    plain = places(1)[..., :SIDE, :SIDE]
    mirrored = (seen == plain.flip(-1)).flatten(1).all(1)
    assert bool((mirrored | (seen == plain).flatten(1).all(1)).all())
    assert 440 < int(mirrored.sum()) < 560


def test_the_still_window_is_the_central_one() -> None:
    seen = central(places(2), np.array([True, False]), resolution=SIDE)
    assert seen[:, :2, 0, 0].tolist() == [[ROOM // 2, ROOM // 2], [0, 0]]
    assert seen.shape == (2, 3, SIDE, SIDE)


# --- JPEGs decoded at a reduced size ---


def natural(width: int, height: int) -> Image.Image:
    """A photo of scikit-image at this size, without noise."""
    return Image.fromarray(astronaut()).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(picture: Image.Image, turn: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = turn
    picture.save(buffer, "JPEG", quality=92, exif=exif)
    return buffer.getvalue()


def from_full_decode(data: bytes, side: int) -> NDArray[np.int64]:
    """The central square of the whole picture, with no shortcut."""
    whole = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    short = min(whole.size)
    left, top = (whole.width - short) / 2, (whole.height - short) / 2
    box = (left, top, left + short, top + short)
    return np.asarray(whole.resize((side, side), Image.Resampling.LANCZOS, box=box)).astype(np.int64)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    "size", [*((n, n) for n in range(1023, 1031)), (1027, 1300), (1300, 1029), (2050, 2049)], ids=str
)
def test_a_reduced_jpeg_is_the_whole_picture(size: tuple[int, int], turn: int) -> None:
    """Before the box was used, 1025 px differed by 4.8 levels in the mean, and by 95 at most."""
    data = jpeg(natural(*size), turn)
    pixels, movable = prepare_picture(data, resolution=128, crop="center")
    difference = np.abs(pixels - from_full_decode(data, 128))
    assert movable
    assert difference.mean() <= 0.25
    assert difference[1:-1, 1:-1].max() <= 4
    assert difference.max() <= 12  # the outermost pixels, where a reduced one reaches beyond the picture


def test_a_smooth_picture_is_off_by_two_levels_at_most() -> None:
    data = jpeg(natural(100, 100).resize((1025, 1025), Image.Resampling.BICUBIC))
    pixels, _ = prepare_picture(data, resolution=128, crop="center")
    difference = np.abs(pixels - from_full_decode(data, 128))
    assert difference.mean() <= 0.25
    assert difference.max() <= 2


def test_large_jpegs_are_decoded_at_a_reduced_size() -> None:
    image, box = decode_reduced(jpeg(natural(2050, 1030)), at_least=384)
    assert image.size == (1025, 515)
    assert box == (0, 0, 1025, 515)
    image, box = decode_reduced(jpeg(natural(1025, 1031), turn=6), at_least=384)
    assert image.size == (516, 513)  # lies on its side now
    assert box == (0.5, 0, 516, 512.5)
