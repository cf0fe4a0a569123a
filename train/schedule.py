"""Learning-rate schedules in images seen, so that they mean the same at every batch size and number of ranks."""


def linear_decay(images_seen: int, decay: tuple[float, float] | None) -> float:
    """Factor on the learning rate: 1 up to decay[0] images, 0 from decay[1] on, linear between; 1 if None."""
    if decay is None:
        return 1.0
    start, end = decay
    return min(1.0, max(0.0, (end - images_seen) / (end - start)))
