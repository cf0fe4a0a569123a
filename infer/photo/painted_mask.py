"""Painted masks: which number, colour or opacity means "edit here" is understood, said, or refused."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.values import to_8_bit
from infer.photo.deep import turn
from infer.photo.photo import Mask, Pixels
from infer.photo.read import OpenPicture, damaged, open_picture, orientation_of, read_values
from models.errors import PhotograftError
from models.terminal import Say

MOST_LABELS = 32  # distinct values or colours of a picture that are taken for labels, not for shades
HIGHEST_LABEL = 50  # of 255: a shade as faint as that, 20 %, is hardly painted on purpose
_LOSSY = ("JPEG", "MPO", "WEBP", "HEIF", "AVIF")
_NOISE = 8  # what these make of black, white and grey
_LIT, _SHADE, _SAMPLE = 32, 0.15, 1 << 20
_PLAIN = "paint in white on black, and save it as PNG"


def read_mask(path: str | Path, shape: tuple[int, int], *, invert: bool = False, say: Say | None = None) -> Mask:
    """Read a painted mask for a photo of `shape` (H, W): float32 [H,W] in [0,1], 1 = edit here.

    * Shades of grey: white is 1, black 0; those of 16 bits and floats of 0..1 too. JPEG's faint noise is left out.
    * Labels: 0 and at most 31 other values, none over 50 (of 255; some void of 255 may be there): all but 0 is 1.
    * Colours: at most 32 with black among them: all but black is 1. So it is for palettes; one without black has its
      first colour as background. Shades of one colour on black: the strongest channel over 255.
    * Transparent pictures: their opacity if they are of one colour, else what they show, times opacity.

    Whatever is no plain white on black is said. A photo with paint on it, several colours in shades, colours without
    black, labels without 0, numbers of no known range, another size or an empty mask raise `PhotograftError`.

    Args:
        path: of the mask.
        shape: (H, W) of the upright photo.
        invert: edit what is not painted.
        say: is told how the mask was understood.
    """
    path = Path(path)

    def tell(text: str) -> None:
        if say is not None:
            say(f"mask {path.name}: {text}")

    opened = open_picture(path)
    try:
        _check_size(opened.size[::-1], shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage in what is not needed
            mask = _placed(opened, _amount(opened, tell), shape, tell)
    except PhotograftError as error:
        raise PhotograftError(f"{path}: the mask {error}") from error
    except Exception as error:  # decoders raise anything on damaged data
        raise damaged(path, error) from error
    if invert:
        mask = 1 - mask
    if not mask.any():
        how = "is full, inverted it is empty: leave a region unpainted" if invert else f"is empty: {_PLAIN}"
        raise PhotograftError(f"{path}: the mask {how}")
    if mask.max() < 0.5:
        tell(f"it reaches {mask.max():.0%} of white, which is the strength of the edit there")
    return np.ascontiguousarray(mask, dtype=np.float32)


def _placed(opened: OpenPicture, mask: Mask, shape: tuple[int, int], tell: Say) -> Mask:
    """Turned as the photo was. A mask that has the upright photo's size already keeps it, whatever its EXIF says."""
    orientation = orientation_of(opened)
    upright = turn(mask, orientation)
    if upright.shape == shape:
        if orientation != 1:
            tell("it is turned as its EXIF says")
        return upright
    if mask.shape == shape:
        tell("its EXIF turn is left out: it has the size of the upright photo already")
        return mask
    raise _another_size(mask.shape, shape)


def _check_size(stored: tuple[int, ...], shape: tuple[int, int]) -> None:
    """Before decoding: can it have the photo's size, turned or not?"""
    if stored not in (shape, shape[::-1]):
        raise _another_size(stored, shape)


def _another_size(found: tuple[int, ...], shape: tuple[int, int]) -> PhotograftError:
    size, wanted = f"{found[1]}x{found[0]}", f"{shape[1]}x{shape[0]}"
    lying = " That is its size before it is turned upright." if found == shape[::-1] else ""
    return PhotograftError(f"is {size} but the photo is {wanted} (upright).{lying} Paint it on the upright photo")


