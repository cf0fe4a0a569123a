"""The human study: lists of pairs, a balanced order, answers that last, rates with their intervals."""

import csv
import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from infer.cli.main import main
from infer.editor.results import ResultFolder
from infer.evaluate.study_pairs import MORE_REAL, Pair, at_most, digest, pairs_csv, read_pairs, shown
from infer.evaluate.two_afc import (
    COLUMNS,
    Session,
    about_pairs,
    balanced_order,
    begin,
    read_about,
    read_answer_file,
    read_answers,
)
from infer.evaluate.two_afc_report import described, draw_rates, rate_rows, rates, write_rates
from models.errors import PhotograftError

Capture = pytest.CaptureFixture[str]


def many_pairs(count: int = 37) -> list[Pair]:
    """Of two methods and several classes; no group is even."""
    classes = ["cat", "dog", "fox"]
    return [
        Pair(Path(f"a{i}"), Path(f"b{i}"), f"method {i % 2}", "photo", classes[i % 3], classes[i // 7 % 3])
        for i in range(count)
    ]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of six pairs with pictures of several sizes."""
    random = np.random.default_rng(0)
    rows = [("first", "second", "method", "rival", "source", "target", "question")]
    for i in range(6):
        for side, height in (("a", 40), ("b", 20 + 20 * (i % 2))):
            pixels = random.integers(0, 255, (height, 2 * height, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{side}{i}.png")
        rows.append((f"a{i}.png", f"b{i}.png", "graft", "photo", "cat", "dog" if i % 2 else "cat", ""))
    with (tmp_path / "pairs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return tmp_path / "pairs.csv"


def started(listed: Path, folder: Path, participant: str = "ann", seed: int = 1) -> Session:
    pairs = read_pairs(listed)
    begin(folder, about_pairs(listed, pairs, digest(pairs), question=MORE_REAL, seed=seed))
    return Session(folder, pairs, participant, seed)


# ---------------------------------------------------------------------- pairs


def test_a_list_is_read(listed: Path, tmp_path: Path) -> None:
    pairs = read_pairs(listed, "Which?")
    assert pairs[1] == Pair(tmp_path / "a1.png", tmp_path / "b1.png", "graft", "photo", "cat", "dog", "Which?")
    lines = [{"first": f"a{i}.png", "second": f"b{i}.png", "source": "cat"} for i in range(3)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (pair, _, _) = read_pairs(tmp_path / "pairs.jsonl")
    assert (pair.method, pair.rival, pair.source, pair.question) == ("first", "second", "cat", MORE_REAL)


def test_a_list_from_a_spreadsheet_is_read(listed: Path, tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_bytes("\ufefffirst,second\r\na0.png,b0.png\r\n".encode())
    assert len(read_pairs(tmp_path / "sheet.csv")) == 1


def test_a_list_that_is_written_is_read_again(listed: Path, tmp_path: Path) -> None:
    pairs = read_pairs(listed, 'Which, "really"?')
    (tmp_path / "again.csv").write_text(pairs_csv(pairs, tmp_path))
    assert read_pairs(tmp_path / "again.csv") == pairs


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "`first` and `second` are needed"),
        ("first,second\n", "0 pairs"),
        ("first,method\na0.png,x\n", "`first` and `second` are needed"),
        ("first,second,first\na0.png,b0.png,x\n", "each column once"),
        ("first,second,colour\na0.png,b0.png,x\n", "'colour' is no column"),
        ("first,second\na0.png\n", "line 2: 1 columns, and the header has 2"),
        ("first,second\na0.png,\n", "line 2"),
        ('first,second\n"a0.png,b0.png\n', "no CSV"),
        (
            "first,second\na0.png,b0.png\na0.png,x.png\ny.png,x.png\n",
            "2 of its pictures not found, the first is .*x.png: check the paths$",
        ),
    ],
)
def test_bad_lists_are_one_line(listed: Path, content: str, words: str) -> None:
    listed.write_text(content)
    with pytest.raises(PhotograftError, match=words):
        read_pairs(listed)


def test_bad_json_lines_are_one_line(listed: Path, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    for line, words in (("{", "line 1"), ('{"first": "a0.png"}', "second"), ('{"first": 1, "second": "b"}', "first")):
        path.write_text(line)
        with pytest.raises(PhotograftError, match=words):
            read_pairs(path)


def test_the_digest_is_of_what_is_said_and_shown(listed: Path, tmp_path: Path) -> None:
    before = digest(read_pairs(listed))
    (tmp_path / "elsewhere").mkdir()
    for path in [*tmp_path.glob("*.png"), listed]:
        (tmp_path / "elsewhere" / path.name).write_bytes(path.read_bytes())
    assert digest(read_pairs(tmp_path / "elsewhere" / "pairs.csv"), decode=True) == before
    assert digest(read_pairs(listed, "Else?")) != before
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a3.png")
    assert digest(read_pairs(listed)) != before


def test_pictures_that_cannot_be_shown_are_one_line(listed: Path, tmp_path: Path) -> None:
    content = (tmp_path / "a2.png").read_bytes()
    (tmp_path / "a2.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(PhotograftError, match=r"a2\.png"):
        digest(read_pairs(listed), decode=True)
    (tmp_path / "a2.png").write_bytes((tmp_path / "b2.png").read_bytes())
    with pytest.raises(PhotograftError, match=r"pair 3: .* are the same picture"):
        digest(read_pairs(listed))


def test_both_pictures_are_shown_as_large_as_each_other(listed: Path, tmp_path: Path) -> None:
    first, second = shown(read_pairs(listed)[0])  # 40x80 and 20x40
    assert first.shape == second.shape == (40, 80, 3)
    Image.fromarray(np.zeros((2000, 1000, 3), np.uint8)).save(tmp_path / "a0.png")
    first, second = shown(read_pairs(listed)[0])
    assert (first.shape, second.shape) == ((768, 384, 3), (384, 768, 3))
    assert at_most(first, 1000) is first


# ---------------------------------------------------------------------- order


@pytest.mark.parametrize("seed", range(5))
def test_sides_are_balanced_for_each_method_and_class_pair(seed: int) -> None:
    pairs = many_pairs()
    order = balanced_order(pairs, "ann", seed)
    assert [trial.number for trial in order] == list(range(1, 38))
    assert sorted(trial.pair for trial in order) == list(range(37))
    for kind in (
        lambda p: 0,
        lambda p: p.method,
        lambda p: (p.method, p.source, p.target),
    ):
        sides = Counter((kind(pairs[trial.pair]), trial.left) for trial in order)
        for group in {kind(pair) for pair in pairs}:
            assert abs(sides[group, "first"] - sides[group, "second"]) <= 1


def test_the_order_is_drawn_by_seed_and_participant() -> None:
    pairs = many_pairs()
    order = balanced_order(pairs, "ann", 1)
    assert order == balanced_order(pairs, "ann", 1)
    assert order != balanced_order(pairs, "bob", 1)
    assert order != balanced_order(pairs, "ann", 2)
    assert [trial.pair for trial in order] != sorted(trial.pair for trial in order)
    for i in range(3):  # over seeds, no pair keeps its side
        lefts = {next(t.left for t in balanced_order(pairs, "ann", seed) if t.pair == i) for seed in range(20)}
        assert lefts == {"first", "second"}


# ---------------------------------------------------------------------- answers


def test_answers_are_kept_and_gone_on_with(listed: Path, tmp_path: Path) -> None:
    session = started(listed, tmp_path / "study")
    assert session.answer(1, "left", 1.234)
    assert not session.answer(1, "right", 1)  # a key pressed twice
    assert session.answer(2, "undecided", 2)
    again = started(listed, tmp_path / "study")
    assert (again.done, again.trial) == (2, session.order[2])
    first, second = read_answer_file(session.path)
    assert (first.answer, first.seconds, first.chosen) == ("left", 1.23, session.order[0].left)
    assert (second.answer, second.chosen) == ("undecided", "")
    assert first.pair == session.order[0].pair + 1
    assert again.back(3)
    assert not again.back(3)
    assert again.done == 1
    assert again.answer(2, "right", 3)
    assert read_answer_file(session.path)[1].chosen != session.order[1].left


def test_the_end_and_back_from_it(listed: Path, tmp_path: Path) -> None:
    session = started(listed, tmp_path / "study")
    assert not session.back(1)
    for number in range(1, 7):
        assert session.answer(number, "left", 0)
    assert session.trial is None
    assert not session.answer(7, "left", 0)
    assert session.back(7)
    assert session.done == 5


KILLED = """
    import os, sys
    from pathlib import Path
    import models.writing
    from tests.infer.evaluate.test_two_afc import started

    session = started(Path(sys.argv[1]), Path(sys.argv[2]))
    session.answer(1, "left", 1)
    session.answer(2, "left", 1)

    def die(temporary, path, writer):  # while the third answer is being written
        with temporary.open("xb") as stream:
            stream.write(b"participant,numb")
            stream.flush()
            os._exit(9)

    models.writing._write = die
    session.answer(3, "left", 1)
"""


def test_a_kill_in_the_middle_of_a_write_costs_no_earlier_answer(listed: Path, tmp_path: Path, root: Path) -> None:
    arguments = [sys.executable, "-c", textwrap.dedent(KILLED), str(listed), str(tmp_path / "study")]
    ended = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": str(root)}, check=False)
    assert ended.returncode == 9
    session = started(listed, tmp_path / "study")
    assert session.done == 2
    assert session.answer(3, "right", 1)
    assert len(read_answers(tmp_path / "study")) == 3


def test_other_pairs_and_another_seed_are_refused(listed: Path, tmp_path: Path) -> None:
    started(listed, tmp_path / "study")
    about = read_about(tmp_path / "study")
    assert about is not None
    assert (about.count, about.seed) == (6, 1)
    with pytest.raises(PhotograftError, match="is a study with --seed 1, not 2: go on with that"):
        started(listed, tmp_path / "study", seed=2)
    listed.write_text("\n".join(listed.read_text().splitlines()[:4]) + "\n")
    with pytest.raises(PhotograftError, match=r"is a study of other pairs \(6, from .*; here are 3\): choose another"):
        started(listed, tmp_path / "study")


def test_answers_without_a_study_are_not_taken_over(listed: Path, tmp_path: Path) -> None:
    (tmp_path / "study" / "answers").mkdir(parents=True)
    with pytest.raises(PhotograftError, match=r"no study\.json says to what"):
        started(listed, tmp_path / "study")


def test_two_processes_do_not_write_over_each_other(listed: Path, tmp_path: Path) -> None:
    one, other = (started(listed, tmp_path / "study") for _ in range(2))
    assert one.answer(1, "left", 1)
    with pytest.raises(PhotograftError, match="changed by another process"):
        other.answer(1, "right", 1)
    assert [answer.answer for answer in read_answers(tmp_path / "study")] == ["left"]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\u202eann", "x" * 300])
def test_bad_names_are_one_line(name: str, listed: Path, tmp_path: Path) -> None:
    with pytest.raises(PhotograftError, match="--participant"):
        started(listed, tmp_path / "study", name)


def test_a_file_of_another_participant_is_refused(listed: Path, tmp_path: Path) -> None:
    started(listed, tmp_path / "study", "a/b").answer(1, "left", 1)
    with pytest.raises(PhotograftError, match="is of 'a/b': choose another --participant"):
        started(listed, tmp_path / "study", "a:b")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-4],
        lambda text: text.replace(",left,", ",middle,"),
        lambda text: text.replace("ann,1,", "ann,one,"),
        lambda text: text + "ann,2\n",
        lambda text: text.replace("participant,", "name,"),
    ],
)
def test_damaged_answers_are_one_line_and_stay(change: object, listed: Path, tmp_path: Path) -> None:
    session = started(listed, tmp_path / "study")
    session.answer(1, "left", 1)
    damaged = change(session.path.read_text())  # type: ignore[operator]
    session.path.write_text(damaged)
    with pytest.raises(PhotograftError, match=r"ann\.csv is damaged"):
        started(listed, tmp_path / "study")
    assert session.path.read_text() == damaged


def test_answers_in_another_order_are_refused(listed: Path, tmp_path: Path) -> None:
    session = started(listed, tmp_path / "study")
    session.answer(1, "left", 1)
    number = f",{session.order[0].pair + 1},"
    session.path.write_text(session.path.read_text().replace(f"ann,1{number}", f"ann,1,{session.order[1].pair + 1},"))
    with pytest.raises(PhotograftError, match="answer 1 is of another study"):
        started(listed, tmp_path / "study")


# ---------------------------------------------------------------------- rates


def answered(listed: Path, folder: Path) -> None:
    """Ann takes the first picture of every pair but one, and is undecided on the last; Bob always the left."""
    ann = started(listed, folder)
    for trial in ann.order[:5]:
        wanted = "second" if trial.number == 1 else "first"
        ann.answer(trial.number, "left" if trial.left == wanted else "right", 1)
    ann.answer(6, "undecided", 1)
    bob = started(listed, folder, "bob")
    for trial in bob.order:
        bob.answer(trial.number, "left", 1)


def test_rates_are_those_of_decided_answers(listed: Path, tmp_path: Path) -> None:
    answered(listed, tmp_path / "study")
    found = rates(read_answers(tmp_path / "study"))
    assert [one.classes for one in found] == ["all", "cat → cat", "cat → dog"]
    assert (found[0].chosen, found[0].count, found[0].undecided, found[0].participants) == (4 + 3, 5 + 6, 1, 2)
    assert sum(one.count for one in found[1:]) == 11
    expected = binomtest(7, 11).proportion_ci(method="wilson")
    assert found[0].interval == pytest.approx((expected.low, expected.high), abs=1e-7)
    assert rate_rows(found)[1] == ("graft", "photo", "all", "63.6 %", "35.4 to 84.8", "11", "1")
    assert described(read_answers(tmp_path / "study")).startswith("12 answers of 2 participants; the left picture in ")


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),  # Newcombe 1998, Table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_the_published_ones(hits: int, count: int, low: float, high: float) -> None:
    answers = [
        type("A", (), {"question": "?", "method": "m", "rival": "r", "source": "", "target": "", "participant": "p",
                       "chosen": "first" if i < hits else "second"})()
        for i in range(count)
    ]  # fmt: skip
    (one,) = rates(answers)
    assert one.interval == pytest.approx((low, high), abs=5e-5)


def test_the_report_is_numbers_and_a_picture(listed: Path, tmp_path: Path) -> None:
    answered(listed, tmp_path / "study")
    table, picture = write_rates(read_answers(tmp_path / "study"), ResultFolder(tmp_path / "study"))
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert (rows[0]["chosen"], rows[0]["n"], rows[0]["rate"], rows[0]["undecided"]) == ("7", "11", "0.6364", "1")
    with Image.open(picture) as opened:
        assert opened.width > 500
    axes = draw_rates(rates(read_answers(tmp_path / "study"))).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["graft against photo", "cat → cat", "cat → dog"]


# ---------------------------------------------------------------------- the command


def test_the_command_reports(listed: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "study"
    answered(listed, folder)
    assert main(["study", str(folder), "--report"]) == 0
    out, err = capsys.readouterr()
    assert "63.6 %" in out
    assert out.endswith(f"{folder / 'study.csv'}\n{folder / 'study.png'}\n")
    assert "12 answers of 2 participants" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new"], "is no study yet: give the list of its pairs with --pairs FILE"),
        (["new", "--report"], "holds no answers yet"),
        (["new", "--pairs", "none.csv"], "not found"),
        (["study", "--pairs", "pairs.csv", "--seed", "5"], "is a study with --seed 1, not 5"),
        (["study", "--pairs", "pairs.csv", "--question", "Else?"], "is a study of other pairs"),
        (["study", "--participant", ""], "--participant"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, listed: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio")
    monkeypatch.chdir(tmp_path)
    started(listed, tmp_path / "study")
    assert main(["study", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "new").exists()


def test_columns_are_those_of_the_documented_file() -> None:
    assert COLUMNS[:3] == ("participant", "number", "pair")
    assert COLUMNS[-5:] == ("left", "answer", "chosen", "seconds", "time")
