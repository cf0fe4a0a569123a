"""How a session begins: a photo or a sample, a projection that is known, a recipe to go back to."""

from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.catalog.catalog import checked, load_catalog
from infer.editor.points import Projected, Sample, pixels_hash, projected_point, sample_point
from infer.editor.recipe import Recipe
from infer.editor.session import CatalogFile, Session
from infer.photo import masks
from infer.photo.box import MIN_SIDE, Box
from infer.photo.location import Location, locate
from infer.photo.photo import Photo
from infer.photo.place import NothingFound, Place, RollSaid, Which, chosen_head, listed
from infer.photo.read import read_photo
from infer.photo.turning import Upright, automatic_roll, normal
from infer.photo.write import unkept, written_as
from infer.projection.delta import Delta, load_delta
from infer.projection.mixture import classes_of, heaviest, source_label
from infer.projection.options import UNSET
from infer.projection.presets import DEFAULT_PRESET
from infer.projection.search import Projection
from models.base import StyleGenerator
from models.errors import PhotograftError
from models.files import sha256
from models.samples import Samples
from models.schema import Steps, Whole, bounded, short
from models.zoo import Model

_UNFOUND = {
    "animal": "no head is found on the animal: say where it is with --box X,Y,W,H, or edit a guess, {}, by --anywhere",
    "centre": "no animal is found: say where its head is with --box X,Y,W,H, or edit the centre {} with --anywhere",
}
_GUESSED = {
    "animal": "no head is found on the animal: the guess {} is edited",
    "centre": "no animal is found: the centre {} is edited",
}


