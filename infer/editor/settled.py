"""The latent of an edit: it settles once for a photo and what it becomes, and all strengths share it."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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


@dataclass(frozen=True)
class Asked:
    """An edit of a photo: resolved steps, areas (see `infer.editor.regions.for_generator`), what they stand on."""

    session: Session
    steps: Sequence[Step]
    areas: Sequence[Tensor]
    ground: Ground

    @property
    def pairs(self) -> Pairs:
        """The changes of classes with their areas."""
        pairs = zip(self.steps, self.areas, strict=True)
        return [(step, area) for step, area in pairs if isinstance(step, ChangeClass)]

    def updates(self, settle: int | None) -> int:
        """How many lead to its latent; None: the projection's preset's, where model and latent can be settled."""
        session = self.session
        if settle is not None:
            return settle
        able = settling.settles(session.model) and session.samples().latent.ndim == 2 and session.sample is None
        preset = session.settings.get("preset", DEFAULT_PRESET)
        return get_preset(preset).settling if able and self.pairs else 0


def settled_latent(asked: Asked, settle: int | None, scale: Scale) -> tuple[Tensor, int]:
    """The latent for an edit, and how many updates lead there. Only classes are settled: shape that comes from a
    reference is wanted.

    Args:
        asked: of a session with a projection; it keeps what has settled.
        settle: see `Asked.updates`.
        scale: "photo": the latent settles for the steps' whole (`infer.editor.strengths.whole`), and goes as far there
            as the strongest of them; "mix": it settles for the mix that the strengths make, as recipes of before do.

    Raises:
        PhotograftError: updates for steps that change no class.
        UnsupportedEdit: a model or a latent that cannot settle.
    """
    session, pairs = asked.session, asked.pairs
    samples, settle = session.samples(), asked.updates(settle)
    if not settle:
        return samples.latent, 0
    if not pairs or samples.label is None:
        raise PhotograftError("only changes of classes are settled: settle 0 updates")
    if scale == "mix":
        return _settle([_Settling.of(asked, pairs)], settle), settle
    top = strongest(step for step, _ in pairs)
    if top == 0:
        return samples.latent, settle
    kept, key = session.settled(), _kept_key(pairs, settle)
    # The latest is the last one, see `Session.settled`.
    kept[key] = kept.pop(key) if key in kept else _kept([_Settling.of(asked, _whole(pairs))], settle)
    return samples.latent.lerp(kept[key], top) if top < 1 else kept[key], settle


def settle_together(edits: Sequence[Asked], settle: int | None) -> None:
    """Settle the latents of edits of different photos, and keep each in its session, where `settled_latent` finds it.

    Those of one shape are one batch: that is faster, and a latent's rounding then depends on the others. Edits that do
    not settle, and those of photos with a generator of their own, are left to `settled_latent`.
    """
    alike: dict[Any, list[tuple[_Settling, Hashable]]] = defaultdict(list)
    for asked in edits:
        pairs, updates = asked.pairs, asked.updates(settle)
        plain = asked.session.delta is None and asked.session.samples().label is not None
        if updates and pairs and plain and strongest(step for step, _ in pairs) > 0:
            one = _Settling.of(asked, _whole(pairs))
            alike[updates, one.shapes()].append((one, _kept_key(pairs, updates)))
    for (updates, _), batch in alike.items():
        latents = _kept([one for one, _ in batch], updates)
        for (one, key), latent in zip(batch, latents.split(1), strict=True):
            one.session.settled()[key] = latent.clone()


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


def _kept_key(pairs: Pairs, settle: int) -> Hashable:
    return settle, *map(_key, _whole(pairs))


@dataclass(frozen=True)
class _Settling:
    """One photo's part of a batch that settles."""

    session: Session
    pairs: Pairs
    ground: Ground

    @classmethod
    def of(cls, asked: Asked, pairs: Pairs) -> "_Settling":
        return cls(asked.session, pairs, replace(asked.ground, generator=asked.session.for_settling()[1]))

    @property
    def start(self) -> Tensor:  # [1,latent_dim]
        return self.session.samples().latent

    def outline(self) -> Tensor:  # -> [s,s]
        """Of the animal in the photo's square."""
        session = self.session
        return torch.from_numpy(masks.seen(session.segmented(), session.box, session.shape))

    def wanted(self) -> settling.SettlingTarget:
        model, label = self.session.model, self.session.samples().label
        assert label is not None
        regions = [step.target(model, area) for step, area in self.pairs]
        return settling.SettlingTarget.of_edit(self.outline(), label, regions, model.generator.num_classes)

    def mix(self, latent: Tensor) -> Sequence[Modulation]:  # [1,latent_dim]
        done = changes([step for step, _ in self.pairs], [area for _, area in self.pairs], self.ground)
        samples = replace(self.session.samples(), latent=latent)
        return passed(done, self.ground, samples).modulations

    @torch.no_grad()
    def shapes(self) -> Hashable:
        """What must be the same in a batch."""
        mixed = [(modulation.scale.shape, modulation.shift is None) for modulation in self.mix(self.start)]
        return tuple(mixed), self.outline().shape, self.session.settings.get("dtype")

    def asked(self, settle: int) -> dict[str, Any]:
        """What its latent depends on, for the cache."""
        session, samples = self.session, self.session.samples()
        given = [] if session.delta is None else [t for _, t in sorted(session.delta.tensors().items())]
        steps = [(session.model.class_index(step.to), *_key((step, area))[1:]) for step, area in self.pairs]
        return {
            "start": digest([t for t in (samples.latent, samples.label, self.outline(), *given) if t is not None]),
            "dtype": session.settings.get("dtype"),
            "steps": steps,
            "updates": settle,
        }


def _kept(batch: Sequence[_Settling], settle: int) -> Tensor:  # -> [N,latent_dim]
    """What settles, taken from the session's cache if it is there."""
    session = batch[0].session
    if session.cache is None:
        return _settle(batch, settle)
    asked = [one.asked(settle) for one in batch]
    return session.cache.settle(session.networks, asked, lambda: _settle(batch, settle), session.say_once)


def _settle(batch: Sequence[_Settling], settle: int) -> Tensor:  # -> [N,latent_dim]
    networks, generator = batch[0].session.for_settling()
    latent, wanted = torch.cat([one.start for one in batch]), [one.wanted() for one in batch]

    def mix(z: Tensor) -> Sequence[Modulation]:
        mixed = [one.mix(row) for one, row in zip(batch, z.split(1), strict=True)]
        return mixed[0] if len(mixed) == 1 else [Modulation.cat(layer) for layer in zip(*mixed, strict=True)]

    target = settling.SettlingTarget(torch.cat([w.outline for w in wanted]), torch.cat([w.classes for w in wanted]))
    return settling.settle(networks, latent, target, settling.shown(generator, latent, mix), steps=settle)
