"""Commands that bring pictures together (transfer, blend): where source and references come from, what is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infer.catalog.catalog import default_path
from infer.cli.again import How, kept_steps, photo_of
from infer.cli.common import bar, note, say
from infer.cli.forecast import Forecast
from infer.cli.options import fitted
from infer.cli.photos import new_editor
from infer.cli.sweep import scale_of
from infer.editor.editor import Editor
from infer.editor.output import write_edit
from infer.editor.points import Point, Sample, sample_point
from infer.editor.recipe import Recipe
from infer.editor.regions import areas_of, check_parts
from infer.editor.results import ResultFolder, check_folder, model_inputs
from infer.editor.steps import Blend, Step, Transfer, referring
from infer.photo.place import Place
from infer.projection.cache import ProjectionCache
from infer.projection.model import check_projects
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError
from models.prepared import Networks

OF_THE_RECIPE = {  # what a recipe has said already: its picture, and the catalog
    "seed": "--seed",
    "source_class": "--class",
    "box": "--box",
    "which": "--which",
    "anywhere": "--anywhere",
    "roll": "--roll",
    "catalog": "--catalog",
}


@dataclass(frozen=True)
class Asked:
    """One picture on the command line: a photo, else the sample of a seed; of a class if one is wanted."""

    photo: Path | None
    seed: int
    class_name: str | None


def asked_references(
    photos: Sequence[Path] | None, seeds: Sequence[int] | None, classes: Sequence[str] | None, count: int, of: str
) -> list[Asked]:
    """One for each of `count` regions, which option `of` names. Raises PhotograftError for another number."""
    given = (
        fitted("--reference", photos, None, count, of),
        fitted("--reference-seed", seeds, 1, count, of),
        fitted("--reference-class", classes, None, count, of),
    )
    return [Asked(*one) for one in zip(*given, strict=True)]


@dataclass(frozen=True)
class Job:
    """What blend and transfer do alike, once their options are read.

    Attributes:
        networks: with which.
        known: a recipe to go on from.
        how: options that a recipe knows too.
        source, place: the picture, and where in a photo, if no recipe says it. References are found as they are.
        truncation: of samples.
        preset, projection, cache: of projections.
        catalog: a file; None: the model's own.
        out, read: the folder for results, and files that are read.
    """

    networks: Networks
    known: Recipe | None
    how: How
    source: Asked
    place: Place
    truncation: float
    preset: str
    projection: ProjectionOptions
    cache: ProjectionCache | None
    catalog: Path | None
    out: Path
    read: Sequence[Path]

    def run(self, steps: Sequence[Blend] | Sequence[Transfer], references: Sequence[Asked]) -> None:
        """Do the steps with what of the recipe they do not replace, write the result and print its files.

        Args:
            steps: whose references are not looked at.
            references: of the steps.
        """
        kept = kept_steps(self.known, type(steps[0])) if steps else list(self.known.steps if self.known else ())
        if not steps and not kept:
            raise PhotograftError("the recipe has no steps: say what to do")
        editor = self._editor([*kept, *steps])
        areas_of(editor, editor.resolve([*kept, *steps]))  # before references are projected
        made = {one: self._point(one) for one in dict.fromkeys(references)}  # a photo is projected once
        every = [*kept, *map(referring, steps, (made[one] for one in references))]
        how, scale = self.how, scale_of(self.known, asked=bool(steps))
        edit = editor.edit(every, scale=scale, **how.of_edit(every, self.known))
        results = ResultFolder(self.out, [*self.read, *model_inputs(self.how.model)])
        write_edit(editor, edit, results, lossless=self.how.lossless, done=_say_all)

    def _editor(self, steps: Sequence[Step]) -> Editor:
        """With the picture, and a catalog where steps name parts."""
        photo = self.source.photo if self.known is None else photo_of(self.known, _listed(self.source.photo))
        editor = Editor(self.networks, self.how.segmenter, note, cache=self.cache)
        if photo is not None:
            editor = new_editor(self.networks, self.how.segmenter, photo, self.cache)
        parts = any(isinstance(step, Transfer) or (isinstance(step, Blend) and step.part) for step in steps)
        if self.known is not None:
            editor.restore(self.known, photo)
        if parts and editor.catalog is None:
            editor.set_catalog(self.catalog or default_path(self.networks.model, self.out))
        check_parts(editor, steps)
        check_folder(self.out)
        if self.known is None:
            self._set(editor, self.source, self.place, steps)
        if editor.photo is not None:
            editor.write_as(self.how.format)
        return editor

    def _point(self, asked: Asked) -> Point:
        if asked.photo is None:
            return sample_point(self.networks.on_device, Sample(asked.seed, asked.class_name, self.truncation))
        editor = new_editor(self.networks, "deeplab", asked.photo, self.cache)
        return self._set(editor, asked, Place(anywhere=self.place.anywhere), ()).point()

    def _set(self, editor: Editor, asked: Asked, place: Place, steps: Sequence[Step]) -> Editor:
        """The editor with a picture; a photo that its steps do not fit is not projected at all."""
        if asked.photo is None:
            return editor.set_sample(Sample(asked.seed, asked.class_name, self.truncation))
        check_projects(self.networks.model)
        editor.set_photo(asked.photo, place.box, which=place.which, anywhere=place.anywhere, roll=place.roll)
        if steps:
            editor.write_as(self.how.format)
            editor.resolve(steps)
        forecast = Forecast(self.networks.model, self.preset, self.projection)
        with bar() as progress:
            told = forecast.of(1, progress)
            return editor.project(asked.class_name, preset=self.preset, options=self.projection, progress=told)


def _say_all(files: Sequence[Path]) -> None:
    for file in files:
        say(file)


def _listed(photo: Path | None) -> list[Path]:
    return [] if photo is None else [photo]
