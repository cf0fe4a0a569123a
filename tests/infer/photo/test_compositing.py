"""Compositing: the original code's numbers, untouched surroundings, and every trap of seamlessClone."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from infer.photo import compositing
from infer.photo.choices import METHODS, Method
from infer.photo.compositing import composite, poisson_exact
from models.errors import PhotograftError

GOLDEN = Path(__file__).parents[2] / "golden" / "collage" / "poisson.io.npz"
CAT = data.cat()  # [300,451,3] uint8
PATCH = np.ascontiguousarray(CAT[50:250, 100:300][:, ::-1])  # [200,200,3]


def _disc(radius: float = 80, centre: tuple[float, float] = (100, 100), size: int = 200) -> NDArray[np.float32]:
    y, x = np.mgrid[:size, :size]
    return ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2).astype(np.float32)


def test_exact_solver_gives_the_original_numbers() -> None:
    golden = np.load(GOLDEN)
    mask = (golden["raw_mask"] > 0.1).astype(np.float32)
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    assert np.array_equal(mask, golden["mask"])
    out = poisson_exact(golden["target"].astype(np.float64), golden["source"].astype(np.float64), mask > 0)
    np.testing.assert_allclose(np.clip(out, 0, 255), golden["result_before_clip"], atol=1e-6)
    np.testing.assert_allclose(np.clip(out, 0, 1), golden["result"], atol=1e-6)


def test_iterative_and_direct_solutions_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    target, source, support = CAT[:200, :200].astype(float), PATCH.astype(float), _disc() > 0
    direct = poisson_exact(target, source, support)
    monkeypatch.setattr(compositing, "_DIRECT_LIMIT", 2000)
    assert np.abs(poisson_exact(target, source, support) - direct).max() < 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("top_left", [(120, 60), (-70, -50), (380, 230), (251, 0)])
def test_outside_the_mask_nothing_changes(method: Method, top_left: tuple[int, int]) -> None:
    photo, patch, mask = CAT.copy(), PATCH.copy(), _disc(99)
    out = composite(photo, patch, mask, top_left, method=method)
    assert out.dtype == np.uint8
    assert np.array_equal(photo, CAT)
    assert np.array_equal(patch, PATCH)
    assert np.array_equal(mask, _disc(99))
    x, y = top_left
    inside = np.zeros((900, 1200), bool)
    inside[300 + y : 500 + y, 300 + x : 500 + x] = mask > 0
    inside = inside[300 : 300 + CAT.shape[0], 300 : 300 + CAT.shape[1]]
    assert np.array_equal(out[~inside], CAT[~inside])
    assert (out[inside] != CAT[inside]).mean() > 0.5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mask_kind", ["disc", "border", "full", "two pieces"])
def test_own_pixels_come_back(method: Method, mask_kind: str) -> None:
    """The photo's own pixels as the patch give the photo: no shift by one pixel, also at the photo's border."""
    mask = np.zeros(CAT.shape[:2], np.float32)
    if mask_kind == "disc":
        mask[40:240, 90:290] = _disc()
    elif mask_kind == "border":
        mask[:120, 300:] = 1
    elif mask_kind == "two pieces":
        mask[10:60, 10:60] = mask[200:299, 300:450] = 1
    else:
        mask[:] = 1
    out = composite(CAT, CAT.copy(), mask, (0, 0), method=method)
    assert np.abs(out.astype(int) - CAT).max() <= 2


@pytest.mark.parametrize("method", ["poisson", "poisson-exact"])
def test_a_colour_cast_is_taken_out(method: Method) -> None:
    cast = np.clip(CAT + np.array([25, -15, 10]), 0, 255).astype(np.uint8)
    unclipped = np.all((CAT > 20) & (CAT < 225))  # the property holds where nothing was cut off
    crop, patch = CAT[50:250, 100:300], cast[50:250, 100:300]
    out = composite(CAT, patch, _disc(), (100, 50), method=method)[50:250, 100:300]
    assert np.abs(out.astype(int) - crop)[_disc() > 0].mean() < (1 if unclipped else 3)
    pasted = composite(CAT, patch, _disc(), (100, 50), method="paste")[50:250, 100:300]
    assert np.array_equal(pasted[_disc() > 0], patch[_disc() > 0])


def test_limited_blending_burns_nothing_out_and_is_poissons_otherwise() -> None:
    patch, mask = np.full((200, 200, 3), 90, np.uint8), _disc()
    inside = mask > 0
    for level, shift in ((100, 10), (250, 160)):
        photo = np.full((300, 300, 3), level, np.uint8)
        methods: tuple[Method, ...] = ("limited", "poisson")
        blended = {m: composite(photo, patch, mask, (50, 50), method=m)[50:250, 50:250] for m in methods}
        moved = {m: blended[m][inside].astype(int) - 90 for m in methods}
        assert np.abs(moved["poisson"] - shift).max() <= 2
        if shift < 60:
            assert np.abs(moved["limited"] - moved["poisson"]).max() <= 1
        else:
            assert moved["limited"].min() > 50
            assert moved["limited"].max() <= 60


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 2), (2, 2), (3, 3), (7, 7)])
def test_thin_masks(method: Method, shape: tuple[int, int]) -> None:
    mask = np.zeros((200, 200), np.float32)
    mask[90 : 90 + shape[0], 90 : 90 + shape[1]] = 1
    out = composite(CAT, PATCH, mask, (120, 60), method=method)
    changed = (out != CAT).any(axis=2)
    assert not changed[:150].any()
    assert changed.sum() <= shape[0] * shape[1]


@pytest.mark.parametrize("method", METHODS)
def test_soft_mask_gives_a_soft_transition(method: Method) -> None:
    photo = np.full((100, 100, 3), 60, np.uint8)
    patch = np.full((100, 100, 3), 60, np.uint8)
    patch[30:70, 30:70] = 200
    patch[::2, ::2] += 20
    mask = np.zeros((100, 100), np.float32)
    mask[20:80, 20:80] = np.linspace(0, 1, 60, dtype=np.float32)
    hard = composite(photo, patch, (mask > 1 / 510).astype(np.float32), (0, 0), method=method).astype(float)
    soft = composite(photo, patch, mask, (0, 0), method=method)
    expected = photo + mask[..., None] * (hard - photo)
    assert np.abs(soft - expected).max() <= 1.5


def test_a_mask_that_selects_nothing_is_refused() -> None:
    with pytest.raises(PhotograftError, match="selects nothing"):
        composite(CAT, PATCH, np.zeros((200, 200), np.float32), (0, 0))
    with pytest.raises(PhotograftError, match="selects nothing"):
        composite(CAT, PATCH, _disc(), (1000, 0))
    with pytest.raises(PhotograftError, match="selects nothing"):
        composite(CAT, PATCH, _disc(), (-200, -900))


def test_wrong_arrays_are_refused_before_opencv_sees_them() -> None:
    grey = CAT[..., 0]
    with pytest.raises(ValueError, match="photo must be uint8 RGB"):
        composite(grey, PATCH, _disc(), (0, 0))
    with pytest.raises(ValueError, match="patch must be uint8 RGB"):
        composite(CAT, PATCH[..., :1], _disc(), (0, 0))
    with pytest.raises(ValueError, match="photo must be uint8 RGB"):
        composite(CAT / 255.0, PATCH, _disc(), (0, 0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mask must be float"):
        composite(CAT, PATCH, _disc(size=100), (0, 0))
    with pytest.raises(ValueError, match="mask must be float"):
        composite(CAT, PATCH, _disc() > 0, (0, 0))  # type: ignore[arg-type]
    for bad in (np.nan, -0.1, 255):
        with pytest.raises(ValueError, match="mask values"):
            composite(CAT, PATCH, np.full((200, 200), bad, np.float32), (0, 0))
    with pytest.raises(PhotograftError, match="unknown blending method"):
        composite(CAT, PATCH, _disc(), (0, 0), method="magic")  # type: ignore[arg-type]


def test_a_photo_smaller_than_the_patch() -> None:
    photo = np.ascontiguousarray(CAT[:16, :20])
    for method in METHODS:
        out = composite(photo, PATCH, np.ones((200, 200), np.float32), (-50, -50), method=method)
        assert out.shape == photo.shape


def _change(mask: NDArray[np.float32], region: tuple[slice, slice], method: Method) -> float:
    """Mean change in a region, in grey levels, of the cat upside down pasted into the cat."""
    out = composite(CAT, np.ascontiguousarray(CAT[::-1, ::-1]), mask, (0, 0), method=method)
    return float(np.abs(out[region].astype(int) - CAT[region]).mean())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("width", [1, 4, 9, 12, 13, 14, 20, 40])
def test_a_region_changes_as_much_beside_another(method: Method, width: int) -> None:
    mask, region = np.zeros(CAT.shape[:2], np.float32), np.s_[130 : 130 + width, 130 : 130 + width]
    mask[region] = 1
    alone = _change(mask, region, method)
    mask[150:250, 330:430] = 1
    assert _change(mask, region, method) == pytest.approx(alone)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
@pytest.mark.parametrize("height", [None, 60], ids=["square", "strip"])
def test_a_region_does_not_change_less_for_being_a_pixel_wider(height: int | None, beside: bool) -> None:
    changes = []
    for width in range(1, 41):
        mask = np.zeros(CAT.shape[:2], np.float32)
        region = np.s_[130 : 130 + (height or width), 130 : 130 + width]
        mask[region] = 1
        if beside:
            mask[200:290, 330:430] = 1
        changes.append(_change(mask, region, "limited"))
    steps = np.array(changes[1:]) / changes[:-1]
    assert steps.min() > 0.9, np.round(changes, 1)
    assert changes[-1] > changes[5]


def _enlarged(picture: NDArray[np.uint8], seed: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture enlarged to (width, height), with a camera's noise."""
    big = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(seed).normal(0, 4, big.shape)
    return (big + noise).round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def large() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photo [1300,1800,3] and a patch [1200,1200,3] of another animal's colours."""
    return _enlarged(CAT, 0, (1800, 1300)), _enlarged(data.astronaut()[:256, 100:356], 1, (1200, 1200))


