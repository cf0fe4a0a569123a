"""From photos on the command line to editors with projections."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from infer.cli.common import Failures, bar, note
from infer.cli.forecast import Forecast
from infer.editor.editor import Editor, project_all
from infer.photo.place import NothingFound, Place
from infer.projection.cache import ProjectionCache
from infer.projection.mixture import Source
from infer.projection.options import ProjectionOptions
from models.errors import PhotograftError
from models.prepared import Networks

Check = Callable[[Editor], object]


def need_photos(photos: Sequence[Path] | None) -> list[Path]:
    """The photos without repetitions. Raises PhotograftError if there are none."""
    if not photos:
        raise PhotograftError("no photo was given: name one or more files")
    return list(dict.fromkeys(photos))


def kept_projections(cache: bool) -> ProjectionCache | None:
    """The user's, if they shall be used."""
    return ProjectionCache.default() if cache else None


def new_editor(model: Networks, segmenter: str, photo: Path, cache: ProjectionCache | None = None) -> Editor:
    """An editor that says things under the photo's name."""
    return Editor(model, segmenter, say=lambda text: note(f"{photo.name}: {text}"), cache=cache)


def projected(
    model: Networks,
    segmenter: str,
    photos: Sequence[Path],
    place: Place,
    failures: Failures,
    *,
    skip: bool = False,
    source: Source | None,
    preset: str,
    steps: int | None,
    options: ProjectionOptions,
    cache: ProjectionCache | None = None,
    check: Check = lambda editor: None,
) -> Iterator[tuple[Editor, Path]]:
    """Editors with projected photos, one after another; bad photos are reported and left out.

    Args:
        model, segmenter, photos, place: see `Editor`.
        failures: where bad photos are reported.
        skip: leave photos without a head out, which is no failure.
        source, preset, steps, options: see `project_all`.
        cache: of projections.
        check: raises PhotograftError for a photo that should not be projected at all.
    """
    forecast = Forecast(model.model, preset, options if steps is None else replace(options, steps=steps))
    for i, photo in enumerate(photos, 1):
        which = f"{i} of {len(photos)}: " if len(photos) > 1 else ""
        with failures.of(photo):
            editor = new_editor(model, segmenter, photo, cache)
            try:
                editor.set_photo(photo, place.box, which=place.which, anywhere=place.anywhere, roll=place.roll)
            except NothingFound as nothing:
                if not skip:
                    raise
                note(f"{photo.name}: skipped: {str(nothing).partition(':')[0]}")
                continue
            check(editor)
            with bar(which) as progress:
                told = forecast.of(len(photos) - i + 1, progress)
                project_all([editor], source, preset=preset, steps=steps, options=options, progress=told)
            yield editor, photo
