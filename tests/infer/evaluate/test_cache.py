"""Results of evaluations are kept, and used again only where nothing that they depend on has changed."""

from pathlib import Path

import pytest
import torch

from infer.evaluate.cache import ResultCache, Results
from models.errors import PhotograftError


class Counter:
    """Computes results, and how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Results:
        self.calls += 1
        return {"x": torch.full((2, 3), self.calls), "y": torch.tensor(0.5, dtype=torch.float64)}


def test_a_result_is_computed_once_per_settings(tmp_path: Path) -> None:
    compute = Counter()
    first = ResultCache(tmp_path / "new" / "folder", seed=1)(compute, steps=2)
    again = ResultCache(tmp_path / "new" / "folder", seed=1)(compute, steps=2)
    assert compute.calls == 1
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) and first[key].dtype == again[key].dtype for key in first)
    for calls, (common, own) in enumerate([({"seed": 2}, {"steps": 2}), ({"seed": 1}, {"steps": 3}), ({}, {})], 2):
        ResultCache(tmp_path / "new" / "folder", **common)(compute, **own)
        assert compute.calls == calls
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 4


def test_damaged_and_strange_files_are_computed_again(tmp_path: Path) -> None:
    compute, kept = Counter(), ResultCache(tmp_path)
    kept(compute)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:40])
    kept(compute)
    assert compute.calls == 2
    kept(compute, other=1)
    (other,) = set(tmp_path.iterdir()) - {file}
    file.write_bytes(other.read_bytes())  # another result under this name
    kept(compute)
    assert compute.calls == 4


def test_without_a_folder_nothing_is_kept() -> None:
    compute = Counter()
    for calls in (1, 2):
        ResultCache(None)(compute)
        assert compute.calls == calls


def test_a_folder_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PhotograftError, match="cannot be written"):
        ResultCache(tmp_path / "file" / "folder")(Counter())
