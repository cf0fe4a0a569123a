"""What an offline run of Weights & Biases holds: records of its `.wandb` file, a log of LevelDB's kind."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as proto

BLOCK, HEADER, FIRST = (
    32768,
    struct.Struct("<IHB"),
    7,
)  # bytes of a block, checksum, length, kind; bytes of the file's head
WHOLE, BEGIN, MIDDLE, END = 1, 2, 3, 4


@dataclass
class Written:
    """Of one offline run.

    Attributes:
        id, name, project: of the run.
        config, summary: values by name.
        history: a row of values per log call.
        files: kept.
        lowest: metrics whose lowest value is kept.
    """

    id: str = ""
    name: str = ""
    project: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    lowest: list[str] = field(default_factory=list)


def read_run(folder: Path) -> Written:
    """What `offline-run-TIME-ID` holds."""
    (path,) = folder.glob("run-*.wandb")
    found = Written()
    for content in _records(path.read_bytes()):
        record = proto.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.id, found.name, found.project = record.run.run_id, record.run.display_name, record.run.project
            found.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "config":
            found.config |= {item.key: json.loads(item.value_json) for item in record.config.update}
        elif kind == "summary":
            for item in record.summary.update:
                _put(found.summary, [item.key] if item.key else list(item.nested_key), json.loads(item.value_json))
        elif kind == "history":
            row = ((i.key or ".".join(i.nested_key), json.loads(i.value_json)) for i in record.history.item)
            found.history.append(dict(row))
        elif kind == "files":
            found.files += [item.path for item in record.files.files]
        elif kind == "metric" and record.metric.summary.min:
            found.lowest.append(record.metric.name or record.metric.glob_name)
    return found


def _put(values: dict[str, Any], way: list[str], value: Any) -> None:
    for name in way[:-1]:
        values = values.setdefault(name, {})
    values[way[-1]] = value


def _records(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"
    place, parts = FIRST, b""
    while place + HEADER.size <= len(data):
        if BLOCK - place % BLOCK < HEADER.size:  # the rest of a block is empty
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = HEADER.unpack_from(data, place)
        place += HEADER.size
        part = data[place : place + length]
        place += length
        parts = part if kind in (WHOLE, BEGIN) else parts + part
        if kind in (WHOLE, END):
            yield parts
