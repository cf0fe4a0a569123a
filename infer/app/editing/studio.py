"""What all browsers of a page share: the model, made ready while the page opens, and a picture of each class."""

import threading
from functools import cached_property
from pathlib import Path

import torch

from infer.app.editing.urls import picture_url
from infer.catalog.catalog import default_path, load_catalog
from infer.editor.editor import Editor
from infer.pictures.convert import to_pixels
from infer.projection.cache import ProjectionCache
from models.prepared import Networks
from models.samples import draw
from models.terminal import Say
from models.zoo import Model

THUMB, TRUNCATION, SEED = 72, 0.5, 1


class Studio:
    """The networks, and what belongs to the model.

    Args:
        networks: of the model.
        segmenter, cache: see `infer.editor.session.Session`.
    """

    def __init__(self, networks: Networks, segmenter: str = "deeplab", cache: ProjectionCache | None = None) -> None:
        self.networks, self.segmenter, self.cache = networks, segmenter, cache
        self.heavy = threading.Lock()  # one long piece of work at a time
        self._drawing = threading.Lock()
        self._thumbnails: list[str] = []
        path = default_path(self.model, Path())
        self.catalog = path if path.is_file() else None

    @property
    def model(self) -> Model:
        """See the class."""
        return self.networks.model

    def editor(self, say: Say) -> Editor:
        """A new editor, with the model's own catalog if there is one."""
        editor = Editor(self.networks, self.segmenter, say, cache=self.cache)
        return editor if self.catalog is None else editor.set_catalog(self.catalog)

    @cached_property
    def parts(self) -> list[str]:
        """The parts that the model's catalog names."""
        return [] if self.catalog is None else list(load_catalog(self.catalog, self.networks.on_device).names)

    def thumbnails(self) -> list[str]:
        """A sample of each class, in the order of the labels, for the browser: near the mean, so that it is typical."""
        with self._drawing:
            if not self._thumbnails:
                self._thumbnails = [self._thumbnail(label) for label in range(len(self.model.class_names))]
            return self._thumbnails

    @torch.no_grad()
    def _thumbnail(self, label: int) -> str:
        model = self.networks.on_device
        drawn = draw(model, 1, seed=SEED, truncation=TRUNCATION, label=label)
        return picture_url(to_pixels(model.generator(drawn.latent, drawn.label)), THUMB)
