"""Values of foreign files in error lines: short, and never walked through, for a value may contain itself."""

from typing import Any

from models.checkpoints.pickle_machine import Foreign, Global

LENGTH = 60


def told(value: Any) -> str:
    """A text or number as it is written in Python, cut; the type's name of anything else."""
    if isinstance(value, str | bytes):
        return repr(value[:LENGTH]) + ("..." if len(value) > LENGTH else "")
    if value is None or isinstance(value, bool | int | float):
        return repr(value)[:LENGTH]
    if isinstance(value, list | tuple) and len(value) <= 8 and all(isinstance(v, bool | int | float) for v in value):
        return repr(value)[:LENGTH]
    if isinstance(value, Foreign | Global):
        return f"{'an object of' if isinstance(value, Foreign) else 'the name'} {value.name[:LENGTH]!r}"
    return f"a {type(value).__name__}"
