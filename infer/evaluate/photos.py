"""Whole photos edited as a user edits them, and measured: place, class, colours, leftovers, sharpness, seam, outline.

Classes are judged by the probe on SqueezeNet features, which no training looked through; whether an edit can be told
from a photo, by a fresh classifier on the same features. `infer.evaluate.edit_measures` has what pictures alone tell.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.editor.editor import Editor
from infer.editor.points import pixels_hash
from infer.evaluate.cache import ResultCache, Results
from infer.evaluate.class_judge import ClassJudge, Verdict
from infer.evaluate.curves import evenly
from infer.evaluate.edit_measures import EditMeasures, Picture, Place, measure_edit, place_of, training_crop, windows
from infer.evaluate.known_photos import KnownPhoto
from infer.photo.box import Box, crop_square
from infer.photo.choices import DEFAULT_FINISH, DEFAULT_METHOD, Finish, Method
from infer.photo.location import locate
from infer.photo.photo import Photo
from infer.progress import Progress, untold
from infer.projection.options import ProjectionOptions
from infer.projection.presets import DEFAULT_PRESET, get_preset
from infer.projection.search import Projection
from models.base import StyleGenerator
from models.digests import code_digest, digest, digests
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels
from models.perception.segmentation import Segmenter, create_segmenter
from models.prepared import Networks
from models.zoo import Model

FORMAT = 2  # of kept edits
UNFOUND = "centre"  # how a place was found that was not
SHOWN = 256  # px, of pictures on the sheet
_PROJECTING = ("infer/projection", "models")  # what a projection goes through
_EDITING = ("infer/edits", "infer/photo", "infer/projection", "infer/editor", "models")  # and an edit


@dataclass(frozen=True)
class Wanted:
    """What is done to photos.

    Attributes:
        to: classes that every photo is edited into; none: drawn, see `draw_targets`.
        per_photo: number of drawn ones.
        preset, method, finish: of projection, compositing and sharpening.
        seed: of targets and projection.
        known_places: edit the known heads instead of those that are found.
        places_only: find heads, and edit nothing.
    """

    to: tuple[str, ...] = ()
    per_photo: int = 1
    preset: str = DEFAULT_PRESET
    method: Method = DEFAULT_METHOD
    finish: Finish = DEFAULT_FINISH
    seed: int = 0
    known_places: bool = False
    places_only: bool = False


@dataclass(frozen=True)
class MadeEdit:
    """One edit of a photo: pictures and masks, as `measure_edit` takes them.

    Attributes:
        image: uint8 [R,R,3], what the generator made; patch: [S,S,3], the same as it was blended in.
        mask: float [S,S]; finished: uint8 [h,w,3], the square's part in the photo afterwards.
        source: the class that it was projected as, -1 if there is none.
    """

    image: Picture
    patch: Picture
    mask: NDArray[np.float32]
    finished: Picture
    source: int


@dataclass(frozen=True)
class EditResult:
    """An edit, measured.

    Attributes:
        target: class asked for; source: class that the photo was projected as.
        measures: what the pictures tell.
        crop, finished: the probe's verdict on what the generator made and on the square in the finished photo.
        features: [2,512], of the square before and after.
        shown: what the generator made, and the square in the finished photo.
    """

    target: str
    source: str
    measures: EditMeasures
    crop: Verdict | None
    finished: Verdict | None
    features: Tensor
    shown: tuple[Picture, Picture]


Keep = Callable[[KnownPhoto, EditResult, Picture, Picture], object]
"""Is handed an edit of a photo, and the whole photo before and after, uint8 [H,W,3]."""


@dataclass(frozen=True)
class PhotoResult:
    """A photo.

    Attributes:
        photo: what is known of it.
        box, how: where it is edited, and what found that; None where nothing was found and nothing is edited.
        place: beside the known head; None where that or the box is not known.
        edits: of it.
        pixels: small, with the place in `scale` of the photo.
    """

    photo: KnownPhoto
    box: Box | None
    how: str
    place: Place | None
    pixels: Picture
    scale: float
    edits: list[EditResult] = field(default_factory=list)


@dataclass(frozen=True)
class PhotosReport:
    """What `evaluate_photos` found; failed: photo -> what is wrong with it."""

    wanted: Wanted
    results: list[PhotoResult]
    failed: dict[str, str]


def draw_targets(model: Model, photos: Sequence[KnownPhoto], per_photo: int, seed: int) -> list[list[int]]:
    """Classes for every photo: groups take turns over the shuffled photos, classes of a group are all as likely.

    So the photo's own species and others occur as often as each other; a photo's own breed is left out if it is a class
    by that name.
    """
    random = np.random.default_rng(seed)
    groups = np.array(model.groups)
    kinds, order = np.unique(groups), random.permutation(len(photos))
    targets: list[list[int]] = [[] for _ in photos]
    turn = 0
    for number in order.tolist():
        own = (photos[number].breed or "").casefold()
        for _ in range(per_photo):
            members = np.flatnonzero(groups == kinds[turn % len(kinds)]).tolist()
            others = [k for k in members if model.class_names[k].casefold() != own and k not in targets[number]]
            targets[number].append(int(random.choice(others or members)))
            turn += 1
    return targets


def evaluate_photos(
    networks: Networks | None,
    photos: Sequence[KnownPhoto],
    wanted: Wanted,
    *,
    judge: ClassJudge | None = None,
    limit: int | None = None,
    folder: Path | None = None,
    keep: Keep | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> PhotosReport:
    """Edit photos and measure what comes of it.

    Args:
        networks: of a class-conditional model with what projection needs; None if only places are asked for.
        photos: see `infer.evaluate.known_photos.known_photos`.
        wanted: what is done to them.
        judge: of classes; without one there are no features.
        limit: so many of them at most, evenly spaced; their targets are the same as with all of them.
        folder: where edits are kept as they are made; None: nowhere.
        keep: is handed each edit when it is measured.
        device: of the segmenter where there are no networks.
        progress: told of progress.

    Raises:
        PhotograftError: an unknown class, an unconditional model, or no photo that could be measured.
    """
    progress = progress or untold
    rows = evenly(len(photos), min(limit or len(photos), len(photos))).tolist()
    targets: list[list[int]] = [[] for _ in photos]
    segmenter = create_segmenter(device=device if networks is None else networks.device)
    worker = None
    if networks is not None and not wanted.places_only:
        worker = _Worker(networks, wanted, segmenter, judge or ClassJudge(networks, None), folder, keep)
        targets = worker.targets(photos)
    results: list[PhotoResult] = []
    failed: dict[str, str] = {}
    what = "looking for heads" if worker is None else "editing photos"
    if worker is not None and folder is not None and torch.distributed.is_initialized():
        worker.share(photos, targets, rows)
    for done, i in enumerate(rows):
        progress(what, done, len(rows))
        try:
            known, photo = photos[i], photos[i].read()
            results.append(_placed(known, photo, segmenter) if worker is None else worker(known, photo, targets[i]))
        except PhotograftError as error:
            failed[photos[i].name] = str(error)
    progress(what, len(rows), len(rows))
    if not results:
        raise PhotograftError(
            f"none of {len(rows)} photos could be measured: {next(iter(failed.values()), 'no photo')}"
        )
    return PhotosReport(wanted, results, failed)


class _Worker:
    """Edits a photo and measures it.

    Args:
        networks, wanted, judge, folder, keep: see `evaluate_photos`.
        segmenter: that measures.

    Raises:
        PhotograftError: an unknown class, or a model without classes.
    """

    def __init__(
        self,
        networks: Networks,
        wanted: Wanted,
        segmenter: Segmenter,
        judge: ClassJudge,
        folder: Path | None,
        keep: Keep | None,
    ) -> None:
        model, self.keep = networks.model, keep
        if not model.class_names:
            raise PhotograftError(f"model {model.name} is unconditional: it cannot change a class")
        self.networks, self.wanted, self.segmenter, self.judge = networks, wanted, segmenter, judge
        self.asked = [model.class_index(name) for name in wanted.to]
        settings = {"format": FORMAT, "dtype": str(networks.dtype), "psi": networks.psi_name, **digests(model)}
        settings |= {"preset": wanted.preset, "seed": wanted.seed}
        self.kept = ResultCache(
            folder, code=code_digest(*_EDITING), method=wanted.method, finish=wanted.finish, **settings
        )
        plain = not get_preset(wanted.preset).tuning and not isinstance(model.generator, StyleGenerator)
        self.projected = ResultCache(folder if plain else None, code=code_digest(*_PROJECTING), **settings)

    def targets(self, photos: Sequence[KnownPhoto]) -> list[list[int]]:
        """Of all photos."""
        if self.asked:
            return [self.asked for _ in photos]
        return draw_targets(self.networks.model, photos, self.wanted.per_photo, self.wanted.seed)

    def share(self, photos: Sequence[KnownPhoto], targets: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """Edit a share of photos, for all processes that run the evaluation together to find in the folder."""
        for i in rows[torch.distributed.get_rank() :: torch.distributed.get_world_size()]:
            with contextlib.suppress(PhotograftError):  # which is told of later
                photo = photos[i].read()
                editor = self._opened(photos[i], photo)
                if editor is not None:
                    for target in targets[i]:
                        self._made(editor, photo, target)
        torch.distributed.barrier()

    def __call__(self, known: KnownPhoto, photo: Photo, targets: Sequence[int]) -> PhotoResult:
        """Everything about a photo. Raises PhotograftError for one that cannot be edited."""
        editor = self._opened(known, photo)
        if editor is None:
            return _result(known, photo, None, UNFOUND)  # a photo that could be read
        result = _result(known, photo, editor.placed, editor.located)
        seen = editor.need_photo()  # where its head is upright: that is what is measured
        old = self.segmenter(seen.pixels)
        for target in targets:
            made = self._made(editor, photo, target)
            result.edits.append(self._measured(known, seen, editor.box, made, target, old))
        return result

    def _opened(self, known: KnownPhoto, photo: Photo) -> Editor | None:
        """An editor with the photo's head; None where it is not found."""
        box = None
        if self.wanted.known_places:
            if not known.heads:
                raise PhotograftError(f"{known.name}: no head is known there: leave --places known out")
            box = Box(*map(round, training_crop(max(known.heads, key=lambda head: head[2] * head[3]))))
        try:
            return Editor(self.networks).set_photo(photo, box)
        except PhotograftError:
            if box is not None:
                raise
            return None

    def _made(self, editor: Editor, photo: Photo, target: int) -> MadeEdit:
        """The edit, kept or done now; the photo is projected when the first edit is done."""
        name = self.networks.model.class_names[target]

        def compute() -> Results:
            if editor.projection is None:
                self._project(editor)
            edit = editor.edit(name, method=self.wanted.method, finish=self.wanted.finish)
            in_photo, _ = windows(editor.box, editor.shape)
            finished = np.ascontiguousarray(editor.carried(edit.pixels)[in_photo])
            arrays = {"image": edit.image, "patch": edit.patch, "mask": edit.mask, "finished": finished}
            source = torch.tensor(-1 if editor.label is None else editor.label)
            return {key: torch.from_numpy(array) for key, array in arrays.items()} | {"source": source}

        settings = {"photo": pixels_hash(photo.pixels), "box": str(editor.placed), "how": editor.located, "to": name}
        if editor.upright is not None:
            settings["roll"] = f"{editor.upright.roll:g}"
        found = self.kept(compute, **settings)
        image, patch, mask, finished = (found[key].numpy() for key in ("image", "patch", "mask", "finished"))
        return MadeEdit(image, patch, mask, finished, int(found["source"]))

    def _project(self, editor: Editor) -> None:
        """Find the latent, or take the one that was kept: another way of compositing does not cost it again."""

        def compute() -> Results:
            editor.project(preset=self.wanted.preset, options=ProjectionOptions(seed=self.wanted.seed))
            found = editor.projection
            assert found is not None
            said = torch.frombuffer(bytearray(json.dumps([editor.label, editor.settings]).encode()), dtype=torch.uint8)
            labels = {} if found.label is None else {"label": found.label}
            return {"latent": found.latent, "loss": found.loss, "iterations": found.iterations, "said": said} | labels

        kept = self.projected(compute, crop=digest([editor.target()]))
        if editor.projection is None:
            empty = torch.zeros(0, 1)
            editor.projection = Projection(
                kept["latent"], kept.get("label"), kept["loss"], empty, empty, kept["iterations"]
            )
            editor.label, editor.settings = json.loads(bytes(kept["said"].tolist()))

    def _measured(
        self, known: KnownPhoto, photo: Photo, box: Box, made: MadeEdit, target: int, old: NDArray[np.float32]
    ) -> EditResult:
        pixels, finished = photo.pixels, photo.pixels.copy()
        finished[windows(box, pixels.shape)[0]] = made.finished
        measures = measure_edit(
            pixels,
            finished,
            box,
            made.mask,
            made.patch,
            old=old,
            new=self.segmenter(finished),
            made=self.segmenter(made.patch),
        )
        names, resolution = self.networks.model.class_names, self.networks.model.generator.resolution
        squares = [crop_square(picture, box, box.square().w) for picture in (pixels, finished)]
        result = EditResult(
            target=names[target],
            source=names[made.source] if made.source >= 0 else "",
            measures=measures,
            crop=self.judge.verdict(made.image, target),
            finished=self.judge.verdict(crop_square(finished, box, resolution), target),
            features=torch.cat([self.judge.features(square) for square in squares]),
            shown=(_small(made.image)[0], _small(squares[1])[0]),
        )
        if self.keep is not None:
            self.keep(known, result, pixels, finished)
        return result


def _placed(known: KnownPhoto, photo: Photo, segmenter: Segmenter) -> PhotoResult:
    """Where a photo would be edited."""
    found = locate(photo.pixels, segmenter)
    return _result(known, photo, found.box, found.how if found.heads else UNFOUND)  # which is not edited


def _result(known: KnownPhoto, photo: Photo, box: Box | None, how: str) -> PhotoResult:
    place = place_of(box, known.heads) if known.heads and box is not None and how != UNFOUND else None
    return PhotoResult(known, box, how, place, *_small(photo.pixels))


def _small(pixels: Picture) -> tuple[Picture, float]:
    """At most `SHOWN` px on a side, and the scale of that."""
    scale = min(1.0, SHOWN / max(pixels.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return resize_pixels(pixels, height, width).copy(), scale
