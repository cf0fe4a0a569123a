"""Presets: how much work a projection is."""

from dataclasses import dataclass
from typing import Literal

from infer.projection.options import SpaceName
from models.errors import PhotograftError
from models.registry import suggest
from models.schema import check, short

TUNING = 90  # updates of the copy, where a preset does not say


@dataclass(frozen=True)
class Preset:
    """How much work a projection is.

    Attributes:
        steps: updates at most; 0 takes the encoder's answer as it is.
        schedule: of their rate, see `infer.projection.options.ProjectionOptions`.
        restarts: further random starts per photo.
        trials: whether a photo's class is told by trial projections too, or by the classifier alone.
        tuning: updates of a copy of the generator after that, see `infer.projection.tuning`; 0: none.
        settling: updates of the latent for each edit, see `infer.projection.settling`; 0: none.
        style_steps: updates in w and w+, whose schedule is another; None: as many.
        style_space: that is searched in style generators. With tuning w, where edits stay what they are, and what is
            missing of the photo goes into the weights (Roich et al. 2021); else w+.
    """

    steps: int
    schedule: Literal["steady", "falling"] = "steady"
    restarts: int = 0
    trials: bool = True
    tuning: int = 0
    settling: int = 0
    style_steps: int | None = None
    style_space: SpaceName = "w+"


PRESETS = {
    "fast": Preset(steps=0, trials=False),
    "balanced": Preset(steps=30, schedule="falling", settling=20, style_steps=40),
    "best": Preset(
        steps=60,
        schedule="falling",
        restarts=3,
        tuning=TUNING,
        settling=20,
        style_steps=200,
        style_space="w",
    ),
}


DEFAULT_PRESET = "balanced"


def get_preset(name: str) -> Preset:
    """A preset by its name. Raises PhotograftError for an unknown one."""
    if check(str, name, "preset") not in PRESETS:
        raise PhotograftError(f"unknown preset {short(name)}{suggest(name, PRESETS)} (there are {', '.join(PRESETS)})")
    return PRESETS[name]
