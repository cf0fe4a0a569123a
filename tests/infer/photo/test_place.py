"""Where to edit, as it is said: squares, numbers of heads, words; and everything else refused in one line."""

from typing import Any

import pytest

from infer.photo.box import Box
from infer.photo.location import FoundHead
from infer.photo.place import Place, chosen_head, listed
from models.errors import PhotograftError

HEADS = (FoundHead(Box(1, 2, 30, 30), 0.9), FoundHead(Box(50, 2, 80, 80), 0.41), FoundHead(Box(5, 90, 20, 20), None))


@pytest.mark.parametrize(
    ("box", "which", "anywhere", "place"),
    [
        (None, None, False, Place()),
        ("auto", None, True, Place(anywhere=True)),
        (" auto ", "largest", False, Place(which="largest")),
        (None, "2", False, Place(which=2)),
        ("1,2,30,40", None, False, Place(Box(1, 2, 30, 40))),
    ],
)
def test_places_are_read(box: str | None, which: str | None, anywhere: bool, place: Place) -> None:
    assert Place.parse(box, which, anywhere) == place


@pytest.mark.parametrize(
    ("box", "which", "words"),
    [
        (None, "0", "from 1 on, or largest"),
        (None, "-1", "from 1 on, or largest"),
        (None, "1.5", "from 1 on, or largest"),
        (None, "smallest", "from 1 on, or largest"),
        (None, "all", "a run of its own"),
        ("1,2,30,40", "2", "not both"),
        ("here", None, "write x,y,width,height"),
    ],
)
def test_other_places_are_refused(box: str | None, which: str | None, words: str) -> None:
    with pytest.raises(PhotograftError, match=words):
        Place.parse(box, which, False)


@pytest.mark.parametrize("which", [0, True, 1.0, "2", "all"])
def test_other_heads_are_refused(which: Any) -> None:
    with pytest.raises(PhotograftError, match="from 1 on, or largest"):
        Place(which=which)


def test_the_head_that_is_meant() -> None:
    assert [chosen_head(HEADS, which) for which in (None, 1, 2, 3, "largest")] == [0, 0, 1, 2, 1]
    with pytest.raises(PhotograftError, match="only 3 heads are found, there is no --which 4: 1 at 1,2,30,30"):
        chosen_head(HEADS, 4)
    with pytest.raises(PhotograftError, match="only one head is found"):
        chosen_head(HEADS[:1], 2)


def test_heads_in_words() -> None:
    words = "1 at 1,2,30,30 (confidence 0.90), 2 at 50,2,80,80 (confidence 0.41), 3 at 5,90,20,20"
    assert listed(HEADS) == words
