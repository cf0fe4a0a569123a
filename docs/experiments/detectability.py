"""How well real heads that nobody edited are told from the photos that edits are made of: no edit can be told less.

python docs/experiments/detectability.py HEADS PHOTOS (the generator's data; photos of pets). For every photo a real
validation head of the class that `evaluate photos` asks for stands where its edit would; 128 px both.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from infer.evaluate.class_judge import ClassJudge
from infer.evaluate.detection import detectability
from infer.evaluate.judging import real_pictures
from infer.evaluate.known_photos import known_photos
from infer.evaluate.photos import draw_targets
from infer.photo.box import crop_square
from infer.photo.location import locate
from models.prepared import Networks
from models.zoo import DEFAULT, load_model

SEED = 1  # as `evaluate photos`
REPEATS = 5  # draws of real heads

if __name__ == "__main__":
    heads, photos = map(Path, sys.argv[1:])
    networks = Networks.of(load_model(DEFAULT), "cpu")
    known = known_photos(photos)
    judge = ClassJudge(networks, None)
    targets = [one[0] for one in draw_targets(networks.model, known, 1, SEED)]
    _, _, images, labels = real_pictures(heads, networks.model, 1, SEED)
    random, resolution = np.random.default_rng(SEED), networks.model.generator.resolution
    untouched = []
    for one in known:
        pixels = one.read().pixels
        untouched.append(judge.features(crop_square(pixels, locate(pixels).box, resolution)))
    before = torch.cat(untouched).numpy()
    for _ in range(REPEATS):
        drawn = [int(random.choice(np.flatnonzero(labels.numpy() == target))) for target in targets]
        real = torch.cat([judge.features(images[i].permute(1, 2, 0).numpy()) for i in drawn]).numpy()
        found = detectability(before, real, np.arange(len(known)))
        low, high = found.accuracy_interval
        print(f"accuracy {found.accuracy:.3f} (95 %: {low:.3f} to {high:.3f}), area {found.auc:.3f}")
