"""Put an edited patch back into a photo: Poisson blending (limited, OpenCV's, exact), gradient mixing, plain paste.

Whatever the method, pixels where the mask is 0 are byte-identical to the photo. Poisson editing: Perez et al. 2003.
"""

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from models.errors import PhotograftError

Method = Literal["limited", "poisson", "mixed", "paste", "poisson-exact"]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_METHOD: Method = "limited"

_LEAST = 1 / 510  # less than half a grey level of influence: not part of the region
_ERODED = 7  # seamlessClone erodes its mask three times by 3x3: what is thinner vanishes
_LIMIT = 60.0  # grey levels by which "limited" moves a colour at most: more burns heads out, less shows their edges
_DIRECT_LIMIT = 80_000  # unknowns up to which a direct factorisation takes about a second


def composite(
    photo: NDArray[np.uint8],
    patch: NDArray[np.uint8],
    mask: NDArray[np.floating],
    top_left: tuple[int, int],
    *,
    method: Method = DEFAULT_METHOD,
) -> NDArray[np.uint8]:
    """Blend `patch` into `photo` where `mask` says so.

    photo: uint8 RGB [H,W,3], unchanged. patch: uint8 [h,w,3] at the photo's scale. mask: float [h,w] in [0,1]; a soft
    mask gives a soft transition. top_left: (x, y) of the patch in the photo; it may lie partly outside.
    method: "poisson" (cv2.seamlessClone, the paper's), "limited" (the same, but no colour moves by more than 60 grey
    levels: where a bright background meets a dark one, Poisson's equation would burn out the whole head), "mixed" (its
    gradient mixing), "paste" (alpha only) or "poisson-exact" (the 5-point equation solved on exactly the masked pixels:
    no seam at the mask's edge; slower on large masks).
    Returns a new uint8 [H,W,3]. Raises `PhotograftError` for a mask that selects nothing of the photo, ValueError for
    arrays of a wrong kind.
    """
    _check(photo, patch, mask, method)
    x, y = top_left
    alpha = np.zeros(photo.shape[:2], dtype=np.float32)  # [H,W]
    rows, columns = _overlap(y, patch.shape[0], photo.shape[0]), _overlap(x, patch.shape[1], photo.shape[1])
    alpha[rows, columns] = mask[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    support = alpha > _LEAST
    if not support.any():
        raise PhotograftError("the mask selects nothing inside the photo: choose or paint another region")
    region = _bounds(support)
    target, support, alpha = photo[region], support[region], alpha[region]
    # The region has a margin of 1 px that the patch may lack: repeat its edge there.
    source_rows = np.clip(np.arange(region[0].start, region[0].stop) - y, 0, patch.shape[0] - 1)
    source_columns = np.clip(np.arange(region[1].start, region[1].stop) - x, 0, patch.shape[1] - 1)
    source = patch[np.ix_(source_rows, source_columns)]

    blended = _blend(target, source, support, method)  # [h',w',3] float64
    weight = np.where(support, alpha, 0)[..., None]
    out = photo.copy()
    out[region] = np.clip(np.rint(target + weight * (blended - target)), 0, 255).astype(np.uint8)
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


def _bounds(support: Bool) -> tuple[slice, slice]:
    """The support's bounding box with a margin of 1 px where the photo goes on."""
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(support.any(axis=axis))
        spans.append(slice(max(int(found[0]) - 1, 0), min(int(found[-1]) + 2, support.shape[1 - axis])))
    return spans[0], spans[1]


def _blend(target: NDArray[np.uint8], source: NDArray[np.uint8], support: Bool, method: Method) -> Float:
    if method == "paste":
        return source.astype(np.float64)
    if method == "limited":
        shift = _blend(target, source, support, "poisson") - source
        return source + _LIMIT * np.tanh(shift / _LIMIT)
    # Too thin for seamlessClone, which would raise or return the target: the exact equation takes any shape.
    core = cv2.erode(support.astype(np.uint8), np.ones((_ERODED, _ERODED), np.uint8), borderValue=0)
    if method == "poisson-exact" or not core.any():
        return poisson_exact(target.astype(np.float64), source.astype(np.float64), support)
    flag = cv2.NORMAL_CLONE if method == "poisson" else cv2.MIXED_CLONE
    return _seamless_clone(target, source, support, flag)


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


def _harmonic(values: Float, unknown: Bool) -> Float:
    """Replace `values` [H,W,C] at `unknown` [H,W] by the smoothest (harmonic) continuation of the others."""
    matrix, right = _laplace(values, unknown)
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


def _laplace(values: Float, unknown: Bool) -> tuple[sparse.csr_array, Float]:
    """Matrix [n,n] and right side [n,C] of: sum over neighbours of (x - neighbour) = 0 at every unknown."""
    height, width = unknown.shape
    rows, columns = np.nonzero(unknown)
    count = len(rows)
    index = np.full((height, width), -1, dtype=np.int64)
    index[rows, columns] = np.arange(count)
    diagonal = np.zeros(count)
    right = np.zeros((count, values.shape[2]))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        r, c = rows + down, columns + across
        inside = np.flatnonzero((r >= 0) & (r < height) & (c >= 0) & (c < width))
        neighbour = index[r[inside], c[inside]]
        diagonal[inside] += 1
        known = inside[neighbour < 0]
        right[known] += values[r[known], c[known]]
        entries.append((inside[neighbour >= 0], neighbour[neighbour >= 0]))
    i = np.concatenate([e[0] for e in entries] + [np.arange(count)])
    j = np.concatenate([e[1] for e in entries] + [np.arange(count)])
    data = np.concatenate([np.full(len(i) - count, -1.0), diagonal])
    return sparse.csr_array((data, (i, j)), shape=(count, count)), right
