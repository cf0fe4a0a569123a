"""A generated picture as sharp as the photo that it goes into, with the photo's grain and blocks; never sharper.

The finishing network (`models.finisher`) gives the detail that enlarging cannot. What the photo's own square shows of
optics, sensor and JPEG is then measured and given to the patch in the order in which a camera does it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from infer.photo.box import Box, crop_square, uncrop
from infer.photo.choices import FINISHES, Finish
from infer.photo.photo import Mask, Pixels
from models.errors import PhotograftError
from models.schema import short

LARGEST = 256  # px of a generator's picture that is finished: larger ones are sharp enough, and would take minutes
_SCALE = 4  # of `models.finisher`, which is imported when it is needed
_FINE, _COARSE = 1.0, 2.5  # sigmas that part bands of detail, in the generator's pixels
_PIXELS = 0.8, 1.6  # the same of the finest, in the photo's pixels
_MOST_BLUR = 3.0  # sigma, in the generator's pixels
_MOST_CRISP = 1.2  # gain of the photo's finest detail: at 2 fur looks painted
_MOST_GAIN, _GAINED = 2.0, 0.5  # of detail finer than this sigma, in the generator's pixels
_ROUNDS = 8  # of bisection
_GRAIN = 0.6  # sigma of grains, in photo pixels: demosaicing and scaling leave no white noise
_FAINTEST = 0.35  # share of the grain that is left in black and white
_LEAST_GRAIN, _MOST_GRAIN = 0.5, 10.0  # levels of 255
_TILE = 16  # px on a side of what noise is read in
_BLOCKY = 1.06  # steps at the borders of blocks over steps within them, from which JPEG is seen
_QUALITIES = (95, 90, 85, 80, 75, 70, 60, 50, 40, 30)


@dataclass(frozen=True)
class Surroundings:
    """What a photo shows of how it was taken.

    Attributes:
        detail: amplitude of luminance finer than the generator's pixels, without noise, over that just above.
        crispness: the same of the photo's finest pixels (a Gaussian of 0.8 px) over the next (0.8 to 1.6), with noise.
        noise: standard deviation of luminance's grain, in levels of 255.
        blocks: steps at the borders of JPEG's 8x8 blocks over steps within them; about 1 without JPEG.
    """

    detail: float
    crispness: float
    noise: float
    blocks: float


def finished(
    image: Pixels, pixels: Pixels, box: Box, *, finish: Finish, where: Mask | None = None
) -> Pixels:  # [R,R,3] -> [S,S,3]
    """A generated picture for a photo's square.

    Args:
        image: uint8 [R,R,3].
        pixels: the photo, uint8 [H,W,3].
        box: of the square.
        finish: "auto" with the embedded network, "teacher" with the extra `sharp`, "off": resampled and no more. A
            square that is not larger than the picture, and a picture of more than `LARGEST` px, is resampled.
        where: [S,S] in [0,1], what of the square counts for its sharpness; None: all.

    Raises:
        PhotograftError: the teacher is not installed.
    """
    side, resolution = box.square().w, image.shape[0]
    if finish == "off" or side <= resolution or resolution > LARGEST or resolution % 2:
        return np.asarray(uncrop(image, box, pixels.shape)[0], np.uint8)
    own = crop_square(pixels, box, side)
    weights = np.ones((side, side), np.float32) if where is None or not where.any() else where
    square = box.square()
    around = surroundings(own, resolution, weights, at=(square.x, square.y))
    large = _network_picture(image, finish)
    large = matched(large, around.detail, resolution, weights)
    patch = np.asarray(uncrop(large, box, pixels.shape)[0], np.uint8)
    patch = crisp(patch, around, weights)
    patch = with_grain(patch, around.noise)
    return with_blocks(patch, around.blocks, at=(square.x, square.y))


def check_finish(finish: Finish) -> None:
    """Raise PhotograftError for a finish that there is not, or whose network is not installed."""
    if finish not in FINISHES:
        raise PhotograftError(f"finish is {', '.join(FINISHES)}, not {short(finish)}")
    if finish == "teacher":
        from models.teacher import teacher_files

        teacher_files()


def surroundings(own: Pixels, resolution: int, weights: Mask, *, at: tuple[int, int]) -> Surroundings:
    """Measure a photo's square.

    Args:
        own: uint8 [S,S,3].
        resolution: R, side of the generator's picture.
        weights: [S,S], what of it counts for the detail.
        at: (x, y) of the square in the photo, where JPEG's blocks begin at 0.
    """
    luma = _luma(own)
    noise = noise_of(luma)
    crispness = crispness_of(luma, weights)
    return Surroundings(detail_of(luma, resolution, weights, noise), crispness, noise, blocks_of(luma, at))


def detail_of(luma: NDArray[np.float32], resolution: int, weights: Mask, noise: float = 0.0) -> float:
    """See `Surroundings.detail`; of luminance [s,s], which is reduced to what a finished picture can show."""
    side = min(len(luma), _SCALE * resolution)
    if side < len(luma):
        noise *= side / len(luma)  # of grain that is averaged
        luma = np.asarray(cv2.resize(luma, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    if side != len(weights):
        weights = np.asarray(cv2.resize(weights, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    return _quotient(luma, weights, _FINE * side / resolution, _COARSE * side / resolution, -(noise**2))


def crispness_of(luma: NDArray[np.float32], weights: Mask, noise: float = 0.0) -> float:
    """See `Surroundings.crispness`; as it will be once grain of this deviation is added."""
    return _quotient(luma, weights, *_PIXELS, noise**2)


def _quotient(luma: NDArray[np.float32], weights: Mask, first: float, second: float, more: float) -> float:
    """Amplitude of what is finer than a Gaussian, with some more energy, over that between it and a wider one."""
    base, coarse = (cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (first, second))
    total = float(weights.sum()) or 1.0
    fine = float((weights * np.square(luma - base)).sum()) / total + more
    band = float((weights * np.square(base - coarse)).sum()) / total
    return float(np.sqrt(max(fine, 0.0) / max(band, 1e-6)))


def matched(large: Pixels, detail: float, resolution: int, weights: Mask) -> Pixels:
    """A finished picture with as much detail as this where that can be had: blurred, or its detail strengthened.

    Strengthened is by `_MOST_GAIN` at most, and never beyond the lightest and darkest pixels nearby: no halos.

    Args:
        large: uint8 [kR,kR,3].
        detail: of the photo, see `detail_of`. The result never has more.
        resolution: R.
        weights: [S,S], what counts.
    """
    scale = len(large) / resolution

    def change(amount: float) -> Pixels:
        return _blurred(large, -amount * scale) if amount < 0 else _strengthened(large, amount, scale)

    def left(amount: float) -> float:
        return detail_of(_luma(change(amount)), resolution, weights)

    softer = left(0.0) > detail
    return change(_largest(left, detail, -_MOST_BLUR if softer else 0.0, 0.0 if softer else _MOST_GAIN))


def crisp(patch: Pixels, around: Surroundings, weights: Mask) -> Pixels:
    """A patch [S,S,3] whose finest detail is strengthened as `matched` does it, until it is as crisp as the photo."""
    missing = _missing_grain(patch, around.noise)

    def left(gain: float) -> float:
        return crispness_of(_luma(_strengthened(patch, gain, _PIXELS[0] / _GAINED)), weights, missing)

    gain = _largest(left, around.crispness, 0.0, _MOST_CRISP)
    return _strengthened(patch, gain, _PIXELS[0] / _GAINED)


def _largest(left: Callable[[float], float], limit: float, low: float, high: float) -> float:
    """The largest amount for which a growing function stays within a limit; the low one where none does."""
    if left(high) <= limit:
        return high
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (low, middle) if left(middle) > limit else (middle, high)
    return low


def _strengthened(large: Pixels, gain: float, scale: float) -> Pixels:
    if not gain:
        return large
    reach = 2 * round(scale / 2) + 1
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    lightest, darkest = cv2.dilate(large, window), cv2.erode(large, window)
    soft = cv2.GaussianBlur(large, (0, 0), _GAINED * scale)
    stronger = cv2.addWeighted(large, 1 + gain, soft, -gain, 0)
    return np.asarray(np.clip(stronger, darkest, lightest), np.uint8)


def noise_of(luma: NDArray[np.float32]) -> float:
    """Standard deviation of grain in luminance, where the picture is flattest (Immerkaer 1996, by tiles)."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    rough = np.abs(cv2.filter2D(luma, -1, kernel))
    clipped = ((luma < 4) | (luma > 251)).astype(np.float32)  # black and white show no grain
    height, width = (side // _TILE for side in luma.shape)
    if not height or not width:
        return 0.0
    tiles, dark = (
        x[: height * _TILE, : width * _TILE].reshape(height, _TILE, width, _TILE).mean((1, 3)) for x in (rough, clipped)
    )
    shown = tiles[dark < 0.1]
    return float(np.quantile(shown, 0.2) * np.sqrt(np.pi / 2) / 6) if shown.size else 0.0


def with_grain(patch: Pixels, noise: float) -> Pixels:
    """A patch [S,S,3] with as much grain as this; the same patch always gets the same."""
    missing = _missing_grain(patch, noise)
    if not missing:
        return patch
    seed = int.from_bytes(hashlib.sha256(patch.tobytes()).digest()[:8], "little")
    grain = np.random.default_rng(seed).standard_normal(patch.shape[:2], dtype=np.float32)
    grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), _GRAIN), np.float32)
    grain *= missing / max(noise_of(128 + 16 * grain) / 16, 1e-6)
    tone = _luma(patch) / 255
    grain *= np.sqrt(4 * tone * (1 - tone)).clip(_FAINTEST, 1)  # tone curves are flat in shadows and lights
    return np.asarray((patch + grain[..., None]).round().clip(0, 255), np.uint8)


