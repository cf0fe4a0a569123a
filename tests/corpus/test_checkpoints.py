"""Files of others that are damaged, hostile, or no weights at all: each is named in one line, and soon.

The structures here do nothing to Python's own readers; they are only many, deep or large.
"""

import io
import pickle
import struct
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from infer.cli.main import main
from models.checkpoints import formats
from models.checkpoints.arrays import Arrays
from models.errors import PhotograftError
from tests.golden_fixtures import FOLDER, arrays
from tests.refusals import refused

STYLEGAN = FOLDER / "stylegan/tf_stylegan1/tf_variables.npz"
ARRAY = "G_synthesis/8x8/Conv1/bias"  # one of its arrays, of 8 values
SECONDS = 20  # of the slowest case, on a loaded machine; the worst took for ever


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str, bytes, str], None]:
    """Both commands refuse a file of these bytes with these words."""

    def run(name: str, data: bytes, words: str) -> None:
        path, out = tmp_path / name, tmp_path / "out"
        path.write_bytes(data)
        out.mkdir()
        start = time.monotonic()
        for command in (["inspect", str(path)], ["convert", str(path), str(out / "x.safetensors")]):
            line = refused(main(command), capsys, words, out)
            assert name in line
        assert time.monotonic() - start < SECONDS

    return run


def error_of(path: Path) -> str:
    """What is wrong with a file; empty if it can be read."""
    try:
        formats.read(path)
    except PhotograftError as error:
        return str(error)
    return ""


# what is saved in place of weights

