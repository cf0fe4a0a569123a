"""The page's controls: what there is, and where it stands. What they do is in `events`."""

from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any, get_args

import gradio as gr

from infer.app import shell
from infer.app.editing.plan import ANIMAL, PAINTED, SQUARE
from infer.photo.choices import DEFAULT_FINISH, FINISHES, METHODS, FormatName
from infer.projection.presets import DEFAULT_PRESET, PRESETS

FOUND, OWN = "found by itself", "the photo's own"
KINDS = [("Another class", "class"), ("Blend a reference in", "blend"), ("Look of a reference", "transfer")]
MAPS = [("Off", "off"), ("What changed (CIELAB)", "change"), ("Not explained", "explained")]
_PHOTOS = [".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".gif", ".jp2", ".avif"]


@dataclass(frozen=True)
class View:
    """The page's components, by what they are for."""

    files: gr.File
    strip: gr.HTML
    stage: gr.HTML
    status: gr.HTML
    progress: gr.HTML
    # the square and its projection
    source: gr.Dropdown
    preset: gr.Radio
    box: gr.Textbox
    roll: gr.Textbox
    place: gr.Button
    project: gr.Button
    stop: gr.Button
    # regions
    regions: gr.HTML
    add: gr.Button
    undo: gr.Button
    redo: gr.Button
    kind: gr.Radio
    classes: gr.HTML
    reference: gr.Group
    sample: gr.Dropdown
    seed: gr.Number
    photo: gr.Dropdown
    mode: gr.Dropdown
    right: gr.Slider
    down: gr.Slider
    where: gr.Dropdown
    strength: gr.Slider
    feather: gr.Slider
    layers: gr.Textbox
    # result
    method: gr.Dropdown
    finish: gr.Dropdown
    recolour: gr.Checkbox
    map: gr.Radio
    form: gr.Dropdown
    lossless: gr.Checkbox
    save: gr.Button
    save_panel: gr.Button
    save_recipe: gr.Button
    kept: gr.DownloadButton
    recipe: gr.UploadButton

    def all(self) -> list[Any]:
        """Every component."""
        return [getattr(self, one.name) for one in fields(self)]


def page() -> tuple[gr.Blocks, View]:
    """The page, to which events are added in a `with` block, and its components."""
    made: dict[str, Any] = {}
    with shell.blocks("Photograft", css=_read("page.css")) as demo:
        gr.HTML("<h1>Photograft</h1>", elem_id="bar", padding=False)
        with gr.Row():
            with gr.Column(scale=3, min_width=320, elem_id="picture"):
                made["files"] = gr.File(
                    label="Photos: drop them here, or choose", file_count="multiple", file_types=_PHOTOS, height=110
                )
                made["strip"] = _list("photos", "strip")
                made["stage"] = gr.HTML(
                    html_template=_read("stage.html"), js_on_load=_read("stage.js"), elem_id="stage", padding=False,
                    photo=None, place=None, after=None, detail=None, marks=[], heat=None, mode=None,
                )  # fmt: skip
                made["progress"] = gr.HTML(elem_id="progress", padding=False)
                made["status"] = gr.HTML(elem_id="status", padding=False)
            with gr.Column(scale=2, min_width=320, elem_id="controls"):
                for name, controls in (("Photo", _photo_controls), ("Edit", _edit_controls), ("Keep", _keep_controls)):
                    gr.HTML(f"<h2>{name}</h2>", elem_classes=["heading"], padding=False)
                    controls(made)
    return demo, View(**made)


def _photo_controls(made: dict[str, Any]) -> None:
    made["source"] = gr.Dropdown([FOUND], value=FOUND, label="What is in the photo", filterable=True)
    made["preset"] = gr.Radio(list(PRESETS), value=DEFAULT_PRESET, label="Projection: how much work")
    with gr.Row():
        made["project"] = gr.Button("Project", variant="primary", elem_id="project")
        made["stop"] = gr.Button("Stop", elem_id="stop", interactive=False)
    with gr.Accordion("The square", open=False, elem_id="square"), gr.Row():
        made["box"] = gr.Textbox(label="Left, top, width, height", info="in pixels of the photo", elem_id="box")
        made["roll"] = gr.Textbox(label="Turned clockwise", info="degrees, auto or off", value="auto")
        made["place"] = gr.Button("Set the square")


def _edit_controls(made: dict[str, Any]) -> None:
    made["regions"] = _list("regions", "regions")
    with gr.Row():
        made["add"] = gr.Button("Add a region", size="sm", min_width=70, elem_id="add")
        made["undo"] = gr.Button("Undo", size="sm", min_width=70, elem_id="undo")
        made["redo"] = gr.Button("Redo", size="sm", min_width=70, elem_id="redo")
    made["where"] = gr.Dropdown([ANIMAL, SQUARE, PAINTED], value=ANIMAL, label="Where", elem_id="where")
    made["kind"] = gr.Radio(KINDS, value="class", label="What", elem_id="kind")
    made["classes"] = _list("classes", "classes", search="Search classes")
    with gr.Group(visible=False) as made["reference"]:
        made["photo"] = gr.Dropdown([("a sample", 0)], value=0, label="Reference")
        with gr.Row():
            made["sample"] = gr.Dropdown([], label="Sample of", filterable=True)
            made["seed"] = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=90)
        made["mode"] = gr.Dropdown(["sequential", "simultaneous", "global"], value="sequential", label="Query")
        with gr.Row():
            made["right"] = gr.Slider(-64, 64, 0, step=1, label="Move right", min_width=120)
            made["down"] = gr.Slider(-64, 64, 0, step=1, label="Move down", min_width=120)
    made["strength"] = gr.Slider(0, 1, 1, step=0.01, label="Strength", elem_id="strength")
    made["feather"] = gr.Slider(0, 0.1, 0.01, step=0.002, label="Feather", info="of what is painted")
    made["layers"] = gr.Textbox(label="Layers", placeholder="all, or 0-3 or 0,2", max_lines=1, elem_id="layers")


def _keep_controls(made: dict[str, Any]) -> None:
    made["method"] = gr.Dropdown([("default", ""), *METHODS], value="", label="Compositing")
    made["finish"] = gr.Dropdown(list(FINISHES), value=DEFAULT_FINISH, label="Finish")
    made["recolour"] = gr.Checkbox(label="Recolour the body")
    made["map"] = gr.Radio(MAPS, value="off", label="Map over the photo", elem_id="map")
    with gr.Row():
        made["form"] = gr.Dropdown([OWN, *get_args(FormatName)], value=OWN, label="Format")
        made["lossless"] = gr.Checkbox(label="Lossless (PNG)")
    made["save"] = gr.Button("Download the photo", variant="primary", elem_id="save")
    with gr.Row():
        made["save_panel"] = gr.Button("Panel", size="sm", elem_id="save-panel")
        made["save_recipe"] = gr.Button("Recipe", size="sm", elem_id="save-recipe")
    made["recipe"] = gr.UploadButton("Open a recipe (.json, .zip)", file_types=[".json", ".zip"], size="sm")
    made["kept"] = gr.DownloadButton("fetch", elem_id="kept")


def _list(kind: str, name: str, search: str = "") -> gr.HTML:
    """A list of buttons, see `lists.js`."""
    field = f'<input type="search" placeholder="{search}" aria-label="{search}">' if search else ""
    return gr.HTML(
        html_template=f'{field}<div class="list" role="group" aria-label="{kind}"></div>',
        js_on_load=_read("lists.js"), elem_id=name, elem_classes=["lists"], padding=False,
        kind=kind, rows=[], chosen=None,
    )  # fmt: skip


def _read(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")