def _missing_grain(patch: Pixels, noise: float) -> float:
    missing = float(np.sqrt(max(min(noise, _MOST_GRAIN) ** 2 - noise_of(_luma(patch)) ** 2, 0.0)))
    return missing if missing >= _LEAST_GRAIN else 0.0


def blocks_of(luma: NDArray[np.float32], at: tuple[int, int]) -> float:
    """See `Surroundings.blocks`; `at` is (x, y) of the luminance's corner in the photo."""
    found = []
    for axis, start in ((1, at[0]), (0, at[1])):
        steps = np.abs(np.diff(luma, axis=axis)).mean(axis=1 - axis)
        border = (np.arange(len(steps)) + 1 + start) % 8 == 0
        if border.any() and not border.all():
            found.append(float(steps[border].mean()) / max(float(steps[~border].mean()), 1e-3))
    return float(np.mean(found)) if found else 1.0


def with_blocks(patch: Pixels, blocks: float, *, at: tuple[int, int]) -> Pixels:
    """A patch [S,S,3] coded as JPEG on the photo's grid, at the best quality that leaves blocks like this."""
    if blocks < _BLOCKY:
        return patch
    coded = patch
    for quality in _QUALITIES:
        coded = _coded(patch, quality, at)
        if blocks_of(_luma(coded), at) >= blocks:
            break
    return coded


def _coded(patch: Pixels, quality: int, at: tuple[int, int]) -> Pixels:
    side, left, top = len(patch), at[0] % 16, at[1] % 16  # colours come in blocks of 16
    rest = -(side + np.array([left, top])) % 16
    around = cv2.copyMakeBorder(patch, top, int(rest[1]), left, int(rest[0]), cv2.BORDER_REPLICATE)
    _, data = cv2.imencode(".jpg", around[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    coded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    return np.ascontiguousarray(coded[top : top + side, left : left + side], np.uint8)


def _network_picture(image: Pixels, finish: Finish) -> Pixels:  # [R,R,3] -> [4R,4R,3]
    if finish == "teacher":
        from models.teacher import load_teacher

        return load_teacher().finish(image)
    from models.finisher import load_finisher

    return load_finisher().finish(image)


def _blurred(large: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(large, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.uint8)


def _luma(pixels: Pixels) -> NDArray[np.float32]:  # [H,W,3] -> [H,W]
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
