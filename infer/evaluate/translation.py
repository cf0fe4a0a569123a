"""How well photos are translated into other classes: the paper's Table 2, and what it does not ask.

A photo's code, from E alone or after projection, is given another class; after projection each translation is settled
(see `infer.projection.settling`), as edits are. Three questions: is it the class (a probe on
SqueezeNet features, fitted to real pictures; top-5 error as in Table 2), is it still the photo (does the animal stay
where it was, by segmentation), does it look real (Fréchet distance to real pictures). No training looked through
SqueezeNet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from infer.evaluate.cache import ResultCache, Results
from infer.evaluate.choices import REAL, SETTLING
from infer.evaluate.curves import Photos, evenly, validation_photos
from infer.evaluate.generator import INDEPENDENT
from infer.evaluate.judging import Probe, judge_features, real_pictures, share
from infer.evaluate.reconstruction import BATCH, find_codes
from infer.progress import Progress, untold
from infer.projection.model import check_projects
from infer.projection.settling import CLASS_WEIGHT, ENOUGH, SHAPE_WEIGHT, SettlingTarget, settle, settles
from models.digests import digest, digests
from models.errors import PhotograftError
from models.perception.judges import JUDGES, frechet, to_uint8
from models.perception.outline import OUTLINE, segment
from models.perception.segmentation import Segmenter, create_segmenter
from models.prepared import Networks, prepare
from models.zoo import Model

Show = Callable[[Tensor], Tensor]
"""Pictures [n,3,R,R] of latents [n,D]."""

SHEET_PHOTOS, SHEET_TARGETS = 16, 5
SETTLED = 32  # translations that are settled at once
FORMAT = 2  # of kept latents


@dataclass(frozen=True)
class Pair:
    """From photos of one group to classes of another (or the same).

    Attributes:
        source, target: groups' names.
        photos: number of photos, one target class each.
        error: share of translations whose class is not among the probe's first five.
        real: the same of real validation pictures of the target group: what a perfect translation would have.
        unchanged: the same if the photo is left as it is.
    """

    source: str
    target: str
    photos: int
    error: float
    real: float
    unchanged: float


@dataclass(frozen=True)
class Sheet:
    """Photos that nobody picked, uint8 [n,3,R,R]; reconstructions alike; translations [n,T,3,R,R], targets [n,T]."""

    photos: Tensor
    reconstructions: Tensor
    translations: Tensor
    targets: Tensor


@dataclass(frozen=True)
class TranslationResult:
    """Translations of codes after a number of updates of projection (0: E alone).

    Attributes:
        steps, settling: updates of projection, and of each translation's latent after it.
        pairs: every group's photos into the groups asked for.
        frechet: of translations into classes drawn as in training, to the real pictures.
        reconstruction: the same of reconstructions of the photos, to the photos.
        overlap: [M] IoU of the animal in a photo and in a translation; NaN where neither shows one.
        sheet: some of the pictures.
    """

    steps: int
    settling: int
    pairs: list[Pair]
    frechet: float
    reconstruction: float
    overlap: Tensor
    sheet: Sheet


@dataclass(frozen=True)
class TranslationReport:
    """What `evaluate_translation` found: a `TranslationResult` per number of updates.

    Attributes:
        found: in the order of steps.
        photos: number of validation photos.
        translations, real: numbers of pictures behind a Fréchet distance.
        floor: the distance of as many real pictures as there are translations, at most half of them, to the others.
        seed: of the targets and the choice of real pictures.
    """

    found: list[TranslationResult]
    photos: int
    translations: int
    real: int
    floor: float
    seed: int


def draw_targets(model: Model, label: Tensor, per_photo: int, seed: int) -> Tensor:  # [N] -> [N,per_photo]
    """Other classes than the photos' own, drawn as training draws them."""
    random = torch.Generator().manual_seed(seed)
    shares = torch.tensor(model.distribution).repeat(len(label), 1)
    shares[torch.arange(len(label)), label] = 0
    return torch.multinomial(shares, per_photo, replacement=True, generator=random)


def draw_in_group(groups: Tensor, label: Tensor, group: int, seed: int) -> Tensor:  # [N] -> [N]
    """A class of a group for every photo, any but its own, all as likely; -1 where there is no other."""
    random = np.random.default_rng([seed, group])
    members = (groups == group).nonzero()[:, 0]
    targets = []
    for own in label.tolist():
        others = members[members != own]
        targets.append(int(others[random.integers(len(others))]) if len(others) else -1)
    return torch.tensor(targets)


def overlap(segment: Segmenter, first: Tensor, second: Tensor) -> float:
    """IoU of the animal in two pictures uint8 [3,R,R]; NaN if neither shows one."""
    a, b = (segment(np.ascontiguousarray(x.permute(1, 2, 0).numpy())) > 0.5 for x in (first, second))
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else float("nan")