MEAN_DIFFERENCE: dict[Method, float] = {"limited": 2.0, "poisson": 2.5, "mixed": 7.0}  # grey levels


@pytest.mark.parametrize("method", MEAN_DIFFERENCE)
def test_a_large_region_solved_small_looks_as_solved_large(
    large: tuple[NDArray[np.uint8], NDArray[np.uint8]], method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, patch = large
    mask = cv2.GaussianBlur(_disc(450, (600, 600), 1200), (0, 0), 24).clip(0, 1)
    mask[mask < 1 / 64] = 0
    small = composite(photo, patch, mask, (300, 50), method=method)
    inside = np.zeros(photo.shape[:2], bool)
    inside[50:1250, 300:1500] = mask > 0
    assert np.array_equal(small[~inside], photo[~inside])
    monkeypatch.setattr(compositing, "_LARGEST", photo.size)
    difference = np.abs(small.astype(int) - composite(photo, patch, mask, (300, 50), method=method))[inside]
    assert difference.mean() <= MEAN_DIFFERENCE[method]
    if method != "mixed":
        assert np.percentile(difference, 99) <= 8


@pytest.mark.parametrize("method", [m for m in METHODS if m != "poisson-exact"])  # that takes seconds
@pytest.mark.parametrize("top_left", [(-60, -40), (680, 150)])
def test_large_patches_over_the_photos_border(
    large: tuple[NDArray[np.uint8], NDArray[np.uint8]], method: Method, top_left: tuple[int, int]
) -> None:
    photo, patch = large
    x, y = top_left
    out = composite(photo, patch, np.ones((1200, 1200), np.float32), top_left, method=method)
    inside = np.zeros((4000, 4000), bool)
    inside[1000 + y : 2200 + y, 1000 + x : 2200 + x] = True
    inside = inside[1000 : 1000 + photo.shape[0], 1000 : 1000 + photo.shape[1]]
    assert np.array_equal(out[~inside], photo[~inside])
    assert (out[inside] != photo[inside]).mean() > 0.5


@pytest.mark.parametrize("method", ["limited", "mixed"])
def test_own_pixels_come_back_large(large: tuple[NDArray[np.uint8], NDArray[np.uint8]], method: Method) -> None:
    photo = large[0]
    out = composite(photo, photo.copy(), np.ones(photo.shape[:2], np.float32), (0, 0), method=method)
    assert np.abs(out.astype(int) - photo).max() <= 2


def test_a_graft_keeps_its_colours_and_meets_the_photos_where_they_are_joined() -> None:
    photo, patch = np.full((300, 300, 3), 200, np.uint8), np.full((200, 200, 3), 90, np.uint8)
    mask = np.zeros((200, 200), np.float32)
    mask[10:190, 10:190] = 1
    joined = np.zeros((50, 50), np.float32)
    joined[40:] = 1  # below, where a neck would be
    out = composite(photo, patch, mask, (50, 50), method="graft", joined=joined)[50:250, 50:250, 0].astype(int)
    assert np.abs(out[90, 20:180] - 90).max() <= 4, "its own colours inside"
    assert np.abs(out[11:90, 100] - 90).max() <= 4, "and up to the rim where they are not"
    assert out[188, 100] > 170, "the photo's at the neck"
    assert (np.diff(out[100:189, 100]) >= 0).all()
    everywhere = composite(photo, patch, mask, (50, 50), method="graft")[50:250, 50:250, 0].astype(int)
    assert everywhere[12, 100] > 170
    assert abs(everywhere[100, 100] - 90) <= 10
