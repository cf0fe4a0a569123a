"""Commands that bring pictures together (transfer, blend): where source and references come from, what is written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from torch import Tensor

from infer.catalog.catalog import Catalog
from infer.catalog.part_transfer import stream_of
from infer.cli.common import bar
from infer.cli.options import fitted
from infer.cli.photos import Check, new_editor
from infer.editor.editor import Editor
from infer.editor.output import delta_file, framed
from infer.editor.recipe import Recipe
from infer.editor.results import ResultFolder
from infer.edits.feature_blending import Stream
from infer.photo.box import Box
from infer.photo.write import photo_writer
from infer.pictures.convert import png, to_pixels
from infer.pictures.heatmap import heat_picture, squared_error
from infer.pictures.sheet import sheet
from infer.projection.model import check_projects
from infer.projection.options import ProjectionOptions
from models.base import Generator
from models.prepared import Networks
from models.samples import Samples, draw
from models.writing import Writer, file_name, text
from models.zoo import Model

RECIPE_VERSION = 1
PhotoArgument = Annotated[Path | None, typer.Argument(metavar="PHOTO", help="Photo to edit; else a sample.")]
ReferenceOption = Annotated[
    list[Path] | None,
    typer.Option("--reference", "-r", metavar="PHOTO", help="One for all regions, or one for each; else samples."),
]
ReferenceSeedOption = Annotated[
    list[int] | None,
    typer.Option(min=0, max=2**31 - 1, help="One for all regions, or one for each. Default: 1."),
]
ReferenceClassOption = Annotated[
    list[str] | None,
    typer.Option(metavar="CLASS", help="One for all regions, or one for each. Default: drawn, or found in the photo."),
]
SourceClassOption = Annotated[
    str | None, typer.Option("--class", "-c", metavar="CLASS", help="Of the source. Default: drawn, or found.")
]


@dataclass(frozen=True)
class Picture:
    """A point of the generator's: a sample of a seed, or a photo's projection."""

    samples: Samples
    generator: Generator  # that makes it: the model's, or the photo's copy
    name: str | None  # of its class
    seed: int
    editor: Editor | None

    def stream(self) -> Stream:
        """For edits."""
        return replace(stream_of(self.generator, self.samples), generator=self.generator)

    def image(self) -> Tensor:  # [1,3,R,R]
        """What the generator makes of it."""
        return self.generator(self.samples.latent, self.samples.label)

    def area(self, catalog: Catalog, parts: Sequence[str]) -> NDArray[np.float32]:  # -> [r,r]
        """Where parts are in it."""
        maps = catalog.cluster_maps(self.generator, self.samples)
        return np.asarray(sum(catalog.part_map(part, maps)[0] for part in parts)).clip(0, 1).astype(np.float32)

    def described(self) -> dict[str, Any]:
        """For a recipe."""
        if self.editor is None:
            return {"seed": self.seed, "class": self.name}
        whole: dict[str, Any] = json.loads(Recipe.of(self.editor).to_json())
        return {key: whole[key] for key in ("photo", "box", "located_by", "projection")}

    def stem(self, model: Model) -> str:
        """For file names."""
        if self.editor is None or self.editor.photo is None or self.editor.photo.path is None:
            return f"{model.stem}_{self.seed}"
        return self.editor.photo.path.stem


@dataclass(frozen=True)
class Pictures:
    """Where pictures come from.

    Attributes:
        networks: of the model that makes them.
        preset, projection: of projections.
        truncation: of samples.
    """

    networks: Networks
    preset: str
    projection: ProjectionOptions
    truncation: float

    @property
    def model(self) -> Model:
        """With the generator on its device."""
        return self.networks.on_device

    def one(
        self,
        photo: Path | None,
        seed: int,
        wanted: str | None,
        box: Box | None = None,
        check: Check = lambda editor: None,
    ) -> Picture:
        """A photo's projection, or without a photo the sample of a seed; of a class if one is wanted.

        `check` raises PhotograftError for a photo that should not be projected at all.
        """
        if photo is not None:
            check_projects(self.model)
            editor = new_editor(self.networks, "deeplab", photo).set_photo(photo, box)
            check(editor)
            with bar() as progress:
                editor.project(wanted, preset=self.preset, options=self.projection, progress=progress)
            samples = editor.samples()
        else:
            editor, label = None, None if wanted is None else self.model.class_index(wanted)
            samples = draw(self.model, 1, seed=seed, truncation=self.truncation, label=label)
        name = None if samples.label is None else self.model.class_names[int(samples.label)]
        return Picture(samples, self.model.generator if editor is None else editor.generator, name, seed, editor)

    def references(
        self,
        photos: Sequence[Path] | None,
        seeds: Sequence[int] | None,
        classes: Sequence[str] | None,
        count: int,
        of: str,
    ) -> list[Picture]:
        """One for each of `count` regions, which option `of` names."""
        asked = list(
            zip(
                fitted("--reference", photos, None, count, of),
                fitted("--reference-seed", seeds, 1, count, of),
                fitted("--reference-class", classes, None, count, of),
                strict=True,
            )
        )
        made = {one: self.one(*one) for one in dict.fromkeys(asked)}  # a photo is projected once
        return [made[one] for one in asked]


@dataclass
class Result:
    """What a command made of a source and references.

    Attributes:
        command: its name.
        model, source, references: what went in.
        image: [1,3,R,R] in [-1,1].
        pasted: uint8 [H,W,3], the whole photo, if the source is one.
    """

    command: str
    model: Model
    source: Picture
    references: Sequence[Picture]
    image: Tensor
    pasted: NDArray[np.uint8] | None = None

    def write(self, results: ResultFolder, words: Sequence[str], recipe: dict[str, Any], lossless: bool) -> list[Path]:
        """Result, panel, recipe and what belongs to it, all or none, named after the source and these words.

        Returns:
            Their paths.

        Raises:
            PhotograftError: they cannot be written.
        """
        name = file_name(self.source.stem(self.model), *words)
        photo = None if self.source.editor is None else self.source.editor.photo
        panel = png(self._panel())
        return results.write(
            name, lambda free: self._files(free, panel, recipe, lossless), None if photo is None else photo.path
        )

    def _files(self, name: str, panel: Writer, recipe: dict[str, Any], lossless: bool) -> dict[str, Writer]:
        editor = self.source.editor
        files = {"result": f"{name}.png", "panel": f"{name}.panel.png"}
        if self.pasted is None or editor is None or editor.photo is None:
            result = png(to_pixels(self.image))
        else:
            files["result"] = name + (".png" if lossless else editor.photo.suffix)
            result = photo_writer(editor.photo, self.pasted, files["result"])
        jobs = {files["result"]: result, files["panel"]: panel}
        if editor is not None:
            jobs |= delta_file(editor, name, files)
        whole = {
            f"photograft_{self.command}": RECIPE_VERSION,
            "model": {"name": self.model.name, "sha256": self.model.fingerprint},
            "source": self.source.described(),
            **recipe,
            "files": files,
        }
        return jobs | {f"{name}.json": text(json.dumps(whole, indent=1, allow_nan=False) + "\n")}

    def _panel(self) -> NDArray[np.uint8]:
        before = self.source.image()
        references = {id(one): one for one in self.references}.values()  # one may serve several regions
        row = [to_pixels(before), *(to_pixels(one.image()) for one in references)]
        titles = [f"source: {self.source.name or self.source.seed}"]
        titles += [f"reference: {one.name or one.seed}" for one in references]
        row += [to_pixels(self.image), heat_picture(squared_error(before, self.image)[0])]
        titles += ["result", "change (CIELAB)"]
        if self.pasted is not None and self.source.editor is not None and self.source.editor.photo is not None:
            row = [framed(self.source.editor.photo.pixels, self.source.editor.box), *row, self.pasted]
            titles = ["photo", *titles, "photo, edited"]
        return sheet([row], titles)
