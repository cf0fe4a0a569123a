"""README, pages and cards: every command parses, every file, page and name that they point to is there."""

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import yaml

from infer.cli.main import app
from infer.editor import Editor
from models.errors import PhotograftError
from train.cli import COMMANDS, run_bench, run_demo, run_export, run_outline
from train.fit import SHORT

ROOT = Path(__file__).parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/weights/*.md")})
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```|((?:^ {4}(?! *[-*|])[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(
    r"(?:[A-Z_]+=\w+ )?(?:\.venv/bin/)?(?:python )?(photograft-train|photograft|train\.py|infer\.py|make)(?= |$)"
)
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"^::: ([\w.]+)\n(?:    options: (\{.*\}))?", re.MULTILINE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


# ---------------------------------------------------------------------- commands


def commands(text: str) -> Iterator[tuple[str, bool]]:
    """Commands of a page, and whether they are whole: in blocks they are, in a sentence some arguments are left out."""
    for block in BLOCK.finditer(text):
        lines = (block[1] or block[2]).replace("\\\n", " ").splitlines()
        yield from ((line.strip(), True) for line in lines if COMMAND.match(line.strip()))
    rest = BLOCK.sub("", text)
    yield from ((code[1], False) for code in INLINE.finditer(rest) if COMMAND.match(code[1]) and " " in code[1])


def wrong_command(line: str, whole: bool) -> str | None:
    """What is wrong with a command line, without running it."""
    found = COMMAND.match(line)
    assert found is not None
    words = shlex.split(line[found.end() :], comments=True)
    if found[1] == "make":
        return wrong_make(words)
    if found[1] in ("train.py", "photograft-train"):
        return wrong_training(words, whole)
    command, path = typer.main.get_command(app), "photograft"
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        context = command.make_context(path, [words[0]], resilient_parsing=True)
        path, inner = f"{path} {words[0]}", command.get_command(context, words.pop(0))
        if inner is None:
            return f"there is no command {path}"
        command = inner
    if words == ["--help"]:
        return None
    if hasattr(command, "get_command"):  # a group: some of its options do something by themselves
        options = {option for parameter in command.params for option in parameter.opts}
        return None if (words or not whole) and options.issuperset(words) else f"{path} does not take {words}"
    try:
        command.make_context(path, words)
    except Exception as error:
        missing = type(error).__name__ == "MissingParameter"
        return None if missing and not whole else f"{path}: {error}"
    return None


def wrong_make(words: list[str]) -> str | None:
    for word in words:
        variable, sign, _ = word.partition("=")
        pattern = rf"^{re.escape(variable)} \?=" if sign else rf"^{re.escape(word)}:.*## "
        if not re.search(pattern, MAKEFILE, re.MULTILINE):
            return f"the Makefile has no {variable}"
    return None


def wrong_training(words: list[str], whole: bool) -> str | None:
    name, *rest = words
    runs = {"demo": run_demo, "export": run_export, "outline": run_outline, "bench": run_bench}
    if name not in COMMANDS or (whole and not rest and name not in ("demo", "bench")):
        return f"train.py has no {name}, or not without arguments"
    if name in runs:
        try:
            if rest:
                runs[name](rest)
        except (SystemExit, PhotograftError):
            return f"train.py {name} does not take {rest}"
        return None
    known = {"-c", "--config", "--ckpt_path", "--overwrite", *(f"--{short}" for short in SHORT)}
    for option in (word.partition("=")[0] for word in rest if word.startswith("-")):
        if option not in known and option.split(".")[0] not in ("--data", "--model", "--trainer"):
            return f"train.py fit has no {option}"
    configs = [word for word in rest if re.fullmatch(r"configs/[\w/]+\.yaml", word) and "NAME" not in word]
    missing = [config for config in configs if not (ROOT / config).is_file()]
    return f"there is no {missing}" if missing else None


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports and outlines are parsed, not made."""
    made = {"train.export": {"export": lambda *_, **__: []}}
    made["train.demo"] = {"run_demo": lambda *_, **__: None}
    made["train.bench"] = {"bench": lambda *_, **__: None, "TRAININGS": {}}
    made["train.perception.outline"] = {"teach_outline": lambda *_, **__: (Path(), {})}
    for module, functions in made.items():
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**functions))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [*commands(page.read_text(encoding="utf-8"))]
    wrong = {line: text for line, whole in found if (text := wrong_command(line, whole))}
    assert not wrong


def test_commands_are_found() -> None:
    """The pages that show commands do; else the test above looks past them."""
    counts = {page.name: len([*commands(page.read_text(encoding="utf-8"))]) for page in PAGES}
    assert counts["README.md"] > 0
    least = {"editing.md": 8, "models.md": 10, "parts.md": 6, "files.md": 3, "training.md": 10, "measurements.md": 6}
    least["first_training.md"] = 8
    assert all(counts[name] >= number for name, number in least.items()), counts


@pytest.mark.parametrize(
    "line",
    [
        "photograft polish photo.jpg",
        "photograft --polish",
        "photograft catalog",
        "photograft edit photo.jpg --into lion",
        "photograft edit photo.jpg --to lion --preset slow",
        "photograft convert generator.pkl",
        "infer.py evaluate beauty --data FOLDER",
        "photograft evaluate generator",
        "make coffee",
        "make test THREADS=2",
        "photograft-train fit -c configs/train/nothing.yaml",
        "photograft-train demo --fast",
        "python train.py export last.ckpt",
        "photograft-train fit -c configs/train/locator.yaml --speed 3",
    ],
)
def test_wrong_commands_are_seen(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrong_command(line, whole=True)
    assert [*commands(f"```sh\n# what\n{line}  # why\n```\n")] == [(f"{line}  # why", True)]


# ---------------------------------------------------------------------- files and names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_files_are_there(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_links_are_found() -> None:
    assert len(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))) > 8


def pages_of(nav: Any) -> Iterator[str]:
    """The pages that the site's navigation names."""
    for entry in nav:
        for value in entry.values():
            yield from pages_of(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_navigation() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    docs = ROOT / site["docs_dir"]
    named = [*pages_of(site["nav"])]
    assert len(named) == len(set(named))
    assert {str(page.relative_to(docs)) for page in docs.glob("**/*.md")} <= set(named)


