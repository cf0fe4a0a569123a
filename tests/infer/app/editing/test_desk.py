"""What one browser may have and send: bounds, broken files, recipes with archives."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

pytest.importorskip("gradio", reason="the extra [app] is not installed")
from infer.app.editing import desk as desks
from infer.app.editing.desk import Desk
from infer.app.editing.plan import PAINTED
from infer.app.editing.recipes import read_sent
from infer.app.editing.studio import Studio
from infer.app.editing.urls import change_url, fitted, mask_url, picture_url, read_mask_url
from infer.editor.points import Sample
from infer.photo.box import Box
from infer.progress import untold
from infer.projection.options import UNSET
from models.errors import PhotograftError
from models.prepared import Networks
from models.zoo import load_model


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(Networks.of(load_model("sngan-heads-128"), "cpu"))


@pytest.fixture
def desk(studio: Studio) -> Iterator[Desk]:
    found = Desk(studio)
    yield found
    found.leave()


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()).save(path)
    return path


def test_photos_are_bounded_and_closed(desk: Desk, cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "MOST_PHOTOS", 2)
    first, second = desk.open(cat), desk.open(cat)
    with pytest.raises(PhotograftError, match="close another photo"):
        desk.open(cat)
    assert desk.sheet is second
    desk.close(second.number)
    assert desk.sheet is first
    desk.close(first.number)
    with pytest.raises(PhotograftError, match="no photo is open"):
        _ = desk.sheet
    assert cat.exists()  # a file of the user's own is left alone


def test_an_unreadable_photo_leaves_what_was_there(desk: Desk, cat: Path, tmp_path: Path) -> None:
    desk.open(cat)
    broken = tmp_path / "broken.png"
    broken.write_bytes(cat.read_bytes()[:200])
    with pytest.raises(PhotograftError, match=r"^broken\.png"):
        desk.open(broken)
    assert len(desk.sheets) == 1


def test_a_recipe_that_the_page_cannot_show_changes_nothing(desk: Desk, cat: Path, tmp_path: Path) -> None:
    first, second = desk.open(cat), desk.open(cat)
    for sheet in (first, second):
        sheet.project(None, "fast", UNSET, untold)
    second.history.add(second.plan.changed(kind="blend", where="ears", reference=first.number), "")
    recipe = second.write(desk.sheets, desk.folder(), None, lossless=False)[2]
    plan, preview, projection = first.plan, first.preview, first.editor.projection
    with read_sent(recipe) as found, pytest.raises(PhotograftError, match="another photo"):
        first.restore(found)
    assert (first.plan, first.preview, first.editor.projection) == (plan, preview, projection)


def test_another_square_takes_the_preview_away(desk: Desk, cat: Path) -> None:
    sheet = desk.open(cat)
    sheet.project(None, "fast", UNSET, untold)
    assert sheet.preview is not None
    sheet.place(box=Box(100, 50, 150, 150), roll="off")
    assert sheet.preview is None
    assert sheet.look(desk.sheets) is None


def test_parts_blends_and_photos_as_references(desk: Desk, cat: Path) -> None:
    first, second = desk.open(cat), desk.open(cat)
    second.project(None, "fast", UNSET, untold)
    ears = second.part_mask("ears")
    assert ears.shape == fitted(second.size, 1024)
    assert 0.005 < ears.mean() < 0.3
    plan = second.plan.changed(to="lion", where="ears", mask=ears)
    second.history.add(plan.added().changed(kind="blend", where="ears", reference=first.number), "")
    with pytest.raises(PhotograftError, match="not projected"):
        second.look(desk.sheets)
    first.project(None, "fast", UNSET, untold)
    look = second.look(desk.sheets)
    assert look is not None
    assert look["w"] > 50
    edit = second.finish(desk.sheets)
    assert edit is not None
    assert second.finish(desk.sheets) is edit  # once for a plan
    assert (edit.pixels != second.photo.pixels).any()
    paths = second.write(desk.sheets, desk.folder(), None, lossless=False)
    assert [path.suffix for path in paths] == [".png", ".png", ".zip"]
    second.history.add(second.plan.without(2).changed(kind="transfer", reference=Sample(3)), "")
    assert second.look(desk.sheets) is not None


def test_painted_masks_come_and_go() -> None:
    mask = np.zeros((200, 300), np.float32)
    mask[50:100, 60:160] = 1
    found = read_mask_url(mask_url(mask), mask.shape)
    assert found is not None
    assert np.abs(found - mask).max() < 0.01
    assert read_mask_url(mask_url(mask * 0), mask.shape) is None
    for wrong in (None, 3, "", "data:image/png;base64,AAAA", mask_url(mask)[:-40], picture_url(data.chelsea(), 64)):
        with pytest.raises(PhotograftError, match="paint once more"):
            read_mask_url(wrong, mask.shape)
    with pytest.raises(PhotograftError, match="paint once more"):
        read_mask_url(mask_url(mask), (100, 100))


def test_a_change_is_clear_where_nothing_changed() -> None:
    before = data.chelsea()[:64, :64].copy()
    after = before.copy()
    after[10:20, 10:20] += 9
    head = "data:image/webp;base64,"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(change_url(before, after)[len(head) :]))))
    assert picture[15, 15, 3] == 255
    assert picture[40, 40, 3] == 0


def packed(folder: Path, names: dict[str, bytes]) -> Path:
    path = folder / "sent.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "names",
    [
        {"a/recipe.json": b"{}"},
        {"../recipe.json": b"{}"},
        {"one.json": b"{}", "two.json": b"{}"},
        {"mask.png": b""},
        {"recipe.json": b"[]"},
        {f"{i}.png": b"" for i in range(200)},
    ],
    ids=["folder", "outside", "two", "none", "no recipe", "many"],
)
def test_archives_that_are_no_recipe(names: dict[str, bytes], tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    path = packed(tmp_path, names)
    with pytest.raises(PhotograftError) as caught, read_sent(path):
        pass
    assert "photograft-page" not in str(caught.value)
    assert set(tmp_path.rglob("*")) - before == {path}


def test_a_recipe_with_its_masks_is_opened_as_it_was_kept(desk: Desk, cat: Path, tmp_path: Path) -> None:
    sheet = desk.open(cat)
    sheet.project(None, "fast", UNSET, untold)
    mask = np.zeros(sheet.size, np.float32)
    middle = sheet.editor.placed.x + sheet.editor.placed.w // 2
    mask[100:160, middle - 40 : middle + 40] = 1
    sheet.history.add(sheet.plan.changed(to="lion", where=PAINTED, mask=mask, strength=0.6), "")
    picture, _, recipe = sheet.write(desk.sheets, desk.folder(), None, lossless=False)
    content, kept = picture.read_bytes(), tmp_path / recipe.name
    kept.write_bytes(recipe.read_bytes())
    with zipfile.ZipFile(kept) as archive:
        said = json.loads(archive.read(recipe.with_suffix(".json").name))
    assert str(tmp_path) not in json.dumps(said["edit"])
    again = desk.open(cat)
    with read_sent(kept) as found:
        again.restore(found)
    assert again.plan.region.where == PAINTED
    assert again.write(desk.sheets, desk.folder(), None, lossless=False)[0].read_bytes() == content
