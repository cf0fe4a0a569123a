"""BasicSR's StyleGAN2 (`.pth`, under `params_ema` or `params`) -> our StyleGAN2 networks.

It is rosinality's network under other names.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.base import Configurable
from models.checkpoints import rosinality_stylegan2

NAMES = (  # BasicSR's name -> rosinality's, one substitution after the other
    (r"^style_mlp\.", "style."),
    (r"^constant_input\.weight$", "input.input"),
    (r"^style_(conv1|convs\.\d+)\.weight$", r"\1.noise.weight"),
    (r"^style_conv", "conv"),
    (r"\.modulated_conv\.smooth\.", ".conv.blur."),
    (r"\.modulated_conv\.", ".conv."),
    (r"^noises\.noise(\d)", r"noises.noise_\1"),
    (r"^conv_body\.", "convs."),
)
BACK = (  # and the other way
    (r"^style\.", "style_mlp."),
    (r"^input\.input$", "constant_input.weight"),
    (r"^(conv1|convs\.\d+)\.noise\.weight$", r"style_\1.weight"),
    (r"^conv(?=1|s\.)", "style_conv"),
    (r"\.conv\.blur\.", ".modulated_conv.smooth."),
    (r"\.conv\.(?=weight|modulation)", ".modulated_conv."),
    (r"^noises\.noise_", "noises.noise"),
)


def find(content: Any) -> dict[str, Mapping[str, Any]] | None:
    """State dicts by kind under rosinality's names, or None if it is another format's."""
    if not isinstance(content, Mapping):
        return None
    if "style_conv1.modulated_conv.weight" in content and "style_conv1.activate.bias" in content:
        return {"generator": _renamed(content)}
    if "conv_body.0.0.weight" in content and "final_linear.1.weight" in content:
        return {"discriminator": _renamed(content)}
    return None


def read(found: Mapping[str, Mapping[str, Any]], path: Path) -> dict[str, Configurable]:
    """The networks, loaded strictly. Raises as rosinality's reader does, in the names of the file."""
    kind = next(iter(found))
    return rosinality_stylegan2.read(found, path, _theirs if kind == "generator" else _their_discriminator)


def _renamed(content: Mapping[str, Any]) -> dict[str, Any]:
    return {_substituted(name, NAMES): value for name, value in content.items()}


def _theirs(name: str) -> str:
    return _substituted(name, BACK)


def _their_discriminator(name: str) -> str:
    return re.sub(r"^convs\.", "conv_body.", name)


def _substituted(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
