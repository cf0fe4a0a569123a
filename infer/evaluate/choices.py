"""What callers choose from when translations are measured: light, for whoever only names it."""

from infer.projection.presets import PRESETS

SETTLING = PRESETS["balanced"].settling  # updates of each translation
REAL = 4000  # pictures: a probe fitted to fewer errs more, on translations and on real ones
