"""The card of trained weights: what they are, from which data and how, as a page that their owner completes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARD = "card.md"
_SHOWN_CLASSES = 20


def card_text(name: str, record: Mapping[str, Any], files: Mapping[str, str] | None = None) -> str:
    """Markdown.

    Args:
        name: of the weights.
        record: what `train.callbacks.Tracking` leaves in a checkpoint; what is missing is left out.
        files: written weights -> what is in them.
    """
    data, counts = _part(record, "dataset"), _part(record, "counts")
    lines = [f"# {name}", ""]
    if files:
        lines += ["| file | what |", "|---|---|", *(f"| `{file}` | {what} |" for file, what in files.items()), ""]
    seen = int(counts.get("images_seen", 0)) + int(counts.get("images_before", 0))
    lines += [f"Date: {record.get('date', 'unknown')}. Real pictures seen in training: {seen:,}.", ""]
    lines += ["**Licence:** TO BE STATED by whoever trained this: what the training pictures allow.", ""]
    if data:
        lines += ["## Data", "", *_data(data), ""]
    metrics = {key: value for key, value in _part(record, "metrics").items() if isinstance(value, float)}
    if metrics:
        lines += ["## Metrics at the end", "", "| metric | value |", "|---|---|"]
        lines += [f"| {key} | {value:.5g} |" for key, value in sorted(metrics.items())]
        lines.append("")
    lines += ["## Recipe", ""]
    for key in ("device", "versions", "git"):
        part = _part(record, key)
        if part:
            lines += [f"{key.capitalize()}: {', '.join(f'{k} {v}' for k, v in part.items() if v is not None)}.", ""]
    if "config" in record:
        lines += ["```yaml", str(record["config"]).rstrip(), "```", ""]
    return "\n".join(lines)


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _data(data: Mapping[str, Any]) -> list[str]:
    names = [str(name) for name in data.get("class_names", ())]
    shown = ", ".join(names[:_SHOWN_CLASSES])
    more = f" and {len(names) - _SHOWN_CLASSES} more" if len(names) > _SHOWN_CLASSES else ""
    train, val = data.get("training_pictures"), data.get("validation_pictures")
    return [
        f"`{Path(str(data.get('root', '?'))).name}`: {train} training and {val} validation pictures"
        f" (hash {data.get('hash')}) of {len(names)} classes: {shown}{more}."
    ]
