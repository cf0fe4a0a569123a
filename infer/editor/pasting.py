"""Where the result of an edit goes into the photo, and what goes there."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from infer.editor.edit import Edit, Paste
from infer.editor.regions import in_photo, local, resized
from infer.editor.session import Session
from infer.editor.steps import Blend, ChangeClass, Step, Transfer
from infer.editor.strengths import amount, between, presence
from infer.photo import masks
from infer.photo.box import crop_square, uncrop
from infer.photo.choices import Method
from infer.photo.compositing import composite
from infer.photo.finishing import finished
from infer.photo.grafting import Graft, plan
from infer.photo.masks import Mask
from infer.photo.matte import own_colours
from infer.photo.recolouring import recoloured
from models.layers.resampling import resize_pixels

_LEAST = 1 / 255  # of a mask: less changes nothing
SHOWN = 256  # px, of areas to be looked at


def pasted(session: Session, edit: Edit, areas: Sequence[Mask], method: Method) -> Edit:
    """An edit put into the photo: what transfers change is added, and what a class of the same species changes where a
    region was painted; all else is pasted over it.

    Args:
        session: with a photo.
        edit: of resolved steps, with the picture that the generator made.
        areas: where its steps act, see `infer.editor.regions.areas_of`.
        method: of compositing.

    Of steps of which there is nothing (`infer.editor.strengths.amount`) nothing is pasted; without any other the photo
    comes back as it is. At strength 1 the edit is pasted, towards 0 ever more the photo with what the edit changes.
    """
    live = [edit.scale == "mix" or amount(step) > 0 for step in edit.steps]
    areas = in_photo(session, edit.steps, areas) if edit.registered else areas
    shown = [_shown(area) for area in areas]
    if not any(live):
        assert session.photo is not None
        pixels = session.photo.pixels.copy()
        return replace(edit, method=method, areas=tuple(shown), pastes=(), pixels=pixels, finish="off")
    steps = [step for step, is_live in zip(edit.steps, live, strict=True) if is_live]
    acting = [area for area, is_live in zip(areas, live, strict=True) if is_live]
    enlarged = uncrop(edit.image, session.box, session.shape)[0]
    graft = _graft(session, steps, edit.image, enlarged) if method == "graft" else None
    own = {id(step): _class_mask(session, step, enlarged, graft) for step in steps if isinstance(step, ChangeClass)}
    del enlarged  # memory
    shown = [_shown(own[id(step)]) if id(step) in own else area for step, area in zip(edit.steps, shown, strict=True)]
    slight = [own.pop(id(step)) for step in steps if edit.registered and _is_slight(session, step, steps)]
    whole = _united(session, list(own.values()))
    blended, added = (_faded_union(session, steps, acting, kind) for kind in (Blend, Transfer))
    slight += [] if added is None else [added]
    pastes = []
    if slight:
        patch = changed(session, edit.image, registered=edit.registered)
        pastes.append(Paste(patch, reduce(np.maximum, slight), change=True))
    over = [mask for mask in (whole, blended) if mask is not None]
    share = 1.0 if edit.scale == "mix" else presence(steps)
    if graft is not None:
        pastes += _filling(session, graft, share)
    if over:
        mask = reduce(np.maximum, over)
        joined = None if graft is None else _joined(session, graft, steps, blended)
        pastes.append(Paste(_patch(session, edit, steps, mask, graft, share), mask, joined=joined))
        if edit.recolour_body:
            pastes[:0] = _body(session, pastes[-1], graft, share)
    finish = edit.finish if over else "off"
    edit = replace(edit, method=method, areas=tuple(shown), pastes=tuple(pastes), finish=finish)
    return replace(edit, pixels=_composited(session, edit))


def _is_slight(session: Session, step: Step, steps: Sequence[Step]) -> bool:
    """Whether a step changes a painted region into a class of the same species, and none changes the whole head.

    What it changes is added to the photo, then, which keeps its own fur and eyes. Of another species the features have
    another shape: added, they would shine through.
    """
    if not isinstance(step, ChangeClass) or session.label is None or not all(map(local, steps)):
        return False
    groups = session.model.groups
    return groups[session.model.class_index(step.to)] == groups[session.label]


def _patch(
    session: Session, edit: Edit, steps: Sequence[Step], mask: Mask, graft: Graft | None, share: float
) -> NDArray[np.uint8]:  # -> [S,S,3]
    """What is pasted: the whole edit at strength 1, towards 0 ever more the photo with what the edit changes.

    Registered, a painted eye or a part's comes from where the reconstruction has it; a whole head stays as it is.
    """
    image = edit.image
    if edit.registered and all(map(local, steps)):
        image = session.registration().to_photo(image)
    patch = finished(image, session.need_photo().pixels, session.box, finish=edit.finish, where=mask)
    if graft is not None:
        patch = own_colours(patch, graft.head)
    return patch if share == 1 else between(changed(session, edit.image, registered=edit.registered), patch, share)


def _composited(session: Session, edit: Edit) -> NDArray[np.uint8]:
    photo = session.need_photo()
    pixels, at = photo.pixels, (session.box.x, session.box.y)
    for paste in edit.pastes:
        alone = len(edit.pastes) == 1
        plainly = not alone or (edit.registered and not all(isinstance(step, Transfer) for step in edit.steps))
        aside = paste.background or paste.at is not None
        how: Method = "paste" if aside or (paste.change and plainly) else edit.method
        pixels = composite(pixels, paste.patch, paste.mask, paste.at or at, method=how, joined=paste.joined)
    return session.put_back(photo.toned(pixels), _everywhere(session, edit))


def _everywhere(session: Session, edit: Edit) -> NDArray[np.floating]:
    """The mask of the square; of the whole picture where the body beside it changed too."""
    if edit.body is None or session.upright is None:
        return edit.mask
    whole = np.zeros(session.shape, np.float32)
    for paste in edit.pastes:
        x, y = paste.at or (session.box.x, session.box.y)
        rows, columns = slice(max(y, 0), y + len(paste.mask)), slice(max(x, 0), x + paste.mask.shape[1])
        there = whole[rows, columns]
        part = paste.mask[rows.start - y :, columns.start - x :][: there.shape[0], : there.shape[1]]
        np.maximum(there, part, out=there)
    return whole


def changed(session: Session, image: NDArray[np.uint8], *, registered: bool) -> NDArray[np.uint8]:  # [R,R,3], [S,S,3]
    """The photo's square with what an edit changes in its reconstruction; registered, where the photo shows it."""
    difference = image.astype(np.float32) - session.reconstruction()
    if registered:
        difference = session.registration().to_photo(difference)
    patch = crop_square(session.need_photo().pixels, session.box, session.box.square().w)
    for own, moved in zip(np.moveaxis(patch, 2, 0), np.moveaxis(difference, 2, 0), strict=True):  # one by one: memory
        own[:] = (own + uncrop(moved, session.box, session.shape)[0]).round().clip(0, 255)
    return patch


