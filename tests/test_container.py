"""The Dockerfile, as far as it can be checked without an engine."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest


def test_the_linter_finds_nothing(root: Path) -> None:
    linter = shutil.which("hadolint", path=Path(sys.executable).parent)
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, "--no-color", str(root / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_installs_what_make_env_does(root: Path) -> None:
    text = (root / "Dockerfile").read_text()
    assert 'RUN make env EXTRAS="${EXTRAS}"' in text
    (asked,) = re.findall(r"^ARG EXTRAS=(.*)$", text, re.MULTILINE)
    known = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(asked.split(",")) <= set(known)
    dry = subprocess.run(
        ["make", "--dry-run", "--always-make", "env", f"EXTRAS={asked}"], cwd=root, capture_output=True, text=True
    )
    assert f"-e '.[{asked}]'" in dry.stdout


def test_what_it_copies_is_there_and_let_through(root: Path) -> None:
    text = (root / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    assert {"infer", "models", "train", "data", "configs", "pyproject.toml"} <= set(copied)
    assert all((root / name).exists() for name in copied)
    allowed = (root / ".dockerignore").read_text().splitlines()
    assert sorted(line[1:] for line in allowed if line.startswith("!")) == sorted(copied)
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= set(copied)
