"""One photo on the page: its head, its projection, its plan, what that looks like, and the files of it."""

import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from infer.app.editing.plan import OF_RECIPES, PAINTED, WHERE, History, Plan, Region
from infer.app.editing.urls import PAINTED as PAINTED_SIDE
from infer.app.editing.urls import change_url, fitted, mask_url, picture_url
from infer.editor.edit import Edit
from infer.editor.editor import Editor
from infer.editor.fidelity import unexplained
from infer.editor.output import write_edit
from infer.editor.points import Projected, Sample
from infer.editor.preview import Preview
from infer.editor.recipe import Recipe
from infer.editor.regions import given_mask, part_on_photo
from infer.editor.results import ResultFolder
from infer.editor.steps import Blend, ChangeClass, Reference, Step, Transfer
from infer.edits.layers import parse_layers
from infer.photo.box import crop_square
from infer.photo.choices import FormatName
from infer.photo.masks import Mask
from infer.pictures.colours import colours
from infer.pictures.heatmap import heat_picture, squared_error
from infer.progress import Progress
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError


class Sheet:
    """One photo.

    Args:
        number: of the photo on its page.
        editor: with the photo set.
    """

    def __init__(self, number: int, editor: Editor) -> None:
        assert editor.photo is not None
        self.number, self.editor, self.photo = number, editor, editor.photo
        self.name = "photo" if self.photo.path is None else self.photo.path.name
        self.history = History()
        self.preview: Preview | None = None
        self.edit: Edit | None = None  # of the plan below
        self.edited: Plan | None = None
        self.lock, self.preview_lock = threading.RLock(), threading.RLock()
        self.url = picture_url(self.photo.pixels, 160)

    @property
    def plan(self) -> Plan:
        """What is asked for now."""
        return self.history.now

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photo."""
        return self.photo.pixels.shape[0], self.photo.pixels.shape[1]

    # ------------------------------------------------------------------ place and projection

    def place(self, **where: Any) -> None:
        """Put the square elsewhere, see `Editor.set_photo`; the projection is another one's then."""
        with self.lock:
            self.editor.set_photo(self.photo, **where)
            self._forget()

    def project(self, source: str | None, preset: str, options: ProjectionOptions, progress: Progress) -> None:
        """See `Editor.project`."""
        with self.lock:
            self.editor.project(source, preset=preset, options=options, progress=progress)
            self._forget()

    def restore(self, recipe: Recipe) -> None:
        """Go back to where a recipe's edit began, with its plan. Raises PhotograftError as `Editor.restore` does."""
        plan = plan_of(recipe, self.size)
        with self.lock:
            try:
                self.editor.restore(recipe, self.photo)
            finally:
                self._forget()
            self.history.add(plan, "")

    def _forget(self) -> None:
        """The projection is another one, or gone: so are preview and edit."""
        with self.preview_lock:
            self.preview = None if self.editor.projection is None else Preview(self.editor)
            self.edit, self.edited = None, None

    # ------------------------------------------------------------------ what is asked for, as steps

    def steps(self, others: dict[int, "Sheet"], *, small: bool) -> list[Step]:
        """The plan's steps: of the preview's window, or of the photo. Regions that are not said in full are left out.

        Args:
            others: photos that can be references, by their numbers.
            small: for the preview.

        Raises:
            PhotograftError: layers in another form, or a reference that is not projected.
        """
        steps = []
        for region in self.plan.regions:
            if region.on and is_whole(region):
                steps.append(self._step(region, others, small=small))
        return steps

    def _step(self, region: Region, others: dict[int, "Sheet"], *, small: bool) -> Step:
        generator = self.editor.model.generator
        layers = region.layers.strip() or None
        part = region.where if region.where not in (*WHERE, PAINTED) else None
        if region.kind == "transfer":
            assert part is not None
            return Transfer(self._reference(region, others), part, mode=region.mode, lam=region.strength)
        if region.kind == "class":
            chosen = parse_layers(layers, len(generator.modulated_layers))
            return ChangeClass(region.to, self._area(region, small=small), region.strength, chosen)
        feature_layers = parse_layers(layers, len(generator.feature_layers))
        where: dict[str, Any] = {"region": self._area(region, small=small)} if part is None else {"part": part}
        name = None if part else "region"
        reference = self._reference(region, others)
        return Blend(reference, move=region.move, strength=region.strength, layers=feature_layers, name=name, **where)

    def _area(self, region: Region, *, small: bool) -> str | NDArray[np.float32]:
        if region.where in WHERE:
            return WHERE[region.where]
        mask = region.soft
        assert mask is not None
        if small:
            assert self.preview is not None
            return self.preview.region(mask)
        if mask.shape == self.size:
            return mask
        height, width = self.size
        return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32).clip(0, 1)

    def _reference(self, region: Region, others: dict[int, "Sheet"]) -> Reference:
        if not isinstance(region.reference, int):
            assert region.reference is not None
            return region.reference
        other = others.get(region.reference)
        if other is None or other.editor.projection is None:
            raise PhotograftError("the photo of reference is not projected: choose it in the strip and project it")
        return other.editor

    def part_mask(self, part: str) -> Mask:  # -> [h,w]
        """A part of the catalog where the photo has it, at the size that is painted on.

        Raises:
            PhotograftError: the photo has none.
        """
        with self.lock:
            return part_on_photo(self.editor, part, fitted(self.size, PAINTED_SIDE))

    # ------------------------------------------------------------------ what it looks like

    def look(self, others: dict[int, "Sheet"]) -> dict[str, Any] | None:
        """The plan's preview, for the browser; None where nothing is asked for yet."""
        with self.preview_lock:
            preview = self.preview
            if preview is None:
                return None
            steps = self.steps(others, small=True)
            if not steps:
                return None
            plan, before = self.plan, preview.need_photo().pixels
            after = preview.show(steps, method=plan.method, recolour_body=bool(plan.recolour_body))
            window = preview.window
            where = {"x": window.x, "y": window.y, "w": window.w, "h": window.h, "turn": self.turn}
            return {"url": change_url(before, after), **where}

    def finish(self, others: dict[int, "Sheet"]) -> Edit | None:
        """The plan done to the photo itself; once for a plan."""
        with self.lock:
            plan = self.plan
            if self.edited is plan:
                return self.edit
            if self.editor.projection is None:
                raise PhotograftError("the photo is not projected yet: press Project")
            steps = self.steps(others, small=False)
            self.editor.edits.clear()
            self.edit = None
            if steps:
                how: dict[str, Any] = {name: getattr(plan, name) for name in OF_RECIPES}
                self.edit = self.editor.edit(steps, **how | {"recolour_body": bool(plan.recolour_body)})
            self.edited = plan
            if self.edit is not None and self.preview is not None:
                with self.preview_lock:
                    if self.plan is plan:
                        self.preview.adopt(self.editor, self.steps(others, small=True))
            return self.edit

    def detail(self, edit: Edit) -> dict[str, Any]:
        """The edited part of the photo in its own pixels, before and after, for the browser."""
        before, after = self.photo.pixels, edit.pixels
        rows, columns = ((before != after).any(axis=(axis, 2)).nonzero()[0] for axis in (1, 0))
        if not len(rows):
            return {"x": 0, "y": 0, "w": 0, "h": 0}
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        part = (slice(top, bottom), slice(left, right))
        return {
            "x": int(left), "y": int(top), "w": int(right - left), "h": int(bottom - top),
            "before": picture_url(before[part]), "after": picture_url(after[part]),
        }  # fmt: skip

    def heat(self, others: dict[int, "Sheet"], kind: str) -> dict[str, Any] | None:
        """A map over the square: what the edit changes (CIELAB), or what the projection does not explain."""
        if self.editor.projection is None:
            return None
        with self.lock:
            if kind == "explained":
                picture = heat_picture(torch.from_numpy(unexplained(self.editor)), most=1.0)
            else:
                edit, box = self.finish(others), self.editor.box
                if edit is None:
                    return None
                pair = [self.editor.need_photo().pixels, self.editor.carried(edit.pixels)]
                first, second = (_image(crop_square(pixels, box, 256)) for pixels in pair)
                picture = heat_picture(squared_error(first, second)[0])
            box = self.editor.box
            return {"url": picture_url(picture), "x": box.x, "y": box.y, "w": box.w, "h": box.h, "turn": self.turn}

    @property
    def turn(self) -> list[float]:
        """From points of the picture that is edited to the photo's, as a canvas takes it: a, b, c, d, e, f."""
        if self.editor.upright is None:
            return [1, 0, 0, 1, 0, 0]
        (a, c, e), (b, d, f) = self.editor.upright.matrix
        # Pixels' indices are their centres; a canvas counts from their corners.
        return [a, b, c, d, e + 0.5 - (a + c) / 2, f + 0.5 - (b + d) / 2]

    def marks(self) -> list[dict[str, Any]]:
        """The regions for the browser: colour, and mask where there is one."""
        found = []
        for region in self.plan.regions:
            is_masked = region.where not in WHERE and region.mask is not None
            soft = region.soft if is_masked else None
            found.append(
                {
                    "key": region.key, "on": region.on, "colour": colour_of(region), "title": region.title,
                    "chosen": region.key == self.plan.chosen, "stamp": region.stamp,
                    "url": None if soft is None else mask_url(soft), "painted": region.where == PAINTED,
                }
            )  # fmt: skip
        return found

    # ------------------------------------------------------------------ what is kept

    def write(self, others: dict[int, "Sheet"], folder: Path, form: FormatName | None, *, lossless: bool) -> list[Path]:
        """Write photo, panel and recipe, see `infer.editor.output.write_edit`; a recipe with its masks as one ZIP.

        Raises:
            PhotograftError: nothing is asked for yet, or the format cannot hold the photo.
        """
        with self.lock:
            edit = self.finish(others)
            if edit is None:
                raise PhotograftError("nothing is edited yet: choose a class, or a reference, first")
            self.editor.write_as("png" if lossless else form)
            picture, panel, *rest = write_edit(self.editor, edit, ResultFolder(folder), lossless=lossless)
            recipe = next(path for path in rest if path.suffix == ".json")
            if len(rest) == 1:
                return [picture, panel, recipe]
            packed = recipe.with_suffix(".zip")
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in rest:
                    archive.write(path, path.name)
            return [picture, panel, packed]


