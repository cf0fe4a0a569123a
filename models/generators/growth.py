"""Growing: a generator takes the blocks of one of a lower resolution and has further ones above them.

As in Karras et al., "Progressive Growing of GANs" (2018), but without fading in: what is new adds nothing, or nearly
nothing, at first.
"""

from models.base import Generator
from models.errors import PhotograftError


def widths_above(larger: Generator, smaller: Generator) -> list[int]:
    """Widths of the blocks that a generator with `channels` in its config has above those of a smaller one.

    Raises:
        PhotograftError: another family, no block more, or a config that differs below.
    """
    what = ""
    if type(smaller) is not type(larger):
        what = f"it is a {type(smaller).__name__}, this one a {type(larger).__name__}"
    else:
        below: list[int] = smaller.config["channels"]
        above: list[int] = larger.config["channels"][len(below) :]
        grown = {**smaller.config, "channels": [*below, *above]}
        differ = sorted(key for key, value in grown.items() if value != larger.config[key])
        if differ:
            what = f"they differ in {', '.join(differ)}"
        elif not above:
            what = "it has as many blocks"
    if what:
        raise cannot_grow(smaller, what)
    return above


def cannot_grow(smaller: Generator, what: str) -> PhotograftError:
    """The one line that says so, and why."""
    return PhotograftError(f"a generator of {smaller.resolution} px cannot grow into this one: {what}")
