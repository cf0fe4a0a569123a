"""A pickle machine that only builds data.

Python's unpickler imports and calls whatever a file names. This one walks the same opcodes, but a name stays a name:
what a file would call becomes a `Foreign` record, except for the builders it is given, which make plain data. So there
is nothing that a file could execute, whichever way it asks for it.
"""

import operator
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO


class DamagedPickle(ValueError):
    """A pickle that ends early, contradicts itself or asks for what data do not need."""


@dataclass(frozen=True)
class Global:
    """A class or function that a file names: `module.name`, never looked up."""

    name: str


@dataclass(eq=False)
class Foreign:
    """An object of an unknown class, as inert data.

    Attributes:
        name: of its class or of the function that would have built it, `module.name`.
        args: that it was to be called with; keywords, if any, come last as a dict.
        state: what `__setstate__` or `__dict__` was to get, or None.
        items: entries, of a subclass of dict.
        elements: of a subclass of list or set.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


Builder = Callable[..., Any]
"""Makes data of a REDUCE's arguments, which come from the file: it must trust none of them."""

SCALARS = (str, bytes, int, float, type(None))
"""What a key may be: the hash of nested tuples takes exponential time, or the whole stack."""

COPIES, FREE = 4, 1 << 20  # bytes that may be made per byte of the file, and in any case
MAX_STEPS = 1_000_000  # opcodes of one file: ten times the largest published network's
LAST_PROTOCOL = 5
MAX_BITS = 256  # of an integer
MEMO_END = 1 << 32

