"""Previews: the same edit in small, in a fraction of the time."""

import time

import cv2
import numpy as np
import pytest
from skimage import data

from infer.editor.editor import Editor
from infer.editor.preview import SIDE, Preview, Window
from infer.editor.steps import ChangeClass
from infer.photo.box import Box
from models.prepared import Networks
from models.zoo import load_model


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks.of(load_model("sngan-heads-128"), "cpu")


@pytest.fixture
def editor(networks: Networks) -> Editor:
    return Editor(networks).set_photo(data.chelsea()).project(preset="fast")


def in_window(pixels: np.ndarray, preview: Preview) -> np.ndarray:
    window = preview.window
    part = pixels[window.y : window.y + window.h, window.x : window.x + window.w]
    return np.asarray(cv2.resize(part, window.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)


def test_it_shows_what_the_editor_makes(editor: Editor) -> None:
    steps = [ChangeClass("tiger")]
    edit = editor.edit(steps, settle=20)
    preview = Preview(editor)
    preview.adopt(editor, steps)
    found, wanted = preview.show(steps).astype(np.float32), in_window(edit.pixels, preview)
    before = in_window(editor.need_photo().pixels, preview)
    assert np.abs(found - wanted).mean() < 0.35 * np.abs(before - wanted).mean()


def test_a_latent_that_has_settled_is_shown_at_every_strength(editor: Editor) -> None:
    preview, whole, half = Preview(editor), [ChangeClass("lion")], [ChangeClass("lion", strength=0.5)]
    before = [preview.show(steps) for steps in (whole, half)]
    editor.edit(whole, settle=5)
    preview.adopt(editor, whole)
    for old, steps in zip(before, (whole, half), strict=True):
        assert (preview.show(steps) != old).any()
    assert not preview.edits


def test_a_region_lies_where_it_was_painted(networks: Networks) -> None:
    photo = data.chelsea()
    editor = Editor(networks).set_photo(photo, Box(100, 40, 200, 200), roll=30.0).project(preset="fast")
    preview = Preview(editor)
    mask = np.zeros(photo.shape[:2], np.float32)
    cv2.circle(mask, (170, 120), 25, 1.0, -1)
    for scale in (1.0, 0.4, 2.0):
        size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
        found = preview.region(cv2.resize(mask, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
        wanted = in_window(editor.carried(mask), preview)
        assert found.shape == preview.window.shape
        assert np.abs(found - wanted).mean() < 0.01


def test_windows_end_with_the_picture() -> None:
    window = Window.around(Box(-20, 10, 100, 100), (150, 200))
    assert (window.x, window.y, window.w, window.h) == (0, 0, 130, 150)
    assert window.scale == SIDE / 100
    assert window.shape == (192, 166)


def test_it_is_faster(editor: Editor) -> None:
    steps = [ChangeClass("tiger")]
    preview = Preview(editor)
    preview.show(steps)
    editor.edit(steps)
    seconds = []
    for one in (lambda: preview.show(steps), lambda: editor.edit(steps)):
        began = time.perf_counter()
        one()
        seconds.append(time.perf_counter() - began)
    assert seconds[0] < seconds[1]