class Opening(Session):
    """A session with what it begins with."""

    def set_photo(
        self,
        photo: str | Path | Photo | NDArray[np.uint8],
        box: Box | None = None,
        *,
        which: Which = None,
        anywhere: bool = False,
        roll: RollSaid = "auto",
    ) -> Self:
        """Take a photo (a file, or uint8 RGB [H,W,3]) and find the heads in it, unless a box says where to edit.

        Args:
            photo: what to edit.
            box: the square to edit.
            which: of several heads: its number in `heads`, from 1 on, or "largest"; None: the best.
            anywhere: take a guess where no head is found: the upper end of an animal, else the photo's centre.
            roll: degrees by which the head is turned clockwise: it is edited upright, and turned back; "auto": where it
                surely is; "off": not at all.

        Raises:
            NothingFound: no head is found, and there is neither a box nor `anywhere`.
            PhotograftError: an unreadable photo, a box that does not fit it, or a head that there is not. The editor
                then keeps what it had.
        """
        place = Place(box, which, anywhere, roll)
        if isinstance(photo, np.ndarray):
            photo = _photo_of(photo)
        elif isinstance(photo, (str, Path)):
            photo = read_photo(photo)
        elif not isinstance(photo, Photo):
            raise PhotograftError(f"a photo is a path, an array or a Photo, not {short(photo)}")
        if box is not None:
            self._begin(photo, None, box.validate(*photo.pixels.shape[:2]).square(), "box")
            turned = self._turn(roll)
            if turned and roll == "auto":
                self.say(f"the head in the box is{turned}")
        else:
            self._begin_found(photo, place)
        for remark in photo.remarks:
            self.say(remark)
        return self

    def _begin_found(self, photo: Photo, place: Place) -> None:
        """Begin at the head that is found and meant, or at a guess."""
        small = masks.shown(photo.pixels)
        # GrabCut finds nothing without a box: there the embedded network says where animals are.
        mask = None if self.segmenter == "grabcut" else self.segment(small, None)
        found = locate(photo.pixels, mask=mask)
        if found.heads:
            chosen = chosen_head(found.heads, place.which)
            head = found.heads[chosen]
            self._begin(photo, None, head.box.square(), found.how)
            self.confidence, self.heads = head.confidence, found.heads
            self._photo_mask = mask
            self.say(_found(found, chosen, self._turn(place.roll)))
        else:
            square = found.box.square()
            if not place.anywhere:
                raise NothingFound(_UNFOUND[found.how].format(square))
            self.say(_GUESSED[found.how].format(square))
            self._begin(photo, None, square, found.how)
            self._photo_mask = mask
            self._turn(0.0 if place.roll == "auto" else place.roll)  # of what is no head nothing is known

    def _turn(self, roll: RollSaid) -> str:
        """Edit the head upright if it is rolled; says in words by how much."""
        assert self.photo is not None
        if roll == "auto":
            roll = automatic_roll(self.photo.pixels, self.placed)
        degrees = 0.0 if roll == "off" else normal(roll)
        if not degrees:
            return ""
        height, width = self.photo.pixels.shape[:2]
        self.upright, self._window, self._photo_mask = Upright(self.placed, degrees, (height, width)), None, None
        return f" turned by {degrees:g} degrees"

    def set_sample(self, sample: Sample) -> Self:
        """Take a sample of the generator's instead of a photo; it needs no projection.

        Raises:
            PhotograftError: an unknown class. The editor then keeps what it had.
        """
        side = self.model.generator.resolution
        point = sample_point(self.networks.on_device, sample)
        assert isinstance(point.said, Sample)
        self._begin(None, point.said, Box(0, 0, side, side), "sample")
        self._hold(point.samples)
        return self

    def _begin(self, photo: Photo | None, sample: Sample | None, box: Box, how: str) -> None:
        """Another picture: what was known of the one before is forgotten."""
        self.photo, self.sample, self.placed, self.located, self._told = photo, sample, box, how, set()
        self.upright, self._window = None, None
        self.confidence, self.heads = None, ()
        self.label, self.projection, self.settings, self.edits, self._photo_mask = None, None, {}, [], None
        self.references, self._known, self._preset, self._options = (), {}, DEFAULT_PRESET, UNSET
        self.inputs = [] if photo is None or photo.path is None else [photo.path]

    def set_catalog(self, path: str | Path) -> Self:
        """Take the catalog whose parts steps name.

        Raises:
            PhotograftError: no catalog, or one of another model's weights.
        """
        path = Path(path)
        found = load_catalog(path, self.networks.on_device)
        self.catalog = CatalogFile(path, sha256(path), found)
        return self

    def write_as(self, name: str | None) -> Self:
        """Choose the format of results: jpg, png, tif, webp, heic or bmp; None: the photo's own. Says what that loses.

        Raises:
            PhotograftError: a format that cannot hold the photo, or that is not installed.
        """
        self.need_photo()
        assert self.photo is not None
        self.photo = written_as(self.photo, name)
        for remark in unkept(self.photo, self.photo.suffix):
            self.say_once(remark)
        return self

    @bounded
    def set_projection(
        self,
        latent: Tensor,
        label: Whole | Tensor | None,
        *,
        origin: Tensor | None = None,
        delta: Delta | None = None,
        loss: float = float("nan"),
        iterations: Steps = 0,
    ) -> Self:
        """Take a latent that is known already instead of projecting.

        Args:
            latent: finite z [1,latent_dim], or w+ [1,num_ws,w_dim] of a style generator.
            label: its class, or float32 [1,K] weights of a mixture; None if the model is unconditional.
            origin: z [1,latent_dim] of which w+ was made, see `infer.projection.search.Projection`.
            delta: what the photo changes in the generator.
            loss, iterations: of the projection.

        Raises:
            PhotograftError: a latent of another size, one that is not finite, no such class, or a delta that does not
                fit.
        """
        for name, value, kind in (("latent", latent, Tensor), ("origin", origin, Tensor), ("delta", delta, Delta)):
            if not isinstance(value, kind) and (value is not None or name == "latent"):
                raise PhotograftError(f"the {name} must be a {kind.__name__}, not {short(value)}")
        generator = self.model.generator
        dim, classes = generator.latent_dim, generator.num_classes
        shapes = [(1, dim)] + (
            [(1, generator.num_ws, generator.w_dim)] if isinstance(generator, StyleGenerator) else []
        )
        if tuple(latent.shape) not in shapes or not bool(torch.isfinite(latent).all()):
            fitting = " or ".join(f"[{','.join(map(str, shape))}]" for shape in shapes)
            raise PhotograftError(f"the latent must be finite and {fitting}, not {list(latent.shape)}")
        if origin is not None and (origin.shape != (1, dim) or not bool(torch.isfinite(origin).all())):
            raise PhotograftError(f"the origin of a latent must be finite and [1,{dim}], not {list(origin.shape)}")
        if label is None and classes:
            raise PhotograftError(f"the model has {classes} classes: give that of the latent")
        there = f"the model has 0..{classes - 1}" if classes else "the model is unconditional"
        if isinstance(label, Tensor):
            labels: Tensor | None = _checked_weights(label, classes)
        elif label is not None and not 0 <= label < classes:
            raise PhotograftError(f"class {label} does not exist: {there}")
        else:
            labels = None if label is None else torch.tensor([label])
        own = None if delta is None else (delta, delta.applied(self.networks.exact))
        self.need_photo()
        self._hold(Samples(latent, labels, origin).cpu(), delta=delta, loss=loss, iterations=iterations)
        self.edits, self._own = [], own
        return self

    def _hold(
        self, found: Samples, delta: Delta | None = None, loss: float = float("nan"), iterations: int = 0
    ) -> None:
        curve = torch.zeros(0, 1)
        self.label = None if found.label is None else heaviest(found.label)
        self.projection = Projection(
            found.latent,
            found.label,
            torch.tensor([loss]),
            curve,
            curve,
            torch.tensor([iterations]),
            origin=found.origin,
            deltas=() if delta is None else (delta,),
        )

    def restore(self, recipe: Recipe, photo: str | Path | Photo | None = None) -> Self:
        """Go back to where a recipe's edit began; `edit(recipe.steps, ...)` does that again.

        Args:
            recipe: of one picture, with this model.
            photo: that photo, if it is not where the recipe says.

        Raises:
            PhotograftError: another model's weights, another photo than the recipe's, no photo, no file of the
                delta, or another catalog.
        """
        if recipe.weights != self.model.fingerprint:
            raise PhotograftError(f"the recipe was made with other weights than those of model {self.model.name}")
        model = self.networks.on_device
        points = tuple(
            sample_point(model, known) if isinstance(known, Sample) else projected_point(model, known)
            for known in recipe.references
        )
        if isinstance(recipe.source, Sample):
            if photo is not None:
                raise PhotograftError("the recipe is of a sample: give no photo with it")
            self.set_sample(recipe.source)
        else:
            self._restore_photo(recipe.source, photo)
        self.references = points
        self.inputs += [*recipe.inputs]
        if recipe.catalog is not None:
            self.set_catalog(recipe.catalog.path)
            assert self.catalog is not None
            if self.catalog.sha256 != recipe.catalog.sha256:
                raise PhotograftError(f"{recipe.catalog.path} is not the catalog of the recipe any more: edit anew")
            found = self.catalog.catalog
            parts = {
                part: checked(clusters, len(found.centres), "the recipe")
                for part, clusters in recipe.catalog.parts.items()
            }
            named = replace(found, names={**found.names, **parts})
            self.catalog = replace(self.catalog, catalog=named)
        for remark in recipe.remarks:
            self.say(remark)
        return self

    def _restore_photo(self, known: Projected, photo: str | Path | Photo | None) -> None:
        photo = photo or known.photo
        if photo is None:
            raise PhotograftError("the recipe does not say where its photo is: give the photo too")
        if not isinstance(photo, Photo):
            photo = read_photo(photo)
        if pixels_hash(photo.pixels) != known.pixels:
            name = "this" if photo.path is None else photo.path
            raise PhotograftError(f"{name} is not the photo of the recipe: edit it without --recipe")
        self.set_photo(photo, known.box, roll=known.roll)
        self.set_projection(
            torch.tensor([known.latent]),
            _label_of(self.model, known),
            origin=None if known.origin is None else torch.tensor([known.origin]),
            delta=None if known.delta is None else load_delta(known.delta, self.model.fingerprint),
            loss=float("nan") if known.loss is None else known.loss,
            iterations=known.iterations,
        )
        self.located, self.confidence, self.heads = known.located, known.confidence, known.heads
        self.settings = dict(known.settings)