class References:
    """What pictures of one set of data are judged by: real pictures' features, the probe, and how often it is right.

    Args:
        networks: of a model of these classes; the judge is where they are.
        root: its data.
        n: real pictures, drawn as in training.
        seed: of the draw.
        progress: told of progress.

    Attributes:
        real: SqueezeNet features [n,512].
        ceiling: group -> top-5 error of its real validation pictures.
    """

    def __init__(self, networks: Networks, root: Path, n: int, seed: int, progress: Progress) -> None:
        model, self.device = networks.model, networks.device
        self.judge = prepare(JUDGES[INDEPENDENT](), channels_last=networks.channels_last, device=networks.device)
        self.progress, groups = progress, torch.tensor(model.groups)
        real, real_label, val, val_label = real_pictures(root, model, n, seed)
        self.real = self.features(real, "real pictures")
        self.probe = Probe(self.real, real_label, len(groups))
        right = self.probe.names_in_top5(self.features(val, "validation pictures"), val_label)
        self.ceiling = {g: 1 - share(right[groups[val_label] == g]) for g in groups.unique().tolist()}

    def features(self, images: Tensor, what: str) -> Tensor:  # uint8 [N,3,R,R] -> [N,512]
        """SqueezeNet features."""
        return judge_features(self.judge, images, self.progress, f"judging {what}")


class Translator:
    """A model's photos, ready to be translated and judged.

    Args:
        networks: whose generator translates, and settles in their form.
        photos: N, with labels.
        references: of the model's data.
        per_photo: translations per photo behind the Fréchet distance.
        seed: of target classes.
        outline: [N,h,w], where the animal is in the photos, for settling; None: nothing is settled.
        kept: where settled latents are kept as they are done; None: nowhere.
        into: names of the groups into which pairs are formed; empty: all.

    Raises:
        PhotograftError: a group that the model does not have.
    """

    def __init__(
        self,
        networks: Networks,
        photos: Photos,
        references: References,
        per_photo: int,
        seed: int,
        outline: Tensor | None = None,
        kept: ResultCache | None = None,
        into: Sequence[str] = (),
    ) -> None:
        assert photos.label is not None
        self.kept = kept or ResultCache(None)
        self.networks, model = networks, networks.model
        self.model, self.label, self.references, self.seed = model, photos.label, references, seed
        self.groups, self.per_photo, self.outline = torch.tensor(model.groups), per_photo, outline
        unknown = set(into) - set(model.group_names)
        if unknown:
            raise PhotograftError(f"no group {sorted(unknown)}: choose among {', '.join(model.group_names)}")
        self.into = [k for k in self.groups.unique().tolist() if not into or model.group_names[k] in into]
        self.generator = networks.float32.generator
        self.pictures = to_uint8(photos.target)
        self.own = references.features(self.pictures, "photos")

    @torch.no_grad()
    def make(self, z: Tensor, label: Tensor) -> Tensor:  # [n,D], [n] -> uint8 [n,3,R,R]
        """Pictures of codes under classes."""
        parts = zip(z.split(BATCH), label.split(BATCH), strict=True)
        return torch.cat([to_uint8(self.generator(code, k)).cpu() for code, k in parts])

    def settled(self, z: Tensor, label: Tensor, rows: Tensor, steps: int, what: str) -> Tensor:  # [n,D] -> [n,D]
        """Codes z [n,D] of the photos rows [n], settled under classes [n] by so many updates."""
        if not steps:
            return z
        assert self.outline is not None
        wanted = SettlingTarget(self.outline[rows], F.one_hot(label, self.model.generator.num_classes).float())

        def compute(part: slice) -> Results:
            def show(latent: Tensor) -> Tensor:
                image: Tensor = self.networks.generator(latent, label[part])
                return image

            some = SettlingTarget(wanted.outline[part], wanted.classes[part])
            return {"z": settle(self.networks, z[part], some, show, steps=steps)}

        cut = [slice(i, i + SETTLED) for i in range(0, len(z), SETTLED)]
        starts = [digest([z[part], wanted.classes[part], wanted.outline[part]]) for part in cut]
        asked = [
            (partial(compute, part), {"settling": steps, "start": start})
            for part, start in zip(cut, starts, strict=True)
        ]
        parts: list[Tensor] = []
        for found in self.kept.each(asked):
            parts.append(found["z"])
            self.references.progress(f"settling {what}", sum(map(len, parts)), len(z))
        return torch.cat(parts)

    def pairs(self, z: Tensor, settling: int) -> list[Pair]:
        """Every group's photos into the groups asked for."""
        names, found = self.model.group_names, []
        for target in self.into:
            wanted = draw_in_group(self.groups, self.label, target, self.seed)
            for source in self.groups.unique().tolist():
                rows = ((self.groups[self.label] == source) & (wanted >= 0)).nonzero()[:, 0]
                if len(rows) == 0:
                    continue
                what = f"{names[source]} → {names[target]}"
                codes = self.settled(z[rows], wanted[rows], rows, settling, what)
                made = self.references.features(self.make(codes, wanted[rows]), what)
                error, unchanged = (
                    1 - share(self.references.probe.names_in_top5(x, wanted[rows])) for x in (made, self.own[rows])
                )
                pair = Pair(names[source], names[target], len(rows), error, self.references.ceiling[target], unchanged)
                found.append(pair)
        return found

    def found(self, steps: int, z: Tensor, masks: int, segmenter: Segmenter, settling: int = 0) -> TranslationResult:
        """Everything that is asked of codes z [N,D] of the photos."""
        targets = draw_targets(self.model, self.label, max(self.per_photo, SHEET_TARGETS), self.seed)  # [N,T]
        drawn = targets[:, : self.per_photo]
        rows = torch.arange(len(z)).repeat_interleave(self.per_photo)
        codes = self.settled(z[rows], drawn.flatten(), rows, settling, "translations")
        made = self.make(codes, drawn.flatten())  # [N*T,3,R,R]
        features = self.references.features(made, "translations")
        rebuilt = self.make(z, self.label)
        first = made[:: self.per_photo]
        overlaps = []
        for done, i in enumerate(evenly(len(z), masks).tolist(), start=1):
            overlaps.append(overlap(segmenter, self.pictures[i], first[i]))
            self.references.progress("segmenting", done, min(masks, len(z)))
        return TranslationResult(
            steps=steps,
            settling=settling,
            pairs=self.pairs(z, settling),
            frechet=frechet(features, self.references.real),
            reconstruction=frechet(self.references.features(rebuilt, "reconstructions"), self.own),
            overlap=torch.tensor(overlaps),
            sheet=self.sheet(z, rebuilt, targets, settling),
        )

    def sheet(self, z: Tensor, rebuilt: Tensor, targets: Tensor, settling: int) -> Sheet:
        """Evenly spaced photos with their first targets."""
        rows = torch.from_numpy(evenly(len(z), SHEET_PHOTOS))
        wanted = targets[rows, :SHEET_TARGETS]  # [n,T]
        each = rows.repeat_interleave(SHEET_TARGETS)
        made = self.make(self.settled(z[each], wanted.flatten(), each, settling, "the sheet"), wanted.flatten())
        return Sheet(self.pictures[rows], rebuilt[rows], made.unflatten(0, (-1, SHEET_TARGETS)), wanted)


