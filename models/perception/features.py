"""Frozen ImageNet feature networks: what projected discriminators, the loop's encoder and the judges look through."""

from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from models.errors import PhotograftError
from models.files import read_tensors
from models.layers.batch_norm import fold_batch_norm
from models.schema import short

WEIGHTS = Path(__file__).parents[1] / "weights"


class FeatureNetwork(nn.Module, ABC):
    """Pictures [N,3,R,R] in [-1,1] -> (features of several stages, pooled features). Frozen, always in evaluation.

    Attributes:
        pooled_channels: width of the pooled features.
    """

    pooled_channels: int

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]: ...

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def shapes(self, resolution: int) -> list[tuple[int, int]]:
        """(channels, resolution) of the stages for pictures of this resolution."""
        stages, _ = self(torch.zeros(1, 3, resolution, resolution))
        return [(s.shape[1], s.shape[2]) for s in stages]


class _SameConv2d(nn.Conv2d):
    """Stride-2 convolution that pads right and bottom only: TensorFlow's SAME for even inputs."""

    @classmethod
    def like(cls, conv: nn.Conv2d) -> Self:
        """With the weights of a convolution that pads all around."""
        kernel, stride = cast(tuple[int, int], conv.kernel_size), cast(tuple[int, int], conv.stride)
        new = cls(conv.in_channels, conv.out_channels, kernel, stride, groups=conv.groups)
        new.load_state_dict(conv.state_dict())
        return new

    def forward(self, x: Tensor) -> Tensor:
        even = x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0
        if self.groups > 1 and x.dtype == torch.bfloat16 and x.device.type == "cpu" and even:
            bias = None if self.bias is None else self.bias.to(x.dtype)
            found: Tensor = _StridedDepthwise.apply(x, self.weight.to(x.dtype), bias)
            return found
        return self._conv_forward(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias)


class _StridedDepthwise(torch.autograd.Function):
    """A frozen depthwise 3x3 convolution at stride 2 of [N,C,2H,2W], padded at the right and the bottom.

    Padding is in the kernel: a first row and column of zeros, and the window begins a pixel earlier. So no padded copy
    is made, which takes as long as the convolution. The gradient is taken at stride 1 with zeros between: in bfloat16
    that is 3 to 12 times as fast on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return F.conv2d(x, F.pad(weight, (1, 0, 1, 0)), bias, stride=2, padding=1, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        n, c, height, width = gradient.shape
        spread = gradient.new_zeros(n, 2 * height + 2, 2 * width + 2, c).permute(0, 3, 1, 2)  # channels_last
        spread[:, :, 2::2, 2::2] = gradient
        return F.conv2d(spread, weight.flip(2, 3), groups=c), None, None


class MobileNetV2(FeatureNetwork):
    """MobileNet v2 1.0 (Sandler et al. 2018), ImageNet weights; stages: outputs of blocks 3, 6, 13 and 17.

    Two sources of weights: torchvision's (`tensorflow=False`) and Google's TensorFlow ones, which pad differently at
    stride 2 and have their batch norm folded into the convolutions' biases.
    """

    STAGES = (3, 6, 13, 17)
    pooled_channels = 1280

    def __init__(self, tensorflow: bool) -> None:
        super().__init__()
        network = torchvision.models.mobilenet_v2(weights=None)
        self.features = network.features
        self.tensorflow = tensorflow
        self.requires_grad_(False)
        self.eval()

    def fold(self) -> "MobileNetV2":
        """Fold batch norm into the convolutions (faster, exact in evaluation); set the padding of the source."""
        fold_batch_norm(self.features)
        for sequence in [m for m in self.features.modules() if self.tensorflow and isinstance(m, nn.Sequential)]:
            for name, conv in list(sequence.named_children()):
                if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2):
                    setattr(sequence, name, _SameConv2d.like(conv))
        return self.requires_grad_(False)

    def stage(self, x: Tensor, last: int) -> list[Tensor]:
        """Outputs of blocks 0..last."""
        outputs = []
        for block in self.features[: last + 1]:
            x = block(x)
            outputs.append(x)
        return outputs

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `FeatureNetwork`."""
        if not self.tensorflow:  # torchvision's weights take ImageNet-standardised pictures
            x = (x * 0.5 + 0.5 - _MEAN.to(x)) / _STD.to(x)
        outputs = self.stage(x, 18)
        return [outputs[i] for i in self.STAGES], outputs[18].mean(dim=(2, 3))


_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class _Logits(nn.Module):
    """Pictures [N,3,R,R] in [-1,1] -> logits of a linear layer on a network's pooled features."""

    def __init__(self, network: FeatureNetwork, linear: nn.Linear) -> None:
        super().__init__()
        self.network, self.linear = network, linear

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.network(x)[1])
        return logits


def with_classifier(path: Path) -> nn.Module:
    """Google's MobileNet v2 whole: pictures [N,3,224,224] in [-1,1] -> logits of the 1000 ImageNet classes.

    The embedded file has no classifier. Raises PhotograftError for a file that is none or lacks it.
    """
    state = read_tensors(path)
    if "classifier.1.weight" not in state:
        raise PhotograftError(f"{path} has no classifier.1.weight: it is no whole MobileNet v2")
    weight, bias = (state.pop(f"classifier.1.{part}") for part in ("weight", "bias"))
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": bias})
    return _Logits(_tensorflow_mobilenet_v2(state, path), linear).eval().requires_grad_(False)


def _embedded_mobilenet_v2() -> FeatureNetwork:
    path = WEIGHTS / "mobilenet_v2_imagenet.safetensors"
    return _tensorflow_mobilenet_v2(read_tensors(path), path)


def _tensorflow_mobilenet_v2(state: dict[str, Tensor], path: Path) -> FeatureNetwork:
    network = MobileNetV2(tensorflow=True)
    fresh = network.state_dict()
    counters = {k: v for k, v in fresh.items() if k.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({**counters, **state})
    except RuntimeError as error:
        raise PhotograftError(f"{path} is no MobileNet v2: {str(error).splitlines()[1].strip()}") from error
    return network.fold()


def _torchvision_mobilenet_v2() -> FeatureNetwork:
    try:
        source = torchvision.models.mobilenet_v2(weights=torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V2)
    except OSError as error:
        raise PhotograftError(f"torchvision's MobileNet v2 weights cannot be downloaded: {error}") from error
    network = MobileNetV2(tensorflow=False)
    network.features = source.features
    return network.eval().fold()


_NETWORKS = {"mobilenet_v2": _embedded_mobilenet_v2, "torchvision_mobilenet_v2": _torchvision_mobilenet_v2}


@lru_cache(maxsize=1)
def _empty_mobilenet_v2() -> FeatureNetwork:
    return MobileNetV2(tensorflow=True).fold()


def create_features(name: str) -> FeatureNetwork:
    """A frozen feature network: "mobilenet_v2" (embedded) or "torchvision_mobilenet_v2" (cached or downloaded).

    Raises:
        PhotograftError: unknown name, or weights that cannot be had.
    """
    if name not in _NETWORKS:
        raise PhotograftError(f"unknown feature network {short(name)}: choose from {', '.join(_NETWORKS)}")
    if torch.get_default_device().type == "meta":  # only its shapes are asked for
        return _empty_mobilenet_v2()
    return _NETWORKS[name]()