def _found(found: Location, chosen: int, turned: str) -> str:
    """What was found, in words; several heads with their numbers."""
    turned = turned and f",{turned}"
    if len(found.heads) == 1:
        what = "a head" if found.how == "head" else "a cat's face"
        return f"{what} is found at {found.heads[0]}{turned}"
    several = f"{len(found.heads)} heads are found: {listed(found.heads)}"
    return f"{several}; number {chosen + 1}{turned}{turned and ','} is edited, --which chooses another"


def _label_of(model: Model, known: Projected) -> int | Tensor | None:
    """The class of a recipe's photo; weights for a mixture."""
    if known.class_name is None:
        return None
    label = source_label(model, known.class_name)
    return int(label) if label.ndim == 1 else label


def _checked_weights(label: Tensor, classes: int) -> Tensor:
    """Weights of a mixture's classes. Raises PhotograftError for others."""
    one = label.shape == (1, classes) and label.is_floating_point() and bool(torch.isfinite(label).all())
    if not one or bool((label < 0).any()) or not abs(float(label.sum()) - 1) < 1e-2:
        raise PhotograftError(f"weights of classes must be [1,{classes}], not negative, and sum to 1")
    return classes_of(label.float())


def _photo_of(pixels: NDArray[np.uint8]) -> Photo:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape[:2]) < MIN_SIDE:
        size = f"at least {MIN_SIDE} px on a side"
        raise PhotograftError(f"a photo must be uint8 RGB [H,W,3] of {size}, not {pixels.dtype} {list(pixels.shape)}")
    return Photo(None, np.ascontiguousarray(pixels), "PNG")
