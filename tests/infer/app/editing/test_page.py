"""The editing page in a real browser: what people do on it, and that the command does the same from its recipe."""

import io
import itertools
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data

from infer.cli.main import main
from tests.infer.app.conftest import Browser, Served

pytestmark = pytest.mark.browser
pytest.importorskip("gradio", reason="the extra [app] is not installed")
SCREENSHOTS = os.environ.get("PHOTOGRAFT_SCREENSHOTS")  # a folder to keep them in


class Page:
    """The page of one browser tab, as a person uses it."""

    def __init__(self, browser: Browser, address: str, downloads: Path) -> None:
        self.browser, self.address, self.downloads = browser, address, downloads
        browser.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        browser.open(address, "#classes button.class")

    def one(self, selector: str) -> Any:
        return self.browser.all(selector)[0]

    def text(self, selector: str) -> str:
        """Of all such elements, which may be made anew meanwhile."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText).join(' ')"
        return str(self.browser.driver.execute_script(script, selector))

    def click(self, selector: str) -> None:
        """Lists are made anew with every change: what has gone meanwhile is looked for again."""

        def clicked() -> bool:
            one = self.one(selector)
            self.browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", one)
            one.click()
            return True

        self.wait(clicked)

    @property
    def status(self) -> str:
        return self.text("#status")

    @property
    def canvas(self) -> Any:
        return self.one("#stage canvas")

    @property
    def shown(self) -> str:
        """What is drawn over the photo: "preview N", "photo N", or nothing."""
        return str(self.canvas.get_attribute("data-shown") or "")

    def wait(self, condition: Callable[[], object]) -> None:
        self.browser.wait(condition)

    def open(self, *paths: Path) -> None:
        self.one("input[type=file]").send_keys("\n".join(map(str, paths)))

    def opened(self, path: Path) -> None:
        self.open(path)
        self.wait(lambda: path.name in str(self.canvas.get_attribute("aria-label")))

    def project(self, preset: str = "fast") -> None:
        self.click(f"input[type=radio][value={preset}]")
        self.click("#project")
        self.wait(lambda: "projected" in self.status)

    def choose(self, name: str) -> None:
        before = self.shown
        found = [one for one in self.browser.all("#classes button.class") if one.text.strip() == name]
        self.browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found[0])
        found[0].click()
        self.wait(lambda: self.shown not in ("", before))

    def slide(self, selector: str, value: float) -> None:
        before = self.shown
        self.browser.driver.execute_script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            self.one(f"{selector} input[type=range]"),
            value,
        )
        self.wait(lambda: self.shown != before)

    def finished(self) -> None:
        self.wait(lambda: self.shown.startswith("photo"))

    def stroke(self, *points: tuple[float, float]) -> None:
        """A stroke of the brush through points of the canvas, from its middle, in px."""
        from selenium.webdriver import ActionChains

        self.browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.canvas)
        before, pointer = self.shown, ActionChains(self.browser.driver)
        pointer.move_to_element_with_offset(self.canvas, *map(int, points[0])).click_and_hold()
        for (x, y), (x2, y2) in itertools.pairwise(points):
            pointer.move_by_offset(int(x2 - x), int(y2 - y))
        pointer.release().perform()
        self.wait(lambda: self.shown != before)

    def fetched(self, button: str, suffix: str) -> Path:
        """The file that a button downloads."""
        known = set(self.downloads.glob("*"))
        self.click(button)
        self.wait(lambda: self._new(known, suffix))
        return self._new(known, suffix)[0]

    def _new(self, known: set[Path], suffix: str) -> list[Path]:
        return [path for path in set(self.downloads.glob(f"*{suffix}")) - known if path.stat().st_size]

    def screenshot(self, name: str) -> Image.Image:
        picture = Image.open(io.BytesIO(self.browser.driver.get_screenshot_as_png())).convert("RGB")
        if SCREENSHOTS:
            picture.save(Path(SCREENSHOTS) / f"{name}.png")
        return picture


@pytest.fixture(scope="module")
def app(root: Path) -> Iterator[Served]:
    served = Served([str(root / "infer.py"), "app"], root)
    try:
        assert served.line.startswith("the page is at http://127.0.0.1:"), served.end()
        yield served
        out, err, seconds = served.end()
    finally:
        served.close()
    assert "Traceback" not in out + err, out + err
    assert seconds < 20


@pytest.fixture
def page(app: Served, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    browser.shape(1280, 1000)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    yield Page(browser, app.address, downloads)
    browser.driver.get("about:blank")


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    Image.fromarray(data.chelsea()).save(path, quality=95)
    return path


def replayed(photo: Path, recipe: Path, folder: Path) -> bytes:
    """What the command makes of a photo by a recipe that the page gave."""
    if recipe.suffix == ".zip":
        with zipfile.ZipFile(recipe) as archive:
            archive.extractall(folder)
        recipe = next(folder.glob("*.json"))
    assert main(["edit", str(photo), "--recipe", str(recipe), "--out", str(folder / "out")]) == 0
    return next(path for path in (folder / "out").iterdir() if path.suffix == photo.suffix).read_bytes()


def test_from_a_photo_to_a_file_that_the_command_makes_too(page: Page, cat: Path, tmp_path: Path) -> None:
    page.opened(cat)
    assert "a head is found" in page.status
    page.screenshot("photo")
    page.project("balanced")
    page.choose("tiger")
    assert page.shown.startswith("preview")
    page.finished()
    page.screenshot("class")
    page.slide("#strength", 0.8)
    page.click("[data-mode=brush]")
    page.stroke((-60, -40), (-20, -40), (-20, -10))
    assert "painted" in page.text("#regions .chosen")
    page.screenshot("paint")
    page.finished()
    page.slide("#strength", 1)
    page.finished()
    picture = page.fetched("#save", ".jpg")
    recipe = page.fetched("#save-recipe", ".zip")
    panel = page.fetched("#save-panel", ".png")
    assert Image.open(panel).width > 500
    (tmp_path / "again").mkdir()
    assert picture.read_bytes() == replayed(cat, recipe, tmp_path / "again")
    before, after = (np.asarray(Image.open(path)) for path in (cat, picture))
    assert (before != after).any()


def test_an_edit_lies_under_the_brush_on_a_photo_that_is_stored_sideways(page: Page, tmp_path: Path) -> None:
    upright = Image.fromarray(data.chelsea()[:, 60:280])  # 220 wide, 300 high
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = tmp_path / "portrait.png"
    upright.transpose(Image.Transpose.ROTATE_90).save(photo, exif=exif)
    page.opened(photo)
    assert "220 by 300" in page.canvas.get_attribute("aria-label")
    page.project()
    page.choose("tiger")
    page.click("[data-mode=brush]")
    scale = min(page.canvas.size["width"] / 220, page.canvas.size["height"] / 300)
    page.stroke((-10 * scale, -40 * scale), (20 * scale, -40 * scale))
    page.finished()
    after = np.asarray(ImageOps.exif_transpose(Image.open(page.fetched("#save", ".png"))).convert("RGB"))
    rows, columns = np.nonzero((after != np.asarray(upright)).any(axis=2))
    reach = 20 / scale + 12  # half the brush, and the feather
    assert abs(rows.mean() - 110) < 12
    assert (rows.min(), columns.min()) > (110 - reach, 0)
    assert rows.max() < 110 + reach
    assert columns.min() > 100 - reach
    assert columns.max() < 130 + reach
    assert np.ptp(columns) > 25


def test_two_tabs_do_not_mix(page: Page, cat: Path, tmp_path: Path) -> None:
    other = tmp_path / "second.jpg"
    Image.fromarray(np.ascontiguousarray(data.chelsea()[:, ::-1])).save(other)
    page.opened(cat)
    driver = page.browser.driver
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    try:
        second = Page(page.browser, page.address, page.downloads)
        assert not second.browser.all("#strip .thumb")
        second.opened(other)
        second.project()
        second.choose("pug")
        second.finished()
        driver.switch_to.window(first)
        assert "cat.jpg" in page.canvas.get_attribute("aria-label")
        assert not page.shown
        assert [one.get_attribute("aria-label") for one in page.browser.all("#strip .thumb")] == ["cat.jpg"]
    finally:
        for handle in driver.window_handles:
            if handle != first:
                driver.switch_to.window(handle)
                driver.close()
        driver.switch_to.window(first)


def test_a_projection_is_stopped(page: Page, cat: Path) -> None:
    page.click("#project")
    page.wait(lambda: "no photo is open" in page.status)
    page.opened(cat)
    page.click("input[type=radio][value=best]")
    page.click("#project")
    page.wait(lambda: page.browser.all("#progress progress"))
    page.wait(lambda: "of" in page.text("#progress") and "waits" not in page.text("#progress"))
    began = time.monotonic()
    page.click("#stop")
    page.wait(lambda: "stopped" in page.status)
    assert time.monotonic() - began < 10
    page.project()  # and it can begin again


def test_a_broken_photo_is_a_line(page: Page, cat: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(cat.read_bytes()[:900])
    page.open(broken, cat)  # the other one is opened
    page.wait(lambda: "broken.jpg" in page.status)
    assert "photograft-page" not in page.status  # no path of the disk
    assert [one.get_attribute("aria-label") for one in page.browser.all("#strip .thumb")] == ["cat.jpg"]
    page.click("#classes button.class")
    page.wait(lambda: "press Project" in page.status)


def test_regions_references_and_the_way_back(page: Page, cat: Path, tmp_path: Path) -> None:
    page.opened(cat)
    page.project()
    page.choose("lion")
    page.click("#add")
    page.wait(lambda: len(page.browser.all("#regions .item")) == 2)
    page.click("#kind input[value=blend]")
    page.wait(lambda: "blend" in page.text("#regions .chosen"))
    where = page.one("#where input")
    where.click()
    page.wait(lambda: page.browser.all("[role=option]"))
    next(one for one in page.browser.all("[role=option]") if one.text.strip().endswith("ears")).click()
    page.wait(lambda: "ears" in page.text("#regions .chosen"))
    page.finished()
    recipe = page.fetched("#save-recipe", ".json")
    steps = json.loads(recipe.read_text())["edit"]["steps"]
    assert [(step["step"], step.get("part")) for step in steps] == [("class", None), ("blend", "ears")]
    picture = page.fetched("#save", ".jpg")
    assert picture.read_bytes() == replayed(cat, recipe, tmp_path / "again")
    for _ in range(2):
        page.click("#undo")
    page.wait(lambda: "blend" not in page.text("#regions"))
    page.click("#redo")
    page.wait(lambda: "blend" in page.text("#regions"))
    page.click("#regions .item input")
    page.wait(lambda: not page.one("#regions .item input").is_selected())
    page.click("#regions .item:last-child button:last-child")
    page.wait(lambda: len(page.browser.all("#regions .item")) == 1)


def test_a_recipe_is_opened(page: Page, cat: Path, tmp_path: Path) -> None:
    assert main(["edit", str(cat), "--to", "lynx", "--preset", "fast", "--out", str(tmp_path / "o")]) in (0, 2)
    known = ["--to", "lion", "--strength", "0.7", "--preset", "fast", "--out", str(tmp_path / "o")]
    assert main(["edit", str(cat), *known]) == 0
    page.opened(cat)
    page.browser.all("input[type=file]")[-1].send_keys(str(tmp_path / "o" / "cat_to_lion.json"))
    page.wait(lambda: "lion (0.7)" in page.text("#regions"))
    page.finished()
    made = page.fetched("#save", ".jpg").read_bytes()
    assert made == (tmp_path / "o" / "cat_to_lion.jpg").read_bytes()


def test_the_square_is_moved_by_keys(page: Page, cat: Path) -> None:
    page.opened(cat)
    page.click("#square button")
    page.wait(lambda: page.browser.all("#box textarea, #box input"))
    before = page.one("#box textarea, #box input").get_attribute("value")
    page.click("[data-mode=place]")
    page.browser.driver.execute_script("arguments[0].focus()", page.canvas)
    for _ in range(5):
        page.browser.press("\ue014")
    page.wait(lambda: page.one("#box textarea, #box input").get_attribute("value") != before)
    x, y, w, _ = map(int, before.split(","))
    assert page.one("#box textarea, #box input").get_attribute("value") == f"{x + 5},{y},{w},{w}"


_UNNAMED = """
return [...document.querySelectorAll('button, input, textarea, canvas')].filter((one) => {
  const style = getComputedStyle(one);
  if (style.visibility === 'hidden' || !one.getClientRects().length) return false;
  const name = one.getAttribute('aria-label') || one.getAttribute('aria-labelledby') || one.innerText || one.title
    || one.closest('label')?.innerText || (one.id && document.querySelector(`label[for="${one.id}"]`)?.innerText)
    || one.closest('.block')?.querySelector('[data-testid="block-info"], label, .label-wrap')?.innerText;
  return !name?.trim();
}).map((one) => one.outerHTML.slice(0, 200));
"""


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (1280, True), (390, True)])
def test_it_fits_and_every_control_has_a_name(page: Page, cat: Path, width: int, dark: bool) -> None:
    page.browser.shape(width, 1000 if width > 500 else 844, dark=dark)
    page.browser.open(page.address, "#classes button.class")
    page.opened(cat)
    picture = page.screenshot(f"page-{width}-{'dark' if dark else 'light'}")
    driver = page.browser.driver
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert (np.asarray(picture).mean() < 110) == dark
    assert driver.execute_script(_UNNAMED) == []
    urls = driver.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [url for url in urls if not url.startswith((page.address, "data:"))] == []
