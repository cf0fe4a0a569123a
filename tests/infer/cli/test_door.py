"""The door is fast and tells the way: help without torch, completion in shells, and a line for a bare Python."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from infer.evaluate import startup
from models.zoo import ZOO, load_model, read_classes

HEAVY = ("torch", "torchvision", "torchmetrics", "matplotlib", "scipy", "skimage", "pandas", "cv2", "pytorch_lightning")
# Asks for the help of every command there is, and says which heavy modules each brought in.
ASK = f"""
import contextlib, io, json, sys
from typer.main import get_command
from infer.cli.main import app, main

found, told = {{}}, set()

def ask(run, *arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = run(arguments)
    heavy = [name for name in {HEAVY} if name in sys.modules and name not in told]  # of all imports too
    told.update(heavy)
    found[" ".join(arguments)] = (code, len(out.getvalue()), heavy)

def walk(command, *path):
    ask(main, *path, "--help")
    for name, inner in getattr(command, "commands", {{}}).items():
        walk(inner, *path, name)

def train(arguments):
    from train.cli import main
    sys.argv = list(arguments)
    try:
        main()
    except SystemExit as end:
        return end.code

walk(get_command(app))
ask(main, "models")
ask(main, "classes")
for command in ([], ["export"], ["outline"]):
    ask(train, "train.py", *command, "--help")
print(json.dumps(found))
"""


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100
    )


def test_help_and_lists_load_nothing_heavy(root: Path) -> None:
    result = python("-c", ASK, cwd=root)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert {"edit --help", "catalog build --help", "evaluate translation --help", "train.py export --help"} < set(found)
    for command, (code, shown, heavy) in found.items():
        assert code == 0, command
        assert shown > 100, command
        assert not heavy, f"{command} loads {', '.join(heavy)}: import it in the function that needs it"


@pytest.mark.parametrize("module", ["models.errors", "models.zoo", "infer.editor", "infer.projection.presets"])
def test_light_modules(module: str, root: Path) -> None:
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    assert python("-c", code, cwd=root).stdout.split() == []


def test_the_editor_comes_when_it_is_asked_for() -> None:
    import infer.editor
    from infer.editor.editor import Editor

    assert infer.editor.Editor is Editor
    with pytest.raises(AttributeError, match="Nothing"):
        _ = infer.editor.Nothing


@pytest.mark.parametrize("name", ZOO)
def test_classes_of_the_header_are_the_model_s(name: str) -> None:
    known, model = read_classes(name), load_model(name)
    for attribute in vars(known):
        assert getattr(known, attribute) == getattr(model, attribute)


def test_start_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians of the rounds after the first, and their shares of torch's; the table says which bars are met."""
    rounds = {"import torch": [9.0, 2.0, 1.0, 4.0], "--help": [9.0, 0.1, 0.3, 0.2], "classes": [0.1, 2.0, 8.0, 2.5]}
    times = {name: iter(each) for name, each in rounds.items()}
    monkeypatch.setattr(startup, "processor_seconds", lambda arguments: next(times[arguments[-1]]))
    monkeypatch.setattr(startup, "MAX_SHARES", {("--help",): 0.3, ("classes",): 1.0})
    console = Console(record=True, width=100, file=io.StringIO())
    startup.bench_startup(repeats=3, console=console)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    assert [row for row in rows if row] == [
        ["--help", "0.20 s", "0.10 (at most 0.3)", "met"],
        ["classes", "2.50 s", "1.25 (at most 1)", "missed"],
    ]


def test_time_of_the_processor_is_that_of_the_process() -> None:
    slept, worked = (
        startup.processor_seconds(["-S", "-c", code])
        for code in ("import time; time.sleep(0.5)", "import time\nwhile time.process_time() < 0.5: pass")
    )
    assert slept < 0.4 < worked < 5
    with pytest.raises(subprocess.CalledProcessError):
        startup.processor_seconds(["-S", "-c", "raise SystemExit(2)"])


# ---------------------------------------------------------------------- completion


def complete(root: Path, *words: str) -> list[str]:
    """What bash would propose for the last of the words."""
    code = "import sys; from infer.cli.main import main; sys.argv = ['photograft']; main()"
    asked = {"COMP_WORDS": " ".join(["photograft", *words]), "COMP_CWORD": str(len(words))}
    result = python("-c", code, cwd=root, _PHOTOGRAFT_COMPLETE="complete_bash", **asked)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_shells_complete(root: Path, tiny: Path) -> None:
    assert complete(root, "ed") == ["edit"]
    assert complete(root, "edit", "x.jpg", "--model", "style") == ["stylegan2-heads-128"]
    assert complete(root, "edit", "x.jpg", "--to", "golden-r") == ["golden-retriever"]
    assert complete(root, "edit", "--model", str(tiny), "--to", "b") == ["black-cat", "brown-tabby-cat"]
    assert complete(root, "edit", "--model", "nothing", "--to", "lion") == []


def test_completed_names_are_classes() -> None:
    model = load_model()
    for label, name in enumerate(model.class_names):
        assert model.class_index(name.replace(" ", "-")) == label


def test_completion_is_shown(root: Path, tmp_path: Path) -> None:
    code = "import sys; from infer.cli.main import main; sys.argv[0] = 'photograft'; main()"
    plain = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    shown = python("-c", code, "--show-completion", "bash", cwd=root, **plain)
    assert (shown.returncode, "complete_bash" in shown.stdout) == (0, True), shown.stderr
    installed = python("-c", code, "--install-completion", "bash", cwd=root, **plain)
    assert installed.returncode == 0, installed.stderr
    assert "photograft.sh" in (tmp_path / ".bashrc").read_text()


# ---------------------------------------------------------------------- a Python without our packages


@pytest.mark.parametrize(("script", "command"), [("infer.py", "photograft"), ("train.py", "photograft-train")])
def test_a_bare_python_is_told_what_to_start(script: str, command: str, root: Path, tmp_path: Path) -> None:
    for file in (script, "models/__init__.py", "models/environment.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(root / file, tmp_path / file)
    bare = ("-S", "-E", script, "edit")
    result = python(*bare, cwd=tmp_path)
    start = f"start .venv/bin/python {script} ... or .venv/bin/{command} ...\n"
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"error: this Python has no typer: run make env in ., then {start}"
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    assert python(*bare, cwd=tmp_path).stderr == f"error: this Python has no typer: {start}"
    elsewhere = python("-S", "-E", f"../{script}", cwd=tmp_path / "models").stderr
    assert elsewhere.endswith(f"start ../.venv/bin/python ../{script} ... or ../.venv/bin/{command} ...\n")


def test_the_same_line_is_for_this_checkout(root: Path) -> None:
    """The scripts as they are, with all that they import before they look."""
    result = python("-S", "-E", "infer.py", cwd=root)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