NAMED: dict[str, tuple[str, bytes, str]] = {
    "empty": ("x.pt", b"", "is empty"),
    "web page": ("x.pth", b"\n<!DOCTYPE html><html><head><title>404", "web page"),
    "web page with a mark": ("x.pth", b"\xef\xbb\xbf<html lang='de'>", "web page"),
    "git lfs": ("x.pkl", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n", "git lfs pull"),
    "answer of a server": ("x.pt", b"Not Found", "is text (it begins with 'Not Found')"),
    "sentence": ("x.pkl", b"Zugriff verweigert: bitte anmelden.", "is text"),
    "json": ("x.safetensors.pt", b'{"error": "Invalid username or password."}', "is JSON"),
    "xml": ("x.pt", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "is XML"),
    "blanks": ("x.pt", b"\n \n", "nothing but blanks"),
    "keras": ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    "onnx": ("x.onnx", b"\x08\x07\x12\x07pytorch\x1a\x031.9:", "ONNX"),
    "gguf": ("x.gguf", b"GGUF\x03\0\0\0", "GGUF"),
    "tf lite": ("x.tflite", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
    "tf index": ("model.ckpt.index", bytes(40) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "TensorFlow checkpoint"),
    "tf data": ("model.ckpt.data-00000-of-00001", np.random.default_rng(0).bytes(99), "TensorFlow checkpoint"),
    "tf list": ("checkpoint", b'model_checkpoint_path: "model-1"', "TensorFlow training"),
    "joblib": ("x.pkl", b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x13joblib.numpy_pickle\x94", "joblib"),
    "zlib": ("x.pkl", b"\x78\x9c" + bytes(99), "zlib"),
    "gzip": ("x.pt.gz", b"\x1f\x8b\x08" + bytes(40), "gzip"),
    "tar": ("x.pth", bytes(257) + b"ustar" + bytes(300), "tar archive"),
    "picture": ("x.pt", b"\x89PNG\r\n\x1a\n", "PNG"),
    "zeros": ("x.pt", bytes(1000), "no known kind"),
    "noise": ("x.pt", np.random.default_rng(0).bytes(1000), "no known kind"),
    "single array": ("x.npy", b"\x93NUMPY\x01\0", "single numpy array"),
    "one byte": ("x.pkl", b"\x80", "damaged"),
    "unfinished": ("x.pt.crdownload", b"PK\x03\x04" + bytes(99), "did not finish: .crdownload"),
    "safetensors cut": ("x.pt", struct.pack("<Q", 20) + b'{"a": {"dtype":"F32"', "damaged"),
    "safetensors too long": ("x.pt", struct.pack("<Q", 2**62) + b'{"a"', "no known kind"),
    "safetensors nested": ("x.pt", struct.pack("<Q", 20000) + b'{"a":' + b"[" * 19995, "damaged"),
}


@pytest.mark.parametrize("name", NAMED)
def test_no_weights(name: str, check: Callable[[str, bytes, str], None]) -> None:
    check(*NAMED[name])


def test_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").touch()
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "saved", "SavedModel"),
        (tmp_path / "none.pt", "not found"),
        (Path("/dev/zero"), "no regular file"),
    ):
        refused(main(["inspect", str(path)]), capsys, words)


# archives


def zipped(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def header(text: str, data: bytes = bytes(32), version: int = 1) -> bytes:
    """An .npy of this header."""
    size = (len(text) + 1).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes((version, 0)) + size + text.encode() + b"\n" + data


def described(shape: str, descr: str = "'<f4'") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")


def npz(changed: bytes) -> bytes:
    """The official StyleGAN's arrays, one of them changed."""
    return zipped([(f"{k}.npy", changed if k == ARRAY else npy(v)) for k, v in arrays(STYLEGAN).items()])


def flipped(at: int, value: int) -> bytes:
    """An archive with a changed byte in its directory's first entry."""
    data = bytearray(npz(npy(np.zeros(8, np.float32))))
    data[data.index(b"PK\x01\x02") + at] = value
    return bytes(data)


HEADERS: dict[str, tuple[bytes, str]] = {
    "terabytes": (described("(1099511627776,)"), "more or fewer values"),
    "more than there is": (described("(9,)"), "more or fewer values"),
    "negative": (described("(-8,)"), "more or fewer values"),
    "no values of terabytes": (described("(0, 1099511627776)"), "more or fewer values"),
    "hundred dimensions": (described(f"({'1, ' * 100})"), "more or fewer values"),
    "open bracket": (header("{'descr': '<f4', 'fortran_order': False, 'shape': (8,"), "header"),
    "nine thousand brackets": (header("[" * 9000), "header"),
    "nine thousand digits": (described(f"({'9' * 9000},)"), "header"),
    "a call": (header("__import__('os').getcwd()"), "header"),
    "missing keys": (header("{'descr': '<f4'}"), "header"),
    "type of gigabytes": (described("(1,)", "('<f4', (1000000000,))"), "header"),
    "raw bytes": (header("{'descr': '|V4', 'fortran_order': False, 'shape': (8,), }"), "not an array of numbers"),
    "version three": (header("{'descr': '<f4', 'fortran_order': False, 'shape': (8,), }", version=3), "header"),
    "no array": (b"text", "header"),
    "objects": (npy(np.array([{}] * 8, dtype=object)), "of object"),
    "records": (npy(np.zeros(8, [("a", "f4")])), "not an array of numbers"),
    "complex": (npy(np.zeros(8, complex)), "not an array of numbers"),
    "texts": (npy(np.array(["a"] * 8)), "not an array of numbers"),
    "dates": (npy(np.zeros(8, "M8[s]")), "not an array of numbers"),
    "beyond float32": (npy(np.full(8, 1e300)), "infinite"),
    "another rank": (npy(np.zeros((2, 2, 2), np.float32)), "is [2, 2, 2]"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_arrays(name: str, check: Callable[[str, bytes, str], None]) -> None:
    data, words = HEADERS[name]
    check("x.npz", npz(data), words)


@pytest.mark.parametrize("convert", [lambda a: a.astype(">f4"), lambda a: a.astype(np.longdouble), np.asfortranarray])
def test_arrays_of_other_machines(convert: Callable[[Any], Any], tmp_path: Path) -> None:
    """Byte order, precision and order of axes change nothing."""
    path, expected = tmp_path / "x.npz", formats.read(STYLEGAN).networks["generator"].state_dict()
    path.write_bytes(zipped([(f"{k}.npy", npy(convert(v))) for k, v in arrays(STYLEGAN).items()]))
    found = formats.read(path).networks["generator"].state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


ARCHIVES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "encrypted": ("x.npz", lambda: flipped(8, 1), "encrypted"),
    "later version": ("x.npz", lambda: flipped(6, 255), "version"),
    "unknown method": ("x.npz", lambda: flipped(10, 97), "unknown way"),
    "cut": ("x.npz", lambda: npz(npy(np.zeros(8)))[:999], "cut off"),
    "flipped bit": ("x.npz", lambda: npz(npy(np.zeros(8))).replace(bytes(64), b"\1" * 64, 1), "damaged"),
    "a name twice": ("x.npz", lambda: zipped([("a.npy", b""), ("a.npy", b"")]), "twice"),
    "zip in a zip": ("x.zip", lambda: zipped([("w.npz", zipped([]))]), "unpack it"),
    "zip of a file": ("x.zip", lambda: zipped([("a/model.pt", b"x"), ("a/readme.md", b"y")]), "unpack it"),
    "nothing": ("x.npz", lambda: zipped([]), "holds nothing"),
    "bomb": ("x.npz", lambda: zipped([("a.npy", bytes(300 << 20))], zipfile.ZIP_DEFLATED), "than its size allows"),
    "torch bomb": (
        "x.pt",
        lambda: zipped([("a/data.pkl", b"N."), ("a/data/0", bytes(300 << 20))], zipfile.ZIP_DEFLATED),
        "than its size allows",
    ),
    "torchscript": ("x.pt", lambda: zipped([("a/data.pkl", b""), ("a/constants.pkl", b"")]), "TorchScript"),
    "keras": ("x.keras", lambda: zipped([("config.json", b"{}"), ("model.weights.h5", b"")]), "Keras"),
    "ten thousand members": ("x.npz", lambda: zipped([(f"block2/{i}.npy", b"") for i in range(10_000)]), "header"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name: str, check: Callable[[str, bytes, str], None]) -> None:
    file, data, words = ARCHIVES[name]
    check(file, data(), words)


# pickles


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def entries(**values: bytes) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in values.items()) + b"u"


def doubled(empty: bytes, pair: Callable[[bytes], bytes], times: int = 60) -> bytes:
    """A container of one twice, which holds one twice, and so on: 2 to the 60th in a few hundred bytes."""
    steps = (pair(b"h" + bytes([100 + i])) + b"q" + bytes([101 + i]) + b"0" for i in range(times))
    return empty + b"q\x640" + b"".join(steps) + b"h" + bytes([100 + times])


LISTS = doubled(b"]", lambda get: b"](" + get + get + b"e")
TUPLES = doubled(b")", lambda get: get + get + b"\x86")
DICTS = doubled(b"}", lambda get: entries(a=get, b=get))
NETWORK = b"cdnnlib.tflib.network\nNetwork\n)\x81"
MODULE = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"


def tensorflow(**state: bytes) -> bytes:
    """A network as tflib pickles it, with a StyleGAN's variable."""
    variables = b"](" + text("G_synthesis/4x4/Const/const") + b"K\x01\x86e"
    return b"\x80\x02" + NETWORK + entries(**{"variables": variables, **state}) + b"b."


def nvidia(**state: bytes) -> bytes:
    """A module as NVIDIA pickles it, with a StyleGAN2's array."""
    buffers = b"}" + text("synthesis.b4.const") + b"K\x01s"
    return b"\x80\x02" + module(**{"_buffers": buffers, **state}) + b"."


def module(**state: bytes) -> bytes:
    return MODULE + entries(state=entries(**state)) + b"\x85R"


def nested_torch() -> bytes:
    """One small torch file, opened again and again."""
    buffer = io.BytesIO()
    torch.save({"x": 1}, buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    load = b"ctorch.storage\n_load_from_bytes\nq\x00B" + struct.pack("<I", len(data)) + data + b"q\x01("
    return b"\x80\x03" + load + b"h\x00h\x01\x85R" * 50_000 + b"t."


def shared(names: int) -> bytes:
    """One storage of 4 MB in many tensors."""
    buffer, value = io.BytesIO(), torch.zeros(1 << 20)
    torch.save({f"style.{i}.weight": value[:] for i in range(names)}, buffer)
    return buffer.getvalue()


NINE_THOUSAND = b"\x8b" + struct.pack("<i", 3740) + b"\x77" * 3740  # digits of an integer
COLLIDING = b"".join(b"\x8a\x14" + (k * (2**61 - 1) + 2**100).to_bytes(20, "little") + b"N" for k in range(50_000))

PICKLES: dict[str, tuple[bytes, str]] = {
    "doubled lists": (b"\x80\x02" + LISTS + b".", "no network"),
    "doubled tuples": (b"\x80\x02" + TUPLES + b".", "no network"),
    "doubled dictionaries": (b"\x80\x02" + DICTS + b".", "no network"),
    "doubled variable name": (tensorflow(variables=b"](" + LISTS + b"N\x86e"), "no network"),
    "doubled function name": (tensorflow(build_func_name=LISTS), "missing"),
    "doubled setting": (tensorflow(static_kwargs=entries(blur_filter=LISTS)), "built with blur_filter"),
    "doubled tuple setting": (tensorflow(static_kwargs=entries(use_styles=TUPLES)), "built with use_styles"),
    "doubled rate": (tensorflow(static_kwargs=entries(mapping_lrmul=LISTS)), "no sense"),
    "doubled component": (tensorflow(components=entries(x=NETWORK + entries(name=LISTS) + b"b")), "missing"),
    "thousand components": (tensorflow(components=entries(**{f"c{i}": b"N" for i in range(1000)})), "components"),
    "doubled activation": (nvidia(activation=b"N", _init_kwargs=entries(activation=LISTS)), "activation"),
    "doubled clamp": (nvidia(_init_kwargs=entries(conv_clamp=LISTS)), "conv_clamp"),
    "clamp of nine thousand digits": (nvidia(_init_kwargs=entries(conv_clamp=NINE_THOUSAND)), "bits"),
    "clamp of seventy digits": (nvidia(_init_kwargs=entries(conv_clamp=b"\x8a\x1e" + b"\7" * 30)), "conv_clamp"),
    "doubled keywords": (nvidia(_init_kwargs=DICTS), "missing"),
    "doubled modules": (
        b"\x80\x02" + doubled(module(), lambda get: module(_modules=entries(a=get, b=get))) + b".",
        "contain each other",
    ),
    "module in itself": (
        b"\x80\x02}q\x00" + text("state") + b"}" + text("_modules") + b"}" + text("a") + MODULE + b"h\x00\x85Rsss0"
        + MODULE + b"h\x00\x85R.",
        "contain each other",
    ),
    "list of itself": (b"\x80\x02]q\x00h\x00a.", "no network"),
    "dictionary of itself": (b"\x80\x02}q\x00" + text("state_dict") + b"h\x00s.", "no network"),
    "lists 100,000 deep": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "no network"),
    "tuples 100,000 deep": (b"\x80\x02)" + b"\x85" * 100_000 + b".", "no network"),
    "dictionaries 50,000 deep": (b"\x80\x02" + (b"}" + text("a")) * 50_000 + b"N" + b"s" * 50_000 + b".", "no network"),
    "objects 20,000 deep": (b"\x80\x02ca\nb\nq\x00)\x81" + b"q\x01h\x00)\x81h\x01b" * 20_000 + b".", "no network"),
    "integer as text": (b"I" + b"9" * 9000 + b"\n.", "is text"),
    "long as text": (b"(L" + b"9" * 9000 + b"L\nt.", "is text"),
    "long of 9,000 digits": (b"\x80\x02\x8b" + struct.pack("<i", 3740) + b"\x77" * 3740 + b".", "bits"),
    "long of 2 GB": (b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x77.", "damaged"),
    "long of negative size": (b"\x80\x02\x8b" + struct.pack("<i", -5) + b"\x77.", "damaged"),
    "memo of 4,000 digits": (b"\x80\x02Np" + b"9" * 4000 + b"\n.", "impossible number"),
    "negative memo": (b"\x80\x02Np-5\n.", "impossible number"),
    "missing memo": (b"\x80\x02h\x07.", "did not keep"),
    "bytes of exabytes": (b"\x80\x04\x8e" + struct.pack("<Q", 2**63 - 1) + b"a.", "damaged"),
    "text of terabytes": (b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"a.", "damaged"),
    "frame of exabytes": (b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.", "no network"),
    "escapes": (b"\x80\x02S'" + b"\\x41" * 100_000 + b"'\n.", "no network"),
    "empty stack": (b"\x80\x02.", "stack"),
    "append to nothing": (b"\x80\x02a.", "stack"),
    "tuple of nothing": (b"\x80\x02N\x87.", "longer than the stack"),
    "marks": (b"\x80\x02" + b"(" * 100_000 + b"2.", "stack"),
    "marks that are dropped": (b"\x80\x02N1.", "stack"),
    "copies of the top": (b"\x80\x02N" + b"2" * 100_000 + b"t.", "stack"),
    "too many opcodes": (b"\x80\x02" + b"N0" * 600_000 + b"N.", "too long"),
    "calls": (b"\x80\x02ca\nb\nq\x00(" + b"h\x00)R" * 50_000 + b"t.", "no network"),
    "long arguments": (
        b"\x80\x02ctorch._utils\n_rebuild_parameter\nq\x00(" + b"N" * 100_000 + b"tq\x01(h\x00h\x01Rt.",
        "no tensor",
    ),
    "key of a list": (b"\x80\x02}]Ns.", "key of a dictionary"),
    "keys of one hash": (b"\x80\x02}(" + COLLIDING + b"u.", "giant integer"),
    "keys that are no text": (b"\x80\x02}(K\x01NK\x02NNNG?\xf0\0\0\0\0\0\0Nu.", "no network"),
    "state dict with such keys": (b"\x80\x02" + entries(**{"synthesis.b4.const": b"N"})[:-1] + b"K\x01Nu.", "missing"),
    "later protocol": (b"\x80\x09N.", "protocol 9"),
    "nested torch files": (nested_torch(), "far more"),
    "storage of many names": (shared(64), "far more"),
    "array of a giant type": (pickle.dumps(np.zeros(2), 2).replace(b"f8", b"V9"), "of numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(name: str, check: Callable[[str, bytes, str], None]) -> None:
    data, words = PICKLES[name]
    check("x.pkl", data, words)


@pytest.mark.parametrize("opcode", range(256))
def test_every_opcode_is_inert(opcode: int, tmp_path: Path) -> None:
    """After names, arguments and marks, each opcode makes data or an error: nothing is imported or called."""
    path, mark = tmp_path / "x.pkl", tmp_path / "mark"
    name = b"cpathlib\nPath.touch\n(cpathlib\nPath\n" + text(str(mark)) + b"\x85R"
    for start in (b"", name, name + b"t", name + b"tq\x00", b"(" + name, text("pathlib") + text("Path")):
        for end in (b".", b"R.", b"b.", b"\x85R.", b"}b."):
            path.write_bytes(b"\x80\x04" + start + bytes([opcode]) + bytes(2) + b"\n" + end)
            assert "\n" not in error_of(path)
    assert not mark.exists()


def test_an_array_of_many_names(tmp_path: Path) -> None:
    """Each would become a layer of its own."""
    one, path = torch.zeros(512, 512), tmp_path / "x.pt"
    layers: dict[str, Any] = {f"mapping.fc{i}.weight": one for i in range(1000)}
    good = {k: torch.from_numpy(v) for k, v in arrays(FOLDER / "stylegan/sg2ada_64/weights.npz").items()}
    path.write_bytes(torch_file({"G_ema": good | layers}))
    assert "few, under many names" in error_of(path)


def test_arrays_that_share_one_storage(tmp_path: Path) -> None:
    """As of an optimiser with flat buffers, the smallest view last."""
    good = {k: torch.from_numpy(v) for k, v in arrays(FOLDER / "stylegan/sg2ada_64/weights.npz").items()}
    good = dict(sorted(good.items(), key=lambda item: -item[1].numel()))
    flat = torch.cat([value.float().flatten() for value in good.values()])
    flat = torch.cat([flat, torch.zeros(2**23)])
    parts = flat[: sum(value.numel() for value in good.values())].split([value.numel() for value in good.values()])
    views = {name: part.view(value.shape) for (name, value), part in zip(good.items(), parts, strict=True)}
    large = {f"part{i}": flat for i in range(3)}
    Arrays(large | views, tmp_path)
    with pytest.raises(PhotograftError, match="few, under many names"):
        Arrays({f"part{i}": flat for i in range(6)}, tmp_path)


def test_names_of_many_prefixes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(torch_file({"module." * 5000 + "a.weight": torch.zeros(3)}))
    assert "\n" not in error_of(path)


# sizes that no network has


def torch_file(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def rosinality() -> dict[str, Any]:
    return {k: torch.from_numpy(v) for k, v in arrays(FOLDER / "stylegan/rosinality_64/weights.npz").items()}


SIZES: dict[str, tuple[Callable[[], Any], str]] = {
    "width of 300,000": (lambda: {"conv1.conv.weight": torch.zeros(1, 300_000, 1, 1, 1)}, "does not fit"),
    "w of 1,000,000": (lambda: {"style.3.weight": torch.zeros(1_000_000, 1)}, "does not fit"),
    "z of 1,000,000": (lambda: {"style.1.weight": torch.zeros(1, 1_000_000)}, "does not fit"),
    "thirty resolutions": (
        lambda: {f"convs.{i}.conv.weight": torch.zeros(1, 4, 4, 3, 3) for i in range(8, 60)},
        "resolutions|does not fit|missing",
    ),
    "no width": (lambda: {"conv1.conv.weight": torch.zeros(1, 0, 4, 3, 3)}, "not an array"),
    "integers": (lambda: {"to_rgb1.bias": torch.zeros(1, 3, 1, 1, dtype=torch.uint8)}, "not an array of numbers"),
    "complex": (lambda: {"to_rgb1.bias": torch.zeros(1, 3, 1, 1, dtype=torch.complex64)}, "not an array of numbers"),
    "expanded": (lambda: {"to_rgb1.bias": torch.zeros(1).expand(10**6, 10**6)}, "more values than its storage"),
    "text": (lambda: {"to_rgb1.bias": "text"}, "not an array|is no array"),
    "mean of another size": (lambda: {"latent_avg": torch.ones(10, 31)}, "'latent_avg' does not fit"),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name: str, tmp_path: Path) -> None:
    change, words = SIZES[name]
    path = tmp_path / "x.pt"
    path.write_bytes(torch_file({"g_ema": rosinality() | change()}))
    with pytest.raises(PhotograftError, match=words):
        formats.read(path)


SOURCES = {
    "nvidia": "stylegan/sg2ada_64/weights.npz",
    "rosinality": "stylegan/rosinality_64/weights.npz",
    "tensorflow": "stylegan/tf_stylegan1/tf_variables.npz",
    "progan": "pggan/tf_progan/tf_variables.npz",
    "lernapparat": "stylegan/ivrl_stylegan1/weights.npz",
    "zoo": "pggan/zoo_pgan32/weights.npz",
}
SHAPES = ((), (1,), (3, 2), (1, 1, 1, 1), (2, 1, 1, 1, 1), (0,))


@pytest.mark.parametrize("source", SOURCES)
def test_any_array_of_any_shape(source: str, tmp_path: Path) -> None:
    """Whichever array is missing or of whatever shape, the line names an array of the file."""
    good = arrays(FOLDER / SOURCES[source])
    path = tmp_path / "x.npz"
    for i, key in enumerate(sorted(good)[:: max(len(good) // 30, 1)]):
        changed: dict[str, Any] = {**good, key: np.ones(SHAPES[i % len(SHAPES)], np.float32)}
        for content in (changed, {k: v for k, v in good.items() if k != key}):
            np.savez(path, **content)
            line = error_of(path).removeprefix(str(path))
            assert "\n" not in line
            names = [part for part in line.split("'")[1::2] if "/" in part or "." in part]
            assert all(name in good or ".*." in name for name in names), line


def test_safetensors_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(save_tensors({f"module.{k}": v.contiguous() for k, v in rosinality().items()}))
    assert main(["inspect", str(path)]) == 0
    assert main(["convert", str(path), str(tmp_path / "y.safetensors")]) == 0
    capsys.readouterr()
    refused(main(["convert", str(tmp_path / "y.safetensors"), str(tmp_path / "z.safetensors")]), capsys, "ours already")


def test_views_of_one_flat_buffer_are_a_network_s() -> None:
    flat = torch.zeros(300 * 10_000)
    values = {f"layer.{i}": part for i, part in enumerate(flat.split(10_000))}
    assert len(Arrays(values, Path("flat.pt"))._values) == 300
