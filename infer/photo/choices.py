"""What callers choose from when a photo is put together and written: light, for whoever only names it."""

from typing import Literal, get_args

Method = Literal["graft", "limited", "poisson", "mixed", "paste", "poisson-exact"]
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_METHOD: Method = "graft"
DEFAULT_BEFORE: Method = "limited"  # of recipes that do not name theirs

Finish = Literal["auto", "off", "teacher"]
FINISHES: tuple[Finish, ...] = get_args(Finish)
DEFAULT_FINISH: Finish = "auto"

FormatName = Literal["jpg", "png", "tif", "webp", "heic", "bmp"]
