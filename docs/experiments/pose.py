"""How the pose network does: rolls of held-out heads, false alarms, rolls and turns of whole photos with known heads.

python docs/experiments/pose.py HEADS SCENES PHOTOS (the folders of its training; photos with a boxes.jsonl, and
turned_heads.csv beside this script, which says by eye how they face)
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from infer.evaluate.edit_measures import training_crop
from infer.evaluate.known_photos import known_photos
from infer.photo.box import Box, crop_square
from infer.photo.turning import LEAST_CONFIDENCE, LEAST_ROLL, Upright, automatic_roll, seen_roll
from models.perception.pose import SIDE, load_pose
from train.perception.pose import around, read_around, read_heads, turned

MOST = 400
KINDS = ("frontal", "three-quarter", "profile")


def rolls(name: str, heads: NDArray[np.uint8]) -> None:
    """Errors of the mean over quarter turns and mirror images, all around and upright."""
    rng, network = torch.Generator().manual_seed(0), load_pose()
    heads = heads[:: max(len(heads) // MOST, 1)]
    pictures = torch.from_numpy(heads).permute(0, 3, 1, 2).float() / 127.5 - 1
    for kind, degrees in (("turned", around(len(heads), rng)), ("upright", torch.zeros(len(heads)))):
        views = ((turned(pictures, degrees, rng, harder=False) + 1) * 127.5).round().to(torch.uint8)
        found = [network.roll(view.permute(1, 2, 0).contiguous().numpy()) for view in views]
        degrees_found, confidence = (np.array(column) for column in zip(*found, strict=True))
        off = np.abs((degrees_found - degrees.numpy() + 180) % 360 - 180)
        sure = confidence >= LEAST_CONFIDENCE
        print(f"{name}, {kind}: {len(heads)}, median error {np.median(off):.1f}, within 15: {np.mean(off <= 15):.3f}")
        print(f"  sure: {sure.mean():.3f}, of these within 15: {np.mean(off[sure] <= 15):.3f}")
        for least in (0.5, 0.65, 0.8):
            moved = (confidence >= least) & (np.abs(degrees_found) >= LEAST_ROLL)
            wrong = (confidence >= least) & (off > LEAST_ROLL)
            print(f"  from {least}: rolled {moved.mean():.3f}, off by more than {LEAST_ROLL:g}: {wrong.mean():.4f}")


def photos(folder: Path) -> None:
    """Which photos are turned, and how well the measure of the turn tells profiles from frontal heads."""
    said = {row["photo"]: row["facing"] for row in csv.DictReader(Path(__file__).with_name("turned_heads.csv").open())}
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for known in known_photos(folder):
        pixels = known.read().pixels
        assert known.heads is not None
        box = Box(*map(round, training_crop(known.heads[0]))).square()
        roll, seen = automatic_roll(pixels, box), seen_roll(pixels, box)
        if roll or abs(seen.degrees) >= LEAST_ROLL:
            print(f"{known.name}: {seen.degrees:.0f} degrees, confidence {seen.confidence:.2f}, taken as {roll:g}")
        if roll:
            upright = Upright(box, roll, (pixels.shape[0], pixels.shape[1]))
            pixels, box = upright.carried(pixels), upright.box
        found[said[known.name]].append(load_pose().turn(crop_square(pixels, box, SIDE)))
    for kind in KINDS[1:]:
        ours, frontal = np.array(found[kind])[:, None], np.array(found["frontal"])[None]
        print(f"{kind} against frontal, area under the curve: {np.mean(ours > frontal):.3f}")
    for kind in KINDS:
        print(kind, len(found[kind]), "quartiles of the turn", np.quantile(found[kind], [0.25, 0.5, 0.75]).round(3))


if __name__ == "__main__":
    heads_folder, scenes_folder, photos_folder = map(Path, sys.argv[1:])
    rolls("heads", read_heads(heads_folder, "val"))
    rolls("heads with what is around them", read_around(scenes_folder, "val", 0))
    photos(photos_folder)
