"""A generated picture as sharp as the photo that it goes into, with the photo's texture and blocks; never sharper.

The finishing network (`models.finisher`) gives the detail that enlarging cannot. Detail that is finer still is the
photo's own: the texture of its fur and the grain of its sensor, evened out so that no edge of the old head is in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

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
_TEXTURED = 10.0  # levels of 255, by which the photo's texture is added at most
_EVEN = 10  # sigmas on a side of the window in which, twice, its amplitude is made the same everywhere
_FAINTEST = 0.35  # share of it that is left in black and white
_FLATTEST = 0.05  # share of tiles that show grain alone, and no fur
_TILE = 16  # px on a side of what noise is read in
_CRISP = _PIXELS[0] / _GAINED
_MEASURED = 1024  # px on a side of the middle of a square that is measured
_STRIP, _HALO = 256, 16  # rows that are done at a time (blocks of colours are 16), and beyond them
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
        finish: "auto" with the embedded network, "teacher" with the extra `sharp`, "off": resampled and no more, as is
            a picture of more than `LARGEST` px. A square that is not larger than the picture needs no network.
        where: [S,S] in [0,1], what of the square counts for its sharpness; None: all.

    Raises:
        PhotograftError: the teacher is not installed.
    """
    side, resolution = box.square().w, image.shape[0]
    if finish == "off" or resolution > LARGEST or resolution % 2:
        return np.asarray(uncrop(image, box, pixels.shape)[0], np.uint8)
    square, shown = box.square(), min(side, _SCALE * resolution)
    weights = np.ones((shown, shown), np.float32) if where is None or not where.any() else _sized(where, shown)
    middle = _middle(side)
    inner = Box(
        square.x + middle.start, square.y + middle.start, middle.stop - middle.start, middle.stop - middle.start
    )
    own = crop_square(pixels, inner, inner.w)
    parts = weights if inner.w == shown == side else _sized(_part(weights, middle, side), inner.w)
    around = surroundings(own, _reduced(pixels, square, shown), side, resolution, weights, parts, at=(inner.x, inner.y))
    if side > resolution:
        image = matched(_network_picture(image, finish), around.detail, resolution, weights)
    patch = np.asarray(uncrop(image, box, pixels.shape)[0], np.uint8)
    return taken(patch, pixels, around, parts, resolution, square)


def _reduced(pixels: Pixels, square: Box, shown: int) -> Pixels:  # -> [shown,shown,3]
    """What of a square is in the photo, reduced, its edge repeated beyond; `crop_square` would copy all of it."""
    scale = shown / square.w
    left, top = max(-square.x, 0), max(-square.y, 0)
    part = pixels[square.y + top : square.y + square.h, square.x + left : square.x + square.w]
    size = max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1)
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    x, y = (min(round(start * scale), shown - length) for start, length in zip((left, top), size, strict=True))
    beyond = y, shown - y - size[1], x, shown - x - size[0]
    return np.asarray(cv2.copyMakeBorder(small, *beyond, cv2.BORDER_REPLICATE), np.uint8)


def _middle(side: int) -> slice:
    """The middle of a square as far as it is measured: what a camera does is the same everywhere, and costs time."""
    start = max(side - _MEASURED, 0) // 2 // 16 * 16
    return slice(start, start + min(side, _MEASURED))


def _part(weights: Mask, span: slice, side: int) -> Mask:
    """Weights of all of a square, of any size, on a part of its rows and columns."""
    first, last = (round(end * len(weights) / side) for end in (span.start, span.stop))
    return weights[first : max(last, first + 1), first : max(last, first + 1)]


def _sized(weights: Mask, side: int) -> Mask:
    if len(weights) == side:
        return weights
    how = cv2.INTER_AREA if side < len(weights) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(weights, (side, side), interpolation=how), np.float32)


def check_finish(finish: Finish) -> None:
    """Raise PhotograftError for a finish that there is not, or whose network is not installed."""
    if finish not in FINISHES:
        raise PhotograftError(f"finish is {', '.join(FINISHES)}, not {short(finish)}")
    if finish == "teacher":
        from models.teacher import teacher_files

        teacher_files()


