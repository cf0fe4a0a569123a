"""Put an edited patch into a photo: grafting, Poisson blending (limited, OpenCV's, exact), gradient mixing, paste.

Whatever the method, pixels where the mask is 0 are byte-identical to the photo. Poisson editing: Perez et al. 2003.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from infer.photo.choices import DEFAULT_METHOD, METHODS, Method
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels

Float = NDArray[np.floating[Any]]
Bool = NDArray[np.bool_]
Spans = tuple[slice, slice]  # rows, columns

_LEAST = 1 / 510  # less than half a grey level of influence: not part of the region
_ERODED = 7  # seamlessClone erodes its mask three times by 3x3: what is thinner vanishes
_THIN, _THICK = 13, 37  # px across: below, seamlessClone is not asked; between, the more the thicker a part is
_LIMIT = 60.0  # grey levels by which "limited" moves a colour at most: more burns heads out, less shows their edges
_DIRECT_LIMIT = 80_000  # unknowns up to which a direct factorisation takes about a second
_LARGEST, _SOLVED = 1 << 20, 1 << 19  # pixels up to which a region is solved at its own size, and beyond
_FAINT = 0.1  # of a mask: less is the rim of a graft
_GRAFT_SIDE, _GRAFTED = 192, 0.12  # px on a side where grafts are worked out; how deep the photo's colours reach in
_STRIP = 64  # rows that are blended at a time


def composite(
    photo: NDArray[np.uint8],
    patch: NDArray[np.uint8],
    mask: NDArray[np.floating],
    top_left: tuple[int, int],
    *,
    method: Method = DEFAULT_METHOD,
    joined: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Blend `patch` into `photo` where `mask` says so.

    photo: uint8 RGB [H,W,3], unchanged. patch: uint8 [h,w,3] at the photo's scale. mask: float [h,w] in [0,1]; a soft
    mask gives a soft transition. top_left: (x, y) of the patch in the photo; it may lie partly outside.
    method: "graft" (the patch keeps its colours; only near the rim, and only where it goes on in the photo, do they
    pass into the photo's: the 5-point equation with a term that pulls the change to nothing), "poisson"
    (cv2.seamlessClone, the paper's; the rims and thin parts that it leaves out are solved exactly),
    "limited" (the same, but no colour moves by more than 60 grey levels: where a bright background meets a dark one,
    Poisson's equation would burn out the whole head), "mixed" (its gradient mixing), "paste" (alpha only) or
    "poisson-exact" (the 5-point equation solved on exactly the masked pixels: no seam at the mask's edge; slower on
    large masks).
    joined: float [r,r] in [0,1], of any size, where photo and patch show one body, for "graft"; None: everywhere.
    A region beyond a megapixel is solved at half of one, as what the equations add to the patch is smooth, and that is
    enlarged; of fine detail "mixed" then takes at every pixel the photo's or the patch's, whichever is stronger.
    Returns a new uint8 [H,W,3]. Raises `PhotograftError` for a mask that selects nothing of the photo, ValueError for
    arrays of a wrong kind.
    """
    _check(photo, patch, mask, method)
    x, y = top_left
    rows, columns = _overlap(y, patch.shape[0], photo.shape[0]), _overlap(x, patch.shape[1], photo.shape[1])
    support = mask[_moved(rows, -y), _moved(columns, -x)] > _LEAST
    if not support.any():
        raise PhotograftError("the mask selects nothing inside the photo: choose or paint another region")
    rows, columns = (_moved(found, s.start) for found, s in zip(_bounds(support), (rows, columns), strict=True))
    del support
    solution = _solve(photo, patch, mask, (rows, columns), top_left, method, joined)
    out = photo.copy()
    for start in range(rows.start, rows.stop, _STRIP):
        strip = slice(start, min(start + _STRIP, rows.stop))
        on_patch = _moved(strip, -y), _moved(columns, -x)
        target, alpha = photo[strip, columns], mask[on_patch].astype(np.float32)
        blended = solution.blended(target, patch[on_patch], (strip, columns))
        blended -= target
        blended *= np.where(alpha > _LEAST, alpha, 0)[..., None]
        blended += target
        out[strip, columns] = np.clip(np.rint(blended, out=blended), 0, 255, out=blended)
    return out


