"""How near reconstructions of validation photos are to the photos, judged by what no training here optimised.

The judge is SqueezeNet (`models.perception.judges.SqueezeNetFeatures`, 512 per picture): 1 - cosine between the
features of a photo and of its reconstruction, and the Fréchet distance between those of all reconstructions and of all
photos. Beside it stand the pixels, and the loss of projection, which encoders and projection are made to lower.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data import images_to_float
from data.loaders import PictureStore
from data.splits import open_splits
from infer.evaluate.cache import ResultCache, Results
from infer.evaluate.curves import PIXEL_WEIGHT, Photos, evenly, validation_photos
from infer.evaluate.distances import Lpips, ms_ssim
from infer.evaluate.judging import judge_features
from infer.progress import Progress, untold
from infer.projection.model import check_projects, chosen_options, project_pictures
from infer.projection.options import ProjectionOptions
from infer.projection.search import Projection
from models.base import StyleGenerator
from models.digests import digest, digests
from models.errors import PhotograftError
from models.losses import feature_distance, pixel_distance, psi
from models.perception.efficientnet import EfficientNetLite0, has_efficientnet
from models.perception.judges import SqueezeNetFeatures, frechet, to_uint8
from models.prepared import Networks, prepare
from models.zoo import Model

FORMAT = 1  # of kept pictures
BATCH = 32
TOGETHER = 8  # photos that are projected at once: faster, and measures do not look at single roundings
SHOWN = 12  # photos in the contact sheet
MEAN_CODE, OTHER_PHOTO = "mean code, z = 0", "another photo of the class"


@dataclass(frozen=True)
class Answer:
    """One way to answer N photos with pictures, and how near these are. All tensors are float32 [N] but `shown`.

    Attributes:
        name: of the encoder, of the preset, or of the reference.
        steps: updates of projection from the encoder; None for presets and references.
        judge: 1 - cosine of SqueezeNet features, in [0,1]; second: of EfficientNet-Lite0's, None if not installed.
        frechet: between SqueezeNet features of all the pictures and of all the photos.
        pixel: mean squared difference, in [0,4] (pictures in [-1,1]).
        feature: 1 - Psi . Psi, in [0,2]: optimised by projection and by the training of encoders.
        norm: of z; None for pictures that have none.
        shown: uint8 [n,3,R,R], the pictures of the contact sheet.
        ssim: MS-SSIM, 1 for the same picture; NaN for pictures too small for it.
        lpips: None if it was not asked for.
    """

    name: str
    steps: int | None
    judge: Tensor
    second: Tensor | None
    frechet: float
    pixel: Tensor
    feature: Tensor
    norm: Tensor | None
    shown: Tensor
    ssim: Tensor
    lpips: Tensor | None

    @property
    def psnr(self) -> Tensor:
        """Decibels [N], of pictures with a range of 2."""
        return 10 * torch.log10(4 / self.pixel)

    @property
    def total(self) -> Tensor:
        """The loss of projection [N]."""
        return self.feature + PIXEL_WEIGHT * self.pixel


@dataclass(frozen=True)
class Reconstruction:
    """What `evaluate_reconstruction` found.

    Attributes:
        answers: every encoder with every number of updates, then the references.
        photos: uint8 [n,3,R,R], those of the contact sheet.
        count: N.
        seed: of the choice of other photos.
        hashes: file name -> sha256 of the models' weights.
    """

    answers: list[Answer]
    photos: Tensor
    count: int
    seed: int
    hashes: dict[str, str]


def classmates(root: Path, model: Model, label: Tensor, seed: int) -> Tensor:  # [N] -> [N,3,R,R]
    """A random training photo of each class: none of the validation photos is its own classmate.

    Raises:
        PhotograftError: a class without training photos.
    """
    train, _ = open_splits(root)
    random, labels = np.random.default_rng(seed), np.asarray(train.labels)
    numbers = []
    for k in label.tolist():
        members = np.flatnonzero(labels == k)
        if len(members) == 0:
            raise PhotograftError(f"{root} has no training pictures of {model.class_names[k]!r} to compare with")
        numbers.append(int(random.choice(members)))
    store = PictureStore(train, resolution=model.generator.resolution, crop="center", in_memory=False)
    return images_to_float(store.many(np.array(numbers, np.int64))[0])


def find_codes(
    networks: Networks,
    photos: Photos,
    steps: int,
    advance: Callable[[int], None],
    kept: ResultCache | None = None,
) -> Tensor:
    """z [N,latent_dim] as the editor finds it for photos whose class is known; of style generators in z too, which goes
    with any class.

    Args:
        networks: of a model with an encoder and a discriminator.
        photos: with labels.
        steps: updates of projection; 0 is E's answer.
        advance: told of every group of photos that is done, by their number.
        kept: where codes are kept as they are found; it knows what else they depend on.
    """
    assert photos.label is not None
    model = networks.model
    space: Literal["z"] | None = "z" if isinstance(model.generator, StyleGenerator) else None
    options = ProjectionOptions(steps=steps, space=space)
    parts = torch.arange(len(photos)).split(BATCH)

    def project(rows: Tensor) -> Results:
        names = [model.class_names[k] for k in photos.label[rows].tolist()]  # type: ignore[index]
        found = project_pictures(networks, photos.target[rows], names, options=options, batch_size=TOGETHER)
        return {"z": torch.cat([row.latent for row in found])}

    asked = [
        (partial(project, rows), {"steps": steps, "photos": digest([photos.target[rows], photos.label[rows]])})
        for rows in parts
    ]
    # E's answers are quicker found than kept
    answers = kept.each(asked) if kept and steps else (compute() for compute, _ in asked)
    found = []
    for rows, answer in zip(parts, answers, strict=True):
        found.append(answer["z"])
        advance(len(rows))
    return torch.cat(found)


class Judge:
    """Compares pictures with photos, whose features are computed once.

    Args:
        networks: their Psi is projection's, the generator makes pictures of codes.
        photos: N, with labels.
        lpips: that is measured too.
    """

    def __init__(self, networks: Networks, photos: Photos, lpips: Lpips | None = None) -> None:
        self.networks, self.photos, self.lpips = networks, photos, lpips
        self.shown = torch.from_numpy(evenly(len(photos), SHOWN))
        self.network = prepare(SqueezeNetFeatures(), channels_last=networks.channels_last, device=networks.device)
        self.second = prepare(EfficientNetLite0(), device=networks.device) if has_efficientnet() else None
        self.features, self.psi = self._features(self.network, photos.target), self._psi(photos.target)
        self.others = None if self.second is None else self._features(self.second, photos.target)

    def _features(self, network: nn.Module, images: Tensor) -> Tensor:  # [N,3,R,R] -> [N,D]
        return judge_features(network, to_uint8(images), untold, "")

    def _second(self, images: Tensor) -> Tensor | None:  # [N,3,R,R] -> [N]
        if self.second is None or self.others is None:
            return None
        return 1 - F.cosine_similarity(self._features(self.second, images), self.others)

    @torch.no_grad()
    def _psi(self, images: Tensor) -> Tensor:  # [N,3,R,R] -> [N,D]
        network = self.networks.float32.psi
        parts = (part.to(self.networks.device) for part in images.split(BATCH))
        return torch.cat([psi(network.features(part).float()).cpu() for part in parts])

    @torch.no_grad()
    def of_codes(self, name: str, steps: int | None, z: Tensor) -> Answer:
        """The pictures of codes [N,latent_dim] under the photos' classes."""
        label = self.photos.label
        assert label is not None
        parts = zip(z.split(BATCH), label.split(BATCH), strict=True)
        images = torch.cat([self.networks.float32.generator(code, k).cpu() for code, k in parts])
        return replace(self.of_pictures(name, images), steps=steps, norm=torch.linalg.vector_norm(z, dim=1))

    def of_pictures(self, name: str, images: Tensor) -> Answer:
        """Pictures [N,3,R,R] in [-1,1], one for each photo."""
        features, target = self._features(self.network, images), self.photos.target
        return Answer(
            name=name,
            steps=None,
            judge=1 - F.cosine_similarity(features, self.features),
            second=self._second(images),
            frechet=frechet(features, self.features),
            pixel=pixel_distance(images, target),
            feature=feature_distance(self._psi(images), self.psi),
            norm=None,
            shown=to_uint8(images[self.shown]),
            ssim=ms_ssim(images, target),
            lpips=None if self.lpips is None else self.lpips(images, target),
        )


