"""Which heads are turned away from the viewer, for `--data.often`: `python train.py turned --data FOLDER OUT.csv`.

Pictures of animals mostly look at the camera, and a generator makes the rare poses rarer still. Drawing the turned
heads of every class more often gives it more of them, and leaves each class its share.
"""

import csv
import io
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from data import images_to_float
from data.loaders import PictureStore
from data.often import MOST
from data.pictures import LabelledPictures
from data.splits import open_pictures
from models.errors import PhotograftError
from models.perception.pose import SIDE, load_pose
from models.progress import counted
from models.schema import Count, Share, bounded
from models.writing import text, write_files
from train.callbacks.drawing import grid

BATCH = 32
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
COLUMNS = 10  # of the sheet, a row for each quantile


class Turned(NamedTuple):
    """What was written.

    Attributes:
        files: the table, and a sheet of heads by how far they are turned.
        often: pictures that are drawn more often.
        pictures: all of them.
        quantiles: `QUANTILES` of the turn, see `PoseNetwork.turn`.
    """

    files: tuple[Path, Path]
    often: int
    pictures: int
    quantiles: tuple[float, ...]


@bounded
def write_turned(data: Path, out: Path, *, share: Share = 0.25, times: Count = 3, overwrite: bool = False) -> Turned:
    """Write a table for `data.module.ImageDataModule`'s `often`, and a sheet beside it (`OUT.png`).

    Args:
        data: pictures of upright heads: class folders or tar shards.
        out: the table, lines PICTURE,TIMES.
        share: of each class, those that are turned the most.
        times: how often they are drawn where others are drawn once.
        overwrite: replace files that are there.

    Raises:
        PhotograftError: data that cannot be read, files that are there, or numbers that leave all as it is.
    """
    files = (out, out.with_suffix(".png"))
    there = [path.name for path in files if path.exists()]
    if there and not overwrite:
        raise PhotograftError(f"{out.parent} has {' and '.join(there)}: choose another name, or --overwrite")
    if out.suffix == ".png":
        raise PhotograftError(f"{out.name} would be the sheet's name: call the table {out.stem}.csv")
    if not 2 <= times <= MOST:
        raise PhotograftError(f"--times is {times}: give a whole number from 2 to {MOST}")
    pictures = open_pictures(data)
    store = PictureStore(pictures, resolution=SIDE, crop="center", in_memory=False)
    batches = np.array_split(np.arange(len(pictures)), -(-len(pictures) // BATCH))
    turns = np.concatenate([_turns(store, rows) for rows in counted(batches, "looking at heads", unit="batches")])
    chosen = most_turned(turns, pictures.labels, share)
    if not chosen.any():
        raise PhotograftError(f"--share {share:g} of each class is no picture: give a larger share")
    drawn = partial(_write_png, _sheet(store, turns))
    write_files({files[0]: text(_table(pictures, chosen, times)), files[1]: drawn})
    quantiles = tuple(float(value) for value in np.quantile(turns, QUANTILES))
    return Turned(files, int(chosen.sum()), len(pictures), quantiles)


def most_turned(turns: NDArray[np.float64], labels: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Of each class that share of pictures, rounded, whose turn is the largest, bool [N]. Turns and labels are [N]."""
    chosen = np.zeros(len(turns), bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        chosen[own[np.argsort(-turns[own], kind="stable")[: round(share * len(own))]]] = True
    return chosen


def _turns(store: PictureStore, rows: NDArray[np.int64]) -> NDArray[np.float64]:  # -> [n]
    return load_pose().turns(images_to_float(store.many(rows)[0])).double().numpy()


def _table(pictures: LabelledPictures, chosen: NDArray[np.bool_], times: int) -> str:
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # a name may begin with #
    rows.writerows((pictures.records[row].key, times) for row in np.flatnonzero(chosen))
    return stream.getvalue()


def _sheet(store: PictureStore, turns: NDArray[np.float64]) -> NDArray[np.uint8]:  # -> [H,W,3]
    """Rows of heads whose turn is about that of a quantile."""
    order, images, titles = np.argsort(turns, kind="stable"), [], []
    for quantile in QUANTILES:
        first = round(quantile * len(order)) - COLUMNS // 2
        rows = order[np.clip(np.arange(first, first + COLUMNS), 0, len(order) - 1)]
        images.append(images_to_float(store.many(rows)[0]))
        titles.append(f"{turns[rows].mean():.2f}")
    return grid(torch.cat(images), titles)


def _write_png(pixels: NDArray[np.uint8], stream: BinaryIO) -> None:
    Image.fromarray(pixels).save(stream, "PNG")