def poisson_exact(target: Float, source: Float, support: Bool) -> Float:
    """Seamless cloning by the 5-point Poisson equation: inside `support` the Laplacian is the source's.

    target, source: float [H,W,C]; support: bool [H,W]. Outside the support the result is the target; at the array's
    border, where there is no neighbour to meet, the equation is the natural one. A support that covers everything
    keeps a ring of 1 px of the target, else there is nothing to be seamless with. Returns float64 [H,W,C], unclipped.
    """
    if target.shape != source.shape or target.ndim != 3 or support.shape != target.shape[:2]:
        raise ValueError(f"target {target.shape}, source {source.shape} and support {support.shape} do not fit")
    support = support.copy()
    if support.all():
        support[[0, -1]] = False
        support[:, [0, -1]] = False
    out = target.astype(np.float64)
    if support.any():
        # With d = result - source the equation is Laplace's, and d is smooth even where the pictures are not.
        out[support] = source[support] + _harmonic(out - source, support)[support]
    return out


def _check(photo: NDArray[np.uint8], patch: NDArray[np.uint8], mask: NDArray[np.floating], method: str) -> None:
    if method not in METHODS:
        raise PhotograftError(f"unknown blending method {method!r}: use one of {', '.join(METHODS)}")
    for name, image in (("photo", photo), ("patch", patch)):
        # seamlessClone segfaults on grey pictures, so this must not be left to OpenCV.
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"{name} must be uint8 RGB [H,W,3], not {image.dtype} {image.shape}")
    if mask.shape != patch.shape[:2] or not np.issubdtype(mask.dtype, np.floating):
        raise ValueError(f"mask must be float {patch.shape[:2]} as the patch, not {mask.dtype} {mask.shape}")
    if not (mask.min() >= 0 and mask.max() <= 1):  # also false for NaN
        raise ValueError("mask values must lie in [0,1]")


def _overlap(start: int, length: int, limit: int) -> slice:
    return slice(min(max(start, 0), limit), max(min(start + length, limit), 0))


def _moved(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)


