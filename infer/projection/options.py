"""What can be asked of a projection: one dataclass for every way to it."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_type_hints

from models.schema import Count, Flag, Positive, Restarts, Seed, Steps, Weight, check

SpaceName = Literal["z", "zeta", "w", "w+"]
# of the originals; in w in units of its deviation over the prior
LEARNING_RATES = {"z": 0.075, "zeta": 0.015, "w": 0.1, "w+": 0.1}
ORIGINAL_STEPS = 200
# A search of few updates: its rate starts at this share of a steady one's and falls to zero, and Adam forgets sooner.
FALLING, FALLING_BETAS = 0.8, (0.6, 0.95)


@dataclass(frozen=True)
class ProjectionOptions:
    """How latents are searched. None: as preset and model say (`infer.projection.model.chosen_options`); without them,
    in `infer.projection.search.project`, as below.

    Attributes:
        space: in which Adam moves: "z" or "zeta" (with A and B); of a style generator also "w" (one for all layers) or
            "w+". None: "z".
        init: "encoder", "mean" (z = 0, or the mean of w), "random" (the prior) or "samples": of a few draws of the
            prior, in w and w+ of its mean too, the one of the least loss.
            None: "encoder" if there is one, else "mean".
        steps: updates at most. None: 200, as in the original.
        restarts: further random starts per picture; after every 5 updates the worse half of the starts is dropped.
            None: none.
        learning_rate: of Adam. None: see LEARNING_RATES.
        schedule: of the rate in z and zeta: "steady", as in the original, or "falling" to zero, which is as near to the
            picture after fewer updates (docs/experiments). w and w+ have their own. None: "steady".
        pixel_weight: of MSE, beside L.
        keep: "best": the latent of the least loss seen; "last": that after the last update, as in the original.
        patience: stop a picture when so many updates in a row have not lowered its loss by a thousandth. None: never.
        max_norm: z is held in the ball of this radius (see `Space.hold`). None: not at all, as in the paper. Far out of
            the prior (whose z have norm sqrt(latent_dim)) a picture may be near and its translations poor.
        noise: in w and w+ search each picture's noise maps too.
        tuning: updates of a copy of the generator after that, see `infer.projection.tuning`; True: the usual number.
            None: none.
        seed: of random draws; every picture gets the same.
        max_seconds: for each picture: then search and tuning stop, and the least loss seen is kept. Search takes half
            of it at most where tuning follows. What is kept of weights is worked out after that, which takes a second
            or two more. None: as long as it takes.

    Raises:
        PhotograftError: a value of another kind or out of its bounds, in one line that names it.
    """

    space: SpaceName | None = None
    init: Literal["encoder", "mean", "random", "samples"] | None = None
    steps: Steps | None = None
    restarts: Restarts | None = None
    learning_rate: Positive | None = None
    schedule: Literal["steady", "falling"] | None = None
    pixel_weight: Weight = 0.2
    keep: Literal["best", "last"] = "best"
    patience: Count | None = None
    max_norm: Positive | None = None
    noise: Flag = True
    tuning: Flag | Steps | None = None
    seed: Seed = 0
    max_seconds: Positive | None = None

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        hints["tuning"] = Flag if isinstance(self.tuning, bool) else Steps | None  # one kind: the error names it
        for name, hint in hints.items():
            check(hint, getattr(self, name), name)

    def said(self) -> dict[str, Any]:
        """What is not None, for a recipe."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in sorted(values.items()) if value is not None}


UNSET = ProjectionOptions()