def is_whole(region: Region) -> bool:
    """Whether it is said in full what becomes of a region."""
    what = region.to if region.kind == "class" else region.reference is not None
    part = region.where not in (*WHERE, PAINTED)
    if region.kind == "transfer":
        return bool(what) and part
    needs_mask = region.where == PAINTED or (part and region.kind == "class")
    return bool(what) and (not needs_mask or region.mask is not None)


def colour_of(region: Region) -> str:
    """#rrggbb; the same for as long as the region is there."""
    red, green, blue = (colours(20)[(region.key * 2) % 20] * 255).round().astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def plan_of(recipe: Recipe, size: tuple[int, int]) -> Plan:
    """The plan that a recipe is. Raises PhotograftError for one that the page cannot show."""
    usual = Transfer(0, "part")
    for step in recipe.steps:
        if isinstance(step, Transfer) and replace(step, part="part", reference=0, mode="sequential", lam=1.0) != usual:
            raise PhotograftError("the page has no controls for this recipe's query: use photograft transfer --recipe")
    regions = []
    words = {word: where for where, word in WHERE.items()}
    for key, step in enumerate(recipe.steps, 1):
        layers = "" if step.layers is None else ",".join(map(str, step.layers))
        if isinstance(step, Transfer):
            region = Region(key, "transfer", where=step.part, strength=float(step.lam), mode=step.mode)
        elif isinstance(step, Blend) and step.part is not None:
            region = Region(key, "blend", where=step.part, strength=step.strength, layers=layers, move=step.move)
        else:
            kind = "class" if isinstance(step, ChangeClass) else "blend"
            region = Region(key, kind, strength=step.strength, layers=layers, feather=0.0)  # type: ignore[arg-type]
            if isinstance(step.region, str) and step.region in words:
                region = replace(region, where=words[step.region], feather=0.01)
            else:
                assert step.region is not None
                mask = given_mask(step.region, size)
                region = replace(region, where=PAINTED, mask=mask, stamp=f"recipe {key}")
            own = {"to": step.to} if isinstance(step, ChangeClass) else {"move": step.move}
            region = replace(region, **own)
        if isinstance(step, Blend | Transfer):
            assert isinstance(step.reference, int)
            known = recipe.references[step.reference]
            region = replace(region, reference=_as_reference(known))
        regions.append(region)
    if not regions:
        return Plan()
    how = {name: getattr(recipe, name) for name in OF_RECIPES}
    return Plan(tuple(regions), 1, **how)


def _as_reference(known: Projected | Sample) -> Sample:
    if isinstance(known, Sample):
        return known
    raise PhotograftError("the recipe refers to another photo: open it with photograft edit --recipe instead")


def _image(pixels: NDArray[np.uint8]) -> torch.Tensor:  # [h,w,3] -> [1,3,h,w] in [-1,1]
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 127.5 - 1
