"""Class labels that files tell: `classes.json`, `KEY.cls`, a field of `KEY.json`, StyleGAN's `dataset.json`.

Each is checked as it is read: numbers have bounds, and nothing is guessed from another type.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from typing import Any, BinaryIO

from data.records import read_ordinary
from data.report import printable
from data.shards import Member, Sample, read_member
from models.errors import PhotograftError

MAX_CLASS = 10**6  # of a class's number
_MAX_FIELD = 2**20  # bytes of a sample's .cls or .json
MAX_FILE = 2**28  # bytes of a classes.json or dataset.json
Label = int | str


def parse_json(data: bytes) -> Any:
    """JSON of any source.

    Raises:
        ValueError: it is not, is nested too deeply, or names a field twice.
    """
    try:
        return json.loads(data, object_pairs_hook=_fields)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which the last of two values would win in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise ValueError(f"field {next(name for name in names if names[name] > 1)!r} is there twice")
    return found


def read_json(path: str) -> Any:
    """A JSON file of bounded size.

    Raises:
        PhotograftError: missing, special, too large, or no JSON.
    """
    try:
        return parse_json(read_ordinary(path, MAX_FILE))
    except OSError as error:
        raise PhotograftError(f"{printable(path)} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise PhotograftError(f"{printable(path)} cannot be used, it is no JSON: {printable(str(error))}") from error


def class_number(value: object) -> int | None:
    """A class's number from 0 to `MAX_CLASS`; None for anything else (true, 1.5, "1", 10**30)."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_CLASS
    return int(value) if good else None  # type: ignore[call-overload]


def read_classes_json(folder: str) -> dict[int, tuple[str, str]]:
    """Class number -> (name, group) from `classes.json`; empty without one.

    Raises:
        PhotograftError: not of the form that the message gives, or a number twice.
    """
    path = os.path.join(folder, "classes.json")
    if not os.path.lexists(path):
        return {}

    def unusable(what: str) -> PhotograftError:
        expected = '{"classes": [{"index": 0, "name": "tabby"}, ...]}'
        return PhotograftError(f"{printable(path)} cannot be used ({what}): expected {expected}")

    content = read_json(path)
    entries = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise unusable("no list of classes")
    found: dict[int, tuple[str, str]] = {}
    for position, entry in enumerate(entries):
        fields = entry if isinstance(entry, dict) else {}
        number, name, group = class_number(fields.get("index")), fields.get("name"), fields.get("species", "")
        if number is None:
            raise unusable(f"entry {position} has no index from 0 to {MAX_CLASS:,}")
        if not isinstance(name, str) or not name.strip() or not isinstance(group, str):
            raise unusable(f"entry {position} has no name, or a species, that is text")
        if number in found:
            raise unusable(f"index {number} is there twice")
        found[number] = (name, group)
    return found


class SampleLabels:
    """Reads the label of a shard's samples.

    Args:
        source: "cls" for the number in `KEY.cls`; "json" for the field `label` of `KEY.json`, "json:FIELD" for another.
        names: learns the names that only `KEY.json` has (`class`) of the numbers in `KEY.cls`.

    Raises:
        PhotograftError: another source.
    """

    def __init__(self, source: str, names: dict[int, str]) -> None:
        kind, _, named = source.partition(":")
        if kind not in ("cls", "json") or (kind == "cls" and named):
            raise PhotograftError(f"labels is {printable(source)!r}: for tar shards give cls, json or json:FIELD")
        self.kind, self.field, self.names = kind, named or "label", names

    def read(self, raw: BinaryIO, path: str, key: str, sample: Sample) -> Label:
        """A class's number, or its name.

        Raises:
            PhotograftError: the sample has no label, or one of another type.
        """
        where = f"{printable(path)}: sample {printable(key)}"
        suffix = f".{self.kind}"
        if suffix not in sample:
            other = ", or say where labels are, such as labels: json:FIELD" if ".json" in sample else ""
            what = "class index" if self.kind == "cls" else f"field {self.field!r}"
            raise PhotograftError(
                f"{where} has no {printable(key)}{suffix} with its {what}: add it to the shard{other}"
            )
        data = _bytes(raw, sample[suffix], where)
        return self._number(raw, data, where, sample) if self.kind == "cls" else self._field(data, where)

    def _number(self, raw: BinaryIO, data: bytes, where: str, sample: Sample) -> int:
        text = data.decode("utf-8", errors="replace").strip()
        number = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else MAX_CLASS + 1
        if number > MAX_CLASS:
            raise PhotograftError(
                f"{where}: its .cls holds {printable(text, 40)!r}: expected a class index (0, 1, 2, ... {MAX_CLASS:,})"
            )
        if number not in self.names and ".json" in sample:
            try:
                content = parse_json(_bytes(raw, sample[".json"], where))
            except ValueError:
                content = None
            name = content.get("class") if isinstance(content, dict) else None
            self.names[number] = name if isinstance(name, str) and name.strip() else str(number)
        return number

    def _field(self, data: bytes, where: str) -> Label:
        try:
            content = parse_json(data)
        except ValueError as error:
            raise PhotograftError(f"{where}: its .json is broken: {printable(str(error))}") from error
        value = content.get(self.field) if isinstance(content, dict) else None
        if isinstance(value, str) and value.strip():
            return value.strip()
        number = class_number(value)
        if number is None:
            fields = ", ".join(map(printable, list(content)[:8])) if isinstance(content, dict) else "no fields"
            raise PhotograftError(
                f"{where}: field {printable(self.field)!r} of its .json is {printable(repr(value), 40)}: expected a"
                f" class's number or name (it has {fields})"
            )
        return number


def _bytes(raw: BinaryIO, member: Member, where: str) -> bytes:
    try:
        return read_member(raw, member, _MAX_FIELD)
    except OSError as error:
        raise PhotograftError(f"{where}: {error.strerror or error}") from error


def parse_dataset_json(content: Any, where: str) -> dict[str, int]:
    """Picture's name -> class number, from the `{"labels": [["00000/img00000.png", 3], ...]}` of StyleGAN's tools.

    Raises:
        PhotograftError: no labels, a picture twice, or an entry of another form.
    """
    entries = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise PhotograftError(f'{where} has no labels: expected {{"labels": [["00000/img00000000.png", 3], ...]}}')
    found: dict[str, int] = {}
    for position, entry in enumerate(entries):
        name, value = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
        number = class_number(value)
        if not isinstance(name, str) or number is None:
            raise PhotograftError(
                f"{where}: entry {position} is {printable(repr(entry), 60)}: expected a picture and its"
                f" class's number, 0 to {MAX_CLASS:,}"
            )
        if name in found:
            raise PhotograftError(f"{where}: {printable(name)} is there twice")
        found[name] = number
    return found
