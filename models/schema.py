"""What may stand in a file, a config or a call: types with bounds, checked before anything is built from them.

Bounds stand where a value is declared: in the annotations of a network's `__init__`, of a function, or of a `Schema`,
which is what one kind of file holds. All of it is checked by pydantic in its strict mode: no text for a number, no
number for a truth value, nothing unknown. The error is one line: what is wrong, and where.
"""

import functools
import inspect
import json
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from models.errors import PhotograftError

T = TypeVar("T")
P = ParamSpec("P")
STRICT = ConfigDict(
    strict=True,
    extra="forbid",
    frozen=True,
    allow_inf_nan=False,
    protected_namespaces=(),
    arbitrary_types_allowed=True,
)

# sizes of networks
Width = Annotated[int, Field(ge=1, le=2**14)]
Widths = Annotated[Sequence[Width], Field(min_length=1, max_length=12)]
Layers = Annotated[Sequence[Width], Field(min_length=1, max_length=64)]
Channels = Annotated[int, Field(ge=0, le=2**14)]  # 0: none
MaybeLayers = Annotated[Sequence[Width], Field(max_length=64)]  # none at all, too
Dim = Annotated[int, Field(ge=1, le=2**16)]
Classes = Annotated[int, Field(ge=0, le=100_000)]
Pixels = Annotated[int, Field(ge=1, le=4096)]
Seen = Annotated[int, Field(ge=32, le=2048)]  # by a feature network, which halves five times
Flag = Annotated[bool, Field()]
Flags = Annotated[Sequence[bool], Field(min_length=1, max_length=64)]
Places = Annotated[Sequence[Annotated[int, Field(ge=0, le=64)]], Field(max_length=64)]  # numbers of blocks
BottomWidth = Annotated[int, Field(ge=1, le=64)]
Architecture = Annotated[str, Field(pattern="^(skip|resnet|orig)$")]  # of StyleGAN2
Activation = Annotated[str, Field(pattern="^(lrelu|relu|linear)$")]  # of StyleGAN2
Side = Annotated[str, Field(pattern="^(in|out)$")]
Hidden = Annotated[str, Field(pattern="^(in|out|all_in)$")]
Taps = Annotated[Sequence[Annotated[float, Field(ge=-1e3, le=1e3)]], Field(min_length=2, max_length=32)]
# numbers of work
Steps = Annotated[int, Field(ge=0, le=10**6)]
Settling = Annotated[int, Field(ge=0, le=1000)]
Restarts = Annotated[int, Field(ge=0, le=4096)]
Count = Annotated[int, Field(ge=1, le=10**6)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
# other numbers
Whole = Annotated[int, Field()]
Index = Annotated[int, Field(ge=0, le=100_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
Weight = Annotated[float, Field(ge=0, le=1e9)]
Real = Annotated[float, Field(ge=-1e30, le=1e30)]  # float32 holds it
Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
PathText = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")]
FileName = Annotated[str, Field(max_length=255, pattern=r"^[^/\\\x00]+$"), AfterValidator(lambda name: _beside(name))]


def _beside(name: str) -> str:
    """A file's name that leaves no folder."""
    if name in (".", ".."):
        raise ValueError("Name should be that of a file beside this one")
    return name


class Schema(BaseModel):
    """Base of what a kind of file holds."""

    model_config = STRICT


def parse_json(schema: Any, text: str | bytes, where: str) -> Any:
    """JSON as a schema's type; nesting and numbers are bounded.

    Raises:
        PhotograftError: one line that begins with `where`.
    """
    try:
        found = _adapter(schema).validate_json(text)
    except ValidationError as error:
        raise PhotograftError(_first(error, where)) from None
    json.loads(text, object_pairs_hook=functools.partial(_each_once, where=where))
    return found


def _each_once(pairs: list[tuple[str, Any]], where: str) -> None:
    """Of a key twice the last would win in silence."""
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise PhotograftError(f"{where}: {short(repeated[0])} is there twice")


def check(schema: Any, value: Any, where: str) -> Any:
    """A value of Python's, which must be of a type with its bounds already.

    Raises:
        PhotograftError: one line that begins with `where`.
    """
    try:
        return _adapter(schema).validate_python(value)
    except ValidationError as error:
        raise PhotograftError(_first(error, where)) from None


def check_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], where: str) -> None:
    """All keywords of a function or a class: that it knows them, has all it needs, and those with bounds lie in them.

    Raises:
        PhotograftError: one line that begins with `where`.
    """
    check(_keywords(function), dict(arguments), where)


def bounded(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: calls with arguments out of their annotations' bounds raise PhotograftError."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        limits = _limits(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in limits:  # pydantic rebuilds sequences, and no range
                check(limits[name], tuple(value[:1000]) if isinstance(value, range) else value, name)
        return function(*args, **kwargs)

    return call


def short(value: Any) -> str:
    """A value as an error line shows it: without control characters, and not long."""
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 2, 4, 4, 4
        self.maxstring, self.maxother = 60, 60

    def repr_int(self, x: int, level: int) -> str:  # Python writes no number of thousands of digits
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"a number of {x.bit_length()} bits"


_SHORT = _Short()


@functools.lru_cache(maxsize=256)
def _adapter(schema: Any) -> TypeAdapter[Any]:
    own = isinstance(schema, type) and (issubclass(schema, BaseModel) or hasattr(schema, "__pydantic_config__"))
    return TypeAdapter(schema, config=None if own else STRICT)


@functools.lru_cache(maxsize=256)
def _limits(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations with bounds, by argument."""
    target = function.__init__ if isinstance(function, type) else inspect.unwrap(function)  # type: ignore[misc]
    hints = get_type_hints(target, include_extras=True)
    return {name: hint for name, hint in hints.items() if name != "return" and _has_bounds(hint)}


def _has_bounds(hint: Any) -> bool:
    return get_origin(hint) in (Annotated, Literal) or any(map(_has_bounds, get_args(hint)))


@functools.lru_cache(maxsize=256)
def _keywords(function: Callable[..., Any]) -> type[BaseModel]:
    """A schema with a function's keywords; what has no bounds may be anything."""
    limits = _limits(function)
    fields: dict[str, Any] = {
        name: (limits.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    return create_model("Keywords", __config__=STRICT, **fields)


def _first(error: ValidationError, where: str) -> str:
    """The first of the errors, in words."""
    found = error.errors(include_url=False, include_context=False)[0]
    path = ".".join(short(part).strip("'") if isinstance(part, str) else str(part) for part in found["loc"])
    match found["type"]:
        case "missing":
            return f"{where}: {path} is missing"
        case "extra_forbidden":
            return f"{where}: {path} is not known here"
        case "json_invalid":
            return f"{where}: {found['msg']}"
    must = re.sub(r"^(Value error, )?\w+ should", "must", found["msg"]).replace(" after validation", "")
    return f"{where}{': ' if path else ''}{path} is {short(found['input'])}: {must}"
