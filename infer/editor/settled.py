"""The latent of an edit: it settles once for a photo and what it becomes, and all strengths share it."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from infer.editor.session import Session
from infer.editor.steps import ChangeClass, Ground, Step, changes, passed
from infer.editor.strengths import strongest, whole
from infer.edits.choices import Scale
from infer.photo import masks
from infer.projection import settling
from infer.projection.presets import DEFAULT_PRESET, get_preset
from models.base import Modulation
from models.digests import digest
from models.errors import PhotograftError

Pairs = Sequence[tuple[ChangeClass, Tensor]]


def settled_latent(
    session: Session,
    steps: Sequence[Step],
    areas: Sequence[Tensor],
    ground: Ground,
    settle: int | None,
    scale: Scale,
) -> tuple[Tensor, int]:
    """The latent for steps, and how many updates lead there. Only classes are settled: shape that comes from a
    reference is wanted.

    Args:
        session: with a projection; it keeps what has settled.
        steps, areas: resolved, see `infer.editor.regions.for_generator`.
        ground: what they stand on.
        settle: updates; None: the projection's preset's, where model and latent can be settled.
        scale: "photo": the latent settles for the steps' whole (`infer.editor.strengths.whole`), and goes as far there
            as the strongest of them; "mix": it settles for the mix that the strengths make, as recipes of before do.

    Raises:
        PhotograftError: updates for steps that change no class.
        UnsupportedEdit: a model or a latent that cannot settle.
    """
    samples = session.samples()
    pairs = [(step, area) for step, area in zip(steps, areas, strict=True) if isinstance(step, ChangeClass)]
    able = settling.settles(session.model) and samples.latent.ndim == 2 and session.sample is None
    if settle is None:
        settle = get_preset(session.settings.get("preset", DEFAULT_PRESET)).settling if able and pairs else 0
    if not settle:
        return samples.latent, 0
    if not pairs or samples.label is None:
        raise PhotograftError("only changes of classes are settled: settle 0 updates")
    if scale == "mix":
        return _settle(session, pairs, ground, settle), settle
    top = strongest(step for step, _ in pairs)
    if top == 0:
        return samples.latent, settle
    pairs = _whole(pairs)
    kept, key = session.settled(), (settle, *map(_key, pairs))
    # The latest is the last one, see `Session.settled`.
    kept[key] = kept.pop(key) if key in kept else _kept(session, pairs, ground, settle)
    return samples.latent.lerp(kept[key], top) if top < 1 else kept[key], settle


def known_latent(
    session: Session, steps: Sequence[Step], areas: Sequence[Tensor], known: Mapping[Hashable, Tensor]
) -> Tensor:
    """The latent for steps if it is known already where their whole settles (`settled_key`), else the projection's."""
    latent, top = session.samples().latent, strongest(step for step in steps if isinstance(step, ChangeClass))
    found = known.get(settled_key(steps, areas))
    return latent if found is None else latent.lerp(found, top)


def settled_key(steps: Sequence[Step], areas: Sequence[Tensor]) -> Hashable:
    """What the latent depends on to which the steps' whole settles; None where no class changes."""
    pairs = [(step, area) for step, area in zip(steps, areas, strict=True) if isinstance(step, ChangeClass)]
    return tuple(map(_key, _whole(pairs))) if strongest(step for step, _ in pairs) > 0 else None


def _whole(pairs: Pairs) -> list[tuple[ChangeClass, Tensor]]:
    return list(zip(whole([step for step, _ in pairs]), (area for _, area in pairs), strict=True))


def _key(pair: tuple[ChangeClass, Tensor]) -> tuple[Hashable, ...]:
    """What of a step its settling depends on."""
    step, area = pair
    digest = hashlib.sha256(area.contiguous().numpy().tobytes()).hexdigest()
    return step.to, step.strength, step.layers, tuple(area.shape), digest


def _kept(session: Session, pairs: Pairs, ground: Ground, settle: int) -> Tensor:
    """What settles, taken from the session's cache if it is there."""
    if session.cache is None:
        return _settle(session, pairs, ground, settle)
    samples, delta = session.samples(), session.delta
    given = [] if delta is None else [t for _, t in sorted(delta.tensors().items())]
    asked = {
        "start": digest([t for t in (samples.latent, samples.label, _outline(session), *given) if t is not None]),
        "dtype": session.settings.get("dtype"),
        "steps": [(session.model.class_index(step.to), *_key((step, area))[1:]) for step, area in pairs],
        "updates": settle,
    }
    return session.cache.settle(
        session.networks, asked, lambda: _settle(session, pairs, ground, settle), session.say_once
    )


def _outline(session: Session) -> Tensor:  # -> [s,s]
    """Of the animal in the photo's square."""
    return torch.from_numpy(masks.seen(session.segmented(), session.box, session.shape))


def _settle(session: Session, pairs: Pairs, ground: Ground, settle: int) -> Tensor:
    samples, model = session.samples(), session.model
    regions = [step.target(model, area) for step, area in pairs]
    assert samples.label is not None
    wanted = settling.SettlingTarget.of_edit(_outline(session), samples.label, regions, model.generator.num_classes)
    networks, generator = session.for_settling()
    ground = replace(ground, generator=generator)
    done = changes([step for step, _ in pairs], [area for _, area in pairs], ground)

    def mix(latent: Tensor) -> Sequence[Modulation]:
        return passed(done, ground, replace(samples, latent=latent)).modulations

    show = settling.shown(generator, samples.latent, mix)
    return settling.settle(networks, samples.latent, wanted, show, steps=settle)
