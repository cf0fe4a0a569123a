"""The restricted pickle reader: it reads what Python's own unpickler reads, and hostile files do nothing."""

import argparse
import builtins
import io
import os
import pickle
import random
import struct
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.checkpoints.pickles import Foreign, Global, read_pickle, read_torch
from models.errors import PhotograftError

TENSORS = {"a": torch.arange(6.0).view(2, 3).t(), "b": torch.tensor([True, False])}


class Options(dict[str, Any]):
    """A dict with attributes, as configs often are."""


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.args


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def saved(value: Any, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


# what is read


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, -(2**70)], "b": (b"\xff\0", "é", ()), 3: {"x", "y"}, None: frozenset({1.5})},
        OrderedDict([("z", 1), ("a", [(1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)])]),
    ],
    ids=["containers", "ordered"],
)
def test_plain_values(value: Any, protocol: int, tmp_path: Path) -> None:
    assert read_pickle(write(tmp_path / "a.pkl", pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize("protocol", range(6))
def test_arrays(protocol: int, tmp_path: Path) -> None:
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    for array in (numbers, numbers.T, numbers.astype(">i4"), numbers > 2, np.array(["ab", "c"]), np.zeros((0, 4))):
        read = read_pickle(write(tmp_path / "a.pkl", pickle.dumps(array, protocol)))
        assert read.dtype.kind == array.dtype.kind
        assert np.array_equal(read, array)
    scalar = read_pickle(write(tmp_path / "a.pkl", pickle.dumps(np.float64(0.1), protocol)))
    assert scalar == 0.1


def test_arrays_of_old_pickles(tmp_path: Path) -> None:
    array = np.arange(200, dtype=np.float32)
    text = pickle.dumps(array, 2).replace(b"numpy._core", b"numpy.core")  # as NumPy 1 wrote it
    assert np.array_equal(read_pickle(write(tmp_path / "a.pkl", text)), array)
    raw = array.tobytes()
    python2 = (  # whose texts were bytes
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01M\xc8\x00\x85"
        b"cnumpy\ndtype\nU\x02f4K\0K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T"
        + struct.pack("<i", len(raw)) + raw + b"tb."
    )  # fmt: skip
    assert np.array_equal(read_pickle(write(tmp_path / "b.pkl", python2)), array)


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files(legacy: bool, tmp_path: Path) -> None:
    shared = torch.arange(12, dtype=torch.float32)
    noted = torch.full((2,), 3.0)
    noted.note = "an attribute"  # type: ignore[attr-defined]
    value: dict[str, Any] = {
        "state": OrderedDict(TENSORS, parameter=torch.nn.Parameter(torch.ones(2))),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "parts": [shared[2:6], shared.view(3, 4)[:, 1], torch.zeros(0), torch.tensor(3)],
        "module": torch.nn.Linear(2, 1).state_dict(),  # an OrderedDict with an attribute
        "noted": noted,
    }
    read = read_torch(write(tmp_path / "a.pt", saved(value, legacy=legacy)))
    for name, tensor in value["state"].items():
        assert torch.equal(read["state"][name], tensor)
    assert read["half"].dtype == torch.bfloat16
    assert torch.equal(read["noted"], noted)
    for got, tensor in zip(read["parts"], value["parts"], strict=True):
        assert torch.equal(got, tensor)
    assert read["module"].keys() == {"weight", "bias"}


@pytest.mark.parametrize("legacy", [False, True])
def test_foreign_objects_are_records(legacy: bool, tmp_path: Path) -> None:
    options = Options(size=4)
    options.note = "kept"  # type: ignore[attr-defined]
    value = {"args": argparse.Namespace(lr=0.1), "options": options, "cls": np.ndarray, "tensor": torch.ones(2)}
    read = read_torch(write(tmp_path / "a.pt", saved(value, legacy=legacy)))
    assert isinstance(read["args"], Foreign)
    assert (read["args"].name, read["args"].state) == ("argparse.Namespace", {"lr": 0.1})
    assert read["options"].name == f"{__name__}.Options"
    assert (read["options"].items, read["options"].state) == ({"size": 4}, {"note": "kept"})
    assert read["cls"] == Global("numpy.ndarray")
    assert torch.equal(read["tensor"], torch.ones(2))


def test_tensors_in_plain_pickles(tmp_path: Path) -> None:
    read = read_pickle(write(tmp_path / "a.pkl", pickle.dumps(TENSORS)))
    assert torch.equal(read["a"], TENSORS["a"])
    assert torch.equal(read["b"], TENSORS["b"])


# what must not happen


def functions() -> dict[str, tuple[Callable[..., Any], Callable[[Path], Any]]]:
    """Functions that a file could ask for, and an argument with which each would leave a mark."""
    return {
        "os.system": (os.system, lambda mark: f"touch {mark}"),
        "exec": (builtins.exec, lambda mark: f"open({str(mark)!r}, 'w').close()"),
        "eval": (builtins.eval, lambda mark: f"open({str(mark)!r}, 'w').close()"),
        "subprocess": (subprocess.check_call, lambda mark: ["touch", str(mark)]),
        "mkdir": (os.mkdir, str),
        "module function": (leave, str),
    }


def leave(mark: str) -> None:
    """A function of an ordinary module."""
    Path(mark).touch()


@pytest.fixture(params=functions())
def call(request: pytest.FixtureRequest, tmp_path: Path) -> Call:
    function, argument = functions()[request.param]
    return Call(function, argument(tmp_path / "mark"))


def test_the_attacks_are_real(call: Call, tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(call))
    assert (tmp_path / "mark").exists()


def unharmed(path: Path, read: Callable[[Path], Any]) -> Any:
    """What a hostile file is read as, or the error; in no case has it left its mark."""
    try:
        value = read(path)
    except PhotograftError as error:
        value = error
    assert not (path.parent / "mark").exists()
    assert not isinstance(value, PhotograftError) or "\n" not in str(value)
    return value


@pytest.mark.parametrize("protocol", range(6))
def test_calls(call: Call, protocol: int, tmp_path: Path) -> None:
    read = unharmed(write(tmp_path / "a.pkl", pickle.dumps({"w": [call]}, protocol)), read_pickle)
    assert isinstance(read["w"][0], Foreign)
    assert read["w"][0].args == call.args


@pytest.mark.parametrize("legacy", [False, True])
def test_calls_in_torch_files(call: Call, legacy: bool, tmp_path: Path) -> None:
    data = saved({"x": call, "w": torch.ones(1)}, legacy=legacy)
    read = unharmed(write(tmp_path / "a.pt", data), read_torch)
    assert isinstance(read["x"], Foreign)
    inside = Call(torch.storage._load_from_bytes, data)
    read = unharmed(write(tmp_path / "a.pkl", pickle.dumps(inside)), read_pickle)
    assert isinstance(read["x"], Foreign)
    bare = Call(torch.storage._load_from_bytes, pickle.dumps(call))
    assert isinstance(unharmed(write(tmp_path / "b.pkl", pickle.dumps(bare)), read_pickle), PhotograftError)


def test_calls_in_arrays(call: Call, tmp_path: Path) -> None:
    array = np.array([call, None], dtype=object)
    assert isinstance(unharmed(write(tmp_path / "a.pkl", pickle.dumps(array)), read_pickle), PhotograftError)
    dtype = np.dtype("O")
    scalar = Call(np.float32(1).__reduce__()[0], dtype, call)  # type: ignore[arg-type]
    assert isinstance(unharmed(write(tmp_path / "b.pkl", pickle.dumps(scalar)), read_pickle), PhotograftError)


def assembled(mark: Path) -> dict[str, bytes]:
    """Pickles that no pickler writes."""
    command = b"X" + struct.pack("<I", len(f"touch {mark}")) + f"touch {mark}".encode()
    short = b"\x8c\x02os\x8c\x06system\x93"
    return {
        "GLOBAL": b"cos\nsystem\n(" + command + b"tR.",
        "posix": b"cposix\nsystem\n(" + command + b"tR.",
        "INST": b"(" + command + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + command + b"o.",
        "NEWOBJ": short + command + b"\x85\x81.",
        "NEWOBJ_EX": short + command + b"\x85}\x92.",
        "dotted": b"\x80\x04\x8c\x06models\x8c\x0ffiles.os.system\x93" + command + b"\x85R.",
        "dotted builtins": b"\x80\x04\x8c\x08builtins\x8c\x13__import__.__call__\x93\x8c\x02os\x85R.",
        "getattr": b"cbuiltins\ngetattr\n(cos\npath\nX\x02\0\0\0ostRX\x06\0\0\0systemtR" + command + b"\x85R.",
        "called result": b"cbuiltins\ngetattr\n(cos\npath\nX\x02\0\0\0ostR" + command + b"\x85R.",
        "called text": command + command + b"\x85R.",
        "setstate": b"ccollections\nOrderedDict\n)R}X\x0c\0\0\0__setstate__" + short + b"sb" + command + b"b.",
        "state of a builder": b"ccollections\nOrderedDict\n}X\x07\0\0\0__new__" + short + b"sb.",
        "state of a tensor": b"ctorch._utils\n_rebuild_tensor_v2\n" + short + b"b.",
        "slots": b"ccollections\nOrderedDict\n)R(N}X\x09\0\0\0__class__" + short + b"stb.",
        "persistent id": b"(X\x07\0\0\0storage" + short + b"X\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ.",
        "text persistent id": b"Pos.system\n.",
        "extension": b"\x82\x01.",
        "buffer": b"\x97.",
        "key": b"}" + b"(" + command + b"\x85" + b"K\x01u.",
        "storage": b"ctorch._utils\n_rebuild_tensor_v2\n(" + short + b"K\0)))NtR.",
    }


REFUSED = (
    *("called result", "called text", "state of a builder", "state of a tensor", "persistent id", "text persistent id"),
    *("extension", "buffer", "key", "storage", "getattr"),
)


@pytest.mark.parametrize("name", ["GLOBAL", "posix", "INST", "OBJ"])
def test_assembled_attacks_are_real(name: str, tmp_path: Path) -> None:
    pickle.loads(assembled(tmp_path / "mark")[name])
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", assembled(Path("mark")))
def test_assembled_pickles(name: str, tmp_path: Path) -> None:
    data = assembled(tmp_path / "mark")[name]
    read = unharmed(write(tmp_path / "a.pkl", data), read_pickle)
    assert isinstance(read, PhotograftError) == (name in REFUSED), read
    archive = tmp_path / "a.pt"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/data.pkl", data)
        file.writestr("a/data/0", b"\0\0\0\0")
    unharmed(archive, read_torch)
    header = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    unharmed(write(tmp_path / "b.pt", header + data + b"]."), read_torch)
    unharmed(write(tmp_path / "c.pt", data), read_torch)


@pytest.mark.filterwarnings("ignore:TypedStorage")
@pytest.mark.parametrize(
    ("storage", "why"),
    [
        ((0, (2, 3), (3, 1)), None),
        ((4, (2,), (1,)), None),
        ((5, (2,), (1,)), "beyond"),
        ((0, (10**9, 6), (0, 1)), "more values"),
        ((0, (2, 2), (6, 1)), "beyond"),
        ((-1, (2,), (1,)), "no storage"),
        ((0, (2,), (-1,)), "shape"),
        ((0, (True,), (1,)), "shape"),
        ((0, (2,), ()), "strides"),
    ],
)
def test_tensors_stay_within_their_storage(storage: tuple[Any, ...], why: str | None, tmp_path: Path) -> None:
    value = Call(torch._utils._rebuild_tensor_v2, torch.arange(6.0).storage(), *storage, False, OrderedDict())
    path = write(tmp_path / "a.pkl", pickle.dumps(value))
    if why is None:
        assert torch.equal(read_pickle(path), torch.arange(6.0).as_strided(storage[1], storage[2], storage[0]))
    else:
        with pytest.raises(PhotograftError, match=why):
            read_pickle(path)


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in {
        "bytes": b"\x8e" + struct.pack("<Q", 2**62) + b"x.",
        "array": pickle.dumps(np.zeros(4, np.uint8), 4).replace(b"K\x04\x85", b"J\xff\xff\xff\x7f\x85"),
        "nested keys": b"}" + b")" + b"2\x86" * 200 + b"Ns.",
        "list": b"cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.",
        "memo": b"Nr\xff\xff\xff\xffh\x01.",
    }.items():
        with pytest.raises(PhotograftError):
            read_pickle(write(tmp_path / f"{name}.pkl", data))
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data.pkl", pickle.dumps(1, 2))
        file.writestr("a/data/0", bytes(1 << 20))
    assert read_torch(packed) == 1
    monkeypatch.setattr("models.checkpoints.archives.MAX_BYTES", 1 << 19)
    with pytest.raises(PhotograftError, match="unpacks to more"):
        read_torch(packed)
    monkeypatch.setattr("models.checkpoints.pickle_machine.MAX_STEPS", 100)
    with pytest.raises(PhotograftError, match="too long"):
        read_pickle(write(tmp_path / "long.pkl", b"N0" * 60 + b"N."))


def test_nesting_ends(tmp_path: Path) -> None:
    value: Any = torch.ones(1)
    for depth in range(7):
        value = Call(torch.storage._load_from_bytes, saved({"x": value}, legacy=True))
        path = write(tmp_path / "a.pkl", pickle.dumps(value))
        if depth < 3:
            read_pickle(path)
    with pytest.raises(PhotograftError, match="no torch file"):
        read_pickle(path)


@pytest.mark.parametrize("read", [read_pickle, read_torch])
def test_bad_files(read: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="not found"):
        read(tmp_path / "none.pkl")
    for data in (b"", b"hello", b"\x80", b"\x80\x04.", bytes(100), b"PK\x03\x04", b"\x80\x04N"):
        with pytest.raises(PhotograftError):
            read(write(tmp_path / "bad.pkl", data))
    with pytest.raises(PhotograftError):
        read(tmp_path)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_damage(tmp_path: Path) -> None:
    """Files cut off or with changed bytes are read or refused, and nothing else."""
    value = {"w": torch.arange(6.0), "n": np.arange(3), "o": Options(a=1), "s": {1, 2}}
    prng = random.Random(0)
    readers = [(pickle.dumps(value, p), read_pickle) for p in (0, 2, 4, 5)]
    readers += [(saved(value, legacy=legacy), read_torch) for legacy in (False, True)]
    refused = 0
    for data, read in readers:
        for i in range(150):
            broken = bytearray(data)
            if i % 3 == 0:
                broken = broken[: prng.randrange(len(broken))]
            else:
                for _ in range(prng.choice((1, 3, 10))):
                    broken[prng.randrange(len(broken))] = prng.randrange(256)
            try:
                read(write(tmp_path / "a", bytes(broken)))
            except PhotograftError:
                refused += 1
    assert refused > 300


@pytest.mark.parametrize("name", ["builtins.list", "builtins.set", "builtins.frozenset"])
def test_copies_do_not_outgrow_the_file(name: str, tmp_path: Path) -> None:
    """One list of a hundred thousand numbers, and a container of it made again and again."""
    module, attribute = name.split(".")
    again = f"c{module}\n{attribute}\n".encode() + b"h\x00\x85R"  # GLOBAL, BINGET 0, TUPLE1, REDUCE
    one = b"](" + b"K\x01" * 100_000 + b"eq\x00"  # EMPTY_LIST, MARK, BININT1 ..., APPENDS, BINPUT 0
    path = tmp_path / "bomb.pkl"
    path.write_bytes(b"\x80\x02(" + one + again * 5 + b"l.")
    assert len(read_pickle(path)) == 6
    path.write_bytes(b"\x80\x02(" + one + again * 500 + b"l.")
    with pytest.raises(PhotograftError, match="far more"):
        read_pickle(path)
