"""What callers choose from when a photo is put together and written: light, for whoever only names it."""

from typing import Literal, get_args

Method = Literal["graft", "limited", "poisson", "mixed", "paste", "poisson-exact"]
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_METHOD: Method = "graft"
DEFAULT_BEFORE: Method = "limited"  # of recipes that do not name theirs

FormatName = Literal["jpg", "png", "tif", "webp", "heic", "bmp"]
