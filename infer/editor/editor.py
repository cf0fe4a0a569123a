"""Load, set a photo, project, edit, save: the Python interface.

editor = Editor.from_pretrained("sngan-heads-128")
editor.set_photo("cat.jpg")
editor.project()
editor.edit("lion")
editor.save("out")
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.editor.edit import Edit
from infer.editor.facing import say_turned
from infer.editor.fidelity import warn
from infer.editor.opening import Opening
from infer.editor.output import write_edits
from infer.editor.pasting import changed, faded, pasted, shown_areas
from infer.editor.points import Point, Sample, sample_point
from infer.editor.regions import areas_of, for_generator, resolve
from infer.editor.results import ResultFolder
from infer.editor.settled import Asked, settle_together, settled_latent
from infer.editor.steps import (
    Blend,
    ChangeClass,
    Ground,
    Reference,
    RegionMask,
    Step,
    Transfer,
    changes,
    passed,
    referring,
)
from infer.edits.choices import RHO, Mode, Scale
from infer.edits.feature_blending import Shift
from infer.photo.box import uncrop
from infer.photo.choices import DEFAULT_FINISH, DEFAULT_METHOD, Finish, Method
from infer.photo.compositing import composite
from infer.photo.finishing import check_finish
from infer.photo.masks import Mask
from infer.photo.photo import Photo
from infer.pictures.convert import to_pixels
from infer.progress import Progress
from infer.projection.mixture import Source, heaviest
from infer.projection.model import chosen_options, project_pictures
from infer.projection.options import UNSET, ProjectionOptions
from infer.projection.presets import DEFAULT_PRESET
from infer.projection.search import Projection
from models.errors import PhotograftError
from models.schema import Index, Settling, bounded, check, short

_REFERENCES = 32  # that are kept of a picture
_ROUNDING = 1e-3  # beyond 0..1, of an area that was resized


class Editor(Opening):
    """Edits one photo at a time with one model; what it holds is its `Session`."""

    # ------------------------------------------------------------------ project

    def project(
        self,
        source: Source | None = None,
        *,
        preset: str = DEFAULT_PRESET,
        steps: int | None = None,
        options: ProjectionOptions = UNSET,
        progress: Progress | None = None,
    ) -> Self:
        """Find the latent of the crop; see `project_all` and `infer.projection.model.project_pictures`."""
        project_all([self], source, preset=preset, steps=steps, options=options, progress=progress)
        return self

    # ------------------------------------------------------------------ edit

    @bounded
    @torch.no_grad()
    def edit(
        self,
        to: str | Sequence[Step],
        *,
        mask: RegionMask = "auto",
        strength: float = 1.0,
        layers: Sequence[Index] | None = None,
        method: Method | None = None,
        settle: Settling | None = None,
        finish: Finish = DEFAULT_FINISH,
        scale: Scale = "photo",
        registered: bool = True,
        recolour_body: bool = False,
    ) -> Edit:
        """Do steps in one pass of the generator, and blend the result into the photo; a sample is the result itself.

        Args:
            to: class name for one region, or several steps; later ones lie over earlier ones.
            mask, strength, layers: of the one region, see `infer.editor.steps.ChangeClass`.
            method: of compositing, see `infer.photo.compositing.composite`; None: the default's, and "paste" for what
                transfers change, which is added to the photo.
            settle: updates of the latent for new classes, see `infer.projection.settling`; None: the projection's
                preset's, where model and latent can be settled.
            finish: how what is pasted is sharpened, see `infer.photo.finishing.finished`; not what transfers change.
            scale: what strengths measure: "photo", the way from the photo, which comes back as it is at 0, to the whole
                edit, whose latent settles once for all strengths; "mix", as recipes of before: each strength settles
                for itself, and 0 pastes the reconstruction.
            registered: a reconstruction does not line up with its photo; what is painted on the photo is carried to
                where the reconstruction has it, and what changes there, or is made there in place of what was painted,
                is carried back, see `infer.photo.registration`. False: as recipes of before. Samples line up.

            recolour_body: with "graft", the rest of the animal takes the colours of its new head, see
                `infer.photo.recolouring`; also beyond the square, see `infer.editor.edit.Edit.body`.

        Raises:
            PhotograftError: unknown class or part, bad mask, strength or layers, no projection yet, or a body to be
                recoloured by another method.
            UnsupportedEdit: steps that the model cannot take, or one that cannot be settled if that was asked for.
        """
        check_finish(finish)
        samples = self.samples()
        plain = isinstance(mask, str) and mask == "auto" and strength == 1 and layers is None
        if not isinstance(to, str) and not plain:
            raise PhotograftError("mask, strength and layers are of one class: those of steps stand in the steps")
        registered = registered and self.sample is None
        to = [ChangeClass(to, mask, strength, layers)] if isinstance(to, str) else to
        asked, areas = self._asked(to, registered=registered)
        steps, ground = tuple(asked.steps), asked.ground
        latent, settled = self._settle(asked, settle, scale)
        image = passed(changes(steps, asked.areas, ground), ground, replace(samples, latent=latent)).image()
        if method is None:
            method = "paste" if all(isinstance(step, Transfer) for step in steps) else DEFAULT_METHOD
        if recolour_body and method != "graft":
            raise PhotograftError(f"bodies are recoloured by method graft, not {method}: leave one of the two out")
        drawn = to_pixels(image)
        edit = Edit(steps, shown_areas(areas), method, settled, drawn, (), drawn, scale=scale, registered=registered)
        edit = replace(edit, recolour_body=recolour_body and self.sample is None)
        if self.sample is None:
            self._remark(steps, areas, drawn, registered=registered)
            edit = pasted(self, replace(edit, finish=finish), areas, method)
        self.edits.append(edit)
        return edit

    def blend(
        self,
        reference: Reference,
        *,
        region: RegionMask | None = None,
        part: str | None = None,
        move: Shift = (0.0, 0.0),
        strength: float = 1.0,
        layers: Sequence[int] | None = None,
        invert: bool = False,
        method: Method | None = None,
        finish: Finish = DEFAULT_FINISH,
    ) -> Edit:
        """Carry a region, or a part of the catalog, of a reference over: see `infer.editor.steps.Blend` and `edit`."""
        step = Blend(reference, region, part, move, strength, layers, invert)
        return self.edit([step], method=method, finish=finish)

    def transfer(
        self,
        reference: Reference,
        part: str,
        *,
        mode: Mode = "sequential",
        epsilon: float | None = None,
        rho: float = RHO,
        lam: float = 1.0,
        per_layer: bool = False,
        released: bool = False,
        shift: bool = False,
        method: Method | None = None,
    ) -> Edit:
        """Give a part of the catalog the look of a reference's: see `infer.editor.steps.Transfer` and `edit`."""
        step = Transfer(reference, part, mode, epsilon, rho, lam, per_layer, released, shift)
        return self.edit([step], method=method, finish="off")

    def _asked(self, to: Sequence[Step], *, registered: bool) -> tuple[Asked, list[Mask]]:
        """Steps as they are done, and where on the photo."""
        steps = self.resolve(to)
        areas = areas_of(self, steps)
        steps = tuple(
            step if isinstance(step, ChangeClass) else referring(step, self.refer(step.reference)) for step in steps
        )
        ground = Ground(self.model, self.generator, None if self.catalog is None else self.catalog.catalog)
        return Asked(self, steps, for_generator(self, steps, areas, registered=registered), ground), areas

    def _settle(self, asked: Asked, settle: int | None, scale: Scale) -> tuple[Tensor, int]:
        """The latent for an edit, and how many updates lead there, see `infer.editor.settled.settled_latent`."""
        return settled_latent(asked, settle, scale)

    def _remark(
        self, steps: Sequence[Step], areas: Sequence[Mask], drawn: NDArray[np.uint8], *, registered: bool
    ) -> None:
        """Say what a person should know of the picture that was made for steps."""
        if registered:
            warn(self, steps, areas)
        say_turned(self, steps, drawn)

    def resolve(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Check steps before any work, as `edit` does; see `infer.editor.regions.resolve`."""
        return resolve(self, steps)

    def refer(self, reference: Reference) -> Point:
        """What a step's reference is to the generator; the same one twice is looked for once.

        Args:
            reference: see `infer.editor.steps.Blend`. A photo's head is found, and projected with the options of this
                picture's own projection, but for the class.

        Raises:
            PhotograftError: an unreadable photo, an unknown class, or a number that no recipe gave.
        """
        if isinstance(reference, Point):
            return reference
        if isinstance(reference, int):
            if not 0 <= reference < len(self.references):
                raise PhotograftError(f"there is no reference {reference}: the recipe has {len(self.references)}")
            return self.references[reference]
        if isinstance(reference, str | Path | Photo | Sample):
            key = id(reference) if isinstance(reference, Photo) else reference
            if key not in self._known:
                if len(self._known) >= _REFERENCES:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = reference, self._found(reference)
            return self._known[key][1]
        if reference.model.fingerprint != self.model.fingerprint:
            raise PhotograftError("the reference is another model's: set and project it with this one")
        point = reference.point()
        if point.generator.device != self.generator.device:
            raise PhotograftError("the reference's networks are on another device: take one device for both")
        return point

    def _found(self, reference: str | Path | Photo | Sample) -> Point:
        if isinstance(reference, Sample):
            return sample_point(self.networks.on_device, reference)
        other = type(self)(self.networks, self.segmenter, self.say, cache=self.cache).set_photo(reference)
        with torch.enable_grad():  # which edits go without
            return other.project(preset=self._preset, options=self._options).point()

    # ------------------------------------------------------------------ into the photo

    @bounded
    def paste(
        self, image: Tensor, area: NDArray[np.float32], *, change: bool = False, method: Method = DEFAULT_METHOD
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Put an edit of the caller's own into the photo.

        Args:
            image: [1,3,R,R] in [-1,1], the edited reconstruction.
            area: where in it, [r,r] of any size in [0,1].
            change: add to the photo what the edit changes in the reconstruction, instead of pasting the picture: where
                it changes nothing, nor does the photo. What is changed, and the area, are carried to where the photo
                shows the same; a small part of the picture, pasted, would be out of place beside the photo's own.
            method: of compositing, see `infer.photo.compositing.composite`; Poisson takes changes of brightness out
                again.

        Returns:
            The photo, uint8 [H,W,3], and the mask on the (upright) square, float32 [S,S].

        Raises:
            PhotograftError: a picture of another size or an area of another kind, or numbers that are not finite.
        """
        _check_paste(image, area, self.model.generator.resolution)
        photo, drawn = self.need_photo(), to_pixels(image)
        if change:
            patch = changed(self, drawn, registered=True)
            area = self.registration().to_photo(np.asarray(area, np.float32))
        else:
            patch = uncrop(drawn, self.box, self.shape)[0]
        mask = faded(self, area)
        pixels = composite(photo.pixels, patch, mask, (self.box.x, self.box.y), method=method)
        return self.put_back(photo.toned(pixels), mask), mask

    @bounded
    def composite(self, method: Method = DEFAULT_METHOD) -> NDArray[np.uint8]:
        """Blend the last edit by another method: uint8 [H,W,3], which is also what `save` will write."""
        if not self.edits:
            raise PhotograftError("nothing was edited yet: call edit first")
        if self.sample is None:
            edit = self.edits[-1]
            self.edits[-1] = pasted(self, edit, areas_of(self, edit.steps), method)
        return self.edits[-1].pixels

    def save(self, folder: str | Path, *, lossless: bool = False) -> list[Path]:
        """Write every edit: the picture, a panel beside it, and the recipe. See `infer.editor.output.write_edits`."""
        check(str | Path, folder, "the folder for results")
        if "\0" in str(folder):
            raise PhotograftError(f"a folder for results is a path, not {short(folder)}")
        if self.sample is None:
            self.write_as("png" if lossless else None)
        return write_edits(self, ResultFolder(Path(folder)), lossless=lossless)


def _check_paste(image: object, area: object, resolution: int) -> None:
    one = image if isinstance(image, Tensor) and tuple(image.shape) == (1, 3, resolution, resolution) else None
    if one is None or not one.is_floating_point() or not bool(torch.isfinite(one).all()):
        found = list(image.shape) if isinstance(image, Tensor) else short(image)
        raise PhotograftError(f"the picture must be finite and [1,3,{resolution},{resolution}] in [-1,1], not {found}")
    if not isinstance(area, np.ndarray) or area.dtype.kind != "f" or area.shape != (len(area),) * 2 or not area.size:
        found = list(area.shape) if isinstance(area, np.ndarray) else short(area)
        raise PhotograftError(f"the area must be [r,r] in floats, not {found}")
    if not (area.min() >= -_ROUNDING and area.max() <= 1 + _ROUNDING):  # also false for NaN
        raise PhotograftError("the area's values must lie in 0..1")


def _stopped(found: Projection, asked: ProjectionOptions) -> str:
    """What there was time for."""
    made = f"{int(found.iterations)} of {asked.steps} updates"
    if asked.tuning:
        made += f" and {0 if found.tuned is None else int(found.tuned)} of {asked.tuning} of tuning"
    return f"stopped after {asked.max_seconds:g} s: {made}, of which the best are kept"


def project_all(
    editors: Sequence[Editor],
    source: Source | None = None,
    *,
    preset: str = DEFAULT_PRESET,
    steps: int | None = None,
    options: ProjectionOptions = UNSET,
    progress: Progress | None = None,
    together: bool = False,
) -> None:
    """Project the photos of several editors of one model; see `infer.projection.model.project_pictures`.

    Each for itself: on one machine, with one number of threads and one set of versions, the same photo, model and
    options give the same bytes, whatever other photos there are and in whatever order. Unless they go `together`.

    Args:
        editors: one at least, with their photos set, and the same networks and cache.
        source, preset, options, progress: see there.
        steps: updates at most, instead of the options'.
        together: as one batch, which is faster; a photo's rounding then depends on the others.

    Raises:
        PhotograftError: as there; no editor is changed then.
    """
    networks = editors[0].networks
    options = options if steps is None else replace(options, steps=steps)
    asked: dict[str, Any] = {"preset": preset, "options": options, "progress": progress}

    def projected(batch: Sequence[Editor]) -> list[Projection]:
        target, cache = torch.cat([editor.target() for editor in batch]), batch[0].cache
        if cache is None:
            return project_pictures(networks, target, source, batch_size=len(batch), **asked)
        return cache.project(networks, target, source, say=batch[0].say, **asked)

    batches = [editors] if together else [[editor] for editor in editors]
    found = [projection for batch in batches for projection in projected(batch)]
    chosen = chosen_options(networks.model, preset, options)
    used = chosen.said() | {"psi": networks.psi_name, "dtype": str(networks.dtype).removeprefix("torch.")}
    for editor, projection in zip(editors, found, strict=True):
        editor.label = None if projection.label is None else heaviest(projection.label)
        editor.projection, editor.edits, editor._preset, editor._options = projection, [], preset, options
        editor.settings, editor._known = {"preset": preset, "source_given": source is not None} | used, {}
        name, loss = editor.class_name, float(projection.loss)
        how = "projected" if name is None else f"projected as {name if isinstance(editor.source, dict) else repr(name)}"
        editor.say(f"{how}, " + ("not refined" if math.isnan(loss) else f"loss {loss:.3f}"))
        if projection.stopped is not None:
            editor.say(_stopped(projection, chosen))


@torch.no_grad()
def settle_all(editors: Sequence[Editor], edits: Sequence[Sequence[Step]], *, settle: int | None = None) -> None:
    """Settle the latents of an edit of each of several photos together; `Editor.edit` then finds them.

    That is faster, and a latent's rounding depends on the others. Edits that cannot be made are left out: `Editor.edit`
    says why.

    Args:
        editors: with projections, of the same networks and cache.
        edits: each one's steps.
        settle: as of `Editor.edit`.
    """
    asked = []
    for editor, steps in zip(editors, edits, strict=True):
        with contextlib.suppress(PhotograftError):
            asked.append(editor._asked(steps, registered=True)[0])
    settle_together(asked, settle)
