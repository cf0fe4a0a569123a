"""What an edit will look like, at once: a small copy of the photo around its head, edited in the same way."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.editor.editor import Editor
from infer.editor.regions import areas_of, for_generator
from infer.editor.settled import Asked, known_latent, settled_key
from infer.editor.steps import Step
from infer.edits.choices import Scale
from infer.photo.box import Box
from infer.photo.choices import Method
from infer.photo.masks import Mask
from infer.photo.photo import Photo
from models.layers.resampling import resize_pixels
from models.perception.segmentation import Segmenter, create_segmenter

SIDE = 128  # px of the square: what the embedded generators make
AROUND = 0.5  # of the square's side, on each side: what is seen of the photo beside it
_COARSE = 257  # px of the pictures that the segmenter is shown, instead of 513


@dataclass(frozen=True)
class Window:
    """What a preview shows of the picture that is edited (the photo, or the window in which a rolled head is upright).

    Attributes:
        x, y, w, h: in pixels of that picture.
        scale: pixels of the preview for each of them.
    """

    x: int
    y: int
    w: int
    h: int
    scale: float

    @classmethod
    def around(cls, box: Box, shape: tuple[int, int]) -> Self:
        """Around a square in a picture [H,W]."""
        reach = round(AROUND * box.w)
        left, top = max(box.x - reach, 0), max(box.y - reach, 0)
        right, bottom = min(box.x + box.w + reach, shape[1]), min(box.y + box.h + reach, shape[0])
        return cls(left, top, right - left, bottom - top, SIDE / box.w)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the preview."""
        return max(round(self.h * self.scale), 1), max(round(self.w * self.scale), 1)

    @property
    def matrix(self) -> NDArray[np.float64]:  # -> [2,3]
        """From the preview's pixels to those of the picture, both by their indices."""
        down, across = self.h / self.shape[0], self.w / self.shape[1]
        return np.array([[across, 0, self.x + across / 2 - 0.5], [0, down, self.y + down / 2 - 0.5]])


class Preview(Editor):
    """A small copy of an editor with its projection: a change is seen in a fraction of a second.

    Everything is done as the editor does it, but for what takes long: nothing is sharpened or said, latents are those
    that have settled for the editor already (`adopt`), the background behind an animal is made once, and what the
    generator makes is looked at coarsely.
    """

    def __init__(self, editor: Editor) -> None:
        super().__init__(editor.networks, editor.segmenter)
        photo, box = editor.need_photo(), editor.box.square()
        shape = photo.pixels.shape[:2]
        self.window = window = Window.around(box, (shape[0], shape[1]))
        part = photo.pixels[window.y :, window.x :][: window.h, : window.w]
        small = Photo(None, resize_pixels(part, *window.shape), "PNG", grey=photo.grey)
        corner = round((box.x - window.x) * window.scale), round((box.y - window.y) * window.scale)
        self._begin(small, None, Box(*corner, SIDE, SIDE), editor.located)
        self._photo_mask = _warped(editor.segmented(), _between(window.matrix, shape, editor.segmented().shape), window)
        self._to_photo = window.matrix if editor.upright is None else _after(editor.upright.matrix, window.matrix)
        assert editor.photo is not None
        self._photo_shape = editor.photo.pixels.shape[:2]
        self._adopted: dict[Hashable, Tensor] = {}
        self._plate: list[NDArray[np.uint8] | None] = []
        editor.registration()
        for name in ("catalog", "label", "projection", "settings", "_own", "_registration", "_reconstruction"):
            setattr(self, name, getattr(editor, name))

    def region(self, mask: Mask) -> Mask:  # [h,w] -> [H,W] of the window
        """A mask of the whole upright photo, of any size, as a region of this preview's steps."""
        return _warped(mask, _between(self._to_photo, self._photo_shape, mask.shape), self.window)

    def show(
        self, steps: Sequence[Step], *, method: Method | None = None, recolour_body: bool = False
    ) -> NDArray[np.uint8]:  # -> [H,W,3]
        """The window with steps done, whose regions are of the window's size (`region`); see `Editor.edit`.

        Raises:
            PhotograftError: as there.
        """
        edit = self.edit(steps, method=method, finish="off", recolour_body=recolour_body)
        self.edits.clear()
        return edit.pixels

    def adopt(self, editor: Editor, steps: Sequence[Step]) -> None:
        """Take the latent that has settled for the editor's latest edit, whose steps are these in the window."""
        found = list(editor.settled().values())[-1:]
        resolved = self.resolve(steps)
        key = settled_key(resolved, for_generator(self, resolved, areas_of(self, resolved), registered=True))
        if found and key is not None:
            self._adopted[key] = found[0]

    # ------------------------------------------------------------------ what takes long

    def _settle(self, asked: Asked, settle: int | None, scale: Scale) -> tuple[Tensor, int]:
        return known_latent(self, asked.steps, asked.areas, self._adopted), 0

    def _remark(
        self, steps: Sequence[Step], areas: Sequence[Mask], drawn: NDArray[np.uint8], *, registered: bool
    ) -> None:
        """The editor says it."""

    def segment(self, pixels: NDArray[np.uint8], box: Box | None) -> NDArray[np.float32]:
        if self.segmenter == "deeplab":
            return _coarse(self.networks.device)(pixels)
        return super().segment(pixels, box)

    def made_animal(self, image: NDArray[np.uint8], patch: NDArray[np.uint8]) -> NDArray[np.float32]:
        outline = self.outline(image)
        if outline is None:
            return super().made_animal(image, patch)
        return np.asarray(resize_pixels(outline, *patch.shape[:2]).clip(0, 1), np.float32)

    def background(self, filled: NDArray[np.float32]) -> NDArray[np.uint8] | None:
        if not self._plate:
            self._plate.append(super().background(np.ones_like(filled)))
        return self._plate[0]


# ---------------------------------------------------------------------- from one picture's pixels to another's, [2,3]


def _after(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """One way, and another one after it."""
    both = second[:, :2] @ first
    both[:, 2] += second[:, 2]
    return both


def _between(matrix: NDArray[np.float64], shape: tuple[int, ...], other: tuple[int, ...]) -> NDArray[np.float64]:
    """A way into a picture of this shape, on into the same at another size."""
    across, down = other[1] / shape[1], other[0] / shape[0]
    return _after(np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5]]), matrix)


def _warped(mask: Mask, matrix: NDArray[np.float64], window: Window) -> Mask:
    """A mask in the window, whose pixels the matrix carries into the mask's; 0 beyond it."""
    step = float(np.hypot(matrix[0, 0], matrix[1, 0]))  # pixels of the mask for each of the window's
    if step > 1:  # all of them count
        mask = np.asarray(cv2.blur(mask, (round(step), round(step))), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(mask, matrix, window.shape[::-1], flags=flags), np.float32)


@lru_cache(maxsize=1)
def _coarse(device: torch.device) -> Segmenter:
    return create_segmenter("deeplab", device=device, side=_COARSE)
