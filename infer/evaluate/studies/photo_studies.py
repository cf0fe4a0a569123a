"""One photo: in every class that there is, and on its way into one (Suzuki et al., Fig. 21; a morph over strength)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from infer.editor.edit import Edit
from infer.editor.editor import Editor
from infer.editor.steps import ChangeClass
from infer.editor.strengths import at_strength
from infer.editor.sweep import Shown, evenly_strong, shown
from infer.edits.scbn import in_class
from infer.evaluate.studies.setting import Found, Setting, need_classes, number
from infer.evaluate.studies.sheets import captioned, pixels_of
from infer.photo.box import Box, crop_square
from infer.photo.cielab import lab_of
from infer.photo.photo import Pixels
from infer.pictures.animation import reduced
from infer.pictures.sheet import sheet

COLUMNS, SIZE = 9, 96  # of the sheet of all classes
FRAMES, LONGEST = 9, 300  # of the morph; px
_SHOWN = 5  # of its frames on the sheet


def classes(setting: Setting) -> Found:
    """The one latent of a photo under every class, not only in a region (Fig. 21)."""
    need_classes(setting.model)
    editor, model = _editor(setting), setting.model
    names = model.class_names
    before, images = _in_all_classes(setting, editor)
    rows = [["number", "class", "group", "target", "rank", "likeness", "change"]]
    likely = setting.judge.probabilities(images)
    judged = setting.judge.features(torch.cat([before, images]))
    alike = F.cosine_similarity(judged[1:], judged[:1]).tolist()
    for label, name in enumerate(names):
        one = likely[label]
        verdict = ["", ""] if len(one) == 1 else [number(float(one[label])), str(int((one > one[label]).sum()) + 1)]
        change = _distance(pixels_of(images[label : label + 1])[0], pixels_of(before)[0])
        group = model.group_names[model.groups[label]]
        rows.append([str(label), name, group, *verdict, number(alike[label]), number(change)])
    pictures = [*pixels_of(torch.cat([editor.target(), before])), *pixels_of(images)]
    captions = ["photo", "projection", *names]
    return Found(rows, captioned(pictures, captions, columns=COLUMNS, size=SIZE))


@torch.no_grad()
def _in_all_classes(setting: Setting, editor: Editor) -> tuple[Tensor, Tensor]:  # -> [1,3,R,R], [K,3,R,R]
    """What the generator makes of a projected photo, and of it in every class; on the CPU."""
    samples, generator = editor.samples(), editor.generator
    assert samples.label is not None
    latent, label = samples.latent.to(generator.device), samples.label.to(generator.device)
    origin = None if samples.origin is None else samples.origin.to(generator.device)
    made = [generator(latent, label).cpu()]
    for target in range(generator.num_classes):
        wanted = torch.tensor([target], device=generator.device)
        made.append(generator(in_class(generator, latent, label, wanted, origin), wanted).cpu())
        setting.progress("classes", target + 1, generator.num_classes)
    return made[0], torch.cat(made[1:])


def morph(setting: Setting) -> Found:
    """A photo becomes another class, from nothing of it to all of it: a row of pictures, and a film."""
    need_classes(setting.model)
    editor = _editor(setting)
    label = setting.model.class_index(setting.to)
    name = setting.model.class_names[label]
    own = editor.label
    assert own is not None
    frames: list[Shown] = []
    rows = [["strength", "square", "outside", "target", "own"]]
    steps = [ChangeClass(name)]
    for at, strength in enumerate(evenly_strong(FRAMES)):
        edit = editor.edit(at_strength(steps, strength))
        frames.append(shown(editor, edit))
        rows.append(_morphed(setting, editor, edit, strength, torch.tensor([label, own])))
        editor.edits.pop()
        setting.progress("morph", at + 1, FRAMES)
    chosen = [round(i * (FRAMES - 1) / (_SHOWN - 1)) for i in range(_SHOWN)]
    titles = [f"{evenly_strong(FRAMES)[i]:.0%}" for i in chosen]
    row = [frames[i].part for i in chosen]
    return Found(rows, sheet([row], titles), tuple(reduced(frame.frame, LONGEST) for frame in frames))


def _morphed(setting: Setting, editor: Editor, edit: Edit, strength: float, classes: Tensor) -> list[str]:
    """A row of the table: change in the square, the largest one outside of what was pasted, and verdicts."""
    photo = editor.photo
    assert photo is not None
    side, box = editor.model.generator.resolution, editor.placed
    now, before = (crop_square(pixels, box, side) for pixels in (edit.pixels, photo.pixels))
    changed = np.abs(edit.pixels.astype(np.int16) - photo.pixels).max(axis=2)
    outside = int(changed[~_touched(edit, box, changed.shape)].max(initial=0))
    image = torch.from_numpy(now.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    likely = setting.judge.of_class(image.expand(2, -1, -1, -1), classes).tolist()
    return [f"{strength:g}", number(_distance(now, before)), str(outside), *map(number, likely)]


def _touched(edit: Edit, box: Box, shape: tuple[int, ...]) -> np.ndarray:  # -> bool [H,W]
    """Where anything was pasted; all of the square's surroundings where a head was turned for the edit."""
    square, (height, width) = box.square(), shape[:2]
    touched = np.zeros((height, width), np.bool_)
    rows = slice(max(square.y, 0), min(square.y + square.h, height))
    columns = slice(max(square.x, 0), min(square.x + square.w, width))
    if edit.mask.shape != (square.h, square.w):
        touched[rows, columns] = True
        return touched
    inner = edit.mask[rows.start - square.y : rows.stop - square.y, columns.start - square.x : columns.stop - square.x]
    touched[rows, columns] = inner > 0
    return touched


def _distance(one: Pixels, other: Pixels) -> float:
    """Mean CIELAB distance (CIE 1976)."""
    return float(np.linalg.norm(lab_of(one) - lab_of(other), axis=-1).mean())


def _editor(setting: Setting) -> Editor:
    """The photo, projected. Raises PhotograftError where no head is found, or the model cannot project."""
    editor = Editor(setting.networks)
    editor.set_photo(setting.photo)
    return editor.project(preset=setting.preset, steps=setting.updates, progress=setting.progress)
