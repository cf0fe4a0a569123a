"""What strengths on the command line mean, and how a sweep of them is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from infer.cli.common import say
from models.errors import PhotograftError

if TYPE_CHECKING:
    from infer.cli.again import How
    from infer.editor.editor import Editor
    from infer.editor.recipe import Recipe
    from infer.editor.results import ResultFolder
    from infer.editor.steps import Step
    from infer.edits.choices import Scale
    from infer.photo.photo import Pixels


def parse_strengths(texts: Sequence[str], count: int | None) -> tuple[list[float], tuple[float, ...]]:
    """Strengths of steps, and those of a sweep, relative to them.

    Args:
        texts: of --strength: a number each, or one list of numbers with commas, which is a sweep.
        count: of --sweep.

    Raises:
        PhotograftError: no numbers in 0..1, or two sweeps at once.
    """
    from infer.editor.sweep import MOST, evenly_strong

    lists = [[_strength(part) for part in text.split(",")] for text in texts]
    if all(len(numbers) == 1 for numbers in lists):
        return [numbers[0] for numbers in lists], () if count is None else evenly_strong(count)
    if len(lists) > 1 or count is not None:
        raise PhotograftError("a list of strengths is a sweep of all that is edited: give it once, without --sweep")
    if len(lists[0]) > MOST:
        raise PhotograftError(f"a sweep has 2 to {MOST} strengths, not {len(lists[0])}")
    return [], tuple(lists[0])


def _strength(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise PhotograftError(f"--strength takes a number in 0..1, or several with commas, not {text!r}") from None
    if not 0 <= number <= 1:  # also for NaN
        raise PhotograftError(f"strength must be in 0..1, not {text.strip()}")
    return number


def scale_of(known: Recipe | None, asked: bool) -> Scale:
    """What strengths measure: a recipe that is done again keeps its own way, unless classes or strengths are asked."""
    return known.scale if known is not None and known.steps and not asked else "photo"


def run_sweep(
    editor: Editor,
    steps: Sequence[Step],
    strengths: Sequence[float],
    results: ResultFolder,
    how: How,
    known: Recipe | None,
) -> list[Pixels]:
    """Edit at each strength, write each result, then what shows all of them; return them as tiles.

    The editor keeps none of the edits: of a large photo they are too large to have many.
    """
    from infer.editor.output import write_edit
    from infer.editor.strengths import at_strength
    from infer.editor.sweep import shown, strength_words, write_sweep
    from infer.pictures.sheet import tile

    looks, tiles = [], []
    picture = Path()
    for strength, word in zip(strengths, strength_words(strengths), strict=True):
        edit = editor.edit(at_strength(steps, strength), **how.of_edit(steps, known))
        picture = write_edit(
            editor, edit, results, lossless=how.lossless, words=[word], done=lambda paths: say(str(paths[0]))
        )[0]
        looks.append(shown(editor, edit))
        tiles.append(tile(edit.pixels))
        editor.edits.pop()
    write_sweep(
        editor,
        replace(edit, steps=tuple(map(_with_own_strength, edit.steps, steps))),
        looks,
        strengths,
        results,
        result=picture.name,
        lossless=how.lossless,
        done=_say_shown,
    )
    return tiles


def _say_shown(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.suffix in (".gif", ".mp4") or path == paths[0]:
            say(str(path))


def _with_own_strength(done: Step, asked: Step) -> Step:
    """A step as it was resolved, with so much of it as was asked for."""
    from infer.editor.steps import Transfer

    if isinstance(done, Transfer):
        assert isinstance(asked, Transfer)
        return replace(done, lam=asked.lam)
    assert not isinstance(asked, Transfer)
    return replace(done, strength=asked.strength)