def test_pages_ask_nobody_for_anything() -> None:
    """Fonts, scripts and statistics of other servers are all off; `make docs` shows the rest."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    site = yaml.safe_load(text)
    assert site["theme"]["font"] is False
    assert not re.search(r"https?:|analytics|privacy|extra_javascript|extra_css|offline", text)


@pytest.mark.parametrize("page", sorted((ROOT / "docs/api").glob("*.md")), ids=lambda page: page.stem)
def test_documented_names_are_there(page: Path) -> None:
    found = NAME.findall(page.read_text(encoding="utf-8"))
    assert found
    for name, options in found:
        parts, module = name.split("."), ROOT
        while parts and ((module / parts[0]).is_dir() or (module / f"{parts[0]}.py").is_file()):
            module = module / parts.pop(0)
        file = module.with_suffix(".py") if module.with_suffix(".py").is_file() else module / "__init__.py"
        tree = ast.parse(file.read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        wanted = {*parts, *(yaml.safe_load(options) or {}).get("members", [])} if options else {*parts}
        assert wanted - {True} <= defined, f"{file.relative_to(ROOT)} does not define {wanted - defined}"


def test_the_python_block_calls_what_the_editor_has() -> None:
    for page in (ROOT / "README.md", ROOT / "docs/api/editor.md"):
        (code,) = PYTHON.findall(page.read_text(encoding="utf-8"))
        attributes = [node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)]
        assert sorted(attributes) == sorted(["from_pretrained", "set_photo", "project", "edit", "save"])
        assert all(callable(getattr(Editor, name)) for name in attributes)
