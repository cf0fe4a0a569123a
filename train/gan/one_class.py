"""What a training with a single class can be: unconditional, with nothing in it that goes from class to class."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from models.errors import PhotograftError
from models.terminal import visible
from train.gan.adversaries import Adversary
from train.gan.sources import Stage


def check_class_count(
    names: Sequence[str], root: str | Path, stages: Iterable[Stage], adversaries: Iterable[Adversary]
) -> None:
    """A training that changes classes needs two at least.

    Args:
        names: of the data's classes.
        root: of the data, for the message.
        stages, adversaries: of the training.

    Raises:
        PhotograftError: one class, and translations, or real pictures with a wrong class.
    """
    needs = ["translations"] * any(stage.sources.get("translation") for stage in stages)
    needs += ["mismatch"] * any(getattr(adversary, "mismatch", 0.0) for adversary in adversaries)
    if len(names) == 1 and needs:
        raise PhotograftError(
            f"{visible(root)} holds one class, {visible(names[0])}, and this training changes classes"
            f" ({' and '.join(needs)}): give the folder that holds the class folders as root, or a config without these"
        )