def evaluate_translation(
    networks: Networks,
    root: Path,
    *,
    photos: int = 500,
    steps: Sequence[int] = (0, 30),
    translations: int = 4000,
    real: int = REAL,
    masks: int = 100,
    settling: int = SETTLING,
    seed: int = 1,
    into: Sequence[str] = (),
    folder: Path | None = None,
    progress: Progress | None = None,
) -> TranslationReport:
    """Translate validation photos of known class into other classes and judge the pictures.

    Args:
        networks: of a class-conditional model with what projection needs; latents are searched and settle in their
            form, pictures are made and judged in float32.
        root: its data: class folders or tar shards.
        photos: so many, evenly spaced over the validation split; all if there are fewer.
        steps: numbers of updates of projection; 0 is E's answer as it is.
        translations: behind a Fréchet distance; with few, distances are too large.
        real: real pictures: what distances are to, and what the probe is fitted to. Some thousands.
        masks: translations whose animal is segmented.
        settling: updates of each translation's latent after projection, if the model can; none after E alone.
        seed: of the target classes and of the choice of real pictures.
        into: names of the groups into which class errors are measured; empty: all.
        folder: where latents are kept as they are found; None: nowhere.
        progress: told of progress.

    Raises:
        PhotograftError: networks that are missing, an unconditional model, data of other classes, an unknown group.
    """
    model, progress = networks.model, progress or untold
    check_projects(model)
    if not model.class_names:
        raise PhotograftError(f"model {model.name} is unconditional: it cannot translate into another class")
    if model.encoder is None and 0 in steps:
        raise PhotograftError(f"model {model.name} has no encoder: leave 0 out of --steps")
    chosen = validation_photos(root, networks, photos, seed, encode=False)
    per_photo = max(1, round(translations / len(chosen)))
    references = References(networks, root, real, seed, progress)
    segmenter, outline, bf16 = create_segmenter(device=networks.device), None, networks.dtype == torch.bfloat16
    if settling and any(steps) and settles(model):
        progress("segmenting photos", 0, len(chosen))
        outline = segment(segmenter, chosen.target, OUTLINE)
    weights = [SHAPE_WEIGHT, CLASS_WEIGHT, ENOUGH]
    kept = ResultCache(folder, format=FORMAT, bf16=bf16, weights=weights, **digests(model))
    translator = Translator(networks, chosen, references, per_photo, seed, outline, kept, into)
    found = []
    for t in steps:
        advance = _counter(progress, f"projecting, {t} updates", len(chosen))
        z = find_codes(networks, chosen, t, advance, kept)
        found.append(translator.found(t, z, masks, segmenter, settling if t and outline is not None else 0))
    drawn = per_photo * len(chosen)
    part = min(drawn, real // 2)
    floor = frechet(references.real[:part], references.real[part:])
    return TranslationReport(found, len(chosen), drawn, real, floor, seed)


def _counter(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        progress(what, done, total)

    return advance
