"""Plans and their history, and when a region is said in full."""

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the extra [app] is not installed")
from infer.app.editing.plan import ANIMAL, PAINTED, History, Plan
from infer.app.editing.sheet import colour_of, is_whole
from infer.editor.points import Sample


def test_regions_keep_their_numbers_and_colours() -> None:
    plan = Plan().changed(to="lion").added().changed(to="pug")
    assert [(region.key, region.to) for region in plan.regions] == [(1, "lion"), (2, "pug")]
    assert plan.chosen == 2
    moved = plan.moved(2, -1)
    assert [region.key for region in moved.regions] == [2, 1]
    assert plan.moved(2, 5).regions == plan.regions
    assert {colour_of(region) for region in moved.regions} == {colour_of(region) for region in plan.regions}
    assert plan.without(2).chosen == 1
    assert len(plan.without(2).without(1).regions) == 1
    assert not plan.toggled(1).regions[0].on


def test_the_way_back_and_what_is_dragged() -> None:
    now = [0.0]
    history = History(clock=lambda: now[0])
    for strength in (0.9, 0.8, 0.7):
        now[0] += 0.1
        history.add(history.now.changed(strength=strength), "strength 1")
    history.add(history.now.changed(to="lion"), "to 1")
    assert history.go(-1)
    assert (history.now.region.strength, history.now.region.to) == (0.7, "")
    assert history.go(-1)
    assert history.now.region.strength == 1
    assert not history.go(-1)
    assert history.go(1)
    history.add(history.now.changed(to="pug"), "")
    assert not history.go(1)  # what came after is gone
    for i in range(300):
        history.add(history.now.changed(layers=str(i)), "")
    assert len(history.plans) <= 100
    assert history.now.region.layers == "299"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"to": "lion"}, True),
        ({"to": "lion", "where": PAINTED}, False),
        ({"to": "lion", "where": PAINTED, "mask": np.ones((4, 4), np.float32)}, True),
        ({"to": "lion", "where": "ears"}, False),
        ({"kind": "blend"}, False),
        ({"kind": "blend", "reference": Sample()}, True),
        ({"kind": "blend", "reference": Sample(), "where": "ears"}, True),
        ({"kind": "transfer", "reference": Sample(), "where": ANIMAL}, False),
        ({"kind": "transfer", "reference": Sample(), "where": "ears"}, True),
    ],
)
def test_regions_that_are_not_said_in_full_are_left_out(values: dict[str, object], expected: bool) -> None:
    assert is_whole(Plan().changed(**values).region) is expected


def test_masks_are_softened_by_their_feather() -> None:
    mask = np.zeros((50, 50), np.float32)
    mask[20:30, 20:30] = 1
    region = Plan().changed(mask=mask, feather=0.0).region
    assert region.soft is mask
    soft = Plan().changed(mask=mask, feather=0.05).region.soft
    assert soft is not None
    assert 0 < soft[18, 25] < 1
    assert soft.max() <= 1
