"""Whole photos with the boxes of heads in them, from tar shards: what locators are taught with, and judged by."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from data.labels import parse_json
from data.report import Tally, printable, say_to_stderr
from data.shards import Member, pictures_of, read_index, read_member
from data.transforms import UnreadablePicture, decode_picture
from models.errors import PhotograftError


@dataclass(frozen=True)
class Scene:
    """A photo with its heads.

    Attributes:
        pixels: uint8 RGB [H,W,3].
        boxes: float32 [K,4], left, top, right, bottom as shares of the photo.
        species: whatever the data calls it.
        name: of the sample.
        animal, person: float32 [s,s] in [0,1], what a segmenter sees of both, over the whole photo; None if unasked.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    species: str
    name: str = ""
    animal: NDArray[np.float32] | None = None
    person: NDArray[np.float32] | None = None


def read_scenes(root: Path, part: str) -> list[Scene]:
    """Scenes of all shards `*PART*.tar` of a folder: `KEY.webp` (or .jpg, .png) and `KEY.json`.

    The JSON holds `heads`: a list of [left, top, right, bottom] as shares of the photo, and may hold `species`.
    Raises `PhotograftError` for a missing folder, no shards, a broken shard, picture or box.
    """
    shards = sorted(root.glob(f"*{part}*.tar"))
    if not shards:
        raise PhotograftError(f"no shards *{part}*.tar in {root}: give the folder of scenes")
    scenes, tally = [], Tally()
    for shard in shards:
        samples = dict(sorted(read_index(str(shard), tally).items()))
        with shard.open("rb") as raw:
            scenes += [
                _scene(raw, f"{shard.name}/{printable(key)}", picture, sample.get(".json"))
                for key, sample, picture in pictures_of(str(shard), samples, "webp,jpg,jpeg,png", tally)
            ]
    for line in tally.lines():
        say_to_stderr(line)
    return scenes


def _scene(raw: BinaryIO, name: str, picture: Member, description: Member | None) -> Scene:
    if description is None:
        raise PhotograftError(f"{name}: a scene needs a picture and a .json")
    try:
        pixels = np.asarray(decode_picture(read_member(raw, picture)))
        facts = parse_json(read_member(raw, description))
        boxes = np.asarray(facts["heads"], np.float32).reshape(-1, 4)
    except (UnreadablePicture, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise PhotograftError(f"{name}: broken picture or JSON ({printable(str(error))})") from error
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        raise PhotograftError(f"{name}: a head must be [left, top, right, bottom] with left < right and top < bottom")
    return Scene(pixels, boxes, str(facts.get("species", "unknown")), name.partition("/")[2])
