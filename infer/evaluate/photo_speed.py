"""What a close-up costs by its size: seconds beyond the search for latents, and memory.

Every size is measured in a process of its own, `python -m infer.evaluate.photo_speed MEGAPIXELS`, as the most memory
that a process ever had cannot be taken back.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from infer.editor.editor import Editor
from infer.pictures.convert import to_pixels
from models.errors import PhotograftError
from models.samples import draw
from models.zoo import DEFAULT, is_installed, load_model

SIZES = (0.5, 3.0, 12.0, 24.0, 48.0)  # megapixels
MAX_SECONDS = 2.0  # at 12 megapixels, on two cores
MAX_BYTES = 24.0  # per pixel at 48 megapixels
_START = 0.2  # megapixels of the photo that all that is loaded once is loaded for
_FROM, _TO = "brown tabby cat", "lion"
_SEED = 1  # of a head that is found


@dataclass(frozen=True)
class Cost:
    """Of one edit with the defaults: reading, finding the head, editing, writing photo, panel and recipe.

    Attributes:
        megapixels: of the photo.
        seconds: without projection and settling.
        settling: seconds that its latent settles; no photo's size changes them.
        bytes_per_pixel: most memory beyond that of a small photo's edit.
    """

    megapixels: float
    seconds: float
    settling: float
    bytes_per_pixel: float


def measure_here(megapixels: float, model: str = DEFAULT, device: str = "auto") -> Cost:
    """Measure in this process, which should have done nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small.jpg"), Path(folder, "large.jpg")
        _close_up(model, _START, small)
        _close_up(model, megapixels, large)
        editor = Editor.from_pretrained(model, device=device)
        _edit(editor, small, None)
        settling = _edit(editor, small, None) - _edit(editor, small, 0)
        before = _most_memory()
        seconds = _edit(editor, large, 0)
        more = _most_memory() - before
    return Cost(megapixels, seconds, max(settling, 0.0), more / (megapixels * 1e6))


def measure(megapixels: float, model: str = DEFAULT, device: str = "auto") -> Cost:
    """Measure in a process of its own. Raises PhotograftError if that fails."""
    command = [sys.executable, "-m", "infer.evaluate.photo_speed", str(megapixels), model, device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]
        raise PhotograftError(f"the edit of {megapixels:g} megapixels could not be measured: {why}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def bench_photos(sizes: Sequence[float] = SIZES, console: Console | None = None, device: str = "auto") -> list[Cost]:
    """Measure and print the curve; nothing where the default model is not installed."""
    if not is_installed(DEFAULT):
        return []
    costs = [measure(megapixels, device=device) for megapixels in sizes]
    table = Table(title=f"Edit of a close-up, beyond projection, {torch.get_num_threads()} threads")
    for column in ("megapixels", "beyond settling", "settling", "bytes per pixel", "bar"):
        table.add_column(column, justify="right")
    for cost in costs:
        numbers = f"{cost.megapixels:g}", f"{cost.seconds:.2f} s", f"{cost.settling:.2f} s"
        table.add_row(*numbers, f"{cost.bytes_per_pixel:.1f}", _bar(cost))
    (console or Console()).print(table)
    return costs


def _bar(cost: Cost) -> str:
    if cost.megapixels == 12.0:
        beyond, whole = _met(cost.seconds, MAX_SECONDS), _met(cost.seconds + cost.settling, MAX_SECONDS)
        return f"at most {MAX_SECONDS:g} s: {beyond}, edit with settling: {whole}"
    if cost.megapixels == 48.0:
        return f"at most {MAX_BYTES:g} bytes: {_met(cost.bytes_per_pixel, MAX_BYTES)}"
    return ""


def _met(value: float, most: float) -> str:
    return "met" if value <= most else "missed"


def _close_up(name: str, megapixels: float, path: Path) -> None:
    """A photo filled by a head: a sample, 4:3."""
    model = load_model(name)
    samples = draw(model, 1, seed=_SEED, truncation=0.7, label=model.class_index(_FROM))
    with torch.no_grad():
        pixels = to_pixels(model.generator(samples.latent, samples.label))
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    rows = len(pixels) // 8
    picture = Image.fromarray(pixels[rows : len(pixels) - rows])
    picture.resize((round(height * 4 / 3), height), Image.Resampling.BICUBIC).save(path, quality=92)


def _edit(editor: Editor, photo: Path, settle: int | None) -> float:
    """Seconds of everything but projection."""
    start = time.perf_counter()
    editor.set_photo(photo, anywhere=True)  # a bad model draws no heads
    found = time.perf_counter()
    editor.project(_FROM, steps=0)
    projected = time.perf_counter()
    editor.edit(_TO, settle=settle)
    editor.save(photo.with_suffix(""))
    return time.perf_counter() - projected + found - start


def _most_memory() -> int:
    """Bytes that this program has had at most. (On Linux `ru_maxrss` also counts whoever started it.)"""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    print(json.dumps(asdict(measure_here(float(sys.argv[1]), *sys.argv[2:]))))