LITERALS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
FRESH: dict[str, Callable[[], Any]] = {
    **{"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False},
    **{"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set},
}


class Budget:
    """What reading one file may cost; the torch files within its pickles share it.

    Args:
        size: bytes of the file, unpacked.
    """

    def __init__(self, size: int) -> None:
        self._bytes = COPIES * size + FREE
        self._steps = MAX_STEPS

    def step(self) -> None:
        """Count an opcode. Raises DamagedPickle at the end of the budget."""
        self._steps -= 1
        if self._steps < 0:
            raise DamagedPickle("it is too long for a file of weights")

    def copy(self, size: int) -> None:
        """Count bytes or items that are made of what the file holds: one long value, referred to again and again,
        would fill the memory. Raises DamagedPickle at the end of the budget.
        """
        self._bytes -= size
        if self._bytes < 0:
            raise DamagedPickle("it makes far more of its values than it holds")


def _callable_name(value: Any) -> str:
    if not isinstance(value, Global):
        raise DamagedPickle("it calls something that is no class or function")
    return value.name


def _pairs(flat: list[Any]) -> Iterable[tuple[Any, Any]]:
    if len(flat) % 2:
        raise DamagedPickle("a key has no value")
    return zip(map(_key, flat[::2]), flat[1::2], strict=True)


def _key(value: Any) -> Any:
    if not isinstance(value, SCALARS):
        raise DamagedPickle(f"a {type(value).__name__} is the key of a dictionary or the element of a set")
    if isinstance(value, int) and value.bit_length() > 64:  # whose hashes could be made to collide
        raise DamagedPickle("a giant integer is the key of a dictionary or the element of a set")
    return value


def _literal(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise DamagedPickle(f"an integer of {value.bit_length()} bits has no place in a file of weights")
    return value


class Machine:
    """One pickle's stack and memo.

    Args:
        builders: `module.name` -> what makes data of its arguments; every other call becomes a `Foreign`.
        budget: of the file that the pickle is part of.
        persistent: makes the object of a persistent id; without it such an id is refused.
        setters: type -> what gives a built object of that type its state (BUILD).
    """

    def __init__(
        self,
        builders: Mapping[str, Builder],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
        setters: Mapping[type, Callable[[Any, Any], None]] | None = None,
    ) -> None:
        self._builders, self._budget, self._persistent, self._setters = builders, budget, persistent, setters or {}
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO) -> Any:
        """The value of the pickle that begins where the stream stands; leaves the stream behind it.

        Raises:
            DamagedPickle, or ValueError, TypeError of what the file gets wrong.
        """
        try:
            self._walk(stream)
            return self._stack.pop()
        except IndexError as error:
            raise DamagedPickle("it takes more from its stack than it put there") from error
        except KeyError as error:
            raise DamagedPickle("it refers to a value that it did not keep") from error

    def _walk(self, stream: BinaryIO) -> None:
        for opcode, arg, _ in pickletools.genops(stream):
            self._budget.step()
            name = opcode.name
            if name in LITERALS:
                self._stack.append(_literal(arg))
            elif name in FRESH:
                self._stack.append(FRESH[name]())
            elif name == "PROTO":
                if (arg or 0) > LAST_PROTOCOL:
                    raise DamagedPickle(f"it is of protocol {arg}, which is not known")
            elif name not in ("FRAME", "STOP"):
                step = STEPS.get(name)
                if step is None:
                    raise DamagedPickle(f"opcode {name} has no place in a file of weights")
                step(self, arg)

    # the stack

    def _mark(self, _: Any) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def _drop_to_mark(self, _: Any) -> None:
        self._since_mark()

    def _dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def _put(self, index: int) -> None:
        if not 0 <= operator.index(index) < MEMO_END:
            raise DamagedPickle("it keeps a value under an impossible number")
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    # containers

    def _last_as_tuple(self, n: int) -> None:
        if len(self._stack) < n:
            raise DamagedPickle("a tuple is longer than the stack")
        self._stack[-n:] = [tuple(self._stack[-n:])]

    def _collect(self, make: Callable[[list[Any]], Any]) -> None:
        items = self._since_mark()
        self._stack.append(make(items))

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Foreign):
            target.elements.extend(items)
        elif isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            target.update(map(_key, items))
        else:
            raise DamagedPickle(f"a {type(target).__name__} takes no elements")

    def _update(self, flat: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Foreign):
            target = target.items
        if not isinstance(target, dict):
            raise DamagedPickle(f"a {type(target).__name__} takes no entries")
        target.update(_pairs(flat))

    def _setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    # names and calls

    def _global(self, name: str) -> None:
        self._stack.append(Global(name.replace(" ", ".", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise DamagedPickle("a name is not text")
        self._stack.append(Global(f"{module}.{name}"))

    def _call(self, name: str, args: Any) -> None:
        if not isinstance(args, tuple):
            raise DamagedPickle(f"the arguments of {name!r} are no tuple")
        builder = self._builders.get(name)
        if builder is None:
            self._stack.append(Foreign(name, args))
            return
        self._charge(args)
        try:
            self._stack.append(builder(*args))
        except TypeError as error:
            raise DamagedPickle(f"the arguments of {name!r} do not fit") from error

    def _charge(self, values: tuple[Any, ...]) -> None:
        self._budget.copy(len(values))
        sized = (list, tuple, set, str, bytes, bytearray)
        self._budget.copy(sum(len(value) for value in values if isinstance(value, sized)))

    def _reduce(self, _: Any) -> None:
        args, function = self._stack.pop(), self._stack.pop()
        self._call(_callable_name(function), args)

    def _newobj_ex(self, _: Any) -> None:
        keywords, args, function = self._stack.pop(), self._stack.pop(), self._stack.pop()
        if not isinstance(args, tuple):
            raise DamagedPickle("the arguments of a class are no tuple")
        self._budget.copy(len(args))
        self._stack.append(Foreign(_callable_name(function), (*args, keywords) if keywords else args))

    def _inst(self, name: str) -> None:
        args = self._since_mark()
        self._call(name.replace(" ", ".", 1), tuple(args))

    def _obj(self, _: Any) -> None:
        function, *args = self._since_mark()
        self._call(_callable_name(function), tuple(args))

    def _build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        setter = self._setters.get(type(target))
        if setter:
            self._charge(state if isinstance(state, tuple) else ())
            setter(target, state)
        elif isinstance(target, Foreign):
            target.state = state
        elif not isinstance(target, OrderedDict):  # whose attributes (a state dict's versions) are of no use
            raise DamagedPickle(f"a {type(target).__name__} takes no state")

    def _persid(self, pid: Any) -> None:
        if self._persistent is None:
            raise DamagedPickle("it refers to objects outside the file")
        self._stack.append(self._persistent(pid))


STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": Machine._mark,
    "POP": Machine._pop,
    "POP_MARK": Machine._drop_to_mark,
    "DUP": Machine._dup,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    "MEMOIZE": Machine._memoize,
    "TUPLE1": lambda m, _: m._last_as_tuple(1),
    "TUPLE2": lambda m, _: m._last_as_tuple(2),
    "TUPLE3": lambda m, _: m._last_as_tuple(3),
    "TUPLE": lambda m, _: m._collect(tuple),
    "LIST": lambda m, _: m._collect(list),
    "DICT": lambda m, _: m._collect(lambda flat: dict(_pairs(flat))),
    "FROZENSET": lambda m, _: m._collect(lambda items: frozenset(map(_key, items))),
    "APPEND": lambda m, _: m._extend([m._stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda m, _: m._extend(m._since_mark())),
    "SETITEM": Machine._setitem,
    "SETITEMS": lambda m, _: m._update(m._since_mark()),
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine._reduce),
    "NEWOBJ_EX": Machine._newobj_ex,
    "INST": Machine._inst,
    "OBJ": Machine._obj,
    "BUILD": Machine._build,
    "PERSID": Machine._persid,
    "BINPERSID": lambda m, _: m._persid(m._stack.pop()),
}
