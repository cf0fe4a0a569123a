"""The page of a human study, in a real browser: keys, what is kept, what the pictures do not tell, how it looks."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageFilter
from skimage import data

from tests.infer.app.conftest import Browser, Served

pytestmark = pytest.mark.browser
pytest.importorskip("gradio", reason="the extra [app] is not installed")

LEFT, RIGHT, BACKSPACE = "\ue012", "\ue014", "\ue003"  # WebDriver's keys
SCREENSHOTS = os.environ.get("PHOTOGRAFT_SCREENSHOTS")  # a folder to keep them in


def write_list(folder: Path) -> Path:
    """Eight pairs of a photo and what a method made of it."""
    cat = data.chelsea()
    rows = [("first", "second", "method", "rival", "source", "target", "question")]
    for i in range(8):
        photo = Image.fromarray(cat[2 * i : 2 * i + 280, 6 * i : 6 * i + 400])
        exif = Image.Exif()
        exif[0x010E] = "the betraying photo"
        photo.save(folder / f"betraying_photo_{i}.jpg", exif=exif)
        photo.filter(ImageFilter.GaussianBlur(1 + i / 4)).save(folder / f"betraying_edit_{i}.png")
        kinds = ("graft", "photo", "cat", "dog" if i % 2 else "cat", "Which picture is the photo?")
        rows.append((f"betraying_edit_{i}.png", f"betraying_photo_{i}.jpg", *kinds))
    with (folder / "pairs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return folder / "pairs.csv"


def command(listed: Path, root: Path) -> list[str]:
    own = ["--pairs", str(listed), "--participant", "Ann"]
    return [str(root / "infer.py"), "study", str(listed.parent / "study"), *own]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write_list(tmp_path)


@pytest.fixture
def study(serve: Callable[..., Served], listed: Path, root: Path) -> Callable[[], Served]:
    """Starts the command on the same folder."""
    return lambda: serve(command(listed, root))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Served]:
    """A study at its first pair, for tests that look and answer nothing."""
    served = Served(command(write_list(tmp_path_factory.mktemp("begun")), root), root)
    yield served
    served.close()


def shown(browser: Browser) -> int:
    return int(browser.all("#study [data-number]")[0].get_attribute("data-number"))


def answer(browser: Browser, key: str, expected: int) -> None:
    browser.press(key)
    browser.wait(lambda: shown(browser) == expected)


def answers(listed: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((listed.parent / "study/answers/Ann.csv").read_text().splitlines()))


def test_a_study_by_keyboard_in_two_sittings(study: Callable[[], Served], listed: Path, browser: Browser) -> None:
    first = study()
    browser.shape(1280, 800)
    browser.open(first.address, "#study img")
    assert "1 of 8" in browser.all("#study")[0].text
    answer(browser, LEFT, 2)
    answer(browser, RIGHT, 3)
    answer(browser, " ", 4)
    answer(browser, BACKSPACE, 3)
    answer(browser, " ", 4)
    answer(browser, LEFT, 5)
    kept = answers(listed)
    assert [row["answer"] for row in kept] == ["left", "right", "undecided", "left"]
    first.process.kill()  # as a crash does
    first.process.communicate()
    second = study()
    browser.open(second.address, "#study img")
    assert "5 of 8" in browser.all("#study")[0].text
    assert browser.all("#study progress")[0].get_attribute("value") == "4"
    for number in range(5, 9):
        answer(browser, RIGHT, number + 1)
    assert "that was the last pair" in browser.all("#study")[0].text
    assert [button.is_enabled() for button in browser.all("#answers button, #study-back")] == [False] * 3 + [True]
    out, err, _ = second.end()
    assert out.startswith("Ann has answered all 8 pairs\n")
    assert "8 answers of 1 participants" in err
    rows = answers(listed)
    assert rows[:4] == kept
    assert [row["number"] for row in rows] == [str(n) for n in range(1, 9)]
    assert sorted(row["pair"] for row in rows) == [str(n) for n in range(1, 9)]
    for kind, count in (("cat", 2), ("dog", 2)):
        assert Counter(row["left"] for row in rows if row["target"] == kind) == {"first": count, "second": count}
    for row in rows:
        other = {"first": "second", "second": "first"}[row["left"]]
        assert row["chosen"] == {"left": row["left"], "right": other, "undecided": ""}[row["answer"]]


def test_a_key_that_is_pressed_twice_answers_once(study: Callable[[], Served], listed: Path, browser: Browser) -> None:
    browser.open(study().address, "#study img")
    clicks = "document.getElementById('study-left').click();" * 3  # before the next pair has come
    browser.driver.execute_script(clicks)
    browser.wait(lambda: shown(browser) == 2)
    answer(browser, RIGHT, 3)
    assert [row["answer"] for row in answers(listed)] == ["left", "right"]


def test_buttons_pictures_and_tab(study: Callable[[], Served], listed: Path, browser: Browser) -> None:
    browser.open(study().address, "#study img")
    browser.all("#study-right")[0].click()
    browser.wait(lambda: shown(browser) == 2)
    answer(browser, " ", 3)  # the button that was clicked is not pressed again
    browser.all('#study img[data-side="left"]')[0].click()
    browser.wait(lambda: shown(browser) == 4)
    browser.driver.execute_script("document.getElementById('study-left').focus()")
    answer(browser, " ", 5)  # as a key on a button that was reached with Tab
    assert [row["answer"] for row in answers(listed)] == ["right", "undecided", "left", "left"]


def test_nothing_tells_which_is_which_and_nothing_comes_from_elsewhere(begun: Served, browser: Browser) -> None:
    for kind in ("performance", "browser"):
        browser.driver.get_log(kind)  # what was before
    browser.open(begun.address, "#study img")
    page = browser.driver.page_source
    assert "betraying" not in page
    sources = [image.get_attribute("src") for image in browser.all("#study img")]
    assert [re.match(r"data:image/png;base64,", source) is not None for source in sources] == [True, True]
    assert [image.get_attribute("alt") for image in browser.all("#study img")] == ["Left picture", "Right picture"]
    sizes = [(image.size["width"], image.size["height"]) for image in browser.all("#study img")]
    assert sizes[0] == sizes[1]
    asked = []
    for entry in browser.driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    assert asked
    assert [url for url in asked if not url.startswith((begun.address, "data:", "blob:"))] == []
    assert browser.driver.get_log("browser") == []  # no error, no refused load


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_all_fits_into_the_window(
    begun: Served, browser: Browser, width: int, height: int, dark: bool, tmp_path: Path
) -> None:
    browser.shape(width, height, dark=dark)
    browser.open(begun.address, "#study img")
    name = f"study_{width}_{'dark' if dark else 'light'}.png"
    browser.driver.get_screenshot_as_file(str(Path(SCREENSHOTS or tmp_path) / name))
    assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= width
    for element in browser.all("#study img, #answers button, #study-back"):
        place = element.rect
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= width
        assert place["y"] + place["height"] <= height
    assert all(element.text for element in browser.all("#answers button, #study-back"))
    background = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3]))
    assert (brightness < 300) == dark
