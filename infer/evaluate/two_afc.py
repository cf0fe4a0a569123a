"""A human study with two alternatives and a forced choice (2AFC), as in the first paper's Table 3.

A participant sees two pictures beside each other and says which is more real. Everything that must last lies in the
study's folder: `study.json` says which study it is, `answers/NAME.csv` holds a row for each answer. After every answer
the file is written anew, beside its place, and renamed: a crash costs none.
"""

import csv
import hashlib
import io
import json
import threading
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from infer.evaluate.report_files import csv_table
from infer.evaluate.study_pairs import Pair
from models.errors import PhotograftError
from models.reading import read_text
from models.schema import Count, Name, PathText, Schema, Seed, check, parse_json
from models.terminal import visible
from models.writing import Writer, file_name, path_of, path_text, text, write_chosen, write_file

ABOUT, ANSWERS = "study.json", "answers"
Choice = Literal["left", "right", "undecided"]
Place = Literal["first", "second"]
CHOICES: tuple[Choice, ...] = ("left", "right", "undecided")


class About(Schema):
    """What `study.json` holds: which pairs, by what they say and show, and the seed of their order."""

    format: Literal[1] = 1
    pairs: PathText
    digest: Name
    count: Count
    question: str
    seed: Seed


@dataclass(frozen=True)
class Trial:
    """A pair as one participant sees it: the `number`th of theirs, from 1, with this of it on the left."""

    number: int
    pair: int
    left: Place


@dataclass(frozen=True)
class Answer:
    """A row of a participant's file.

    Attributes:
        participant: their name.
        number, pair: of the trial and of the pair in the list, from 1.
        question, method, rival, source, target: the pair's.
        left: which picture of the pair was on the left.
        answer: what was said.
        chosen: which picture that is; "" where they were undecided.
        seconds: from when the pair was shown; time: of the answer, UTC.
    """

    participant: str
    number: int
    pair: int
    question: str
    method: str
    rival: str
    source: str
    target: str
    left: str
    answer: str
    chosen: str
    seconds: float
    time: str


COLUMNS = tuple(field.name for field in fields(Answer))


def balanced_order(pairs: Sequence[Pair], participant: str, seed: int) -> list[Trial]:
    """All pairs in a participant's order, each kind of pair as often with its first picture left as right.

    Pairs are sorted by question, method, rival and classes, shuffled within those, and sides alternate along the row:
    so counts differ by one at most for each pair of classes, for each method, and over all. Then the row is shuffled.
    """
    name = hashlib.sha256(participant.encode()).digest()[:8]
    random = np.random.default_rng([seed, int.from_bytes(name, "big")])
    kinds = [(p.question, p.method, p.rival, p.source, p.target) for p in pairs]
    row = sorted(random.permutation(len(pairs)).tolist(), key=lambda i: kinds[i])
    sides: tuple[Place, Place] = ("first", "second")
    turn = int(random.integers(2))
    placed = [(pair, sides[(turn + k) % 2]) for k, pair in enumerate(row)]
    return [Trial(number, *placed[i]) for number, i in enumerate(random.permutation(len(pairs)).tolist(), 1)]


# ---------------------------------------------------------------------- the folder


def read_about(folder: Path) -> About | None:
    """What study lies in a folder; None where there is none. Raises PhotograftError for a damaged one."""
    path = folder / ABOUT
    if not path.exists():
        return None
    about: About = parse_json(About, read_text(path, "study"), f"{path} is damaged")
    return about


def begin(folder: Path, about: About) -> None:
    """Make the folder a study's, or go on with the one that is there.

    Raises:
        PhotograftError: it holds a study of other pairs or of another seed, or it cannot be written.
    """
    before = read_about(folder)
    if before is None:
        if (folder / ANSWERS).exists():
            raise PhotograftError(f"{folder}: holds answers, and no {ABOUT} says to what: choose another folder")
        content = json.dumps(about.model_dump(), indent=1) + "\n"
        write_file(folder / ABOUT, text(content))
        return
    if before.digest != about.digest:
        reason = f"other pairs ({before.count:,}, from {path_of(before.pairs)}; here are {about.count:,})"
        raise PhotograftError(f"{folder} is a study of {reason}: choose another folder")
    if before.seed != about.seed:
        reason = f"is a study with --seed {before.seed}, not {about.seed}"
        raise PhotograftError(f"{folder} {reason}: go on with that, or choose another folder")


def about_pairs(path: Path, pairs: Sequence[Pair], digest: str, *, question: str, seed: int) -> About:
    """What a study of these pairs says of itself."""
    where = path_text(path.resolve())
    return About(pairs=where, digest=digest, count=len(pairs), question=question, seed=seed)


def read_answers(folder: Path) -> list[Answer]:
    """All answers of a study, participant by participant.

    Raises:
        PhotograftError: a file that is damaged.
    """
    return [answer for path in sorted((folder / ANSWERS).glob("*.csv")) for answer in read_answer_file(path)]


