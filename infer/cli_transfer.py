"""The transfer command: parts of a picture take their look from others, be they samples or photos."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray
from torch import Tensor

from infer.catalog.catalog import Catalog, default_path, load_catalog
from infer.cli_common import CatalogOption, ModelOption, OutOption, SeedOption, TruncationOption, bars
from infer.cli_options import (
    BoxOption,
    EpsilonOption,
    LamOption,
    LosslessOption,
    MethodOption,
    ModeOption,
    NoiseOption,
    PartOption,
    PerLayerOption,
    PresetOption,
    ReleasedOption,
    RhoOption,
    ShiftOption,
    SpaceOption,
    TuneOption,
    searched,
)
from infer.cli_photos import new_editor
from infer.editor import Editor
from infer.edits.query_transfer import RHO, Query, check_transfers
from infer.heatmap import heat_picture, squared_error
from infer.model_projection import check_projects
from infer.output import DELTA, check_folder, framed, sheet, write_png, write_text
from infer.photo import Box, write_photo
from infer.recipe import Recipe
from infer.samples import Samples, draw, to_pixels
from infer.transfer import PartTransfer, stream_of, transfer_parts
from models.base import Generator
from models.errors import PhotograftError
from models.files import sha256
from models.zoo import DEFAULT, Model, load_model

T = TypeVar("T")
U = TypeVar("U")
RECIPE_VERSION = 1
PhotoArgument = Annotated[Path | None, typer.Argument(metavar="[PHOTO]", help="Photo to edit; else a sample.")]
ReferenceOption = Annotated[
    list[Path] | None,
    typer.Option("--reference", "-r", metavar="PHOTO", help="One for all parts, or one for each; else samples."),
]
ReferenceSeedOption = Annotated[
    list[int] | None,
    typer.Option(min=0, max=2**31 - 1, help="One for all parts, or one for each. Default: 1."),
]
ReferenceClassOption = Annotated[
    list[str] | None,
    typer.Option(metavar="CLASS", help="One for all parts, or one for each. Default: drawn, or found in the photo."),
]
SourceClassOption = Annotated[
    str | None, typer.Option("--class", "-c", metavar="CLASS", help="Of the source. Default: drawn, or found.")
]


def transfer(
    part: PartOption,
    photo: PhotoArgument = None,
    reference: ReferenceOption = None,
    seed: SeedOption = 0,
    source_class: SourceClassOption = None,
    reference_seed: ReferenceSeedOption = None,
    reference_class: ReferenceClassOption = None,
    mode: ModeOption = "sequential",
    epsilon: EpsilonOption = None,
    rho: RhoOption = RHO,
    lam: LamOption = 1.0,
    per_layer: PerLayerOption = False,
    released: ReleasedOption = False,
    shift: ShiftOption = False,
    truncation: TruncationOption = 1.0,
    box: BoxOption = None,
    preset: PresetOption = "balanced",
    space: SpaceOption = None,
    noise: NoiseOption = None,
    tune: TuneOption = None,
    method: MethodOption = "paste",
    lossless: LosslessOption = False,
    catalog: CatalogOption = None,
    model: ModelOption = DEFAULT,
    out: OutOption = Path("out"),
) -> None:
    """Transfer the look of parts: from samples or photos to a sample or a photo.

    Writes the result, a panel of source, references, result and heat map (.panel.png), and a recipe (.json) with all
    that it depends on. A photo gets, where the parts are, what the transfer changes in its reconstruction: with the
    embedded model that is little.
    """
    query = Query(mode, lam, epsilon, rho, per_layer, released)
    networks = load_model(model)
    check_transfers(networks.generator)
    path = catalog or default_path(networks, out)
    known = load_catalog(path, networks)
    for name in part:
        known.clusters(name)
    check_folder(out)
    pictures = _Pictures(networks, {"preset": preset} | searched(space, noise, tune), truncation)
    where = None if box is None else Box.parse(box)
    source = pictures.one(photo, seed, source_class, where)
    references = pictures.references(reference, reference_seed, reference_class, len(part))
    asked = [
        PartTransfer(name, stream_of(one.generator, one.samples), query)
        for name, one in zip(part, references, strict=True)
    ]
    image = transfer_parts(source.generator, known, stream_of(source.generator, source.samples), asked, shift=shift)
    result = _Result(networks, source, references, image)
    if source.editor is not None:
        area = _area(known, source, part)
        result.pasted, _ = source.editor.paste_change(image, area, method=method)
    parts = [
        {"part": name, "clusters": list(known.clusters(name)), "reference": one.described()}
        for name, one in zip(part, references, strict=True)
    ]
    recipe = {
        "catalog": {"file": str(path), "sha256": sha256(path)},
        "parts": parts,
        "query": asdict(query),
        "shift": shift,
        "truncation": truncation,
        "method": method,
    }
    stem = "_".join([source.stem(networks), *part]).replace(",", "-").replace(" ", "-")
    for file in result.write(out, stem, recipe, lossless):
        typer.echo(file)


def fitted(option: str, values: Sequence[T] | None, default: U, count: int) -> list[T | U]:
    """One value for each part. Raises PhotograftError if there is neither one nor one for each."""
    if not values:
        return [default] * count
    if len(values) not in (1, count):
        raise PhotograftError(f"{len(values)} {option} for {count} --part: give one for all, or one for each")
    return [*values] * (count if len(values) == 1 else 1)


@dataclass(frozen=True)
class _Picture:
    """A point of the generator's: a sample of a seed, or a photo's projection."""

    samples: Samples
    generator: Generator  # that makes it: the model's, or the photo's copy
    name: str | None  # of its class
    seed: int
    editor: Editor | None

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
class _Pictures:
    """Where pictures come from."""

    model: Model
    projection: dict[str, Any]  # options of it
    truncation: float

    def one(self, photo: Path | None, seed: int, wanted: str | None, box: Box | None = None) -> _Picture:
        """A photo's projection, or without a photo the sample of a seed; of a class if one is wanted."""
        if photo is not None:
            check_projects(self.model)
            editor = new_editor(self.model, "deeplab", photo).set_photo(photo, box)
            with bars("projecting", "tuning") as (progress, tuning):
                editor.project(wanted, progress=progress, tuning_progress=tuning, **self.projection)
            samples = editor.samples()
        else:
            editor, label = None, None if wanted is None else self.model.class_index(wanted)
            samples = draw(self.model, 1, seed=seed, truncation=self.truncation, label=label)
        name = None if samples.label is None else self.model.class_names[int(samples.label)]
        return _Picture(samples, self.model.generator if editor is None else editor.generator, name, seed, editor)

    def references(
        self, photos: Sequence[Path] | None, seeds: Sequence[int] | None, classes: Sequence[str] | None, count: int
    ) -> list[_Picture]:
        """One for each part."""
        asked = list(
            zip(
                fitted("--reference", photos, None, count),
                fitted("--reference-seed", seeds, 1, count),
                fitted("--reference-class", classes, None, count),
                strict=True,
            )
        )
        made = {one: self.one(*one) for one in dict.fromkeys(asked)}  # a photo is projected once
        return [made[one] for one in asked]