def surroundings(
    own: Pixels, small: Pixels, side: int, resolution: int, weights: Mask, parts: Mask, *, at: tuple[int, int]
) -> Surroundings:
    """Measure a photo's square.

    Args:
        own: uint8 [n,n,3], the middle of it, pixel by pixel.
        small: uint8 [s,s,3], all of it, at most four times as large as the generator's picture.
        side: of the square in the photo.
        resolution: R, side of the generator's picture.
        weights, parts: [s,s] and [n,n], what counts for the detail of both.
        at: (x, y) of the middle's corner in the photo, where JPEG's blocks begin at 0.
    """
    luma = _luma(own)
    noise = noise_of(luma)
    detail = detail_of(_luma(small), resolution, weights, noise * len(small) / side)  # grain is averaged
    return Surroundings(detail, crispness_of(luma, parts), noise, blocks_of(luma, at))


def detail_of(luma: NDArray[np.float32], resolution: int, weights: Mask, noise: float = 0.0) -> float:
    """See `Surroundings.detail`; of luminance [s,s], which is reduced to what a finished picture can show."""
    side = min(len(luma), _SCALE * resolution)
    if side < len(luma):
        luma = np.asarray(cv2.resize(luma, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    if side != len(weights):
        weights = np.asarray(cv2.resize(weights, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    return _quotient(luma, weights, _FINE * side / resolution, _COARSE * side / resolution, -(noise**2))


def crispness_of(luma: NDArray[np.float32], weights: Mask) -> float:
    """See `Surroundings.crispness`."""
    return _quotient(luma, weights, *_PIXELS, 0.0)


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


def taken(patch: Pixels, pixels: Pixels, around: Surroundings, weights: Mask, resolution: int, square: Box) -> Pixels:
    """A patch [S,S,3], in its place, as crisp as its photo: with the photo's own texture, and coded as it is.

    Measured on its middle, done in strips of its rows: a large patch takes little memory more.

    Args:
        patch: uint8 [S,S,3].
        pixels: the photo, uint8 [H,W,3].
        around: of the photo.
        weights: [n,n] of the middle, what counts for crispness.
        resolution: R, side of the generator's picture.
        square: of the patch in the photo.
    """
    middle, side, x, y = _middle(len(patch)), len(patch), square.x, square.y
    seen = np.ascontiguousarray(patch[middle, middle])
    texture = Texture.of(_rows(pixels, square, middle, middle), weights, max(1.0, side / (_SCALE * resolution)))
    own = texture.evened(_rows(pixels, square, middle, middle))
    amount = _largest(
        lambda amount: crispness_of(_luma(textured(seen, own, amount)), weights), around.crispness, 0.0, _TEXTURED
    )
    seen = textured(seen, own, amount)
    gain = crispening(seen, around, weights)
    quality = quality_of(_strengthened(seen, gain, _CRISP), around.blocks, at=(x + middle.start, y + middle.start))
    above = patch[:0]  # as they were
    for start in range(-y % 16 - 16, side, _STRIP):
        rows = slice(max(start, 0), min(start + _STRIP, side))
        around_it = np.concatenate([above, patch[rows.start : rows.stop + _HALO]])
        first = rows.start - len(above)
        above = patch[rows][-_HALO:].copy()
        if amount:
            reach = texture.reach
            wide = slice(first - reach, first + len(around_it) + reach)
            own = texture.evened(_rows(pixels, square, wide, slice(0, side)))[reach : reach + len(around_it)]
            around_it = textured(around_it, own, amount)
        strip = _strengthened(around_it, gain, _CRISP)[rows.start - first :][: rows.stop - rows.start]
        patch[rows] = strip if quality is None else _coded(strip, quality, (x, y + rows.start))
    return patch


def crispening(patch: Pixels, around: Surroundings, weights: Mask) -> float:
    """By how much the finest detail of a patch [n,n,3] is strengthened, as `matched` does it, until it is as crisp as
    the photo; below 0 it is weakened, by all of it at -1."""

    def left(gain: float) -> float:
        return crispness_of(_luma(_strengthened(patch, gain, _CRISP)), weights)

    softer = left(0.0) > around.crispness
    return _largest(left, around.crispness, -1.0 if softer else 0.0, 0.0 if softer else _MOST_CRISP)


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
    return float(np.quantile(shown, _FLATTEST) * np.sqrt(np.pi / 2) / 6) if shown.size else 0.0


@dataclass(frozen=True)
class Texture:
    """How a photo's finest detail is taken out of it.

    Attributes:
        sigma: of the Gaussian that it is finer than, in photo pixels.
        level: its amplitude where the patch goes, in levels of 255.
    """

    sigma: float
    level: float

    @classmethod
    def of(cls, own: Pixels, weights: Mask, sigma: float) -> "Texture":
        """Measured on a part of the photo, uint8 [n,n,3], where weights [n,n] count."""
        amplitude = cls(sigma, 1.0)._parts(own)[1]
        counting = weights > 0.5 * weights.max(initial=0)
        return cls(sigma, max(float(np.median(amplitude[counting])), 0.1))

    @property
    def reach(self) -> int:
        """Rows beyond its own that a row's texture depends on."""
        return self._window + 4 * ceil(self.sigma) + 2

    @property
    def _window(self) -> int:
        return 2 * round(_EVEN * self.sigma / 2) + 1

    def evened(self, own: Pixels) -> NDArray[np.float32]:  # [h,w,3] -> [h,w]
        """The texture with an amplitude of about 1 in fur, less where the photo is flat, and at edges, which would
        show the old head."""
        fine, amplitude = self._parts(own)
        return np.asarray(fine / (amplitude + 0.5 * self.level) * np.minimum(1, 1.5 * self.level / (amplitude + 1e-3)))

    def _parts(self, own: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Detail, and its amplitude nearby, [h,w] each."""
        luma = _luma(own)
        fine = luma - cv2.GaussianBlur(luma, (0, 0), self.sigma)
        fine[np.abs(fine) < 0.01] = 0  # rounding
        size = self._window, self._window  # boxes: a Gaussian as wide would take half a minute for a large photo
        amplitude = np.sqrt(cv2.blur(cv2.blur(np.square(fine), size), size).clip(0))
        return np.asarray(fine, np.float32), np.asarray(amplitude, np.float32)


def textured(patch: Pixels, own: NDArray[np.float32], amount: float) -> Pixels:
    """A patch [h,w,3] with so many levels of an evened texture [h,w] in its middle tones."""
    if not amount:
        return patch
    tone = _luma(patch) / 255  # tone curves are flat in shadows and lights
    added = amount * own * np.sqrt(4 * tone * (1 - tone)).clip(_FAINTEST, 1)
    return np.asarray((patch + added[..., None]).round().clip(0, 255), np.uint8)


def _rows(pixels: Pixels, square: Box, rows: slice, columns: slice) -> Pixels:
    """Rows and columns of a square in a photo, given from its corner on; beyond the photo its edge is repeated."""
    spans = []
    for span, first, length in ((rows, square.y, pixels.shape[0]), (columns, square.x, pixels.shape[1])):
        spans.append(np.arange(first + span.start, first + span.stop).clip(0, length - 1))
    return np.asarray(
        pixels[spans[0][0] : spans[0][-1] + 1].take(spans[0] - spans[0][0], axis=0).take(spans[1], axis=1)
    )


def blocks_of(luma: NDArray[np.float32], at: tuple[int, int]) -> float:
    """See `Surroundings.blocks`; `at` is (x, y) of the luminance's corner in the photo."""
    found = []
    for axis, start in ((1, at[0]), (0, at[1])):
        steps = np.abs(np.diff(luma, axis=axis)).mean(axis=1 - axis)
        border = (np.arange(len(steps)) + 1 + start) % 8 == 0
        if border.any() and not border.all():
            found.append(float(steps[border].mean()) / max(float(steps[~border].mean()), 1e-3))
    return float(np.mean(found)) if found else 1.0


def quality_of(patch: Pixels, blocks: float, *, at: tuple[int, int]) -> int | None:
    """The best JPEG quality that leaves blocks like this on the photo's grid; None where there are none."""
    if blocks < _BLOCKY:
        return None
    for quality in _QUALITIES:
        if blocks_of(_luma(_coded(patch, quality, at)), at) >= blocks:
            break
    return quality


def _coded(patch: Pixels, quality: int, at: tuple[int, int]) -> Pixels:
    (height, width), left, top = patch.shape[:2], at[0] % 16, at[1] % 16  # colours come in blocks of 16
    below, beside = -(height + top) % 16, -(width + left) % 16
    around = cv2.copyMakeBorder(patch, top, below, left, beside, cv2.BORDER_REPLICATE)
    _, data = cv2.imencode(".jpg", around[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    coded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    return np.ascontiguousarray(coded[top : top + height, left : left + width], np.uint8)


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
