"""Load, set a photo, project, edit, save: the Python interface.

    editor = Editor.from_pretrained("sngan-heads-128")
    editor.set_photo("cat.jpg")
    editor.project()
    editor.edit("lion")
    editor.save("out")
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer import masks
from infer.compositing import Method, composite
from infer.edits.scbn import Region, class_modulations
from infer.location import locate
from infer.photo import Box, Photo, crop_square, read_mask, read_photo, uncrop
from infer.projection import Progress, Projection, choose_class, project
from models.errors import PhotograftError
from models.segmentation import Segmenter, create_segmenter
from models.zoo import DEFAULT, Model, load_model

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A region of the photo and the class that it shall become.

    Attributes:
        to: class name.
        mask: "auto" (the animal), "box" (the whole crop), a picture file of the photo's size, or float [H,W] in [0,1].
        strength: how much of the class, in [0,1].
    """

    to: str
    mask: str | Path | NDArray[np.float32] = "auto"
    strength: float = 1.0


@dataclass(frozen=True)
class Edit:
    """One edit of the current photo.

    Attributes:
        targets: what was asked for.
        layers: indices of the modulated layers that were edited; None for all.
        method: of compositing.
        patch: uint8 [S,S,3], the edited crop at the photo's scale.
        mask: float32 [S,S], where it is pasted.
        pixels: uint8 [H,W,3], the edited photo.
    """

    targets: tuple[Target, ...]
    layers: tuple[int, ...] | None
    method: Method
    patch: NDArray[np.uint8]
    mask: NDArray[np.float32]
    pixels: NDArray[np.uint8]


