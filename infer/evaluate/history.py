"""How a training got better: the judge's numbers of several exports of it over the pictures that it had seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure

from data.splits import open_splits
from infer.editor.results import ResultFolder
from infer.evaluate.cache import ResultCache, Results
from infer.evaluate.curves import Photos, validation_photos
from infer.evaluate.generator import draw_samples
from infer.evaluate.manifold import manifold
from infer.evaluate.reconstruction import find_codes
from infer.evaluate.report_files import Row, csv_table, figure_png, write_report
from infer.evaluate.translation import References, Translator
from infer.progress import Progress, untold
from models.device import find_device
from models.digests import digest, digests
from models.errors import PhotograftError
from models.header import read_header
from models.perception.judges import frechet
from models.perception.segmentation import create_segmenter
from models.prepared import Networks
from models.writing import file_name
from models.zoo import load_model, model_files, model_stem

FORMAT = 1  # of the kept points
HEADER = (
    "model",
    "pictures seen",
    "Fréchet of samples",
    "precision",
    "recall",
    "Fréchet of translations",
    "top-5 error of translations",
    "IoU of the animal, median",
)


@dataclass(frozen=True)
class Point:
    """One export. Distances on SqueezeNet features; translations by the encoder alone.

    Attributes:
        name: of the model.
        images: real pictures that its training, and those that it started from, had seen.
        frechet, precision, recall: of prior samples.
        translated: Fréchet distance of translations.
        error: top-5 error of the target class, over all pairs of groups.
        overlap: median IoU of the animal.
    """

    name: str
    images: int
    frechet: float
    precision: float
    recall: float
    translated: float
    error: float
    overlap: float


def measure_history(
    names: Sequence[str],
    root: Path,
    *,
    samples: int = 2000,
    photos: int = 200,
    masks: int = 40,
    seed: int = 1,
    folder: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[Point]:
    """Judge several exports of one training.

    Args:
        names: models with encoders, of the same classes.
        root: their data.
        samples: prior samples, translations and real pictures.
        photos: validation photos that are translated.
        masks: translations that are segmented.
        seed: of samples, targets and real pictures.
        folder: where points are kept as they are done.
        device: where networks run.
        progress: told of progress.

    Returns:
        Points in the order of pictures seen.

    Raises:
        PhotograftError: a model without an encoder, or of other classes.
    """
    progress = progress or untold
    judge, points = _Judge(root, samples, photos, masks, seed, device, progress), []
    compared = digest([torch.as_tensor(open_splits(root)[0].labels)])  # other training pictures are another reference
    kept = ResultCache(folder, format=FORMAT, samples=samples, masks=masks, seed=seed, train=compared)
    for done, name in enumerate(names):
        progress(f"model {done + 1} of {len(names)}", done, len(names))
        networks = Networks.of(load_model(name), device, dtype=torch.float32)
        model = networks.model
        if model.encoder is None:
            raise PhotograftError(f"model {name} has no encoder: it cannot translate photos")
        chosen = validation_photos(root, networks, photos, seed, encode=False)
        assert chosen.label is not None
        weights = {part: text for part, text in digests(model).items() if part in ("generator", "encoder")}
        found = kept(partial(judge, networks, chosen), photos=digest([chosen.target, chosen.label]), **weights)
        images = read_header(model_files(model_stem(name))["generator"]).known.images_seen
        points.append(Point(model.stem, images, **{key: float(value) for key, value in found.items()}))
    return sorted(points, key=lambda point: point.images)


class _Judge:
    """Judges models of one set of classes; arguments as of `measure_history`."""

    def __init__(
        self, root: Path, samples: int, photos: int, masks: int, seed: int, device: str, progress: Progress
    ) -> None:
        self.root, self.samples, self.masks, self.seed, self.progress = root, samples, masks, seed, progress
        self.per_photo, self.segment = max(1, samples // photos), create_segmenter(device=find_device(device))
        self.references: References | None = None

    def __call__(self, networks: Networks, chosen: Photos) -> Results:
        """A point's numbers by name."""
        self.references = references = self.references or References(
            networks, self.root, self.samples, self.seed, self.progress
        )
        translator = Translator(networks, chosen, references, self.per_photo, self.seed)
        z = find_codes(networks, chosen, 0, lambda n: None)
        found = translator.found(0, z, self.masks, self.segment)
        features = references.features(
            draw_samples(networks, self.samples, self.seed, 1.0, self.progress)[0], "samples"
        )
        shape = manifold(references.real, features)
        seen = found.overlap[~found.overlap.isnan()]
        numbers = {
            "frechet": frechet(features, references.real),
            "precision": shape.precision,
            "recall": shape.recall,
            "translated": found.frechet,
            "error": sum(pair.error * pair.photos for pair in found.pairs) / sum(pair.photos for pair in found.pairs),
            "overlap": float(seen.median()) if len(seen) else float("nan"),
        }
        return {key: torch.tensor(value, dtype=torch.float64) for key, value in numbers.items()}


def history_rows(points: Sequence[Point]) -> list[Row]:
    """Points as text, with a header."""
    rows: list[Row] = [HEADER]
    for p in points:
        numbers = (f"{p.frechet:.1f}", f"{p.precision:.3f}", f"{p.recall:.3f}", f"{p.translated:.1f}")
        rows.append((p.name, str(p.images), *numbers, f"{100 * p.error:.1f} %", f"{p.overlap:.3f}"))
    return rows


def draw_history(points: Sequence[Point]) -> Figure:
    """Distances, and shares, over pictures seen."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = [p.images for p in points]
    lines = (
        (left, "frechet", "samples"),
        (left, "translated", "translations"),
        (right, "precision", "precision of samples"),
        (right, "recall", "recall of samples"),
        (right, "error", "top-5 error of translations"),
        (right, "overlap", "IoU of the animal"),
    )
    for axes, name, label in lines:
        axes.plot(x, [getattr(p, name) for p in points], marker="o", label=label)
    for axes, what in ((left, "Fréchet distance, SqueezeNet"), (right, "share")):
        axes.set(xlabel="real pictures seen", ylabel=what)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=2, frameon=False)  # off the lines
    return figure


def write_history(points: Sequence[Point], name: str, results: ResultFolder) -> list[Path]:
    """Write NAME_history.csv and .png."""
    name = file_name(name, "history")
    contents: dict[str, str | bytes] = {
        f"{name}.csv": csv_table(history_rows(points)),
        f"{name}.png": figure_png(draw_history(points)),
    }
    return write_report(contents, results)
