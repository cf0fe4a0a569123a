"""Hashes of what a result depends on."""

from pathlib import Path

import torch

from models.digests import code_digest, digest, digests
from models.zoo import load_model
from tests.infer.tiny_model import write_tiny_model


def test_digests_tell_shapes_types_values_and_networks_apart(tmp_path: Path) -> None:
    x = torch.zeros(2, 3)
    others = [x.T, x.double(), x + 1, torch.cat([x, x])]
    assert len({digest([each]) for each in [x, *others]}) == 5
    assert digest([x]) == digest([torch.zeros(3, 2).T])
    model = load_model(str(write_tiny_model(tmp_path)))
    before = digests(model)
    assert {"generator", "encoder"} <= before.keys()
    with torch.no_grad():
        next(model.generator.parameters()).add_(0.1)
    after = digests(model)
    assert {name for name in before if before[name] != after[name]} == {"generator"}


def test_code_is_told_apart_by_room_and_kind_of_file() -> None:
    found = {code_digest("infer/projection"), code_digest("infer/edits"), code_digest("models", suffixes=[".py"])}
    assert len({*found, code_digest("models")}) == 4
    assert code_digest("infer/projection") in found