class Editor:
    """Edits one photo at a time with one model.

    Attributes:
        model: the generator and what belongs to it.
        photo, box, located: the photo, the square that is edited, and how it was found; after `set_photo`.
        label, projection, settings: class and latent of the crop, and how they were found; after `project`.
        edits: all edits of the photo so far.
    """

    def __init__(self, model: Model, segmenter: Segmenter | str = "deeplab", say: Say | None = None) -> None:
        if not model.class_names:
            raise PhotograftError(f"model {model.name} is unconditional: changing a class needs classes")
        self.model = model
        self.segmenter_name = segmenter if isinstance(segmenter, str) else type(segmenter).__name__
        self._segmenter = segmenter
        self._say: Say = say or (lambda text: None)
        self.photo: Photo | None = None
        self.label: int | None = None
        self.projection: Projection | None = None
        self.settings: dict[str, Any] = {}
        self.edits: list[Edit] = []

    @classmethod
    def from_pretrained(cls, name: str = DEFAULT, **options: Any) -> Self:
        """An editor with a model of the zoo, or of files (see `models.zoo.load_model`); options as in `__init__`."""
        return cls(load_model(name), **options)

    # ------------------------------------------------------------------ photo

    def set_photo(self, photo: str | Path | Photo | NDArray[np.uint8], box: Box | None = None) -> Self:
        """Take a photo (a file, or uint8 RGB [H,W,3]) and find the head in it, unless a box says where it is.

        Raises:
            PhotograftError: an unreadable photo, or a box outside of it.
        """
        if isinstance(photo, np.ndarray):
            photo = Photo(None, np.ascontiguousarray(photo), "PNG")
        elif not isinstance(photo, Photo):
            photo = read_photo(photo)
        self.photo, self.edits, self.projection, self.label = photo, [], None, None
        self._photo_mask: NDArray[np.float32] | None = None
        if box is not None:
            self.box, self.located = box.validate(*photo.pixels.shape[:2]).square(), "box"
        else:
            found = locate(photo.pixels, mask=self.photo_mask())
            self.box, self.located = found.box, found.how
            self._say(f"head found by {found.how}: {found.box}")
            if found.how == "centre":
                self._say("no animal was found, the centre is edited: give --box x,y,w,h to choose another place")
        return self

    def photo_mask(self) -> NDArray[np.float32]:
        """The segmenter's mask of the whole photo, float32 [H,W] in [0,1]."""
        if self._photo_mask is None:
            self._photo_mask = self._segment()(self._need_photo().pixels)
        return self._photo_mask

    def _segment(self) -> Segmenter:
        if isinstance(self._segmenter, str):
            self._segmenter = create_segmenter(self._segmenter)
        return self._segmenter

    def _need_photo(self) -> Photo:
        if self.photo is None:
            raise PhotograftError("no photo yet: call set_photo first")
        return self.photo

    def target(self) -> Tensor:  # -> [1,3,R,R]
        """The crop as the generator would make it, float32 in [-1,1]."""
        crop = crop_square(self._need_photo().pixels, self.box, self.model.generator.resolution)
        return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1

    # ------------------------------------------------------------------ project

    def project(
        self, source: str | None = None, *, steps: int = 100, progress: Progress | None = None, **options: Any
    ) -> Self:
        """Find the latent of the crop; see `project_all` and `infer.projection.project`."""
        project_all([self], source, steps=steps, progress=progress, **options)
        return self

    def set_projection(self, z: Tensor, label: int) -> Self:
        """Take a latent that is known already, z [1,latent_dim], instead of projecting."""
        if z.shape != (1, self.model.generator.latent_dim):
            raise PhotograftError(f"the latent must be [1,{self.model.generator.latent_dim}], not {list(z.shape)}")
        none = torch.zeros(0, 1)
        self.label = label
        self.projection = Projection(z, torch.tensor([label]), torch.zeros(1), none, none, torch.zeros(1))
        return self

    def _need_projection(self) -> tuple[Projection, Tensor]:
        if self.projection is None or self.label is None:
            raise PhotograftError("the photo is not projected yet: call project first")
        return self.projection, torch.tensor([self.label])

    @torch.no_grad()
    def reconstruction(self) -> NDArray[np.uint8]:  # -> [R,R,3]
        """What the generator makes of the crop before any edit."""
        projection, label = self._need_projection()
        return to_pixels(self.model.generator(projection.z, label))

    # ------------------------------------------------------------------ edit

    @torch.no_grad()
    def edit(
        self,
        to: str | Sequence[Target],
        *,
        mask: str | Path | NDArray[np.float32] = "auto",
        strength: float = 1.0,
        layers: Sequence[int] | None = None,
        method: Method = "poisson",
    ) -> Edit:
        """Change the class of regions by sCBN and blend the result into the photo.

        Args:
            to: class name for one region, or several targets; later ones lie over earlier ones.
            mask, strength: of the one region, see `Target`.
            layers: indices of modulated layers that are edited; all if None.
            method: of compositing, see `infer.compositing.composite`.

        Raises:
            PhotograftError: unknown class, bad mask, strength or layers, or no projection yet.
        """
        photo = self._need_photo()
        projection, label = self._need_projection()
        targets = (Target(to, mask, strength),) if isinstance(to, str) else tuple(to)
        regions = [self._region(target) for target in targets]
        modulations = class_modulations(self.model.generator, projection.z, label, regions, layers=layers)
        image = to_pixels(self.model.generator.synthesize(projection.z, modulations))
        patch = uncrop(image, self.box, photo.pixels.shape)[0]
        pasted = self._paste_mask(targets, patch)
        pixels = composite(photo.pixels, patch, pasted, (self.box.square().x, self.box.square().y), method=method)
        edit = Edit(targets, None if layers is None else tuple(layers), method, patch, pasted, pixels)
        self.edits.append(edit)
        return edit

    def _region(self, target: Target) -> Region:
        """The target's region on the crop's square, for the generator."""
        index = self.model.class_index(target.to)
        if isinstance(target.mask, str) and target.mask == "auto":
            found = masks.cut(self.photo_mask(), self.box)
            # around the head the class may change too: what becomes of it is decided by the paste mask
            area = masks.grown(masks.grown(found)) if found.max() > 0.5 else np.ones_like(found)
        else:
            area = self._given(target)
        return Region(torch.from_numpy(area), index, target.strength)

    def _given(self, target: Target) -> NDArray[np.float32]:
        """A mask that is not automatic, on the crop's square."""
        photo = self._need_photo()
        if isinstance(target.mask, np.ndarray):
            if target.mask.shape != photo.pixels.shape[:2]:
                h, w = photo.pixels.shape[:2]
                raise PhotograftError(f"the mask is {target.mask.shape}, the photo [{h},{w}]: make them the same size")
            whole = target.mask.astype(np.float32)
        elif str(target.mask) == "box":
            return np.ones((self.box.square().h, self.box.square().w), np.float32)
        else:
            whole = read_mask(target.mask, photo.pixels.shape[:2])
        inside = masks.cut(whole, self.box)
        if not inside.any():
            raise PhotograftError(f"the mask lies outside the edited square {self.box}: give --box around the region")
        return inside

    def _paste_mask(self, targets: Sequence[Target], patch: NDArray[np.uint8]) -> NDArray[np.float32]:
        shape = self._need_photo().pixels.shape
        pasted = np.zeros(patch.shape[:2], np.float32)
        for target in targets:
            if isinstance(target.mask, str) and target.mask == "auto":
                area = masks.automatic(self.photo_mask(), patch, self.box, shape, self._segment())
            elif isinstance(target.mask, str) and target.mask == "box":
                area = masks.fade_to_border(self.box, shape)
            else:
                area = self._given(target)
            pasted = np.maximum(pasted, area)
        if not pasted.any():  # nothing that looks like an animal: the whole square
            self._say("no animal was segmented: the whole square is pasted")
            pasted = masks.fade_to_border(self.box, shape)
        return pasted

    def composite(self, method: Method = "poisson") -> NDArray[np.uint8]:
        """The photo with the last edit, blended by another method: uint8 [H,W,3]."""
        if not self.edits:
            raise PhotograftError("nothing was edited yet: call edit first")
        last, square = self.edits[-1], self.box.square()
        pixels = composite(self._need_photo().pixels, last.patch, last.mask, (square.x, square.y), method=method)
        self.edits[-1] = replace(last, method=method, pixels=pixels)
        return pixels

    def save(self, folder: str | Path, *, lossless: bool = False) -> "list[Path]":
        """Write every edit: the photo, a panel beside it, and the recipe. See `infer.output.write_edits`."""
        from infer.output import write_edits  # it draws panels of editors

        return write_edits(self, Path(folder), lossless=lossless)


