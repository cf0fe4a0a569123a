"""The installed project: its commands, from any directory, and what it ships."""

import importlib
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

PACKAGES = ("train", "infer", "models", "data")
SCRIPTS = {"photograft": "infer.cli.main:main", "photograft-train": "train.cli:main"}
EMBEDDED_LIMIT = 60 * 2**20  # bytes

needs_infer = pytest.mark.skipif(
    not Path(__file__).parents[1].joinpath("infer/cli/main.py").exists(), reason="no infer.cli.main"
)
needs_train = pytest.mark.skipif(not Path(__file__).parents[1].joinpath("train/cli.py").exists(), reason="no train.cli")


def run_python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python without PYTHONPATH, so that only the installation can find our packages."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


def distribution() -> metadata.Distribution:
    try:
        return metadata.distribution("photograft")
    except metadata.PackageNotFoundError:
        pytest.skip("photograft is not installed: run `make env`")


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_ours(package: str, root: Path) -> None:
    """The names are generic: another distribution's `models` or `data` must not come first."""
    file = importlib.import_module(package).__file__
    assert file is not None
    assert Path(file).resolve() == root / package / "__init__.py"


def test_packages_are_found_from_another_directory(root: Path, tmp_path: Path) -> None:
    distribution()
    code = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})), sep='\\n')"
    result = run_python("-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert [Path(line).resolve().parent for line in result.stdout.splitlines()] == [root / name for name in PACKAGES]


@pytest.mark.parametrize("package", ["infer", "train"])
def test_package_wins_over_the_entry_script_of_the_same_name(package: str, root: Path) -> None:
    result = run_python("-c", f"import {package}; print({package}.__file__)", cwd=root)
    assert Path(result.stdout.strip()).name == "__init__.py", result.stderr


def test_console_scripts_are_declared() -> None:
    entry_points = distribution().entry_points.select(group="console_scripts")
    assert {entry.name: entry.value for entry in entry_points} == SCRIPTS


@pytest.mark.parametrize(
    "script",
    [pytest.param("photograft", marks=needs_infer), pytest.param("photograft-train", marks=needs_train)],
)
def test_console_script_runs_from_another_directory(script: str, tmp_path: Path) -> None:
    distribution()
    load = f"entry_points(group='console_scripts')['{script}'].load()"
    code = f"import sys; from importlib.metadata import entry_points; sys.exit({load}())"
    result = run_python("-c", code, "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout.lower()
    assert not list(tmp_path.iterdir()), "--help must not write files"


@pytest.mark.parametrize(
    "script",
    [pytest.param("infer.py", marks=needs_infer), pytest.param("train.py", marks=needs_train)],
)
def test_entry_script_runs_from_another_directory(script: str, root: Path, tmp_path: Path) -> None:
    result = run_python(str(root / script), "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout.lower()


def test_wheel_target_names_existing_packages(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == sorted([*PACKAGES, "configs"])
    assert all((root / package).is_dir() for package in packages)
    assert project["project"]["scripts"] == SCRIPTS


def test_every_package_says_that_it_is_typed(root: Path) -> None:
    assert [name for name in PACKAGES if not (root / name / "py.typed").is_file()] == []


def test_wheel_ships_types_configs_and_weights(root: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed: run `make env`")
    shipped = {file.distribution_path for file in wheel.WheelBuilder(str(root)).recurse_included_files()}
    for folder, pattern in [
        ("configs", "**/*.yaml"),
        ("models/weights", "*.*"),
        ("models/names", "*.csv"),
        *((p, "py.typed") for p in PACKAGES),
    ]:
        wanted = {path.relative_to(root).as_posix() for path in (root / folder).glob(pattern)}
        assert wanted, f"nothing in {folder} is {pattern}"
        assert wanted <= shipped, f"the wheel leaves out {wanted - shipped}"
    assert {path.split("/")[0] for path in shipped} == {*PACKAGES, "configs"}


def test_embedded_weights_are_small_and_described(root: Path) -> None:
    weights = sorted((root / "models" / "weights").glob("*.safetensors"))
    total = sum(path.stat().st_size for path in weights)
    assert total <= EMBEDDED_LIMIT, f"{total / 2**20:.1f} MiB embedded, limit {EMBEDDED_LIMIT / 2**20:.0f} MiB"
    cards = "\n".join(path.read_text(encoding="utf-8") for path in (root / "models" / "weights").glob("*.md"))
    undescribed = [path.name for path in weights if path.stem not in cards]
    assert not undescribed, f"no model card names {undescribed}"
