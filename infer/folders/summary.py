"""What a run has done, a JSON line for each photo: to be read, and for a later run to go on from."""

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from models.errors import PhotograftError
from models.files import sha256
from models.reading import read_text
from models.schema import Schema, Text, parse_json
from models.writing import append_line

NAME = "summary.jsonl"
_PART = "summary.part{}.jsonl"  # of a process, until its lines are joined with the others'
_LARGEST = 512 * 2**20  # bytes
State = Literal["done", "failed", "skipped"]


class Finished(Schema):
    """What a later run takes from a line."""

    model_config = Schema.model_config | {"extra": "ignore"}

    photo: Text
    key: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""
    state: State
    files: dict[str, str] = Field(default_factory=dict)


@dataclass
class Line:
    """What happened to one photo.

    Attributes:
        photo: its name in the run.
        key: hash of all that its results depend on; empty where the file cannot be read.
        state: "failed" if any of its edits was not made; "skipped" where no head is found.
        box, located, confidence: where it was edited.
        class_name, loss: of the projection.
        to: what it became.
        warnings: what was said of it.
        seconds: of each part of the work.
        files: results, relative to the folder, with their sha256.
        error: in words.
        bug: a traceback, where the error is one of ours.
    """

    photo: str
    key: str = ""
    state: State = "done"
    box: str | None = None
    located: str | None = None
    confidence: float | None = None
    class_name: str | dict[str, float] | None = None
    loss: float | None = None
    to: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    bug: str | None = None

    def write(self, out: Path, rank: int) -> None:
        """Add it to what a process has done. Raises PhotograftError if that cannot be written."""
        said = {name: value for name, value in asdict(self).items() if value not in (None, "", [], {})}
        append_line(out / _PART.format(rank), json.dumps(said, allow_nan=False, ensure_ascii=True))


def finished(out: Path) -> dict[str, Finished]:
    """The photos that are done, by their key."""
    found = {}
    for line in _lines(out / NAME):
        if line.state == "done":
            found[line.key] = line
        else:
            found.pop(line.key, None)
    return found


def join(out: Path, photos: Sequence[str] = ()) -> None:
    """Add what processes have done to the summary, in the order of photos; also what those of a killed run left.

    Raises:
        PhotograftError: a file cannot be read or written.
    """
    parts = sorted(out.glob(_PART.format("*")))
    place = {photo: number for number, photo in enumerate(photos)}
    lines = [(line, text) for path in parts for line, text in _read(path)]
    lines.sort(key=lambda pair: place.get(pair[0].photo, len(place)))
    if lines:
        append_line(out / NAME, "\n".join(text for _, text in lines))
    for path in parts:
        with contextlib.suppress(OSError):  # then its lines are joined twice, which says nothing else
            path.unlink()


class Follower:
    """Reads what processes write, while they do."""

    def __init__(self, out: Path) -> None:
        self.out, self.read = out, dict[Path, int]()

    def __call__(self) -> list[Line]:
        """The lines since it was called last."""
        found = []
        for path in sorted(self.out.glob(_PART.format("*"))):
            with contextlib.suppress(OSError), path.open("rb") as stream:
                stream.seek(self.read.get(path, 0))
                text = stream.read()
                whole = text[: text.rfind(b"\n") + 1]
                self.read[path] = self.read.get(path, 0) + len(whole)
                for line in whole.splitlines():
                    with contextlib.suppress(ValueError, TypeError):  # half a line, of a process that began again
                        found.append(Line(**json.loads(line)))
        return found


def _lines(path: Path) -> list[Finished]:
    return [line for line, _ in _read(path)]


def _read(path: Path) -> list[tuple[Finished, str]]:
    """Lines and their texts; those of an interrupted run that are not whole are no lines."""
    found = []
    for text in read_text(path, "summary", most=_LARGEST).splitlines() if path.is_file() else ():
        with contextlib.suppress(PhotograftError):
            found.append((parse_json(Finished, text, path.name), text))
    return found


def is_whole(line: Finished, out: Path) -> bool:
    """Whether all files of a photo are there as they were written."""
    try:
        return bool(line.files) and all(sha256(out / name) == digest for name, digest in line.files.items())
    except OSError:
        return False


def key_of(said: Mapping[str, Any]) -> str:
    """A hash of what results depend on."""
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