def preset_pictures(
    networks: Networks, photos: Photos, preset: str, advance: Callable[[int], None], kept: ResultCache | None = None
) -> Tensor:  # -> [N,3,R,R]
    """What a preset makes of photos whose class is known, tuned weights included, as the editor shows it.

    Args:
        networks: of a model that projects.
        photos: with labels.
        preset: its name.
        advance: told of every photo that is done.
        kept: where pictures are kept as they are made; it knows what else they depend on.
    """
    assert photos.label is not None
    names = [networks.model.class_names[k] for k in photos.label.tolist()]

    @torch.no_grad()
    def show(found: Projection) -> Results:
        generator = found.deltas[0].applied(networks.exact) if found.deltas else networks.exact
        return {"image": generator(found.latent, found.label).float().cpu()}

    def project(row: int) -> Results:
        (found,) = project_pictures(networks, photos.target[row : row + 1], names[row], preset=preset)
        return show(found)

    chosen = asdict(chosen_options(networks.model, preset))
    kept, images = kept or ResultCache(None), []
    for row in range(len(photos)):
        settings = {"options": chosen, "photos": digest([photos.target[row], photos.label[row]])}
        images.append(kept(partial(project, row), **settings)["image"])
        advance(1)
    return torch.cat(images)


def evaluate_reconstruction(
    models: Mapping[str, Networks],
    root: Path,
    *,
    photos: int = 500,
    steps: Sequence[int] = (0, 20),
    presets: Sequence[str] = (),
    lpips: Lpips | None = None,
    folder: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Reconstruction:
    """Reconstruct validation photos with encoders and compare.

    Args:
        models: name of an encoder -> networks of the class-conditional model with it; they differ in nothing else.
        root: the model's data: class folders or tar shards.
        photos: so many, evenly spaced over the validation split; all if there are fewer.
        steps: numbers of updates of projection; 0 is E's answer as it is.
        presets: whose results are measured too, with the first encoder.
        lpips: measured too.
        folder: where the presets' pictures are kept as they are made; None: nowhere.
        seed: of the choice of other photos of the same class.
        progress: told of progress, in updates of single photos (an answer of E counts as one).

    Raises:
        PhotograftError: networks that are missing, an unconditional model, data of other classes.
    """
    networks = next(iter(models.values()))
    model = networks.model
    check_projects(model)
    for name, each in models.items():
        if each.model.encoder is None:
            raise PhotograftError(f"model {name} has no encoder beside its generator: give --encoder FILE")
    if not model.class_names:
        raise PhotograftError(f"model {model.name} is unconditional: reconstructions are measured class by class")
    chosen = validation_photos(root, networks, photos, seed, encode=False)
    assert chosen.label is not None
    others = classmates(root, model, chosen.label, seed)
    judge, answers, done = Judge(networks, chosen, lpips), [], 0
    work = {preset: _work(chosen_options(model, preset)) for preset in presets}
    total = len(chosen) * (len(models) * sum(max(t, 1) for t in steps) + sum(work.values()))

    def told(what: str, each: int) -> Callable[[int], None]:
        def advance(n: int) -> None:
            nonlocal done
            done += n * each
            if progress is not None:
                progress(what, done, total)

        return advance

    for name, each in models.items():
        for t in steps:
            codes = find_codes(each, chosen, t, told(f"{name}, {t} updates", max(t, 1)))
            answers.append(judge.of_codes(name, t, codes))
    kept = ResultCache(folder, format=FORMAT, bf16=networks.dtype == torch.bfloat16, **digests(model))
    for preset, each_photo in work.items():
        images = preset_pictures(networks, chosen, preset, told(f"preset {preset}", each_photo), kept)
        answers.append(judge.of_pictures(preset, images))
    answers.append(judge.of_codes(MEAN_CODE, None, torch.zeros(len(chosen), model.generator.latent_dim)))
    answers.append(judge.of_pictures(OTHER_PHOTO, others))
    hashes = {file: value for each in models.values() for file, value in each.model.hashes.items()}
    return Reconstruction(answers, to_uint8(chosen.target[judge.shown]), len(chosen), seed, hashes)


def _work(options: ProjectionOptions) -> int:
    """Of a photo, in updates."""
    return max((options.steps or 0) * (1 + (options.restarts or 0)) + int(options.tuning or 0), 1)
