"""All studies by name, run and written as files: a table (CSV), a sheet (JPEG), and a film where there is one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from infer.editor.results import ResultFolder
from infer.evaluate.report_files import csv_table, picture_jpeg, report_name, writer_of
from infer.evaluate.studies import blend_studies, class_studies, collage_studies, photo_studies, transfer_study
from infer.evaluate.studies.setting import Found, Setting, Study
from infer.pictures.animation import gif, mp4
from models.errors import UnsupportedEdit
from models.terminal import Say
from models.writing import Writer, text

RUNS: dict[str, Study] = {
    "strength": class_studies.strength,
    "class-layers": class_studies.layers,
    "blend-layers": blend_studies.layers,
    "interpolation": blend_studies.interpolation,
    "classes": photo_studies.classes,
    "class-collage": collage_studies.classes,
    "feature-collage": collage_studies.features,
    "transfer": transfer_study.transfer,
    "morph": photo_studies.morph,
}


def run_studies(
    names: Sequence[str],
    setting: Setting,
    results: ResultFolder,
    *,
    done: Callable[[str, Found, list[Path]], object],
    skipped: Say | None = None,
) -> None:
    """Run studies, each written as soon as it is made.

    Args:
        names: keys of `RUNS`.
        setting: what they are made with.
        results: where they go.
        done: is told name, findings and files of each.
        skipped: is told of a study that the model cannot take, and the others go on; None: that is an error.

    Raises:
        UnsupportedEdit: see `skipped`.
        PhotograftError: a photo without a head, no catalog, or a folder that cannot be written.
    """
    for name in names:
        try:
            found = RUNS[name](setting)
        except UnsupportedEdit as error:
            if skipped is None:
                raise
            skipped(f"{name} is left out: {error}")
            continue
        done(name, found, write_study(name, found, setting.networks.model.name, results))


def write_study(name: str, found: Found, model: str, results: ResultFolder) -> list[Path]:
    """Write `MODEL_NAME.csv`, `.jpg` and, of a study with frames, `.gif` and where it can be written `.mp4`."""
    stem = report_name(model, name)
    jobs: dict[str, Writer] = {
        f"{stem}.csv": text(csv_table(found.rows)),
        f"{stem}.jpg": writer_of(picture_jpeg(found.sheet)),
    }
    if found.frames:
        jobs[f"{stem}.gif"] = gif(found.frames)
        if (video := mp4(found.frames)) is not None:
            jobs[f"{stem}.mp4"] = video
    return results.replace(jobs)
