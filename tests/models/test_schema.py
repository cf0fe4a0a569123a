"""Bounds in annotations: what lies within is let through, what does not is one line that says where and what."""

from typing import Annotated, Any, Literal

import pytest
import torch
from pydantic import Field

from models.errors import PhotograftError
from models.processor import Floating
from models.schema import (
    FileName,
    Real,
    Schema,
    Seed,
    Steps,
    bounded,
    check,
    check_arguments,
    parse_json,
    short,
)


class Point(Schema):
    x: Real
    names: Annotated[list[FileName], Field(max_length=3)] = []  # noqa: RUF012 (pydantic copies it)


@bounded
def work(steps: Steps, mode: Literal["a", "b"] = "a", *, seed: Seed | None = None, anything: object = None) -> int:
    return steps


def line(call: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(PhotograftError) as caught:
        call(*arguments, **keywords)
    return str(caught.value)


def test_json() -> None:
    assert parse_json(Point, '{"x": 1, "names": ["a.png"]}', "file") == Point(x=1, names=["a.png"])
    assert line(parse_json, Point, '{"y": 1}', "file") == "file: x is missing"
    assert line(parse_json, Point, '{"x": 1, "y": 1}', "file") == "file: y is not known here"
    assert line(parse_json, Point, '{"x": "1"}', "file") == "file: x is '1': must be a valid number"
    assert line(parse_json, Point, "[]", "file") == "file is []: must be an object"
    assert line(parse_json, Point, "[", "file").startswith("file: Invalid JSON")
    for name in ("", ".", "..", "a/b", "/a", "..\\\\a", "a\\u0000"):
        assert "names.0" in line(parse_json, Point, f'{{"x": 1, "names": ["{name}"]}}', "file")


def test_calls() -> None:
    assert work(3) == work(steps=3, mode="b", seed=2**63 - 1, anything=object()) == 3
    assert line(work, -1) == "steps is -1: must be greater than or equal to 0"
    assert line(work, True) == "steps is True: must be a valid integer"
    assert line(work, 1, "c") == "mode is 'c': must be 'a' or 'b'"
    assert line(work, 1, seed=2**70) == f"seed is {2**70}: must be less than or equal to {2**63 - 1}"
    assert line(check_arguments, work, {"step": 1}, "work") == "work: steps is missing"
    assert line(check_arguments, work, {"steps": 1, "bogus": 1}, "work") == "work: bogus is not known here"


def test_types_of_torch() -> None:
    assert check(Floating, torch.bfloat16, "dtype") is torch.bfloat16
    assert "float32" in line(check, Floating, torch.int32, "dtype")
    assert "dtype is 'float32'" in line(check, Floating, "float32", "dtype")


def test_values_are_shown_short() -> None:
    nested: list[Any] = []
    for _ in range(60):
        nested = [nested, nested]
    for value in ("x" * 10**6, [0] * 10**6, {i: i for i in range(10**4)}, 10**9000, nested, "\x1b[31m\n"):
        assert len(short(value)) < 200
        assert short(value).isprintable()
