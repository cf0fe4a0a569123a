"""Images with class labels from folders and tar shards (code only, no data).

`ImageDataModule` needs PyTorch Lightning and is therefore imported only when asked for.
"""

from typing import TYPE_CHECKING, Any

from data.sampling import ClassBalancedSampler, class_distribution
from data.sources import LabelledPictures, open_pictures, open_splits
from data.transforms import Batch, images_to_float, to_float

if TYPE_CHECKING:
    from data.module import ImageDataModule

__all__ = [
    "Batch",
    "ClassBalancedSampler",
    "ImageDataModule",
    "LabelledPictures",
    "class_distribution",
    "images_to_float",
    "open_pictures",
    "open_splits",
    "to_float",
]


def __getattr__(name: str) -> Any:
    if name == "ImageDataModule":
        from data.module import ImageDataModule

        return ImageDataModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
