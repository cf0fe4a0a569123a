"""Load, set a photo, project, edit, save: the Python interface.

editor = Editor.from_pretrained("sngan-heads-128")
editor.set_photo("cat.jpg")
editor.project()
editor.edit("lion")
editor.save("out")
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.editor.output import write_edits
from infer.editor.recipe import Recipe, pixels_hash
from infer.editor.results import ResultFolder
from infer.editor.session import Edit, Session
from infer.editor.targets import Target, resolve
from infer.edits.scbn import Region, class_modulations, region_maps
from infer.photo import masks
from infer.photo.box import MIN_SIDE, Box, crop_square, uncrop
from infer.photo.compositing import DEFAULT_METHOD, Method, composite
from infer.photo.location import locate
from infer.photo.photo import Photo
from infer.photo.read import read_photo
from infer.photo.write import unkept, written_as
from infer.pictures.convert import to_pixels
from infer.progress import Progress
from infer.projection import settling
from infer.projection.delta import Delta, load_delta
from infer.projection.model import chosen_options, project_pictures
from infer.projection.options import UNSET, ProjectionOptions
from infer.projection.presets import DEFAULT_PRESET, get_preset
from infer.projection.search import Projection
from models.base import StyleGenerator
from models.errors import PhotograftError, UnsupportedEdit
from models.layers.resampling import resize_pixels
from models.schema import Index, Settling, Steps, Whole, bounded, short

_FOUND = {
    "head": "a head is found at {}",
    "cat face": "a cat's face is found at {}",
    "animal": "an animal is found, its head should be at {}",
    "centre": "no animal is found, the centre {} is edited: choose another place with --box x,y,w,h",
}


class Editor(Session):
    """Edits one photo at a time with one model; what it holds is its `Session`."""

    # ------------------------------------------------------------------ photo

    def set_photo(self, photo: str | Path | Photo | NDArray[np.uint8], box: Box | None = None) -> Self:
        """Take a photo (a file, or uint8 RGB [H,W,3]) and find the head in it, unless a box says where it is.

        Raises:
            PhotograftError: an unreadable photo, or a box that does not fit it. The editor then keeps what it had.
        """
        if isinstance(photo, np.ndarray):
            photo = _photo_of(photo)
        elif isinstance(photo, (str, Path)):
            photo = read_photo(photo)
        elif not isinstance(photo, Photo):
            raise PhotograftError(f"a photo is a path, an array or a Photo, not {short(photo)}")
        if box is not None and not isinstance(box, Box):
            raise PhotograftError(f"a box is a Box(x, y, w, h), not {short(box)}")
        if box is not None:
            square, how = box.validate(*photo.pixels.shape[:2]).square(), "box"
        else:
            found = locate(photo.pixels, partial(self._segment, box=None))
            square, how = found.box.square(), found.how
            self.say(_FOUND[how].format(square))
        for remark in photo.remarks:
            self.say(remark)
        self.photo, self.box, self.located, self._told = photo, square, how, set()
        self.label, self.projection, self.settings, self.edits, self._photo_mask = None, None, {}, [], None
        return self

    def write_as(self, name: str | None) -> Self:
        """Choose the format of results: jpg, png, tif, webp, heic or bmp; None: the photo's own. Says what that loses.

        Raises:
            PhotograftError: a format that cannot hold the photo, or that is not installed.
        """
        self.photo = written_as(self._need_photo(), name)
        for remark in unkept(self.photo, self.photo.suffix):
            self.say_once(remark)
        return self

    # ------------------------------------------------------------------ project

    def project(
        self,
        source: str | None = None,
        *,
        preset: str = DEFAULT_PRESET,
        steps: int | None = None,
        options: ProjectionOptions = UNSET,
        progress: Progress | None = None,
    ) -> Self:
        """Find the latent of the crop; see `project_all` and `infer.projection.model.project_pictures`."""
        project_all([self], source, preset=preset, steps=steps, options=options, progress=progress)
        return self

    @bounded
    def set_projection(
        self,
        latent: Tensor,
        label: Whole | None,
        *,
        origin: Tensor | None = None,
        delta: Delta | None = None,
        loss: float = float("nan"),
        iterations: Steps = 0,
    ) -> Self:
        """Take a latent that is known already instead of projecting.

        Args:
            latent: finite z [1,latent_dim], or w+ [1,num_ws,w_dim] of a style generator.
            label: its class; None if the model is unconditional.
            origin: z [1,latent_dim] of which w+ was made, see `infer.projection.search.Projection`.
            delta: what the photo changes in the generator.
            loss, iterations: of the projection.

        Raises:
            PhotograftError: a latent of another size, one that is not finite, no such class, or a delta that does not
                fit.
        """
        generator = self.model.generator
        dim, classes = generator.latent_dim, generator.num_classes
        shapes = [(1, dim)] + (
            [(1, generator.num_ws, generator.w_dim)] if isinstance(generator, StyleGenerator) else []
        )
        if tuple(latent.shape) not in shapes or not bool(torch.isfinite(latent).all()):
            fitting = " or ".join(f"[{','.join(map(str, shape))}]" for shape in shapes)
            raise PhotograftError(f"the latent must be finite and {fitting}, not {list(latent.shape)}")
        if origin is not None and origin.shape != (1, dim):
            raise PhotograftError(f"the origin of a latent must be [1,{dim}], not {list(origin.shape)}")
        if label is None and classes:
            raise PhotograftError(f"the model has {classes} classes: give that of the latent")
        if label is not None and not 0 <= label < classes:
            there = f"the model has 0..{classes - 1}" if classes else "the model is unconditional"
            raise PhotograftError(f"class {label} does not exist: {there}")
        own = None if delta is None else (delta, delta.applied(self.networks.exact))
        curve = torch.zeros(0, 1)
        self._need_photo()
        self.label, self.edits, self._own = label, [], own
        self.projection = Projection(
            latent,
            None if label is None else torch.tensor([label]),
            torch.tensor([loss]),
            curve,
            curve,
            torch.tensor([iterations]),
            origin=origin,
            deltas=() if delta is None else (delta,),
        )
        return self

    def restore(self, recipe: Recipe, photo: str | Path | Photo | None = None) -> Self:
        """Go back to where a recipe's projection ended.

        Args:
            recipe: of one photo, with this model.
            photo: that photo, if it is not where the recipe says.

        Raises:
            PhotograftError: another model's weights, another photo than the recipe's, no photo, or no file of the
                delta.
        """
        if recipe.weights != self.model.fingerprint:
            raise PhotograftError(f"the recipe was made with other weights than those of model {self.model.name}")
        photo = photo or recipe.photo
        if photo is None:
            raise PhotograftError("the recipe does not say where its photo is: give the photo too")
        if not isinstance(photo, Photo):
            photo = read_photo(photo)
        if pixels_hash(photo.pixels) != recipe.pixels:
            name = "this" if photo.path is None else photo.path
            raise PhotograftError(f"{name} is not the photo of the recipe: edit it without --recipe")
        self.set_photo(photo, recipe.box)
        loss = float("nan") if recipe.loss is None else recipe.loss
        self.set_projection(
            torch.tensor([recipe.latent]),
            None if recipe.source is None else self.model.class_index(recipe.source),
            origin=None if recipe.origin is None else torch.tensor([recipe.origin]),
            delta=None if recipe.delta is None else load_delta(recipe.delta, recipe.weights),
            loss=loss,
            iterations=recipe.iterations,
        )
        self.located, self.settings = recipe.located, dict(recipe.settings)
        return self

    # ------------------------------------------------------------------ edit

    @bounded
    @torch.no_grad()
    def edit(
        self,
        to: str | Sequence[Target],
        *,
        mask: str | Path | NDArray[Any] = "auto",
        strength: float = 1.0,
        layers: Sequence[Index] | None = None,
        method: Method = DEFAULT_METHOD,
        settle: Settling | None = None,
    ) -> Edit:
        """Change the class of regions by sCBN and blend the result into the photo.

        Args:
            to: class name for one region, or several targets; later ones lie over earlier ones.
            mask, strength: of the one region, see `Target`.
            layers: indices of modulated layers that are edited; all if None.
            method: of compositing, see `infer.photo.compositing.composite`.
            settle: updates of the latent for this edit, see `infer.projection.settling`; None: the projection's
                preset's, where model and latent can be settled.

        Raises:
            PhotograftError: unknown class, bad mask, strength or layers, or no projection yet.
            UnsupportedEdit: an unconditional model, or one that cannot be settled if that was asked for.
        """
        photo = self._need_photo()
        if not self.model.class_names:
            raise UnsupportedEdit(f"model {self.model.name} is unconditional: changing a class needs classes")
        samples, generator = self.samples(), self.generator
        assert samples.label is not None
        label = samples.label
        targets = self.resolve([Target(to, mask, strength)] if isinstance(to, str) else to)
        regions = [self._region(target) for target in targets]
        maps = region_maps(generator, regions, layers)
        steps = self._settling() if settle is None else settle
        mix = partial(class_modulations, label=label, regions=regions, origin=samples.origin, maps=maps)
        latent = samples.latent
        if steps:
            outline = torch.from_numpy(masks.seen(self._segmented(), self.box, photo.pixels.shape))
            wanted = settling.Wanted.of_edit(outline, int(label), regions, generator.num_classes)
            networks, fast = self.for_settling()
            show = settling.shown(fast, latent, partial(mix, fast))
            latent = settling.settle(networks, latent, wanted, show, steps=steps)
        image = to_pixels(generator.synthesize(latent, mix(generator, latent)))
        patch = uncrop(image, self.box, photo.pixels.shape)[0]
        pasted = self._paste_mask(targets, patch)
        pixels = composite(photo.pixels, patch, pasted, (self.box.x, self.box.y), method=method)
        edit = Edit(targets, None if layers is None else tuple(layers), method, steps, patch, pasted, pixels)
        self.edits.append(edit)
        return edit

    def _settling(self) -> int:
        """Updates of the latent for an edit that nobody gave a number for."""
        able = settling.settles(self.model) and self._need_projection().latent.ndim == 2
        return get_preset(self.settings.get("preset", DEFAULT_PRESET)).settling if able else 0

    @bounded
    def paste(
        self, image: Tensor, area: NDArray[np.float32], *, change: bool = False, method: Method = DEFAULT_METHOD
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Put an edit of the caller's own into the photo.

        Args:
            image: [1,3,R,R] in [-1,1], the edited reconstruction.
            area: where in it, [r,r] of any size in [0,1].
            change: add to the photo what the edit changes in the reconstruction, instead of pasting the picture: where
                it changes nothing, nor does the photo. A reconstruction does not line up with the photo to the pixel,
                so a small part of it, pasted, would be out of place beside the photo's own.
            method: of compositing, see `infer.photo.compositing.composite`; Poisson takes changes of brightness out
                again.

        Returns:
            The photo, uint8 [H,W,3], and the mask on the square, float32 [S,S].
        """
        photo = self._need_photo()
        shape, patch = photo.pixels.shape, to_pixels(image)
        if change:
            difference = patch.astype(np.float32) - self.reconstruction()
            patch = crop_square(photo.pixels, self.box, self.box.square().w)
            for own, moved in zip(np.moveaxis(patch, 2, 0), np.moveaxis(difference, 2, 0), strict=True):
                own[:] = (own + uncrop(moved, self.box, shape)[0]).round().clip(0, 255)  # one colour at a time: memory
        else:
            patch = uncrop(patch, self.box, shape)[0]
        mask = uncrop(area, self.box, shape)[0].clip(0, 1)
        mask *= masks.fade_to_border(self.box, shape)
        return composite(photo.pixels, patch, mask, (self.box.x, self.box.y), method=method), mask

    def resolve(self, targets: Sequence[Target]) -> tuple[Target, ...]:
        """Check targets before any work, as `edit` does; see `infer.editor.targets.resolve`."""
        shape = self._need_photo().pixels.shape
        return resolve(targets, self.model, shape, self.box, say=self.say_once)

    def _region(self, target: Target) -> Region:
        """A resolved target's region on the crop's square, for the generator."""
        side = masks.working_side(self.box)
        if isinstance(target.mask, np.ndarray):
            area = resize_pixels(masks.cut(target.mask, self.box), side, side).clip(0, 1)
        elif target.mask == "auto":
            area = masks.to_change(masks.seen(self._segmented(), self.box, self._need_photo().pixels.shape))
        else:
            area = np.ones((side, side), np.float32)
        return Region(torch.from_numpy(area), self.model.class_index(target.to), target.strength)

    def _paste_mask(self, targets: Sequence[Target], patch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Where the patch goes into the photo: the union of what resolved targets ask for, [S,S]."""
        areas = [self._area(target, patch) for target in targets]
        pasted = reduce(lambda first, second: np.maximum(first, second, out=first), areas)
        if not pasted.any():
            self.say("no animal is found in the square: the whole square is pasted")
            pasted = masks.fade_to_border(self.box, self._need_photo().pixels.shape)
        return pasted

    def _area(self, target: Target, patch: NDArray[np.uint8]) -> NDArray[np.float32]:  # -> [S,S]
        """Where the patch goes into the photo for one target."""
        shape = self._need_photo().pixels.shape
        if isinstance(target.mask, np.ndarray):
            if masks.reaches_out(target.mask, self.box):
                self.say(f"the mask reaches out of the edited square {self.box}: only the part inside is edited")
            return masks.to_paste(target.mask, self.box)
        if target.mask == "auto":
            side = masks.working_side(self.box)
            frame = max(1, side // 16)  # GrabCut needs some background around the animal
            within = Box(frame, frame, side - 2 * frame, side - 2 * frame)
            return masks.automatic(self._segmented(), patch, self.box, shape, partial(self._segment, box=within))
        return masks.fade_to_border(self.box, shape)

    @bounded
    def composite(self, method: Method = DEFAULT_METHOD) -> NDArray[np.uint8]:
        """Blend the last edit by another method: uint8 [H,W,3], which is also what `save` will write."""
        if not self.edits:
            raise PhotograftError("nothing was edited yet: call edit first")
        last = self.edits[-1]
        pixels = composite(self._need_photo().pixels, last.patch, last.mask, (self.box.x, self.box.y), method=method)
        self.edits[-1] = replace(last, method=method, pixels=pixels)
        return pixels

    def save(self, folder: str | Path, *, lossless: bool = False) -> list[Path]:
        """Write every edit: the photo, a panel beside it, and the recipe. See `infer.editor.output.write_edits`."""
        self.write_as("png" if lossless else None)
        return write_edits(self, ResultFolder(Path(folder)), lossless=lossless)


def _photo_of(pixels: NDArray[np.uint8]) -> Photo:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape[:2]) < MIN_SIDE:
        size = f"at least {MIN_SIDE} px on a side"
        raise PhotograftError(f"a photo must be uint8 RGB [H,W,3] of {size}, not {pixels.dtype} {list(pixels.shape)}")
    return Photo(None, np.ascontiguousarray(pixels), "PNG")


def project_all(
    editors: Sequence[Editor],
    source: str | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    steps: int | None = None,
    options: ProjectionOptions = UNSET,
    progress: Progress | None = None,
) -> None:
    """Project the photos of several editors of one model; see `infer.projection.model.project_pictures`.

    Each for itself: on one machine, with one number of threads and one set of versions, the same photo, model and
    options give the same bytes, whatever other photos there are and in whatever order.

    Args:
        editors: one at least, with their photos set and the same networks.
        source, preset, options, progress: see there.
        steps: updates at most, instead of the options'.

    Raises:
        PhotograftError: as there; no editor is changed then.
    """
    networks = editors[0].networks
    options = options if steps is None else replace(options, steps=steps)
    found = [
        project_pictures(networks, editor.target(), source, preset=preset, options=options, progress=progress)[0]
        for editor in editors
    ]
    used = chosen_options(networks.model, preset, options).said()
    used |= {"psi": networks.psi_name, "dtype": str(networks.dtype).removeprefix("torch.")}
    for editor, projection in zip(editors, found, strict=True):
        editor.label = None if projection.label is None else int(projection.label)
        editor.projection, editor.edits = projection, []
        editor.settings = {"preset": preset, "source_given": source is not None} | used
        name, loss = editor.class_name, float(projection.loss)
        how = "projected" if name is None else f"projected as {name!r}"
        editor.say(f"{how}, " + ("not refined" if math.isnan(loss) else f"loss {loss:.3f}"))
