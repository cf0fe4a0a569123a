"""How a training got better: the judge's numbers of several exports of it over the pictures that it had seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from infer.evaluate.curves import validation_photos
from infer.evaluate.generator import draw_samples
from infer.evaluate.judging import Say
from infer.evaluate.manifold import manifold
from infer.evaluate.reconstruction import find_codes
from infer.evaluate.tables import Row, csv_table, figure_png, write_files
from infer.evaluate.translation import References, Translator
from models.errors import PhotograftError
from models.files import read_header
from models.judges import frechet
from models.segmentation import create_segmenter
from models.zoo import load_model, model_files, model_stem

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
        images: real pictures that its training had seen.
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
    say: Say | None = None,
) -> list[Point]:
    """Judge several exports of one training.

    Args:
        names: models with encoders, of the same classes.
        root: their data.
        samples: prior samples, translations and real pictures.
        photos: validation photos that are translated.
        masks: translations that are segmented.
        seed: of samples, targets and real pictures.
        say: told of progress.

    Returns:
        Points in the order of pictures seen.

    Raises:
        PhotograftError: a model without an encoder, or of other classes.
    """
    say = say or (lambda what, done, total: None)
    per_photo, segment, points = max(1, samples // photos), create_segmenter(), []
    references: References | None = None
    for done, name in enumerate(names):
        say(f"model {done + 1} of {len(names)}", done, len(names))
        model = load_model(name)
        if model.encoder is None:
            raise PhotograftError(f"model {name} has no encoder: it cannot translate photos")
        chosen = validation_photos(root, replace(model, encoder=None), photos, seed)
        references = references or References(model, root, samples, seed, say)
        translator = Translator(model, chosen, references, per_photo, seed)
        z = find_codes(model, chosen, 0, lambda n: None)
        found = translator.found(0, z, masks, segment)
        features = references.features(draw_samples(model, samples, seed, 1.0, say)[0], "samples")
        shape = manifold(references.real, features)
        seen = found.overlap[~found.overlap.isnan()]
        total = sum(pair.photos for pair in found.pairs)
        point = Point(
            name=model.stem,
            images=int(read_header(model_files(model_stem(name))["generator"]).info.get("images_seen", 0)),
            frechet=frechet(features, references.real),
            precision=shape.precision,
            recall=shape.recall,
            translated=found.frechet,
            error=sum(pair.error * pair.photos for pair in found.pairs) / total,
            overlap=float(seen.median()) if len(seen) else float("nan"),
        )
        points.append(point)
    return sorted(points, key=lambda point: point.images)


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
        axes.legend()
    return figure


def write_history(points: Sequence[Point], name: str, out: Path) -> list[Path]:
    """Write NAME_history.csv and .png."""
    contents: dict[str, str | bytes] = {
        f"{name}_history.csv": csv_table(history_rows(points)),
        f"{name}_history.png": figure_png(draw_history(points)),
    }
    return write_files(contents, out)