def _amount(opened: OpenPicture, tell: Say) -> Mask:
    """How much of the edit each pixel as stored asks for."""
    values = read_values(opened)
    if values is not None:
        return _of_values(values, tell)
    image = opened.image
    assert image is not None
    transparent = "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA")
    if image.mode == "P" and not transparent:
        return _of_palette(np.asarray(image), image.getpalette("RGB") or [], tell)
    if image.mode in ("1", "L") and not transparent:
        values = np.asarray(image.convert("L"))
        return _of_greys(_denoised(values) if image.format in _LOSSY else values, tell)
    layer = np.asarray(image.convert("RGBA" if transparent else "RGB"))
    return _of_layer(layer[..., :3], layer[..., 3] if transparent else None, image.format in _LOSSY, tell)


def _of_values(values: NDArray[Any], tell: Say) -> Mask:
    """Values [H,W,C] of more than 8 bits, or signed."""
    channels = values.shape[2]
    if channels == 1 or (channels == 3 and bool((values == values[..., :1]).all())):
        return _of_greys(values[..., 0], tell)
    if values.dtype != np.uint16:
        raise PhotograftError(f"has colours in {values.dtype}: {_PLAIN}")
    layer = to_8_bit(values) if values.max() > 255 else values.astype(np.uint8)
    colours = np.broadcast_to(layer[..., :1], (*layer.shape[:2], 3)) if channels == 2 else layer[..., :3]
    return _of_layer(colours, layer[..., -1] if channels in (2, 4) else None, False, tell)


def _of_layer(pixels: Pixels, alpha: Pixels | None, lossy: bool, tell: Say) -> Mask:
    if alpha is None or alpha.min() == 255:
        return _of_colours(pixels, lossy, tell)
    colours = _colours(pixels[alpha > 0])
    if len(colours) <= 1:
        tell("it is transparent and of one colour: its opacity counts")
        return np.asarray(alpha / np.float32(255))
    tell("it is transparent and has several colours: what it shows counts, times its opacity")
    shown = _of_colours(pixels * (alpha > 0)[..., None], lossy, tell)
    return np.asarray(shown * (alpha / np.float32(255)))


def _of_palette(index: Pixels, entries: list[int], tell: Say) -> Mask:
    palette = np.zeros((256, 3), np.uint8)
    palette.flat[: len(entries)] = entries
    used = np.flatnonzero(np.bincount(index.ravel(), minlength=256))
    colours = palette[used]
    if (colours == colours[:, :1]).all():
        return _of_greys(palette[index, 0], tell)
    black: NDArray[np.bool_] = np.logical_not(palette.any(axis=1))
    if len(used) > MOST_LABELS or black[used].any():
        return _of_colours(palette[index], False, tell)
    if used[0] != 0:
        raise PhotograftError(f"has a palette of {len(used)} colours, none of them black or the first: {_PLAIN}")
    first = ",".join(map(str, palette[0]))
    tell(f"it has a palette without black: its first colour ({first}) is the background, all others are edited")
    return np.asarray(index != 0, np.float32)


def _of_colours(pixels: Pixels, lossy: bool, tell: Say) -> Mask:
    red, green, blue = np.moveaxis(pixels, 2, 0)  # numpy reduces short axes slowly
    strongest = np.maximum(np.maximum(red, green), blue)
    spread = strongest - np.minimum(np.minimum(red, green), blue)
    if spread.max() <= (2 * _NOISE if lossy else 0):
        return _of_greys(_denoised(strongest) if lossy else strongest, tell)
    colours = _colours(pixels)
    if len(colours) <= MOST_LABELS:
        if colours[0] != 0:
            raise PhotograftError(f"has {len(colours)} colours but no black for what is not edited: {_PLAIN}")
        if len(colours) > 2 or strongest.max() < 255:
            tell(f"it has {len(colours)} colours: all but black are edited")
        return np.asarray(strongest > 0, np.float32)
    if strongest.min() > _NOISE or not _one_hue(pixels, strongest):
        raise PhotograftError(f"has many colours, as a photo has: {_PLAIN}")
    tell("it has shades of one colour: the brighter the more is edited")
    return np.asarray((_denoised(strongest) if lossy else strongest) / np.float32(255))


