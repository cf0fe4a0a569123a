"""An evaluation by two processes: its tables are those of one."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer.cli.main import main
from tests.infer.folders.conftest import HEAD, SMALL


@pytest.mark.slow
def test_an_evaluation_is_shared(tiny: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        Image.fromarray(np.roll(SMALL, 4 * number, axis=1)).save(photos / f"{number}.png")
    box = [int(number) for number in HEAD.split(",")]
    known = [json.dumps({"photo": f"{number}.png", "box": box}) for number in range(4)]
    (photos / "boxes.jsonl").write_text("\n".join(known))
    for devices in ("1", "2"):
        command = ["evaluate", "photos", str(photos), "--model", str(tiny), "--preset", "fast", "--device", "cpu"]
        own = ["--to", "lion", "--places", "known", "--devices", devices, "--out", str(tmp_path / devices)]
        assert main([*command, *own]) == 0
    one, two = ({path.name: path.read_text() for path in (tmp_path / n).glob("*.csv")} for n in ("1", "2"))
    assert one == two
    assert len(list(csv.DictReader(next(iter(one.values())).splitlines()))) >= 1
    kept = [len(list((tmp_path / devices / "photos").iterdir())) for devices in ("1", "2")]
    assert kept[0] == kept[1] > 0
