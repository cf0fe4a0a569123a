"""Images with class labels from folders and tar shards (code only, no data).

`data.module.ImageDataModule` is not imported here: it needs PyTorch Lightning, which `infer` does without.
"""

from data.pictures import LabelledPictures
from data.sampling import ClassBalancedSampler, class_distribution
from data.splits import open_pictures, open_splits
from data.transforms import Batch, images_to_float, to_float

__all__ = [
    "Batch",
    "ClassBalancedSampler",
    "LabelledPictures",
    "class_distribution",
    "images_to_float",
    "open_pictures",
    "open_splits",
    "to_float",
]