def _colours(pixels: Pixels) -> NDArray[np.int64]:
    """The colours that occur, as numbers: sorted, black is 0."""
    seen = np.zeros(1 << 24, bool)
    for rows in np.array_split(pixels.reshape(-1, 3), max(1, pixels.size // (3 * _SAMPLE))):
        seen[rows @ np.array([1 << 16, 1 << 8, 1], np.int32)] = True
    return np.flatnonzero(seen)


def _one_hue(pixels: Pixels, strongest: Pixels) -> bool:
    """Do almost all of the brighter pixels have their channels in the same proportion?"""
    step = max(1, strongest.size // _SAMPLE)
    lit, top = pixels.reshape(-1, 3)[::step], strongest.reshape(-1, 1)[::step]
    proportion = (lit / np.maximum(top, 1))[top[:, 0] > _LIT]
    if not len(proportion):
        return True
    return bool(np.mean(np.abs(proportion - np.median(proportion, axis=0)).max(axis=1) < _SHADE) > 0.98)


def _denoised(values: Pixels) -> Pixels:
    """Without what lossy compression makes of black and white."""
    if values.max() <= HIGHEST_LABEL:
        return values
    return np.where(values < _NOISE, np.uint8(0), np.where(values > 255 - _NOISE, np.uint8(255), values))


def _of_greys(values: NDArray[Any], tell: Say) -> Mask:
    """Numbers as shades of their type's range, or as labels."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise PhotograftError(f"holds numbers that are not finite: {_PLAIN}")
    found: NDArray[Any]
    found, counts = _distinct(values)
    if found[0] < 0:
        raise PhotograftError(f"holds numbers below 0: {_PLAIN}")
    high = found[-1]
    white = {"uint8": 255, "uint16": 65535}.get(values.dtype.name, 1 if values.dtype.kind == "f" else None)
    whole = len(found) <= MOST_LABELS and bool((found == np.round(found)).all())
    # 0/1 and 0/255 are masks in any type; some void beside small labels is how VOC marks outlines.
    labels = found[(found > 0) & ~((found == 255) & (high == 255))]
    void = counts[-1] if high == 255 else 0
    small = len(labels) > 0 and labels[-1] <= HIGHEST_LABEL and counts[np.isin(found, labels)].sum() > void
    in_wider_type = values.dtype.name != "uint8" and high <= 255 and not (values.dtype.kind == "f" and high <= 1)
    if whole and (high in (0, 1) or small or in_wider_type or white is None):
        if found[0] != 0 and high > 1:
            raise PhotograftError(f"has labels ({_listed(found)}) but no 0 for what is not edited: {_PLAIN}")
        if len(found) > 2 or high not in (0, 1, 255):
            tell(f"its values {_listed(found)} are taken for labels: all but 0 is edited")
        return np.asarray(values > 0, np.float32)
    if white == 65535 and high <= 255:
        tell("its 16-bit values end within 0..255: 255 is taken for white")
        white = 255
    if white is None or high > white:
        raise PhotograftError(f"has {values.dtype} values up to {high:g}, of which no range is known: {_PLAIN}")
    return np.asarray(values / np.float32(white), np.float32)


def _distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sorted values that occur, and how often."""
    if values.dtype.name in ("uint8", "uint16"):
        counts = sum(np.bincount(rows.ravel(), minlength=65536) for rows in np.array_split(values, 8))
        found = np.flatnonzero(counts)
        return found, np.asarray(counts)[found]
    return np.unique(values, return_counts=True)


def _listed(found: NDArray[Any]) -> str:
    shown = ", ".join(f"{value:g}" for value in found[:6])
    return shown + (", ..." if len(found) > 6 else "")
