"""Learning-rate schedules in images seen, so that they mean the same at every batch size and number of ranks."""

from models.errors import PhotograftError


def check_rates(decay: tuple[float, float] | None, **rates: float | None) -> None:
    """Raise PhotograftError for learning rates below zero, named by the arguments, or a decay that does not go on."""
    for name, rate in rates.items():
        if rate is not None and rate < 0:
            raise PhotograftError(f"{name} is {rate:g}: give 0 or more")
    if decay is not None and not 0 <= decay[0] < decay[1]:
        raise PhotograftError(f"decay is {list(decay)}: give [FROM, TO] in pictures, FROM before TO")


def linear_decay(images_seen: int, decay: tuple[float, float] | None) -> float:
    """Factor on the learning rate: 1 up to decay[0] images, 0 from decay[1] on, linear between; 1 if None."""
    if decay is None:
        return 1.0
    start, end = decay
    return min(1.0, max(0.0, (end - images_seen) / (end - start)))
