"""The window that training looks through: every place of it, to the last."""

import numpy as np
import torch

from data.transforms import augment, central

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
