"""What a file is that holds no weights we can read, by its first bytes: so that it can be named, with what to do."""

import re
from collections.abc import Callable
from pathlib import Path

HEAD = 4096  # bytes that are looked at

SAVE_AGAIN = "save its state dict with torch.save, or as safetensors"
DOWNLOAD = "download the file itself again"
UNPACK = "unpack it and choose the file of weights in it"

MAGIC: tuple[tuple[bytes, str, str], ...] = (  # first bytes, what it is, what to do
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, or arrays of another program)", SAVE_AGAIN),
    (b"GGUF", "a GGUF file, which is of language models", "choose a GAN's weights"),
    (b"\x93NUMPY", "a single numpy array", "choose the file that holds all of a network's arrays (.npz, .pt, .pkl)"),
    (b"\x1f\x8b", "packed with gzip", UNPACK),
    (b"BZh", "packed with bzip2", UNPACK),
    (b"\xfd7zXZ\x00", "packed with xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"\x89PNG", "a PNG picture", "choose a file of weights"),
    (b"\xff\xd8\xff", "a JPEG picture", "choose a file of weights"),
    (b"GIF8", "a GIF picture", "choose a file of weights"),
    (b"RIFF", "a picture, film or sound", "choose a file of weights"),
    (b"%PDF", "a PDF document", "choose a file of weights"),
    (b"\x7fELF", "a program", "choose a file of weights"),
    (b"MZ", "a program", "choose a file of weights"),
    (b"SQLite format 3", "a database", "choose a file of weights"),
)
SUFFIXES = {  # of kinds that have no magic number
    ".onnx": ("an ONNX program", "export the network's state dict where it was trained"),
    ".pb": ("a TensorFlow graph (frozen or SavedModel)", "choose the .pkl or the variables as .npz"),
    ".meta": ("the graph of a TensorFlow checkpoint", "save its variables by name as .npz"),
    ".index": ("the index of a TensorFlow checkpoint", "save its variables by name as .npz"),
    ".tflite": ("a TensorFlow Lite program", "choose the .pkl or the variables as .npz"),
    ".mlmodel": ("a Core ML program", SAVE_AGAIN),
    ".engine": ("a TensorRT program", SAVE_AGAIN),
}
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".opdownload", ".aria2", ".incomplete", ".tmp")
TF_INDEX_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # of a table file


def name_kind(head: bytes, end: bytes, path: Path) -> str | None:
    """What a file is, and what to do; None if nothing known.

    Args:
        head, end: its first bytes (up to `HEAD`), and its last eight.
        path: whose suffix counts where a kind has no magic number.
    """
    for magic, kind, todo in MAGIC:
        if head.startswith(magic):
            return f"is {kind}: {todo}"
    if head[257:262] == b"ustar":
        return f"is a tar archive (torch wrote such files until 2016): {UNPACK}, or save it again with a later torch"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite program: choose the .pkl or the variables as .npz"
    if end == TF_INDEX_END:
        return "is the index of a TensorFlow checkpoint: save its variables by name as .npz"
    if b"joblib.numpy_pickle" in head:
        return f"was written by joblib, which mixes arrays into its pickles: {SAVE_AGAIN}"
    if head[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        return f"is packed with zlib (joblib does so): {SAVE_AGAIN}"
    if re.match(rb"\x08[\x01-\x14]\x12[\x01-\x20][\x20-\x7e]", head):
        return "is an ONNX program: export the network's state dict where it was trained"
    if re.fullmatch(r"\.data-\d{5}-of-\d{5}", path.suffix):
        return "is part of a TensorFlow checkpoint: save its variables by name as .npz"
    if path.suffix in SUFFIXES:
        return "is {}: {}".format(*SUFFIXES[path.suffix])
    return _name_text(head)


def _name_text(head: bytes) -> str | None:
    """The same of files of text."""
    try:
        text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        return None
    if any(character < " " and character not in "\t\n\r\f" for character in text):
        return None
    start = text.lstrip()
    for fits, kind in TEXTS:
        if fits(start):
            return kind
    if not start:
        return f"holds nothing but blanks: {DOWNLOAD}"
    return f"is text (it begins with {start.splitlines()[0][:60]!r}), not weights: {DOWNLOAD}"


def _begins(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.match(pattern, text, re.IGNORECASE) is not None


TEXTS: tuple[tuple[Callable[[str], bool], str], ...] = (
    (
        _begins(r"version https://git-lfs"),
        "is a Git LFS pointer, which stands for a file that was not downloaded: run git lfs pull",
    ),
    (
        lambda text: re.search(r"<!doctype html|<html[\s>]", text[:1000], re.IGNORECASE) is not None,
        f"is a web page (of an error, or of a download's confirmation), saved under this name: {DOWNLOAD}",
    ),
    (_begins(r"<\?xml|<Error>"), f"is XML, as servers answer with errors: {DOWNLOAD}"),
    (_begins(r"model_checkpoint_path:"), "lists the checkpoints of a TensorFlow training: choose a .pkl or .npz"),
    (_begins(r"[{\[]\s*(\"|\}|\]|\{|\[|$)"), "is JSON, not weights: choose the file of weights beside it"),
)


def name_folder(path: Path) -> str:
    """What a folder is, and what to choose in it."""
    if (path / "saved_model.pb").is_file():
        return "is a TensorFlow SavedModel: save its variables by name as .npz"
    if (path / "checkpoint").is_file():
        return "is a TensorFlow training's folder: save its variables by name as .npz"
    return "is a folder: choose the file of weights in it"


def name_archive(names: list[str]) -> str:
    """What a zip is that is no file of arrays or of torch, and what to do.

    Args:
        names: of its members.
    """
    if not names:
        return f"is an archive that holds nothing: {DOWNLOAD}"
    if any(re.search(r"(^|/)constants\.pkl$", name) for name in names):
        return f"is a TorchScript program, whose code would have to be run: {SAVE_AGAIN}"
    if any(name.endswith(("model.weights.h5", "keras_metadata.pb")) for name in names):
        return f"is a Keras model: {SAVE_AGAIN}"
    if any(name.endswith("archive_format") for name in names):
        return f"is a program exported by torch: {SAVE_AGAIN}"
    some = ", ".join(repr(name[:60]) for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"is an archive of {len(names)} files ({some}): {UNPACK}"
