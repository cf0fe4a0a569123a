"""Which pixels of a photo show the animal: segmenters with one call signature.

DeepLab v3 (Chen et al. 2017) is embedded and the default. GrabCut needs no weights but a box. torchvision's
DeepLabV3-ResNet50 is larger and downloaded once by torchvision. Networks of TensorFlow are `tensorflow_segmenter`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.error import URLError

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights, deeplabv3_resnet50

from models.errors import PhotograftError
from models.files import read_tensors
from models.layers.resampling import resize_pixels
from models.perception.tensorflow_segmenter import ANIMALS, TensorFlowSegmenter
from models.tensors import check_finite

DEEPLAB_WEIGHTS = Path(__file__).parents[1] / "weights" / "deeplabv3_mnv2_voc.safetensors"
VOC_ANIMALS = (3, 8, 10, 12, 13, 17)  # bird, cat, cow, dog, horse, sheep
VOC_PERSON = 15
SEGMENTERS = ("deeplab", "grabcut", "torchvision")


class Segmenter(Protocol):
    """Photo, uint8 RGB [H,W,3] -> probability of being an animal, float32 [H,W] in [0,1]."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]: ...


def create_segmenter(
    name: str = "deeplab",
    *,
    box: tuple[int, int, int, int] | None = None,
    device: str | torch.device = "cpu",
    side: int = 513,
) -> Segmenter:
    """Make a segmenter by name: "deeplab" (embedded weights), "grabcut" (needs `box`) or "torchvision".

    "tensorflow:PATH" is a frozen graph or SavedModel with labels of PASCAL VOC, "tensorflow-coco:PATH" of COCO.
    box: (x, y, width, height) around the whole animal, in photo pixels; used by GrabCut only.
    side: px at which the networks of torch see the photo, 16 n + 1.
    Raises `PhotograftError` for an unknown name, a missing box, or weights that are missing, damaged or out of reach.
    """
    if name == "grabcut":
        if box is None:
            raise PhotograftError("the grabcut segmenter needs a box around the animal: give --box x,y,width,height")
        return GrabCut(box)
    if name == "deeplab":
        return NetworkSegmenter(load_deeplab(), _mobile_input, device, side)
    if name == "torchvision":
        return NetworkSegmenter(_load_torchvision(), _imagenet_input, device, side)
    kind, colon, path = name.partition(":")
    if colon and kind in ANIMALS:
        return TensorFlowSegmenter(Path(path), kind)
    raise PhotograftError(f"unknown segmenter {name!r}: use one of {', '.join(SEGMENTERS)}, or tensorflow:FILE")


