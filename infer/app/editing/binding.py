"""Which control does what: the page, ready to be served."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from infer.app.editing.events import Events, told
from infer.app.editing.layout import View, page
from infer.app.editing.planning import Planning
from infer.app.editing.showing import Updates
from infer.app.editing.studio import Studio

_PRESS = "() => document.querySelector('#kept')?.click()"


def editing_page(studio: Callable[[], Studio]) -> gr.Blocks:
    """The page on which photos are edited; hand it to `infer.app.shell.serve`.

    Args:
        studio: waits until the model is there. Raises PhotograftError where it cannot be loaded.
    """
    demo, view = page()
    events = Events(view, studio)
    planning = Planning(view, events.desk)
    with demo:
        _bind(view, events, planning)
        shown = [*view.all()]
        demo.load(told(view, events.begin), outputs=shown, show_progress="hidden").then(
            told(view, events.pictures), outputs=[view.classes], show_progress="hidden"
        )
        demo.unload(events.leave)
    return demo


def _bind(view: View, events: Events, planning: Planning) -> None:
    outputs = view.all()
    live = [view.stage, view.regions, view.status]  # few: a browser looks at all that an event may change

    def on(event: Any, handler: Callable[..., Any], inputs: Any = None, **more: Any) -> Any:
        how = {"show_progress": "hidden", "trigger_mode": "multiple", "concurrency_limit": 4, "outputs": outputs} | more
        return event(told(view, handler), inputs=inputs, **how)

    settings = [view.source, view.preset]
    on(view.files.upload, events.open, view.files)
    on(view.strip.choose, events.choose_photo)
    on(view.strip.remove, events.close_photo)
    on(view.stage.pick, events.pick)
    on(view.stage.place, events.drag)
    on(view.place.click, events.type_box, [view.box, view.roll])
    view.project.click(
        events.project, settings, outputs, show_progress="hidden", trigger_mode="once", concurrency_limit=4
    )
    on(view.stop.click, events.stop, concurrency_limit=8)

    for name in ("strength", "feather", "layers"):
        on(
            getattr(view, name).input,
            _named(planning.set, name),
            getattr(view, name),
            trigger_mode="always_last",
            outputs=live,
        )
    for name, field in (("method", "method"), ("finish", "finish"), ("recolour", "recolour_body")):
        on(getattr(view, name).input, _named(planning.set_plan, field), getattr(view, name))
    on(view.kind.input, planning.set_kind, view.kind)
    on(view.where.input, planning.set_where, view.where)
    on(view.classes.choose, planning.set_class, outputs=[*live, view.classes])
    references: list[Any] = [view.photo, view.sample, view.seed, view.right, view.down, view.mode]
    for control in references:
        on(control.input, planning.set_reference, references, trigger_mode="always_last", outputs=live)
    on(view.stage.paint, planning.paint, outputs=[*live, view.where])
    for act in ("choose", "toggle", "up", "down", "remove"):
        on(getattr(view.regions, act), _acting(planning, act))
    on(view.add.click, planning.add)
    on(view.undo.click, _going(planning, -1))
    on(view.redo.click, _going(planning, 1))

    on(view.stage.still, events.still, outputs=live)
    on(view.map.input, events.show_map, view.map)
    for which, button in enumerate((view.save, view.save_panel, view.save_recipe)):
        saved = on(button.click, _saving(events, which), [view.form, view.lossless], show_progress="minimal")
        saved.success(None, js=_PRESS)
    on(view.recipe.upload, events.open_recipe, view.recipe)


# Gradio reads from a handler's own signature what it shall be given.


def _named(handler: Callable[..., Updates], name: str) -> Callable[..., Updates]:
    def handle(value: Any, request: gr.Request) -> Updates:
        return handler(name, value, request)

    return handle


def _acting(planning: Planning, act: str) -> Callable[..., Updates]:
    def handle(event: gr.EventData, request: gr.Request) -> Updates:
        return planning.act(act, event, request)

    return handle


def _going(planning: Planning, by: int) -> Callable[..., Updates]:
    def handle(request: gr.Request) -> Updates:
        return planning.go(by, request)

    return handle


def _saving(events: Events, which: int) -> Callable[..., Updates]:
    def handle(form: str, lossless: bool, request: gr.Request) -> Updates:
        return events.save(which, form, lossless, request)

    return handle
