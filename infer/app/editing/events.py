"""What the page's controls do: they change a browser's desk, and say what is shown then."""

import threading
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from infer.app.editing.desk import Desk, Stopped
from infer.app.editing.layout import FOUND, OWN, View
from infer.app.editing.plan import ANIMAL, PAINTED, SQUARE
from infer.app.editing.recipes import read_sent
from infer.app.editing.showing import Updates, bar, everything, said
from infer.app.editing.studio import Studio
from infer.photo.box import Box
from infer.photo.place import Place
from infer.projection.options import UNSET
from models.errors import PhotograftError

_MOST_DESKS = 8  # browsers at once


class Events:
    """Handlers, each for the browser that its request comes from.

    Args:
        view: the page's components.
        studio: waits for what all browsers share.
    """

    def __init__(self, view: View, studio: Callable[[], Studio]) -> None:
        self.view, self._studio = view, studio
        self.desks: dict[str, Desk] = {}

    def desk(self, request: gr.Request) -> Desk:
        """Of this browser. Raises PhotograftError where it has been away for too long."""
        found = self.desks.get(str(request.session_hash))
        if found is None:
            raise PhotograftError("the page was left for too long, or was opened too often: load it again")
        return found

    def begin(self, request: gr.Request) -> Updates:
        """A browser has opened the page."""
        studio = self._studio()
        while len(self.desks) >= _MOST_DESKS:
            self.desks.pop(next(iter(self.desks))).leave()
        self.desks[str(request.session_hash)] = Desk(studio)
        view, names = self.view, studio.model.class_names
        rows = [{"key": name, "title": name} for name in names]
        parts = studio.parts
        return {
            view.source: gr.update(choices=[FOUND, *names], visible=bool(names)),
            view.sample: gr.update(choices=names, value=names[0] if names else None, visible=bool(names)),
            view.classes: gr.update(rows=rows),
            view.where: gr.update(choices=[ANIMAL, SQUARE, PAINTED, *parts]),
            view.status: said([f"{studio.model.name}: open a photo"]),
        }

    def pictures(self) -> Updates:
        """The classes with a sample of each."""
        studio = self._studio()
        pairs = zip(studio.model.class_names, studio.thumbnails(), strict=True)
        return {self.view.classes: gr.update(rows=[{"key": name, "title": name, "url": url} for name, url in pairs])}

    def leave(self, request: gr.Request) -> None:
        """A browser has closed the page."""
        desk = self.desks.pop(str(request.session_hash), None)
        if desk is not None:
            desk.leave()

    # ------------------------------------------------------------------ photos

    def open(self, paths: list[str] | None, request: gr.Request) -> Updates:
        """Photos have arrived; one that cannot be read is a line, the others are opened."""
        desk, wrong = self.desk(request), []
        for path in paths or []:
            try:
                desk.open(Path(path))
            except PhotograftError as error:
                wrong.append(str(error))
        return {self.view.files: None} | everything(self.view, desk, wrong)

    def choose_photo(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Another photo of the strip."""
        desk, number = self.desk(request), event._data.get("key")
        if number in desk.sheets:
            desk.chosen = number
        return everything(self.view, desk)

    def close_photo(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Forget a photo of the strip."""
        desk = self.desk(request)
        desk.close(event._data.get("key"))
        return everything(self.view, desk)

    # ------------------------------------------------------------------ the square and its projection

    def pick(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Another one of the heads that were found."""
        return self._placed(self.desk(request), Place.parse(None, str(event._data.get("number")), False))

    def drag(self, event: gr.EventData, request: gr.Request) -> Updates:
        """The square was dragged; it stays as it is turned."""
        desk, box = self.desk(request), event._data.get("box") or {}
        x, y, w = (round(float(box.get(name, 0))) for name in "xyw")
        upright = desk.sheet.editor.upright
        return self._placed(desk, Place(Box(x, y, w, w), roll=upright.roll if upright else "off"))

    def type_box(self, box: str, roll: str, request: gr.Request) -> Updates:
        """The square was typed."""
        return self._placed(self.desk(request), Place.parse(box or None, None, not box, roll or "auto"))

    def _placed(self, desk: Desk, place: Place) -> Updates:
        desk.sheet.place(box=place.box, which=place.which, anywhere=place.anywhere, roll=place.roll)
        return everything(self.view, desk)

    def project(self, source: str, preset: str, request: gr.Request) -> Iterator[Updates]:
        """Project the photo, telling how far it is, until it is done or Stop is pressed."""
        view = self.view
        try:
            desk = self.desk(request)
            sheet = desk.sheet
        except PhotograftError as error:
            yield {view.status: said([], [str(error)])}
            return
        ended: list[BaseException] = []
        told, stop = [("waits", 0, 1)], desk.began()

        def tell(what: str, done: int, total: int) -> None:
            if stop.is_set():
                raise Stopped
            told[0] = what, done, total

        def work() -> None:
            try:
                with _Waiting(desk, stop):
                    sheet.project(None if source == FOUND else source, preset, UNSET, tell)
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield {view.stop: gr.update(interactive=True), view.project: gr.update(interactive=False)}
            while thread.is_alive():
                thread.join(0.2)
                yield {view.progress: bar(*told[0])}
        finally:
            stop.set()  # the browser has gone: nobody waits
        done = {view.progress: "", view.stop: gr.update(interactive=False), view.project: gr.update(interactive=True)}
        if not ended:
            yield done | everything(view, desk)
        elif isinstance(ended[0], Stopped):
            yield done | {view.status: said(["stopped: the photo is as it was"])}
        elif isinstance(ended[0], PhotograftError):
            yield done | {view.status: said([], [str(ended[0])])}
        else:
            yield done
            raise ended[0]

    def stop(self, request: gr.Request) -> Updates:
        """End the projection."""
        self.desk(request).stop.set()
        return {self.view.status: gr.skip()}

    def still(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Nothing has changed for a moment: the photo itself is edited."""
        desk = self.desk(request)
        ticket, sheet, view = event._data.get("ticket"), desk.sheet, self.view
        if ticket != desk.ticket:
            return {view.status: gr.skip()}
        with _Waiting(desk, desk.gone):
            if ticket != desk.ticket:
                return {view.status: gr.skip()}
            edit = sheet.finish(desk.sheets)
        if edit is None or ticket != desk.ticket:
            return {view.status: gr.skip()}
        detail = sheet.detail(edit) | {"ticket": ticket, "number": sheet.number}
        return {view.stage: gr.update(detail=detail), view.status: said(desk.taken())}

    def show_map(self, kind: str, request: gr.Request) -> Updates:
        """A map over the photo, or none."""
        desk = self.desk(request)
        heat = None if kind == "off" else desk.sheet.heat(desk.sheets, kind)
        return {self.view.stage: gr.update(heat=heat)}

    # ------------------------------------------------------------------ what is kept

    def save(self, which: int, form: str, lossless: bool, request: gr.Request) -> Updates:
        """Make the files and hand one to the browser: 0 the photo, 1 the panel, 2 the recipe."""
        desk = self.desk(request)
        with _Waiting(desk, desk.gone):
            chosen: Any = None if form == OWN else form
            paths = desk.sheet.write(desk.sheets, desk.folder(), chosen, lossless=lossless)
        return {self.view.kept: str(paths[which]), self.view.status: said([*desk.taken(), f"{paths[which].name}"])}

    def open_recipe(self, path: str, request: gr.Request) -> Updates:
        """Go back to what a recipe says of this photo."""
        desk = self.desk(request)
        with read_sent(Path(path)) as recipe:
            desk.sheet.restore(recipe)
        return everything(self.view, desk)


class _Waiting:
    """The studio's one long piece of work at a time; raises Stopped where a browser does not wait for it any more."""

    def __init__(self, desk: Desk, stop: threading.Event) -> None:
        self.desk, self.stop = desk, stop

    def __enter__(self) -> None:
        while not self.desk.studio.heavy.acquire(timeout=0.1):
            if self.stop.is_set() or self.desk.gone.is_set():
                raise Stopped

    def __exit__(self, *error: object) -> None:
        self.desk.studio.heavy.release()


def told(view: View, handler: Callable[..., Updates]) -> Callable[..., Updates]:
    """A handler whose PhotograftError is a line on the page."""

    @wraps(handler)
    def handle(*values: Any, **more: Any) -> Updates:
        try:
            return handler(*values, **more)
        except PhotograftError as error:
            return {view.status: said([], [str(error)])}
        except Stopped:
            return {view.status: said(["stopped"])}

    return handle
