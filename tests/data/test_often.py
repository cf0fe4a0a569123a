"""Pictures that are drawn more often: `--data.often FILE`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.module import ImageDataModule
from data.often import read_often
from data.records import Record
from models.errors import PhotograftError

RECORDS = [Record("/data/cats", "a.jpg", 0), Record("/data/cats", "b, c.jpg", 0), Record("/data/dogs", "a.jpg", 1)]


def test_what_a_file_tells(tmp_path: Path) -> None:
    table = tmp_path / "often.csv"
    table.write_text('# turned\n\n"cats/b, c.jpg", 3\ndogs/a.jpg,1\ngone/x.jpg,9\n', encoding="utf-8-sig")
    times, line = read_often(str(table), RECORDS)
    assert times.tolist() == [1, 3, 1]
    assert line.endswith("1 of 3 training pictures are drawn up to 3 times; it tells of 1 that are not there")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing", "holds no line: write PICTURE,TIMES"),
        (b"cats/a.jpg", "line 1 is 'cats/a.jpg': expected PICTURE,TIMES"),
        (b"cats/a.jpg,0", "line 1: 0 times: give a whole number from 1 to 100"),
        (b"cats/a.jpg,101", "give a whole number"),
        (b"cats/a.jpg,1.5", "give a whole number"),
        (b"cats/a.jpg,\xc2\xb2", "give a whole number"),
        (b"cats/a.jpg," + b"9" * 5000, "give a whole number"),
        (b"cats/a.jpg,2\ncats/a.jpg,3", "line 2: cats/a.jpg is there twice"),
        (b"a.jpg,2", r"tells of a.jpg and others, none of which is a training picture here \(such as cats/a.jpg\)"),
        (b"\xff,2", "no text in UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes | None, message: str) -> None:
    table = tmp_path / "often.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(PhotograftError, match=message) as error:
        read_often(str(table), RECORDS)
    assert "\n" not in str(error.value)


def test_a_name_of_several_pictures_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "often.csv"
    table.write_text("train/a.jpg,2")
    with pytest.raises(PhotograftError, match=r"train/a\.jpg is the name of 2 pictures"):
        read_often(str(table), [Record("/data/cats/train", "a.jpg", 0), Record("/data/dogs/train", "a.jpg", 1)])


def test_a_training_draws_them_more_often(tmp_path: Path) -> None:
    for number in range(8):
        path = tmp_path / "data" / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 10 * number, np.uint8)).save(path)
    table = tmp_path / "often.csv"
    table.write_text("a/2.png,7\n")

    def make(often: str | None) -> ImageDataModule:
        return ImageDataModule(
            tmp_path / "data", resolution=16, batch_size=5, num_workers=0, steps_per_epoch=40, often=often
        )

    module = make(str(table))
    module.setup("fit")
    drawn = np.concatenate([batch["image"][:, 0, 0, 0].numpy() for batch in module.train_dataloader()]) // 10
    counts = np.bincount(drawn, minlength=8)
    assert counts[2] == 70
    assert counts[::2].sum() == 100
    assert counts[1::2].tolist() == [25] * 4
    with pytest.raises(PhotograftError, match="often changed"):
        make(None).load_state_dict(module.state_dict())
