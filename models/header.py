"""What a weights file of ours says about itself, read without its tensors and without torch.

Metadata keys: `photograft` (format version), `kind` and `family` (registry), `config` (JSON, keywords of the class),
`info` (JSON: class names, groups, provenance, whatever the writer wants to say).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field

from models.errors import PhotograftError
from models.reading import read_metadata
from models.registry import KINDS
from models.schema import Index, Name, Positive, Schema, Share, Text, parse_json

FORMAT = "1"
LONGEST = 2**22  # of the texts in a header, in characters
T = TypeVar("T")
SynsetOrNone = Annotated[str, Field(pattern=r"^(n[0-9]{8})?$")]
PerClass = Annotated[list[T], Field(default_factory=list, max_length=100_000, fail_fast=True)]


class Info(Schema):
    """What a weights file says about itself; a writer may add to it.

    Attributes:
        class_names, class_ids, groups, distribution: of each class, see `models.zoo.Model`; empty where nobody said.
        names_from: who named the classes.
        group_names: of the groups.
        images_seen: real pictures that all trainings behind the weights have seen.
        learning_rate: of projection with these auxiliary networks.
    """

    model_config = ConfigDict(extra="allow")

    class_names: PerClass[Name]
    class_ids: PerClass[SynsetOrNone]
    names_from: Text = "the file"
    groups: PerClass[Index]
    group_names: PerClass[Name]
    distribution: PerClass[Share]
    images_seen: Annotated[int, Field(ge=0, le=2**62)] = 0
    learning_rate: Positive | None = None

    def check_classes(self, count: int, path: Path) -> None:
        """Raise PhotograftError unless what it says of classes is of so many."""
        for what, values in (
            ("class names", self.class_names),
            ("WordNet ids", self.class_ids),
            ("groups", self.groups),
            ("shares", self.distribution),
        ):
            if values and len(values) != count:
                raise PhotograftError(f"{path} is damaged: {len(values)} {what} for {count} classes")
        if self.groups and max(self.groups) >= max(len(self.group_names), 1):
            raise PhotograftError(f"{path} is damaged: groups without a name")
        if self.distribution and not 0.99 < sum(self.distribution) < 1.01:
            raise PhotograftError(f"{path} is damaged: the classes' shares sum to {sum(self.distribution):.4g}, not 1")


@dataclass(frozen=True)
class NetworkFile:
    """What a weights file says about itself, without its tensors."""

    path: Path
    kind: str
    family: str
    config: dict[str, Any]
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> Info:
        """What `info` says of what every file may say."""
        return Info(**self.info)


def read_header(path: Path) -> NetworkFile:
    """What the file holds. Raises PhotograftError if it is not one of ours."""
    return parse_header(path, read_metadata(path))


def parse_header(path: Path, metadata: Mapping[str, str]) -> NetworkFile:
    """The same of metadata that are read already."""
    if metadata.get("photograft") != FORMAT or metadata.get("kind") not in KINDS:
        raise PhotograftError(f"{path} holds no Photograft network: convert it first (infer.py convert)")
    missing = [key for key in ("family", "config", "info") if key not in metadata]
    if missing or any(len(metadata[key]) > LONGEST for key in ("family", "config", "info")):
        what = f"has no {missing[0]}" if missing else "is too long"
        raise PhotograftError(f"{path} is damaged: its description {what}")
    config = parse_json(dict[str, Any], metadata["config"], f"{path} is damaged: config")
    info = parse_json(dict[str, Any], metadata["info"], f"{path} is damaged: info")
    parse_json(Info, metadata["info"], f"{path} is damaged: info")
    return NetworkFile(path, metadata["kind"], metadata["family"], config, info)