def read_answer_file(path: Path) -> list[Answer]:
    """A participant's answers. Raises PhotograftError for a damaged file."""
    content = read_text(path, "answers")
    try:
        header, *rows = csv.reader(io.StringIO(content), strict=True)
        if tuple(header) != COLUMNS or not content.endswith("\n"):
            raise ValueError("its header or its end is missing")
        return [_of_row(row) for row in rows]
    except (csv.Error, ValueError, PhotograftError) as error:
        raise PhotograftError(f"{path} is damaged: {error}: put a copy in its place, or take it away") from error


def _of_row(row: Sequence[str]) -> Answer:
    given = dict(zip(COLUMNS, row, strict=True))
    found = Answer(**{key: _NUMBERS.get(key, str)(value) for key, value in given.items()})
    sides = {"left": found.left, "right": "second" if found.left == "first" else "first", "undecided": ""}
    if found.left not in ("first", "second") or sides.get(found.answer) != found.chosen:
        raise ValueError(f"answer {found.number} says {found.answer!r}, {found.left!r} left, {found.chosen!r} chosen")
    return found


_NUMBERS = {"number": int, "pair": int, "seconds": float}


class Session:
    """A participant's part of a study: the next pair, answers, and going back. Used by one thread at a time.

    Args:
        folder: of a study that has begun.
        pairs: of it.
        participant: their name.
        seed: of the study.

    Raises:
        PhotograftError: a name that is none, or answers that are damaged or belong to others.
    """

    def __init__(self, folder: Path, pairs: Sequence[Pair], participant: str, seed: int) -> None:
        check(Name, participant, "--participant")
        if visible(participant) != participant or not participant.strip():
            raise PhotograftError(f"--participant {visible(participant)!r}: choose a name of letters and digits")
        self.participant, self.pairs = participant, pairs
        self.path = folder / ANSWERS / f"{file_name(participant)}.csv"
        self.order = balanced_order(pairs, participant, seed)
        self._lock = threading.Lock()
        self._answers, self._known = self._read(), self._content()

    @property
    def done(self) -> int:
        """How many answers there are."""
        return len(self._answers)

    @property
    def trial(self) -> Trial | None:
        """The next; None when all are answered."""
        return self.order[self.done] if self.done < len(self.order) else None

    def answer(self, number: int, choice: Choice, seconds: float) -> bool:
        """Keep an answer to the trial of this number.

        Returns:
            Whether it was kept: not one to a trial that is not the next, as a key that is pressed twice gives.

        Raises:
            PhotograftError: it cannot be written, or the file was changed meanwhile.
        """
        with self._lock:
            trial = self.trial
            if trial is None or trial.number != number:
                return False
            self._write([*self._answers, self._made(trial, choice, seconds)])
            return True

    def back(self, number: int) -> bool:
        """Take the last answer away while the trial of this number is shown (one more than there are: the end)."""
        with self._lock:
            if number != self.done + 1 or not self.done:
                return False
            self._write(self._answers[:-1])
            return True

    def _made(self, trial: Trial, choice: Choice, seconds: float) -> Answer:
        pair = self.pairs[trial.pair]
        right: Place = "second" if trial.left == "first" else "first"
        return Answer(
            participant=self.participant,
            number=trial.number,
            pair=trial.pair + 1,
            question=pair.question,
            method=pair.method,
            rival=pair.rival,
            source=pair.source,
            target=pair.target,
            left=trial.left,
            answer=choice,
            chosen={"left": trial.left, "right": right, "undecided": ""}[choice],
            seconds=round(seconds, 2),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _write(self, answers: list[Answer]) -> None:
        """All of them, whole or not at all; nobody else may have written since we read."""

        content = answers_csv(answers)

        def choose() -> dict[Path, Writer]:
            if self._content() != self._known:
                raise PhotograftError(f"{self.path} was changed by another process: end one of them and start again")
            return {self.path: text(content)}

        write_chosen(self.path.parent, choose)
        self._answers, self._known = answers, content

    def _content(self) -> str | None:
        return read_text(self.path, "answers") if self.path.exists() else None

    def _read(self) -> list[Answer]:
        """What the file holds, if it is this participant's and in this order."""
        if not self.path.exists():
            return []
        answers = read_answer_file(self.path)
        if len(answers) > len(self.order):
            raise PhotograftError(f"{self.path} holds {len(answers)} answers to {len(self.order)} pairs")
        for answer, trial in zip(answers, self.order, strict=False):
            if answer.participant != self.participant:
                raise PhotograftError(f"{self.path} is of {answer.participant!r}: choose another --participant")
            made = replace(self._made(trial, "undecided", 0), time="")
            said = replace(answer, answer="undecided", chosen="", seconds=0, time="")
            if made != said:
                raise PhotograftError(f"{self.path}: answer {answer.number} is of another study: take the file away")
        return answers


def answers_csv(answers: Sequence[Answer]) -> str:
    """Answers as CSV, with a header."""
    return csv_table([COLUMNS, *([str(value) for value in astuple(answer)] for answer in answers)])
