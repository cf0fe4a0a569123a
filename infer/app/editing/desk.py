"""What one browser has on the page: its photos, and what it waits for. Nothing of it is seen by another."""

import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from infer.app import KEPT
from infer.app.editing.sheet import Sheet
from infer.app.editing.studio import Studio
from infer.photo.read import read_photo
from models.errors import PhotograftError

MOST_PHOTOS, MOST_MEGAPIXELS = 12, 200.0


class Stopped(Exception):
    """Somebody pressed Stop, or closed the page."""


class Desk:
    """One browser's photos.

    Args:
        studio: that all browsers share.

    Attributes:
        sheets: the photos by their numbers, in the order in which they came.
        chosen: number of the one that is shown; 0: none.
        ticket: counts what was asked for: what is older than the latest is not worth doing.
        told: what was said since it was last shown.
        stop: ends the latest projection; gone: the browser has left.
        lock: for whoever changes a plan.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.sheets: dict[int, Sheet] = {}
        self.chosen, self.ticket, self._count = 0, 0, 0
        self.told: list[str] = []
        self.stop, self.gone, self.lock = threading.Event(), threading.Event(), threading.RLock()
        self._folder = tempfile.TemporaryDirectory(dir=KEPT.name, ignore_cleanup_errors=True)

    @property
    def sheet(self) -> Sheet:
        """The photo that is shown. Raises PhotograftError if there is none."""
        if self.chosen not in self.sheets:
            raise PhotograftError("no photo is open: drop one, or choose a file")
        return self.sheets[self.chosen]

    def open(self, path: Path) -> Sheet:
        """Read a photo that a browser sent, find its head, and show it. The file is taken away.

        Raises:
            PhotograftError: an unreadable photo, or one more than the page holds.
        """
        name = Path(path.name)
        try:
            photo = read_photo(path)
        except PhotograftError as error:
            raise PhotograftError(str(error).replace(str(path), path.name)) from error
        finally:
            if Path(KEPT.name) in path.parents:
                shutil.rmtree(path.parent, ignore_errors=True)
        pixels = sum(sheet.photo.pixels[..., 0].size for sheet in self.sheets.values()) + photo.pixels[..., 0].size
        if len(self.sheets) >= MOST_PHOTOS or (pixels > MOST_MEGAPIXELS * 1e6 and self.sheets):
            most = f"{MOST_PHOTOS} photos or {MOST_MEGAPIXELS:g} megapixels"
            raise PhotograftError(f"{name}: the page holds {most}: close another photo first")
        editor = self.studio.editor(self.told.append).set_photo(replace(photo, path=name), anywhere=True)
        self._count += 1
        sheet = self.sheets[self._count] = Sheet(self._count, editor)
        self.chosen = sheet.number
        return sheet

    def close(self, number: int) -> None:
        """Forget a photo."""
        self.sheets.pop(number, None)
        if self.chosen == number:
            self.chosen = next(reversed(self.sheets), 0)

    def taken(self) -> list[str]:
        """What was said since the last time, each line once."""
        told, self.told[:] = list(dict.fromkeys(self.told)), []
        return told

    def began(self) -> threading.Event:
        """A projection begins: what ends it, and no other one."""
        self.stop = threading.Event()
        return self.stop

    def folder(self) -> Path:
        """An empty folder for files to be fetched; those before are gone."""
        place = Path(self._folder.name) / "results"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    def leave(self) -> None:
        """The browser has gone."""
        self.gone.set()
        self.stop.set()
        self.sheets.clear()
        self._folder.cleanup()
