"""The file of a recipe: JSON with bounds, read strictly. No name in it becomes a path that leaves its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from infer.editor import recipe_before
from infer.editor.point_file import ModelSaid, PictureSaid, read_picture
from infer.editor.recipe import RECIPE_VERSION, KnownCatalog, Recipe
from infer.editor.step_file import StepSaid, read_step
from infer.editor.steps import Blend, Transfer
from infer.edits.choices import Scale
from infer.photo.choices import Finish, Method
from models.errors import PhotograftError
from models.reading import read_text
from models.schema import FileName, Index, Name, PathText, Schema, Settling, Share, Text, parse_json, short
from models.writing import path_of

Files = Annotated[dict[Name, FileName], Field(max_length=200)]
_Clusters = Annotated[tuple[Index, ...], Field(min_length=1, max_length=1000)]


class _Versions(BaseModel):
    """The key that says what a file is."""

    photograft_recipe: Any = None
    photograft_blend: Any = None
    photograft_transfer: Any = None


class _Catalog(Schema):
    file: PathText
    sha256: Text
    parts: Annotated[dict[Text, _Clusters], Field(max_length=1000)]


class _Edit(Schema):
    steps: Annotated[tuple[StepSaid, ...], Field(min_length=1, max_length=100)]
    method: Method
    settle: Settling
    finish: Finish = "off"  # before there was one
    scale: Scale = "mix"
    registered: bool = False
    recolour_body: bool = False
    sweep: Annotated[tuple[Share, ...], Field(max_length=64)] = ()
    segmenter: Text
    lossless: bool


class _File(Schema):
    photograft_recipe: int
    model: ModelSaid
    source: PictureSaid
    references: Annotated[tuple[PictureSaid, ...], Field(max_length=100)]
    catalog: _Catalog | None
    edit: _Edit | None
    files: Files


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe of this version or of those before; files of masks and deltas are looked for beside it.

    Raises:
        PhotograftError: missing, not a recipe, of another version, or damaged.
    """
    path = Path(path)
    text = read_text(path, "recipe")
    try:
        versions = parse_json(_Versions, text, "").model_dump(exclude_none=True)
        if len(versions) != 1:
            raise PhotograftError("a recipe says what it is once")
    except PhotograftError as error:
        raise PhotograftError(f"{path} is not a recipe: give a .json that a command of ours wrote") from error
    ((kind, version),) = versions.items()
    where, folder = f"recipe {path} is damaged", path.absolute().parent
    is_int = isinstance(version, int) and not isinstance(version, bool)
    try:
        if is_int and version == 1:
            return recipe_before.read(kind, text, folder, where)
        if is_int and version == RECIPE_VERSION and kind == "photograft_recipe":
            return _recipe(parse_json(_File, text, where), folder)
    except PhotograftError as error:
        raise PhotograftError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error
    raise PhotograftError(f"{path} is a recipe of version {short(version)}, this program reads 1 to {RECIPE_VERSION}")


def _recipe(content: _File, folder: Path) -> Recipe:
    edit, files = content.edit, content.files
    steps = () if edit is None else tuple(read_step(step, folder) for step in edit.steps)
    source = read_picture(content.source, "source", _beside(folder, files, "delta"))
    references = tuple(
        read_picture(picture, f"references.{i}", _beside(folder, files, f"delta{i}"))
        for i, picture in enumerate(content.references)
    )
    for step in steps:
        if isinstance(step, Blend | Transfer):
            if not isinstance(step.reference, int) or step.reference >= len(references):
                raise PhotograftError(f"a step names reference {step.reference} of {len(references)}")
            if step.part is not None and (content.catalog is None or step.part not in content.catalog.parts):
                raise PhotograftError(f"part {short(step.part)} is not among the catalog's")
    catalog = content.catalog
    known = None if catalog is None else KnownCatalog(path_of(catalog.file), catalog.sha256, catalog.parts)
    return Recipe(
        model=content.model.name,
        weights=content.model.sha256,
        source=source,
        references=references,
        steps=steps,
        catalog=known,
        files=files,
        **({} if edit is None else edit.model_dump(exclude={"steps"})),
    )


def _beside(folder: Path, files: Mapping[str, str], kind: str) -> Path | None:
    return folder / files[kind] if kind in files else None