def shown_areas(areas: Sequence[Mask]) -> tuple[Mask, ...]:
    """Areas to be looked at, `SHOWN` px at most."""
    return tuple(map(_shown, areas))


def faded(session: Session, area: Mask) -> Mask:  # [r,r] -> [S,S]
    """An area of the square in the photo, fading out at those of the square's sides that lie inside it."""
    mask = uncrop(area, session.box, session.shape)[0].clip(0, 1)
    mask *= masks.fade_to_border(session.box, session.shape)
    return np.asarray(mask, np.float32)


def _shown(area: Mask) -> Mask:
    return _sized(area, min(SHOWN, len(area)))


def _sized(area: Mask, side: int) -> Mask:
    found = resize_pixels(area, side, side)
    return np.clip(found, 0, 1, out=None if found is area else found)


def _united(session: Session, own: Sequence[Mask]) -> Mask | None:
    """Where any class goes."""
    if not own:
        return None
    whole = reduce(lambda first, second: np.maximum(first, second, out=first), own)
    if whole.any():
        return whole
    session.say("no animal is found in the square: the whole square is pasted")
    return masks.fade_to_border(session.box, session.shape)


def _faded_union(
    session: Session, steps: Sequence[Step], areas: Sequence[Mask], kind: type[Blend] | type[Transfer]
) -> Mask | None:
    """Where steps of a kind act, at the largest area's size, in the photo."""
    found = [area for step, area in zip(steps, areas, strict=True) if isinstance(step, kind)]
    if not found:
        return None
    size = max(area.shape[0] for area in found)
    return faded(session, np.maximum.reduce([resized(area, size) for area in found]))


def _class_mask(session: Session, step: ChangeClass, patch: NDArray[np.uint8], graft: Graft | None) -> Mask:
    """Where the patch goes into the photo for one class, [S,S]."""
    box, shape = session.box, session.shape
    if isinstance(step.region, np.ndarray):
        region = session.carried(step.region)
        if masks.reaches_out(region, box):
            session.say(f"the mask reaches out of the edited square {session.placed}: only the part inside is edited")
        return masks.to_paste(region, box)
    if step.region != "auto":
        return masks.fade_to_border(box, shape)
    if graft is not None:
        return _sized(graft.head, len(patch))
    return masks.automatic(session.segmented(), patch, box, shape, session.segment_square)


def _graft(session: Session, steps: Sequence[Step], image: NDArray[np.uint8], patch: NDArray[np.uint8]) -> Graft | None:
    """How the animal of the patch is grafted where a class changes in all of it; None where none does."""
    regions = [step.region for step in steps if isinstance(step, ChangeClass)]
    if not any(isinstance(region, str) and region == "auto" for region in regions):
        return None
    side = masks.working_side(session.box)
    small = resize_pixels(patch, side, side)
    before = masks.seen(session.segmented(), session.box, session.shape)
    after = session.made_animal(image, small)
    return plan(before, after, small, session.box, session.shape)


def _joined(session: Session, graft: Graft, steps: Sequence[Step], blended: Mask | None) -> Mask:
    """Where photo and patch show one body: the animal of both, and wherever a region was painted."""
    joined = graft.joined
    for step in steps:
        if isinstance(step, ChangeClass) and isinstance(step.region, np.ndarray):
            region = masks.to_paste(session.carried(step.region), session.box)
            joined = np.maximum(joined, resize_pixels(region, *joined.shape))
    return joined if blended is None else np.maximum(joined, resize_pixels(blended, *joined.shape))


def _filling(session: Session, graft: Graft, share: float) -> list[Paste]:
    """So much of the background where the old head would show beside the new one; nothing if there is none to go by."""
    if not graft.filled.any():
        return []
    found = session.background(graft.filled)
    if found is None:
        return []
    mask = _sized(np.float32(share) * graft.filled, len(found))
    if mask.max() <= _LEAST:
        return []
    return [Paste(found, mask.astype(np.float16), background=True)]  # half precision: memory


def _body(session: Session, head: Paste, graft: Graft | None, share: float) -> list[Paste]:
    """So much of the new head's colours on the rest of the animal; nothing where a head alone is seen."""
    found = None
    if graft is not None:
        found = recoloured(session.need_photo().pixels, session.segmented(), session.box, head.patch, graft.head)
    if found is None:
        session.say("no body is seen beside the head: nothing is recoloured")
        return []
    patch, mask, at = found
    return [Paste(patch, np.float32(share) * mask, at=at)]