class DeepLabV3(nn.Module):
    """DeepLab v3 on MobileNetV2 1.0, output stride 16, with image pooling and no dilated branches.

    x [N,3,S,S] float in [-1,1] (RGB), S = 513 as it was trained or another 16 n + 1 -> logits [N,21,S,S], PASCAL VOC
    classes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = mobilenet_v2(weights=None).features[:18]
        self.features[14].conv[1][0].stride = (1, 1)
        for block in self.features[15:]:
            block.conv[1][0].dilation = block.conv[1][0].padding = (2, 2)
        self.image_pooling = nn.Conv2d(320, 256, 1)
        self.aspp0 = nn.Conv2d(320, 256, 1)
        self.concat_projection = nn.Conv2d(512, 256, 1)
        self.logits = nn.Conv2d(256, 21, 1)

    def forward(self, x: Tensor) -> Tensor:
        assert x.ndim == 4 and x.shape[1] == 3, x.shape
        # TensorFlow's SAME padding is the symmetric one only where every stride-2 convolution meets an odd size.
        assert x.shape[2] % 16 == 1 and x.shape[3] % 16 == 1, x.shape
        h = self.features(x)  # [N,320,S/16,S/16]
        pooled = F.relu(self.image_pooling(h.mean(dim=(2, 3), keepdim=True))).expand(-1, -1, *h.shape[2:])
        h = torch.cat([pooled, F.relu(self.aspp0(h))], dim=1)  # [N,512,S/16,S/16]
        h = self.logits(F.relu(self.concat_projection(h)))  # [N,21,S/16,S/16]
        return F.interpolate(h, size=x.shape[2:], mode="bilinear", align_corners=True)


def load_deeplab(path: Path = DEEPLAB_WEIGHTS) -> DeepLabV3:
    """The network with the weights of a safetensors file, in evaluation mode. Raises `PhotograftError`."""
    network = DeepLabV3()
    if torch.get_default_device().type == "meta":  # only its shapes are asked for
        return network.eval().requires_grad_(False)
    state = read_tensors(path)
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):  # a counter of training, absent from converted weights
            state.setdefault(key, value)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise PhotograftError(
            f"{path}: does not hold DeepLab v3 (MobileNetV2) weights: install the package again"
        ) from error
    return network.eval().requires_grad_(False)


class NetworkSegmenter:
    """A 21-class PASCAL VOC network as a segmenter. It sees the whole photo at `side` px; fewer are faster."""

    def __init__(
        self, network: nn.Module, prepare: Callable[[Tensor], Tensor], device: str | torch.device, side: int = 513
    ) -> None:
        self.side = side
        self.network = network.to(device)
        self.prepare = prepare
        self.device = device

    @torch.inference_mode()
    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        _check_pixels(pixels)
        height, width = pixels.shape[:2]
        small = resize_pixels(pixels, self.side, self.side)
        x = torch.from_numpy(small).to(self.device).permute(2, 0, 1)[None].float()  # [1,3,side,side] in 0..255
        out = self.network(self.prepare(x))
        logits: Tensor = out["out"] if isinstance(out, dict) else out  # [1,21,side,side]
        animal = logits.softmax(dim=1)[0, list(VOC_ANIMALS)].sum(dim=0).cpu().numpy()
        return _enlarged(animal, height, width)


class GrabCut:
    """GrabCut (Rother et al. 2004) from a box (x, y, width, height): a hard mask, no weights."""

    SIDE = 512  # of the longest side: GrabCut's time grows with the pixels, its accuracy does not

    def __init__(self, box: tuple[int, int, int, int]) -> None:
        self.box = box

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        _check_pixels(pixels)
        height, width = pixels.shape[:2]
        scale = min(1.0, self.SIDE / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        x, y, w, h = self.box
        # GrabCut learns the background from what lies outside the box: leave a frame of 1 px at least.
        left, top = max(round(x * scale), 1), max(round(y * scale), 1)
        right, bottom = min(round((x + w) * scale), size[0] - 1), min(round((y + h) * scale), size[1] - 1)
        if right - left < 4 or bottom - top < 4:
            raise PhotograftError(
                f"box {x},{y},{w},{h} is too small or outside the photo ({width}x{height}) for grabcut"
            )
        labels = np.zeros(small.shape[:2], np.uint8)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)  # its clustering is random
        cv2.grabCut(
            small[..., ::-1].copy(), labels, (left, top, right - left, bottom - top), *models, 5, cv2.GC_INIT_WITH_RECT
        )
        animal = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
        return _enlarged(animal, height, width)


def _enlarged(animal: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A network's small smooth mask at the photo's size, in [0,1]."""
    out = np.asarray(cv2.resize(animal, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.clip(out, 0, 1, out=out)


def _check_pixels(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be uint8 RGB [H,W,3], not {pixels.dtype} {pixels.shape}")


def _mobile_input(x: Tensor) -> Tensor:
    return x / 128 - 1


def _imagenet_input(x: Tensor) -> Tensor:
    mean = x.new_tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = x.new_tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return (x / 255 - mean) / std


def _load_torchvision() -> nn.Module:
    """torchvision's DeepLabV3-ResNet50 (COCO, VOC labels), from its cache or the network."""
    weights = DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1
    # Without weights_backbone=None torchvision would download a second network that is then overwritten.
    network: nn.Module = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    try:
        state = torch.hub.load_state_dict_from_url(
            weights.url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
        check_finite(state, Path(weights.url.rsplit("/", 1)[-1]))
        network.load_state_dict(state, strict=True)
    except (URLError, OSError, RuntimeError) as error:
        raise PhotograftError(
            f"torchvision's segmentation weights are neither cached nor downloadable ({error}):"
            f" put {weights.url} into {torch.hub.get_dir()}/checkpoints, or use the deeplab segmenter"
        ) from error
    return network.eval().requires_grad_(False)
