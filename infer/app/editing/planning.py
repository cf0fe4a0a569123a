"""What the controls of regions do: they change a browser's plan, and show what that looks like."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr

from infer.app.editing.desk import Desk
from infer.app.editing.layout import View
from infer.app.editing.plan import PAINTED, WHERE, Plan
from infer.app.editing.sheet import Sheet
from infer.app.editing.showing import Updates, controls, everything, look, said
from infer.app.editing.urls import read_mask_url
from infer.editor.points import Sample
from models.errors import PhotograftError


class Planning:
    """Handlers, each for the browser that its request comes from.

    Args:
        view: the page's components.
        desk: of a request's browser.
    """

    def __init__(self, view: View, desk: Callable[[gr.Request], Desk]) -> None:
        self.view, self.desk = view, desk

    def set(self, name: str, value: Any, request: gr.Request) -> Updates:
        """A control of the chosen region has another value."""
        desk = self.desk(request)
        return self._change(desk, lambda plan: plan.changed(**{name: value}), name)

    def set_plan(self, name: str, value: Any, request: gr.Request) -> Updates:
        """A control of the whole plan has another value."""
        desk = self.desk(request)
        values: dict[str, Any] = {name: value or None}
        return self._change(desk, lambda plan: replace(plan, **values), name)

    def set_kind(self, kind: str, request: gr.Request) -> Updates:
        """Another class, a blend or a transfer."""
        desk = self.desk(request)
        region = desk.sheet.plan.region
        values: dict[str, Any] = {"kind": kind}
        if kind != "class" and region.reference is None:
            names = desk.studio.model.class_names
            values["reference"] = Sample(0, region.to or (names[0] if names else None))
        parts = desk.studio.parts
        if kind == "transfer" and region.where not in parts and parts:
            values |= self._where(desk.sheet, parts[0])
        return self._change(desk, lambda plan: plan.changed(**values), "kind") | controls(self.view, desk)

    def set_where(self, where: str, request: gr.Request) -> Updates:
        """The region is another one."""
        desk = self.desk(request)
        values = self._where(desk.sheet, where)
        found = self._change(desk, lambda plan: plan.changed(**values), "where")
        if where == PAINTED:
            found[self.view.stage] = {**found.get(self.view.stage, gr.update()), "mode": "brush"}
        return found

    def _where(self, sheet: Sheet, where: str) -> dict[str, Any]:
        if where in (*WHERE, PAINTED):
            return {"where": where}
        if sheet.editor.projection is None:
            raise PhotograftError("parts are found in the projection: press Project first")
        return {"where": where, "mask": sheet.part_mask(where), "stamp": where}

    def set_reference(
        self,
        photo: int,
        name: str | None,
        seed: float | None,
        right: float,
        down: float,
        mode: Any,
        request: gr.Request,
    ) -> Updates:
        """The reference is another one, or lies elsewhere."""
        desk = self.desk(request)
        reference = photo or Sample(int(seed or 0), name or None)
        values: dict[str, Any] = {"reference": reference, "move": (right, down), "mode": mode}
        return self._change(desk, lambda plan: plan.changed(**values), "reference")

    def set_class(self, event: gr.EventData, request: gr.Request) -> Updates:
        """A class was chosen: what the region becomes."""
        desk, name = self.desk(request), str(event._data.get("key"))
        desk.studio.model.class_index(name)
        found = self._change(desk, lambda plan: plan.changed(to=name), f"to {name}")
        return found | {self.view.classes: gr.update(chosen=name)}

    def paint(self, event: gr.EventData, request: gr.Request) -> Updates:
        """A stroke of the brush is done."""
        desk = self.desk(request)
        mask = read_mask_url(event._data.get("mask"), desk.sheet.size)
        values = {"where": PAINTED, "mask": mask, "stamp": str(event._data.get("stamp"))[:40]}
        found = self._change(desk, lambda plan: plan.changed(**values), str(values["stamp"]))
        return found | {self.view.where: gr.update(value=PAINTED)}

    def act(self, what: str, event: gr.EventData, request: gr.Request) -> Updates:
        """A button of a region in the list."""
        desk, key = self.desk(request), event._data.get("key")
        if all(region.key != key for region in desk.sheet.plan.regions):  # it has gone meanwhile
            return everything(self.view, desk)
        changes: dict[str, Callable[[Plan], Plan]] = {
            "choose": lambda plan: replace(plan, chosen=key),
            "toggle": lambda plan: plan.toggled(key),
            "up": lambda plan: plan.moved(key, -1),
            "down": lambda plan: plan.moved(key, 1),
            "remove": lambda plan: plan.without(key),
        }
        return self._change(desk, changes[what]) | controls(self.view, desk)

    def add(self, request: gr.Request) -> Updates:
        """One more region."""
        desk = self.desk(request)
        return self._change(desk, Plan.added) | controls(self.view, desk)

    def go(self, by: int, request: gr.Request) -> Updates:
        """Undo or redo."""
        desk = self.desk(request)
        if not desk.sheet.history.go(by):
            return {self.view.status: said(["nothing to undo" if by < 0 else "nothing to redo"])}
        return look(self.view, desk) | controls(self.view, desk)

    def _change(self, desk: Desk, change: Callable[[Plan], Plan], control: str = "") -> Updates:
        """Another plan, and what it looks like.

        Args:
            desk: of the browser.
            change: of the plan.
            control: what is dragged, or painted with: all of that is one step back; "": a step of its own.
        """
        with desk.lock:
            history = desk.sheet.history
            history.add(change(history.now), control and f"{control} {history.now.chosen}")
        return look(self.view, desk)
