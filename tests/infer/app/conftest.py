"""What the tests of the pages share: a command that serves one, and a real browser to look at it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0  # s, on a busy computer


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """A program that serves a page, in a process of its own as users have it.

    Args:
        command: of it; a port is appended as --port N.
        root: the checkout.
        env: added to the environment.
    """

    def __init__(self, command: list[str], root: Path, env: dict[str, str] | None = None) -> None:
        self.port = free_port()
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [sys.executable, *command, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root), **(env or {})},
        )
        assert self.process.stdout
        self.line = self.process.stdout.readline()  # that tells the address

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def end(self, number: int = signal.SIGTERM) -> tuple[str, str, float]:
        """End it by a signal: what it said beside the address, its errors, and how many seconds that took."""
        started = time.monotonic()
        self.process.send_signal(number)
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return out, err, time.monotonic() - started

    def close(self) -> None:
        """Leave nothing running, whatever went wrong before; what is deaf to a signal is killed."""
        if self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.end()


@pytest.fixture
def serve(root: Path) -> Iterator[Callable[..., Served]]:
    """Starts `Served`; what still runs after the test is ended."""
    started: list[Served] = []

    def start(command: list[str], env: dict[str, str] | None = None) -> Served:
        started.append(Served(command, root, env))
        return started[-1]

    yield start
    for one in started:
        one.close()


class Browser:
    """Chromium without a screen, with what the tests ask of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def shape(self, width: int, height: int, *, dark: bool = False) -> None:
        """A window of so many px, light or dark; the next `open` shows it."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, address: str, selector: str) -> None:
        """Load a page, and wait until something is there."""
        self.driver.get(address)
        self.wait(lambda: self.all(selector))

    def all(self, selector: str) -> list[Any]:
        """Elements by their CSS selector."""
        return list(self.driver.find_elements("css selector", selector))

    def wait(self, condition: Callable[[], object]) -> None:
        """Until something is so; fails after a while."""
        latest = time.monotonic() + PATIENCE
        while not self._holds(condition):
            assert time.monotonic() < latest, f"still not so after {PATIENCE:g} s: {self.driver.page_source[-500:]}"
            time.sleep(0.05)

    def _holds(self, condition: Callable[[], object]) -> object:
        """Whether something is so; what it looks at may be made anew meanwhile."""
        try:
            return condition()
        except Exception as error:
            if type(error).__name__ != "StaleElementReferenceException":
                raise
            return False

    def press(self, key: str) -> None:
        """A key, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(key)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, for tests with the mark `browser`."""
    webdriver = pytest.importorskip("selenium.webdriver") if not os.environ.get("PHOTOGRAFT_BROWSER") else None
    if webdriver is None:
        from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for name in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-sync",
                 "no-first-run", "disable-dev-shm-usage"):  # fmt: skip
        options.add_argument(f"--{name}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver") or "chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(PATIENCE)
    yield Browser(driver)
    driver.quit()