def _area(catalog: Catalog, picture: _Picture, parts: Sequence[str]) -> NDArray[np.float32]:  # -> [r,r]
    """Where parts are in a picture."""
    maps = catalog.cluster_maps(picture.generator, picture.samples)
    return np.asarray(sum(catalog.part_map(part, maps)[0] for part in parts)).clip(0, 1).astype(np.float32)


@dataclass
class _Result:
    """What a transfer made."""

    model: Model
    source: _Picture
    references: Sequence[_Picture]
    image: Tensor  # [1,3,R,R]
    pasted: NDArray[np.uint8] | None = None  # the whole photo, if the source is one

    def write(self, folder: Path, stem: str, recipe: dict[str, Any], lossless: bool) -> Iterator[Path]:
        """Result, panel and recipe; gives their paths."""
        editor = self.source.editor
        if self.pasted is None or editor is None or editor.photo is None:
            result = folder / f"{stem}.png"
            write_png(to_pixels(self.image), result)
        else:
            result = folder / f"{stem}{'.png' if lossless else editor.photo.suffix}"
            if editor.photo.path is not None and result.absolute() == editor.photo.path.absolute():
                raise PhotograftError(f"{result} is the photo itself: choose another folder with --out")
            write_photo(editor.photo, self.pasted, result)
        panel, text = folder / f"{stem}.panel.png", folder / f"{stem}.json"
        write_png(self._panel(), panel)
        files = {"result": result.name, "panel": panel.name}
        if editor is not None and editor.delta is not None:
            files["delta"] = stem + DELTA
            editor.delta.save(folder / files["delta"], self.model.fingerprint)
        whole = {
            "photograft_transfer": RECIPE_VERSION,
            "model": {"name": self.model.name, "sha256": self.model.fingerprint},
            "source": self.source.described(),
            **recipe,
            "files": files,
        }
        write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", text)
        yield from (result, panel, text)

    def _panel(self) -> NDArray[np.uint8]:
        before = self.source.generator(self.source.samples.latent, self.source.samples.label)
        row = [to_pixels(before)]
        titles = [f"source: {self.source.name or self.source.seed}"]
        for one in self.references:
            row.append(to_pixels(one.generator(one.samples.latent, one.samples.label)))
            titles.append(f"reference: {one.name or one.seed}")
        row += [to_pixels(self.image), heat_picture(squared_error(before, self.image)[0])]
        titles += ["result", "change (CIELAB)"]
        if self.pasted is not None and self.source.editor is not None and self.source.editor.photo is not None:
            row = [framed(self.source.editor.photo.pixels, self.source.editor.box), *row, self.pasted]
            titles = ["photo", *titles, "photo, edited"]
        return sheet([row], titles)