def _bounds(support: Bool) -> Spans:
    """The support's bounding box."""
    rows, columns = (np.flatnonzero(support.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _with_margin(spans: Spans, shape: tuple[int, ...]) -> Spans:
    """1 px more on every side where the picture goes on: there the equations meet what is known."""
    rows, columns = (slice(max(s.start - 1, 0), min(s.stop + 1, limit)) for s, limit in zip(spans, shape, strict=False))
    return rows, columns


def _with_edge(patch: NDArray[np.uint8], rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Rows and columns of a patch; where they lie beyond it, its edge is repeated."""
    height, width = patch.shape[:2]
    beyond = max(-rows.start, 0), max(rows.stop - height, 0), max(-columns.start, 0), max(columns.stop - width, 0)
    part = patch[max(rows.start, 0) : rows.stop, max(columns.start, 0) : columns.stop]
    if not any(beyond):
        return part
    return np.asarray(cv2.copyMakeBorder(part, *beyond, cv2.BORDER_REPLICATE), np.uint8)


@dataclass(frozen=True)
class _Solution:
    """The equations' solution for a region of the photo, at its size or smaller.

    Attributes:
        region: rows and columns of the photo.
        target, source: [h,w,3] float, the pictures that were blended.
        change: [h,w,3] float, what blending adds to the source.
        mixed: whether gradients were mixed.
    """

    region: Spans
    target: Float
    source: Float
    change: Float
    mixed: bool

    def blended(self, target: NDArray[np.uint8], source: NDArray[np.uint8], where: Spans) -> Float:
        """Target and source at full size, [h,w,3] at `where` in the photo, blended."""
        out = source + self._enlarged(self.change, where)
        if self.mixed:
            finer, own = target - self._enlarged(self.target, where), source - self._enlarged(self.source, where)
            out += np.where(np.abs(finer) > np.abs(own), finer - own, 0)
        return out

    def _enlarged(self, picture: Float, where: Spans) -> Float:
        """The part of a picture of the region at `where` in the photo, at full size: as cv2.resize interpolates."""
        height, width = (s.stop - s.start for s in self.region)
        rows, columns = (_moved(s, -all_.start) for s, all_ in zip(where, self.region, strict=True))
        if picture.shape[:2] == (height, width):
            return picture[rows, columns]
        at = (np.arange(rows.start, rows.stop) + 0.5) * (len(picture) / height) - 0.5
        at = at.clip(0, len(picture) - 1)
        above = at.astype(np.int64)
        below = np.minimum(above + 1, len(picture) - 1)
        share = (at - above).astype(picture.dtype)[:, None, None]
        lines = picture[above] + share * (picture[below] - picture[above])
        return np.asarray(cv2.resize(lines, (width, len(lines)), interpolation=cv2.INTER_LINEAR))[:, columns]


def _solve(
    photo: NDArray[np.uint8],
    patch: NDArray[np.uint8],
    mask: NDArray[np.floating],
    bounds: Spans,
    top_left: tuple[int, int],
    method: Method,
    joined: NDArray[np.floating] | None,
) -> _Solution:
    """Blend what lies in the bounds of the mask's support; beyond a megapixel a smaller picture of it."""
    x, y = top_left
    if method in ("paste", "graft"):
        nothing = change = np.zeros((1, 1, 3), np.float32)
        # all of the patch that lies in the photo, so that a region's change does not depend on what lies beside it
        region = _overlap(y, patch.shape[0], photo.shape[0]), _overlap(x, patch.shape[1], photo.shape[1])
        if method == "graft":
            change = _graft_change(photo[region], patch, mask, (_moved(region[0], -y), _moved(region[1], -x)), joined)
        return _Solution(region, nothing, nothing, change, mixed=False)
    region = _with_margin(bounds, photo.shape)
    target, source = photo[region], _with_edge(patch, _moved(region[0], -y), _moved(region[1], -x))
    margins = [(inside.start - s.start, s.stop - inside.stop) for inside, s in zip(bounds, region, strict=True)]
    support = np.pad(mask[_moved(bounds[0], -y), _moved(bounds[1], -x)] > _LEAST, margins)
    large = support.size > _LARGEST
    if large:
        size = [max(round(side * (_SOLVED / support.size) ** 0.5), 1) for side in support.shape]
        target, source = resize_pixels(target, *size), resize_pixels(source, *size)
        support = resize_pixels(support.view(np.uint8) * np.uint8(255), *size) > 0
    precision: type[np.floating[Any]] = np.float32 if large else np.float64
    change = (_blend(target, source, support, method) - source).astype(precision)
    return _Solution(region, target.astype(precision), source.astype(precision), change, method == "mixed")


def _graft_change(
    target: NDArray[np.uint8],
    patch: NDArray[np.uint8],
    mask: NDArray[np.floating],
    on_patch: Spans,
    joined: NDArray[np.floating] | None,
) -> Float:
    """What "graft" adds to the patch, on a small picture: it is smooth, and means over fur, not hairs, meet.

    The change is the difference of the pictures at the mask's rim where they are joined, has no rim elsewhere, and
    fades inwards over `_GRAFTED` of the side.
    """
    scale = min(1.0, _GRAFT_SIDE / max(target.shape))
    size = [max(round(side * scale), 1) for side in target.shape[:2]]
    difference = resize_pixels(target, *size).astype(np.float64) - resize_pixels(patch[on_patch], *size)
    difference = np.asarray(cv2.GaussianBlur(difference, (0, 0), 1.0), np.float64)
    unknown = resize_pixels(mask[on_patch].astype(np.float32, copy=False), *size) > _FAINT
    free = np.zeros_like(unknown)
    if joined is not None:
        step = len(joined) / len(patch)
        rows, columns = (slice(int(s.start * step), max(round(s.stop * step), 1)) for s in on_patch)
        free = ~unknown & (resize_pixels(np.asarray(joined[rows, columns], np.float32), *size) < 0.5)
    if not unknown.any() or (unknown | free).all():
        return np.zeros((1, 1, 3), np.float32)
    pull = (_GRAFTED * max(size)) ** -2.0
    return np.asarray(_harmonic(difference, unknown, free, pull), np.float32)


def _blend(target: NDArray[np.uint8], source: NDArray[np.uint8], support: Bool, method: Method) -> Float:
    if method == "limited":
        shift = _blend(target, source, support, "poisson") - source
        return source + _LIMIT * np.tanh(shift / _LIMIT)
    known = target.astype(np.float64)
    if method != "poisson-exact":
        flag = cv2.NORMAL_CLONE if method == "poisson" else cv2.MIXED_CLONE
        support = support & ~_clone_thick_parts(known, target, source, support, flag)
    return poisson_exact(known, source.astype(np.float64), support) if support.any() else known


def _clone_thick_parts(
    out: Float, target: NDArray[np.uint8], source: NDArray[np.uint8], support: Bool, flag: int
) -> Bool:
    """Put seamlessClone's result into `out` where it can be trusted, and say where that is.

    seamlessClone leaves out the outer 3 px of every part of its mask, so of thin ones much, and what lies in one part
    changes another. So every part goes alone, rims and thin places are left to the exact equation, and parts between
    thin and thick have something of both: no part may change less for being a pixel wider.
    """
    whole = support.astype(np.uint8)
    core = cv2.erode(whole, np.ones((_ERODED, _ERODED), np.uint8), borderValue=0) > 0
    core &= cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((_THIN, _THIN), np.uint8), borderValue=0) > 0
    depth = cv2.distanceTransform(np.pad(whole, 1), cv2.DIST_C, 3)[1:-1, 1:-1]  # to what is not the part
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(whole, ltype=cv2.CV_32S)
    for label in np.unique(labels[core]):
        x, y, w, h = (int(number) for number in boxes[label][:4])
        window = _with_margin((slice(y, y + h), slice(x, x + w)), labels.shape)
        part = labels[window] == label
        inside = part & core[window]
        cloned = _seamless_clone(target[window], source[window], part, flag)[inside]
        share = (2 * float(depth[window][part].max()) - _THIN) / (_THICK - _THIN)
        if share < 1:
            exact = poisson_exact(target[window].astype(np.float64), source[window].astype(np.float64), part)
            cloned = exact[inside] + share * (cloned - exact[inside])
        out[window][inside] = cloned
    return core


def _seamless_clone(target: NDArray[np.uint8], source: NDArray[np.uint8], support: Bool, flag: int) -> Float:
    """cv2.seamlessClone with its traps closed: [h,w,3] uint8 pair and bool [h,w] -> float64 [h,w,3]."""
    # A mask that touches the border shifts the result by one pixel: give every picture a ring outside the mask.
    ring = 2
    padded_target = cv2.copyMakeBorder(target, ring, ring, ring, ring, cv2.BORDER_REPLICATE)
    padded_source = cv2.copyMakeBorder(source, ring, ring, ring, ring, cv2.BORDER_REPLICATE)
    mask = np.pad(support.astype(np.uint8) * 255, ring)  # a fresh array: seamlessClone writes into it
    x, y, w, h = cv2.boundingRect(mask)
    out = cv2.seamlessClone(padded_source, padded_target, mask, (x + w // 2, y + h // 2), flag)
    return out[ring:-ring, ring:-ring].astype(np.float64)


def _harmonic(values: Float, unknown: Bool, free: Bool | None = None, pull: float = 0.0) -> Float:
    """Replace `values` [H,W,C] at `unknown` [H,W] by the smoothest (harmonic) continuation of the others.

    free: [H,W], others that say nothing. pull: towards 0, the inverse square of the distance over which values fade.
    """
    matrix, right = _laplace(values, unknown, free, pull)
    out = values.copy()
    if matrix.shape[0] <= _DIRECT_LIMIT:
        factors = linalg.splu(
            matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        out[unknown] = factors.solve(right)
        return out
    start = _coarse_guess(values, unknown)[unknown]  # [n,C]
    for channel in range(values.shape[2]):
        # The error that is left is local: 100 steps bring it below half a grey level, exactness would take thousands.
        solved, _ = linalg.cg(matrix, right[:, channel], x0=start[:, channel], rtol=0.0, atol=1e-6, maxiter=100)
        out[..., channel][unknown] = solved
    return out


def _coarse_guess(values: Float, unknown: Bool) -> Float:
    """The continuation found at half the size, scaled up."""
    height, width = unknown.shape
    half = ((width + 1) // 2, (height + 1) // 2)
    known = (~unknown).astype(np.float64)
    weight = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(values * known[..., None], half, interpolation=cv2.INTER_AREA)
    unknown_half = weight < 0.5
    if unknown_half.all():
        unknown_half = weight < weight.max()
    values_half = np.where(unknown_half[..., None], 0.0, mean / np.maximum(weight, 1e-9)[..., None])
    solved = _harmonic(values_half, unknown_half)
    return np.asarray(cv2.resize(solved, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float64)


def _laplace(values: Float, unknown: Bool, free: Bool | None, pull: float) -> tuple[sparse.csr_array, Float]:
    """Matrix [n,n] and right side [n,C] of: sum over neighbours of (x - neighbour) + pull x = 0 at every unknown."""
    height, width = unknown.shape
    rows, columns = np.nonzero(unknown)
    count = len(rows)
    index = np.full((height, width), -1, dtype=np.int64)
    index[rows, columns] = np.arange(count)
    diagonal = np.full(count, pull)
    right = np.zeros((count, values.shape[2]))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = rows + down, columns + across
        inside = np.flatnonzero((r >= 0) & (r < height) & (c >= 0) & (c < width))
        if free is not None:
            inside = inside[~free[r[inside], c[inside]]]
        neighbour = index[r[inside], c[inside]]
        diagonal[inside] += 1
        known = inside[neighbour < 0]
        right[known] += values[r[known], c[known]]
        entries.append((inside[neighbour >= 0], neighbour[neighbour >= 0]))
    i = np.concatenate([e[0] for e in entries] + [np.arange(count)])
    j = np.concatenate([e[1] for e in entries] + [np.arange(count)])
    data = np.concatenate([np.full(len(i) - count, -1.0), diagonal])
    return sparse.csr_array((data, (i, j)), shape=(count, count)), right
