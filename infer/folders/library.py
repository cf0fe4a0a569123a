"""Many photos from Python, as `photograft edit` does it."""

from collections.abc import Sequence
from pathlib import Path

from infer.editor.steps import ChangeClass, Step
from infer.folders.items import NOTHING, Beside, find_items
from infer.folders.options import USUAL, FolderOptions, Work
from infer.folders.run import Report, Told, run
from models.prepared import Networks
from models.zoo import DEFAULT, load_model

Edit = str | Step | Sequence[Step]


def edit_folder(
    photos: str | Path | Sequence[str | Path],
    edits: Edit | Sequence[Edit],
    out: str | Path,
    *,
    model: str | Networks = DEFAULT,
    device: str = "auto",
    beside: Beside = NOTHING,
    limit: int | None = None,
    options: FolderOptions | None = None,
    work: Work = USUAL,
    cache: bool = True,
    told: Told = lambda line: None,
) -> Report:
    """Edit all photos of folders, and write what the command writes; see `infer.folders.run.run`.

        edit_folder("photos", ["lion", "tiger"], "edited", options=FolderOptions(preset="fast"))

    Processes are spawned where there are several devices: a script then needs `if __name__ == "__main__":`.

    Args:
        photos: folders (with all below them), patterns (`**` is any folder), files.
        edits: a class, a step, or several steps at once; or a list of such edits, each with results of its own.
        out: a folder for results.
        model: a name of the zoo, or files (see `models.zoo.load_model`); or its networks.
        device: "auto", "cpu", "cuda" or "mps"; where networks are given, theirs counts.
        beside: masks, boxes and targets of single photos.
        limit: so many photos at most.
        options: what is done with every photo.
        work: how: processes, photos at once, whether an earlier run is gone on with.
        cache: keep the user's projections, and use them.
        told: called with a line for each photo that is done.

    Returns:
        How many photos were edited, had been before, were skipped, and failed; `infer.folders.summary.Line` says why.

    Raises:
        PhotograftError: no photos, lists that do not fit them, an unknown class, a folder that cannot be written to.
    """
    networks = model if isinstance(model, Networks) else Networks.of(load_model(model), device)
    names, out = [photos] if isinstance(photos, str | Path) else photos, Path(out)
    items = find_items(names, _groups(edits), out, beside, limit)
    options = FolderOptions() if options is None else options
    return run(networks, items, out, options, work, inputs=beside.lists, cache=cache, told=told)


def _groups(edits: Edit | Sequence[Edit]) -> list[list[Step]]:
    several: Sequence[Edit] = [edits] if isinstance(edits, str | Step) else edits
    return [
        [ChangeClass(edit) if isinstance(edit, str) else edit] if isinstance(edit, str | Step) else list(edit)
        for edit in several
    ]
