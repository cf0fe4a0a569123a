"""`infer.py study`"""

from pathlib import Path
from typing import Annotated

import typer

from infer.cli.common import bar, note, print_table, say
from infer.cli.pages import DEFAULT_HOST, DEFAULT_PORT, AuthOption, HostOption, OpenOption, PortOption
from models.errors import PhotograftError
from models.writing import path_of

_SEED = 1


def study(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Of the study: its answers are kept there.")],
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV or JSON lines: first, second, and if you like method, rival, source, target, question. "
            "Default: those of the study that goes on.",
            show_default=False,
        ),
    ] = None,
    participant: Annotated[str, typer.Option(metavar="NAME", help="Who answers.")] = "participant",
    question: Annotated[
        str | None, typer.Option(help="Of pairs that have none. Default: which picture is more real.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**31 - 1, help=f"Of order and sides. Default: the study's, at first {_SEED}."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Print the rates so far, write study.csv and study.png, and end.")
    ] = False,
    host: HostOption = DEFAULT_HOST,
    port: PortOption = DEFAULT_PORT,
    auth: AuthOption = None,
    open_browser: OpenOption = False,
) -> None:
    """Ask people which of two pictures is more real: a page in the browser, by keyboard (← → space).

    The same command goes on where it was left. Undecided answers are counted apart.
    """
    if report:
        _report(folder)
        return
    from infer.app.shell import serve
    from infer.app.study import study_page
    from infer.evaluate.study_pairs import MORE_REAL, digest, read_pairs
    from infer.evaluate.two_afc import Session, about_pairs, begin, read_about, read_answers

    before = read_about(folder)
    if pairs is None and before is None:
        raise PhotograftError(f"{folder} is no study yet: give the list of its pairs with --pairs FILE")
    path = path_of(before.pairs) if pairs is None and before else pairs
    assert path is not None
    asked = question or (before.question if before else MORE_REAL)
    listed = read_pairs(path, asked)
    with bar() as update:
        found = digest(listed, decode=before is None, progress=update)
    chosen = seed if seed is not None else before.seed if before else _SEED
    begin(folder, about_pairs(path, listed, found, question=asked, seed=chosen))
    session = Session(folder, listed, participant, chosen)
    note(f"{participant}: {session.done} of {len(listed)} pairs are answered")
    serve(study_page(session, say=say), say=say, host=host, port=port, auth=auth, open_browser=open_browser)
    if read_answers(folder):
        _table(folder)


def _table(folder: Path) -> None:
    """The rates so far, a table for each question."""
    from infer.evaluate.two_afc import read_answers
    from infer.evaluate.two_afc_report import described, rate_rows, rates

    answers = read_answers(folder)
    if not answers:
        raise PhotograftError(f"{folder} holds no answers yet: photograft study {folder} --pairs FILE asks for some")
    found = rates(answers)
    for question in dict.fromkeys(one.question for one in found):
        print_table(rate_rows([one for one in found if one.question == question]), question)
    note(described(answers))


def _report(folder: Path) -> None:
    from infer.editor.results import ResultFolder
    from infer.evaluate.two_afc import read_answers
    from infer.evaluate.two_afc_report import write_rates

    _table(folder)
    for path in write_rates(read_answers(folder), ResultFolder(folder)):
        say(path)
