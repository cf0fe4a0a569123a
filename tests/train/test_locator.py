"""The locator's training: a start from a file, and what DeepLab sees beside scenes."""

import numpy as np
import pytest
import torch
from skimage import data

from models.errors import PhotograftError
from models.perception.locator import LOCATOR_WEIGHTS, load_locator
from train.perception.locator import LocatorTraining, segmented
from train.perception.scene_views import Scene


def test_a_training_goes_on_from_a_file() -> None:
    started = LocatorTraining(start="embedded")
    known = load_locator().state_dict()
    assert all(torch.equal(value, known[key]) for key, value in started.locator.state_dict().items())
    assert started.started  # its features are standardised as they were
    new = LocatorTraining().locator.state_dict()
    assert any(not torch.equal(value, known[key]) for key, value in new.items())
    with pytest.raises(PhotograftError, match="has width 96, not 32"):
        LocatorTraining(width=32, start=str(LOCATOR_WEIGHTS))


def test_scenes_learn_where_animals_and_people_are() -> None:
    none = np.zeros((0, 4), np.float32)
    pictures = [np.asarray(data.cat()), np.asarray(data.astronaut())]
    cat, person = segmented([Scene(pixels, none, "any") for pixels in pictures], half_precision=False)
    for seen in (cat, person):
        assert seen.animal is not None
        assert seen.person is not None
        assert seen.animal.shape == seen.person.shape == (129, 129)
    assert cat.animal[60:100, 60:100].mean() > 0.5 > cat.person.mean()  # type: ignore[index, union-attr]
    assert person.person[40:120, 40:60].mean() > 0.5 > person.animal.mean()  # type: ignore[index, union-attr]
