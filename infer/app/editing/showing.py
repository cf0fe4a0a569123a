"""What is shown on the page: updates of its components, from what a desk holds."""

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from infer.app.editing.desk import Desk
from infer.app.editing.layout import View
from infer.app.editing.plan import Plan
from infer.app.editing.sheet import colour_of, is_whole
from infer.app.editing.urls import PAINTED as PAINTED_SIDE
from infer.app.editing.urls import SHOWN, fitted, picture_url
from infer.editor.points import Sample
from infer.photo.box import Box
from models.errors import PhotograftError

Updates = dict[Any, Any]


def look(view: View, desk: Desk, wrong: Sequence[str] = ()) -> Updates:
    """The preview of what is asked for now; nothing where something newer has been asked for meanwhile.

    `wrong`: lines to show beside what is said.
    """
    desk.ticket += 1
    ticket, sheet = desk.ticket, desk.sheet
    wrong, look = [*wrong], None
    with sheet.preview_lock:
        if ticket != desk.ticket:
            return {view.status: gr.skip()}
        try:
            look = sheet.look(desk.sheets)
            if sheet.preview is None and any(map(is_whole, sheet.plan.regions)):
                wrong.append("the photo is not projected yet: press Project")
        except PhotograftError as error:
            wrong.append(str(error))
    after = None if look is None else look | {"ticket": ticket, "number": sheet.number}
    return {
        view.stage: gr.update(after=after, marks=sheet.marks(), heat=None),
        view.regions: gr.update(rows=rows(sheet.plan), chosen=sheet.plan.chosen),
        view.status: said(desk.taken(), wrong),
    }


def everything(view: View, desk: Desk, wrong: Sequence[str] = ()) -> Updates:
    """Everything, after a photo or its place has changed."""
    rows = [{"key": sheet.number, "title": sheet.name, "url": sheet.url} for sheet in desk.sheets.values()]
    strip = {view.strip: gr.update(rows=rows, chosen=desk.chosen)}
    if not desk.sheets:
        nothing = gr.update(photo=None, place=None, after=None, detail=None, marks=[], heat=None)
        return strip | {view.stage: nothing, view.regions: gr.update(rows=[]), view.status: said(desk.taken(), wrong)}
    sheet = desk.sheet
    editor, (height, width) = sheet.editor, sheet.size
    down, across = fitted(sheet.size, PAINTED_SIDE)
    box = editor.placed.square()
    photo = {
        "number": sheet.number, "name": sheet.name, "w": width, "h": height, "down": down, "across": across,
        "url": picture_url(sheet.photo.pixels, SHOWN),
    }  # fmt: skip
    place = {
        "box": {"x": box.x, "y": box.y, "w": box.w}, "roll": 0 if editor.upright is None else editor.upright.roll,
        "heads": [_corner(head.box.square()) for head in editor.heads],
    }  # fmt: skip
    found = look(view, desk, wrong)
    found[view.stage] = {**found.get(view.stage, gr.update()), "photo": photo, "place": place, "detail": None}
    return strip | found | controls(view, desk) | {view.box: str(box), view.map: "off"}


def controls(view: View, desk: Desk) -> Updates:
    """The controls as the chosen region has them."""
    plan = desk.sheet.plan
    region, others = plan.region, [one for one in desk.sheets.values() if one.number != desk.chosen]
    sample = region.reference if isinstance(region.reference, Sample) else Sample()
    number = region.reference if isinstance(region.reference, int) else 0
    photos = [("a sample", 0), *((one.name, one.number) for one in others)]
    return {
        view.where: region.where, view.kind: region.kind, view.strength: region.strength,
        view.feather: region.feather, view.layers: region.layers,
        view.classes: gr.update(chosen=region.to, visible=region.kind == "class"),
        view.reference: gr.update(visible=region.kind != "class"),
        view.photo: gr.update(choices=photos, value=number if number in desk.sheets else 0),
        view.sample: sample.class_name, view.seed: sample.seed,
        view.mode: gr.update(value=region.mode, visible=region.kind == "transfer"),
        view.right: gr.update(value=region.move[0], visible=region.kind == "blend"),
        view.down: gr.update(value=region.move[1], visible=region.kind == "blend"),
        view.method: plan.method or "", view.finish: plan.finish, view.recolour: plan.recolour_body,
    }  # fmt: skip


def rows(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"key": region.key, "title": region.title, "colour": colour_of(region), "on": region.on}
        for region in plan.regions
    ]


def _corner(box: Box) -> dict[str, int]:
    return {"x": box.x, "y": box.y, "w": box.w}


def said(told: Sequence[str], wrong: Sequence[str] = ()) -> str:
    lines = [f"<p>{html.escape(line)}</p>" for line in told]
    lines += [f'<p class="wrong" role="alert">{html.escape(line)}</p>' for line in wrong]
    return f'<div role="status" aria-live="polite">{"".join(lines)}</div>'


def bar(what: str, done: int, total: int) -> str:
    text = html.escape(f"{what}: {done} of {total}")
    return f'<progress value="{done}" max="{max(total, 1)}" aria-label="{text}"></progress><p>{text}</p>'