def to_pixels(image: Tensor) -> NDArray[np.uint8]:  # [1,3,R,R] in [-1,1] -> [R,R,3]
    """One picture of a generator as uint8 RGB, rounded."""
    return np.asarray((image[0].float() * 127.5 + 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu())


def project_all(
    editors: Sequence[Editor],
    source: str | None = None,
    *,
    steps: int = 100,
    progress: Progress | None = None,
    **options: Any,
) -> None:
    """Project the photos of several editors of one model together.

    Args:
        editors: with their photos set.
        source: class of what is in the photos; None finds each photo's own (see `choose_class`).
        steps: updates at most; 0 takes the encoder's answer as it is.
        progress: see `infer.projection.Progress`.
        options: of `infer.projection.project`.

    Raises:
        PhotograftError: unknown class, or a model without a discriminator.
    """
    model = editors[0].model
    if model.discriminator is None:
        raise PhotograftError(f"model {model.name} has no discriminator, which projection needs")
    target = torch.cat([editor.target() for editor in editors])  # [N,3,R,R]
    if source is not None:
        labels = [model.class_index(source)] * len(editors)
    else:
        rankings = choose_class(model.generator, model.discriminator, target, encoder=model.encoder)
        labels = [ranking[0].label for ranking in rankings]
    if model.auxiliary is not None:
        options = {"auxiliary": model.auxiliary, "space": "zeta"} | options
    found = project(
        model.generator,
        model.discriminator,
        target,
        torch.tensor(labels),
        encoder=model.encoder,
        steps=steps,
        progress=progress,
        **options,
    )
    for i, (editor, label) in enumerate(zip(editors, labels, strict=True)):
        editor.label = label
        editor.settings = {"steps": steps, "source_given": source is not None} | {
            key: value for key, value in options.items() if isinstance(value, int | float | str)
        }
        editor.projection = Projection(
            z=found.z[i : i + 1],
            label=torch.tensor([label]),
            loss=found.loss[i : i + 1],
            feature_curve=found.feature_curve[:, i : i + 1],
            pixel_curve=found.pixel_curve[:, i : i + 1],
            iterations=found.iterations[i : i + 1],
            zeta=None if found.zeta is None else found.zeta[i : i + 1],
        )
        editor._say(f"projected as {model.class_names[label]!r}, loss {float(found.loss[i]):.3f}")
