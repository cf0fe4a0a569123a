"""Do transfers to photos show? A sheet to look at: the crop of every photo before and after, for each part.

python docs/experiments/transfers_seen.py PHOTOS [--model stylegan2-heads-128] [--parts eyes,mouth,ears]
    [--truncation 1] [--out FILE.jpg]

No photo is left out, references are samples of seeds 1, 2, ... by part, and there are no heat maps: what does not show
to a person has not happened. Beside it stand CIELAB distances in the crop, and how many photos change where the part is
by more than 2.3, about what one can tell side by side (Mahy et al. 1994).
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from infer.catalog.catalog import default_path
from infer.editor.editor import Editor
from infer.editor.points import Sample
from infer.evaluate.studies.measures import lab_distance
from infer.photo.box import crop_square
from infer.photo.photo import Pixels
from infer.pictures.sheet import sheet
from models.prepared import Networks
from models.writing import write_file
from models.zoo import load_model

JUST_SEEN = 2.3
SIDE = 128


def tensor(pixels: Pixels) -> torch.Tensor:  # uint8 [H,W,3] -> [3,H,W] in [-1,1]
    """A picture as the measures take it."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="stylegan2-heads-128")
    parser.add_argument("--parts", default="eyes,mouth,ears")
    parser.add_argument("--truncation", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("transfers_seen.jpg"))
    asked = parser.parse_args()
    parts = asked.parts.split(",")
    model = load_model(asked.model)
    editor = Editor(Networks.of(model)).set_catalog(default_path(model, Path("out")))
    files = sorted(path for path in asked.photos.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    rows: list[list[Pixels]] = []
    changes: dict[str, list[float]] = {part: [] for part in parts}
    for path in files:
        editor.set_photo(path, anywhere=True).project()
        assert editor.photo is not None
        before = crop_square(editor.photo.pixels, editor.box, SIDE)
        row = [before]
        for seed, part in enumerate(parts, start=1):
            edit = editor.transfer(Sample(seed, truncation=asked.truncation), part)
            after = crop_square(edit.pixels, editor.box, SIDE)
            change = lab_distance(tensor(after), tensor(before))
            changes[part].append(float(np.quantile(change, 0.98)))  # the part is some hundredths of the crop
            row.append(after)
        rows.append(row)
        print(path.name, {part: round(values[-1], 1) for part, values in changes.items()}, flush=True)
    half = -(-len(rows) // 2)
    blank = [np.full_like(rows[0][0], 255)] * len(rows[0])
    pairs = [left + right for left, right in zip(rows[:half], [*rows[half:], blank], strict=False)]
    stream = io.BytesIO()
    Image.fromarray(sheet(pairs, ["photo", *parts] * 2, size=SIDE)).save(stream, "JPEG", quality=88)
    write_file(asked.out, lambda file: file.write(stream.getvalue()))
    for part, values in changes.items():
        seen = sum(value > JUST_SEEN for value in values)
        print(f"{part}: {seen} of {len(values)} above {JUST_SEEN} in the most changed fiftieth of the crop", flush=True)


if __name__ == "__main__":
    main()
