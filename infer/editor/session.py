"""One picture, and all that is known of it so far: what an `Editor` changes, and recipes and results are made of."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infer.catalog.catalog import Catalog, names_path
from infer.editor.edit import Edit
from infer.editor.points import Point, Projected, Sample, pixels_hash, plain
from infer.photo import masks
from infer.photo.box import Box, crop_square
from infer.photo.grafting import background
from infer.photo.location import FoundHead
from infer.photo.photo import Photo
from infer.photo.registration import Registration, register
from infer.photo.turning import Upright
from infer.pictures.convert import to_pixels
from infer.projection.cache import ProjectionCache
from infer.projection.delta import Delta
from infer.projection.mixture import said_source, source_title
from infer.projection.options import UNSET
from infer.projection.presets import DEFAULT_PRESET
from infer.projection.search import Projection
from infer.projection.settling import settles
from models.base import Generator
from models.errors import PhotograftError
from models.layers.resampling import resize_pixels
from models.perception.outline import read_outline
from models.perception.segmentation import Segmenter, create_segmenter
from models.prepared import Networks
from models.samples import Samples
from models.terminal import Say
from models.zoo import DEFAULT, Model, load_model


@dataclass(frozen=True)
class CatalogFile:
    """A catalog, and the file that it was read from: its path and sha256."""

    path: Path
    sha256: str
    catalog: Catalog


class Session:
    """One picture with one model: where a photo's head is, what it was projected to, and what was done to it.

    Args:
        model: a generator with what belongs to it; or its networks where they are prepared already.
        segmenter: finds the animal: a name of `models.perception.segmentation.SEGMENTERS` or any function with the
            signature of `Segmenter`. It is called where a region is "auto" or heads are sought, and is shown large
            photos reduced to `masks.FINEST` px on the shorter side.
        say: is told in words what was found, for a person to read.
        device: "auto", "cpu", "cuda" or "mps": where all networks run; where networks are given, theirs counts.
        cache: where projections are kept between runs, such as `ProjectionCache.default()`; None: nowhere.

    Attributes:
        networks, model, cache: what was given.
        photo, placed, located: the photo, the square that is edited, and how it was found; after `set_photo`.
        upright: the window in which a rolled head is edited, see `infer.photo.turning`; None: the photo itself.
        box: the square in the window, or in the photo.
        confidence, heads: of the head that is edited, where the locator found it; all heads of the photo, the best
            first, where they were sought.
        sample: what is edited instead of a photo; its box is all of it.
        label, projection, settings: class and latent of the crop, and how they were found; after `project`. label is
            the class that there is most of where the projection has a mixture, None if the model is unconditional.
        edits: all edits of the picture so far.
        references: points that steps may name by their numbers, those of a recipe.
        catalog: whose parts steps name.
        inputs: files that were read, which no result may replace.
    """

    placed: Box
    located: str
    confidence: float | None
    heads: tuple[FoundHead, ...] = ()

    def __init__(
        self,
        model: Model | Networks,
        segmenter: Segmenter | str = "deeplab",
        say: Say | None = None,
        *,
        device: str = "auto",
        cache: ProjectionCache | None = None,
    ) -> None:
        self.networks = model if isinstance(model, Networks) else Networks.of(model, device)
        self.model = self.networks.model
        self.segmenter = segmenter
        self.say: Say = say or (lambda text: None)
        self.cache = cache
        self.photo: Photo | None = None
        self.upright: Upright | None = None
        self.sample: Sample | None = None
        self.label: int | None = None
        self.projection: Projection | None = None
        self.settings: dict[str, Any] = {}
        self.edits: list[Edit] = []
        self.references: tuple[Point, ...] = ()
        self.catalog: CatalogFile | None = None
        self.inputs: list[Path] = []
        self._known: dict[Any, tuple[Any, Point]] = {}  # references that were looked for, with what was asked
        self._preset, self._options = DEFAULT_PRESET, UNSET  # of the last projection
        self._window: Photo | None = None
        self._photo_mask: NDArray[np.float32] | None = None
        self._told: set[str] = set()
        self._settled: tuple[Projection, dict[Any, Tensor]] | None = None
        self._registration: tuple[Projection, Registration] | None = None
        self._reconstruction: tuple[Projection, NDArray[np.uint8]] | None = None
        self._own: tuple[Delta, Generator] | None = None
        self._own_fast: tuple[Delta, Generator] | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str = DEFAULT,
        segmenter: Segmenter | str = "deeplab",
        say: Say | None = None,
        *,
        device: str = "auto",
        cache: ProjectionCache | None = None,
    ) -> Self:
        """An editor with a model of the zoo, or of files (see `models.zoo.load_model`); the rest as of the class."""
        return cls(load_model(name), segmenter, say, device=device, cache=cache)

    def say_once(self, text: str, about: str | None = None) -> None:
        """Say something that does not change while the picture is the same; one text of all about the same."""
        about = text if about is None else about
        if about not in self._told:
            self._told.add(about)
            self.say(text)

    @property
    def box(self) -> Box:
        """See the class."""
        return self.placed if self.upright is None else self.upright.box

    @property
    def pixels(self) -> NDArray[np.uint8]:  # -> [H,W,3]
        """The photo's, its window's, or the sample's."""
        return self.reconstruction() if self.sample is not None else self.need_photo().pixels

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture that is edited: the photo, its window, or the sample."""
        side = self.model.generator.resolution
        if self.sample is not None:
            return side, side
        height, width = self.need_photo().pixels.shape[:2]
        return height, width

    def carried(self, values: NDArray[Any]) -> NDArray[Any]:  # [H,W,...] -> [h,w,...]
        """A mask of the photo, or its pixels, in the picture that is edited."""
        return values if self.upright is None else self.upright.carried(values)

    def put_back(self, pixels: NDArray[np.uint8], mask: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The photo [H,W,3] with what was edited in the picture [h,w,3], under a mask of the square [S,S]."""
        if self.upright is None or self.photo is None:
            return pixels
        return self.upright.put_back(self.photo.pixels, pixels, mask)

    def photo_mask(self) -> NDArray[np.float32]:
        """The segmenter's mask of the whole picture, float32 [H,W] in [0,1]."""
        return resize_pixels(self.segmented(), *self.shape)

    def segmented(self) -> NDArray[np.float32]:  # -> [h,w]
        """The same at the size that the segmenter is shown."""
        if self._photo_mask is None:
            pixels = self.pixels
            scale = min(1.0, masks.FINEST / min(pixels.shape[:2]))
            box = Box(*(round(v * scale) for v in (self.box.x, self.box.y, self.box.w, self.box.h)))
            self._photo_mask = self.segment(masks.shown(pixels), box)
        return self._photo_mask

    def segment(self, pixels: NDArray[np.uint8], box: Box | None) -> NDArray[np.float32]:
        """The animal in a picture [H,W,3]; GrabCut seeks it in the box, which the others do not need."""
        if not isinstance(self.segmenter, str):
            return self.segmenter(pixels)
        if self.segmenter == "grabcut":
            return create_segmenter("grabcut", box=None if box is None else (box.x, box.y, box.w, box.h))(pixels)
        return _network(self.segmenter, self.networks.device)(pixels)

    def need_photo(self) -> Photo:
        """The photo, or its window where a rolled head is upright. Raises PhotograftError before `set_photo`."""
        if self.photo is None:
            raise PhotograftError("no photo yet: call set_photo first")
        if self.upright is None:
            return self.photo
        if self._window is None:
            self._window = Photo(None, self.upright.carried(self.photo.pixels), "PNG", grey=self.photo.grey)
        return self._window

    def target(self) -> Tensor:  # -> [1,3,R,R]
        """The crop as the generator would make it, float32 in [-1,1]."""
        crop = crop_square(self.need_photo().pixels, self.box, self.model.generator.resolution)
        return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1

    def _need_projection(self) -> Projection:
        if self.projection is None:
            self.need_photo()
            raise PhotograftError("the photo is not projected yet: call project first")
        return self.projection

    @property
    def delta(self) -> Delta | None:
        """What the photo changes in the generator; None before `project`, and for nothing."""
        deltas = () if self.projection is None else self.projection.deltas
        return deltas[0] if deltas else None

    @property
    def generator(self) -> Generator:
        """The generator that makes the photo's pictures: the model's, or a copy with the photo's `delta`."""
        delta = self.delta
        if delta is None:
            return self.networks.exact
        if self._own is None or self._own[0] is not delta:
            self._own = (delta, delta.applied(self.networks.exact))
        return self._own[1]

    def for_settling(self) -> tuple[Networks, Generator]:
        """The networks that look, and the generator that makes pictures, while a latent settles for an edit.

        In the form in which the latent was searched; recipes that do not name it are from before there were several,
        and latents of the caller's have none: those settle in float32, and to the same bytes as ever.
        """
        dtype, delta = str(self.settings.get("dtype", "torch.")), self.delta
        if dtype.startswith("torch."):  # as it was written then, where it was asked for
            return self.networks.float32, self.generator
        networks = self.networks.float32 if dtype == "float32" else self.networks
        if delta is None:
            return networks, networks.generator
        if self._own_fast is None or self._own_fast[0] is not delta:
            self._own_fast = (delta, networks.fast(self.generator))
        return networks, self._own_fast[1]

    def settled(self) -> dict[Any, Tensor]:
        """Latents [1,latent_dim] that settled from this projection, by all else that they depend on; the one that was
        used last is the last."""
        projection = self._need_projection()
        if self._settled is None or self._settled[0] is not projection:
            self._settled = (projection, {})
        return self._settled[1]

    @property
    def class_name(self) -> str | None:
        """Of the crop, for people, after `project`: a mixture's are said with their shares. None without classes."""
        return source_title(self.source)

    @property
    def source(self) -> str | dict[str, float] | None:
        """The same as a name, or as the weights of a mixture by their names."""
        return None if self.projection is None else said_source(self.model, self.projection.label)

    @torch.no_grad()
    def reconstruction(self) -> NDArray[np.uint8]:  # -> [R,R,3]
        """What the generator makes of the crop before any edit; made once for a projection, to be read only."""
        projection = self._need_projection()
        if self._reconstruction is None or self._reconstruction[0] is not projection:
            made = to_pixels(self.generator(projection.latent, projection.label))
            self._reconstruction = (projection, made)
        return self._reconstruction[1]

    def made_animal(self, image: NDArray[np.uint8], patch: NDArray[np.uint8]) -> NDArray[np.float32]:  # -> [s,s]
        """The animal in a picture that the generator made, in [0,1].

        Args:
            image: uint8 [R,R,3].
            patch: uint8 [s,s,3], the same at the size at which masks are worked out.
        """
        found = self.segment_square(patch)
        outline = self.outline(image)
        if outline is None:
            return found
        return np.asarray((found + resize_pixels(outline, *found.shape).clip(0, 1)) / 2, np.float32)

    def outline(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:  # [R,R,3] -> [h,w]
        """What the projected discriminator's reader sees of the animal in a picture that was made, where there is one.

        A segmenter that knows photos is often unsure of made ones.
        """
        network = self.networks.projected
        if network is None or not settles(self.model):
            return None
        picture = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        return np.asarray(read_outline(network, picture.to(self.networks.device)).numpy(), np.float32)

    def segment_square(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:  # [s,s,3] -> [s,s]
        """The animal in a picture of the square."""
        side = len(pixels)
        frame = max(1, side // 16)  # GrabCut needs some background around the animal
        return self.segment(pixels, Box(frame, frame, side - 2 * frame, side - 2 * frame))

    def background(self, filled: NDArray[np.float32]) -> NDArray[np.uint8] | None:  # [s,s] -> [S,S,3]
        """The square with background where it is filled; None where no background is near."""
        return background(self.need_photo().pixels, self.segmented(), self.box, filled)

    def registration(self) -> Registration:
        """How the reconstruction lies under the photo's crop; found once for a projection."""
        projection = self._need_projection()
        if self._registration is None or self._registration[0] is not projection:
            crop = crop_square(self.need_photo().pixels, self.box, self.model.generator.resolution)
            self._registration = (projection, register(crop, self.reconstruction()))
        return self._registration[1]

    def samples(self) -> Samples:
        """Latent and class of the crop, for edits of the caller's own with `generator`; give what they make to
        `paste`."""
        projection = self._need_projection()
        return Samples(projection.latent, projection.label, projection.origin)

    def read_files(self) -> list[Path]:
        """All files that were read for the picture and its edits."""
        catalog = [] if self.catalog is None else [self.catalog.path, names_path(self.catalog.path)]
        return [*self.inputs, *catalog]

    def point(self) -> Point:
        """The picture as the generator knows it: what steps of another editor can refer to."""
        return Point(self.samples(), self.generator, self.class_name, self.said(), self.delta)

    def said(self) -> Projected | Sample:
        """The picture as a recipe says it."""
        if self.sample is not None:
            return self.sample
        found, photo = self._need_projection(), self.photo
        assert photo is not None
        loss = float(found.loss)
        return Projected(
            photo=None if photo.path is None else photo.path.absolute(),
            pixels=pixels_hash(photo.pixels),
            size=(photo.pixels.shape[1], photo.pixels.shape[0]),
            box=self.placed,
            roll=0.0 if self.upright is None else self.upright.roll,
            located=self.located,
            confidence=self.confidence,
            heads=self.heads if len(self.heads) > 1 else (),
            class_name=self.source,
            latent=plain(found.latent[0]),
            origin=None if found.origin is None or found.origin.isnan().any() else tuple(found.origin[0].tolist()),
            loss=loss if np.isfinite(loss) else None,
            iterations=int(found.iterations),
            settings=self.settings,
        )


@lru_cache(maxsize=2)
def _network(name: str, device: torch.device) -> Segmenter:
    return create_segmenter(name, device=device)
