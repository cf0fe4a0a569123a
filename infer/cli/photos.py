"""From photos on the command line to editors with projections."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from infer.cli.common import Failures, bar, note
from infer.editor.editor import Editor, project_all
from infer.photo.box import Box
from models.errors import PhotograftError
from models.zoo import Model

Check = Callable[[Editor], object]


def need_photos(photos: Sequence[Path] | None) -> list[Path]:
    """The photos without repetitions. Raises PhotograftError if there are none."""
    if not photos:
        raise PhotograftError("no photo was given: name one or more files")
    return list(dict.fromkeys(photos))


def new_editor(model: Model, segmenter: str, photo: Path) -> Editor:
    """An editor that says things under the photo's name."""
    return Editor(model, segmenter, say=lambda text: note(f"{photo.name}: {text}"))


def projected(
    model: Model,
    segmenter: str,
    photos: Sequence[Path],
    box: Box | None,
    failures: Failures,
    *,
    check: Check = lambda editor: None,
    **options: Any,
) -> Iterator[tuple[Editor, Path]]:
    """Editors with projected photos, one after another; bad photos are reported and left out.

    Args:
        model, segmenter, photos, box: see `Editor`.
        failures: where bad photos are reported.
        check: raises PhotograftError for a photo that should not be projected at all.
        options: of `project_all`.
    """
    for i, photo in enumerate(photos, 1):
        which = f"{i} of {len(photos)}: " if len(photos) > 1 else ""
        with failures.of(photo):
            editor = new_editor(model, segmenter, photo).set_photo(photo, box)
            check(editor)
            with bar(which) as progress:
                project_all([editor], progress=progress, **options)
            yield editor, photo
