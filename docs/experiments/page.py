"""Measures the page: when it answers, previews in a real browser, and memory over many edits.

python docs/experiments/page.py start           against `import torch, gradio`, in turns
python docs/experiments/page.py live            in chromium: from a change to the picture
python docs/experiments/page.py memory [N]      N random edits (1,000) over 20 photos, in one process
"""

import random
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def start(rounds: int = 5) -> None:
    """Median seconds until the page answers, and of the imports alone."""
    seconds: dict[str, list[float]] = {"import torch, gradio": [], "page": []}
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch, gradio"], check=True)
        seconds["import torch, gradio"].append(time.perf_counter() - began)
        began = time.perf_counter()
        page, _ = served()
        seconds["page"].append(time.perf_counter() - began)
        page.terminate()
        page.wait()
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    print({name: round(found, 2) for name, found in medians.items()})
    print(f"ratio {medians['page'] / medians['import torch, gradio']:.2f}")


def served() -> tuple[subprocess.Popen[str], str]:
    """The page in a process of its own, and its address."""
    command = [sys.executable, str(ROOT / "infer.py"), "app", "--port", "7999"]
    page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert page.stdout is not None
    found = re.search(r"http://\S+", page.stdout.readline())
    assert found
    return page, found[0]


_TIMED = """
const [element, value, done] = arguments, canvas = document.querySelector('#stage canvas');
const before = canvas.dataset.shown, began = performance.now();
const seen = new MutationObserver(() => {
  if (canvas.dataset.shown === before || !canvas.dataset.shown.startsWith('preview')) return;
  seen.disconnect();
  done(performance.now() - began);
});
seen.observe(canvas, {attributes: true, attributeFilter: ['data-shown']});
if (value === null) element.click();
else { element.value = value; element.dispatchEvent(new Event('input', {bubbles: true})); }
"""


def live(count: int = 40) -> None:
    """Milliseconds from a change of a control to the new picture, drawn, and of the editor's preview alone."""
    import shutil

    from selenium import webdriver

    from infer.editor.editor import Editor
    from infer.editor.preview import Preview
    from infer.editor.steps import ChangeClass

    photo = ROOT / "tests" / "data"
    photo = Path(sys.argv[2]) if len(sys.argv) > 2 else next(photo.rglob("*.jpg"))
    editor = Editor.from_pretrained().set_photo(photo, anywhere=True).project()
    preview, alone = Preview(editor), []
    for i in range(count):
        began = time.perf_counter()
        preview.show([ChangeClass("tiger", strength=0.3 + i / 100)])
        alone.append((time.perf_counter() - began) * 1000)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for name in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-sync"):
        options.add_argument(f"--{name}")
    page, address = served()
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(60)
        driver.get(address)
        until(lambda: driver.find_elements("css selector", "#classes button.class img"))
        driver.find_element("css selector", "input[type=file]").send_keys(str(photo.absolute()))
        until(lambda: photo.name in driver.find_element("css selector", "#stage canvas").get_attribute("aria-label"))
        driver.find_element("css selector", "#project").click()
        until(lambda: "projected" in driver.find_element("css selector", "#status").text)
        time.sleep(2)
        classes = driver.find_elements("css selector", "#classes button.class")
        driver.execute_async_script(_TIMED, classes[0], None)
        found: dict[str, list[float]] = {"class": [], "strength": []}
        for i in range(count):
            strength = driver.find_element("css selector", "#strength input[type=range]")
            found["strength"].append(driver.execute_async_script(_TIMED, strength, 0.3 + 0.01 * i))
            time.sleep(0.3)
        for i in range(count):
            one = driver.find_elements("css selector", "#classes button.class")[i + 1]
            found["class"].append(driver.execute_async_script(_TIMED, one, None))
            time.sleep(0.3)
    finally:
        driver.quit()
        page.terminate()
    for name, values in {"preview alone": alone, **found}.items():
        ordered = sorted(values)
        quantiles = [ordered[round(share * (len(ordered) - 1))] for share in (0.1, 0.5, 0.9)]
        print(f"{name}: median {quantiles[1]:.0f} ms, 10 % {quantiles[0]:.0f}, 90 % {quantiles[2]:.0f}")


def until(condition: object) -> None:
    """Wait for something."""
    for _ in range(600):
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.1)
    raise TimeoutError


def memory(count: int = 1000) -> None:
    """Resident memory of random edits, regions, strokes and photos, at every tenth of them."""
    import numpy as np
    import psutil

    from infer.app.editing.desk import Desk
    from infer.app.editing.plan import ANIMAL, PAINTED, SQUARE
    from infer.app.editing.studio import Studio
    from infer.progress import untold
    from infer.projection.options import UNSET
    from models.prepared import Networks
    from models.zoo import load_model

    draws, process = random.Random(0), psutil.Process()
    photos = sorted(Path(sys.argv[3] if len(sys.argv) > 3 else ROOT / "tests" / "data").rglob("*.jpg"))[:20]
    desk = Desk(Studio(Networks.of(load_model("sngan-heads-128"), "cpu")))
    names, found = desk.studio.model.class_names, []
    for i in range(count):
        if i % 10 == 0:
            if len(desk.sheets) > 5:
                desk.close(next(iter(desk.sheets)))
            desk.open(photos[i // 10 % len(photos)]).project(None, "fast", UNSET, untold)
        sheet = desk.sheet
        where = draws.choice([ANIMAL, SQUARE, PAINTED])
        values = {"to": draws.choice(names), "strength": draws.random(), "where": where}
        if where == PAINTED:
            values["mask"] = np.zeros(sheet.size, np.float32)
            box = sheet.editor.placed
            y, x = max(box.y, 0) + box.w // 4, max(box.x, 0) + box.w // 4
            values["mask"][y : y + box.w // 4, x : x + box.w // 4] = 1
        sheet.history.add(sheet.plan.changed(**values), "")
        sheet.look(desk.sheets)
        if i % 20 == 19:
            sheet.finish(desk.sheets)
        if i % (count // 10) == count // 10 - 1:
            found.append(process.memory_info().rss / 2**20)
            print(f"{i + 1} edits: {found[-1]:.0f} MiB", flush=True)
    print(
        f"growth from the first tenth: {found[-1] / found[0] - 1:+.1%}, from the third: {found[-1] / found[2] - 1:+.1%}"
    )


if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind == "memory":
        memory(int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
    elif kind in ("start", "live"):
        {"start": start, "live": live}[kind]()
    else:
        sys.exit(__doc__)
