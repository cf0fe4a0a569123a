"""Starts the programs of this package, and says in a line what goes wrong in them. Nothing here imports TensorFlow."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from models.errors import PhotograftError

EXTRA = "pip install 'photograft[tfhub]'"
NEEDED = ("tensorflow", "tensorflow_hub")
SHORT = re.compile(r"deepmind/biggan(-deep)?-\d+/\d+")
REFUSED = 3  # exit code of a program that says in its last line what is wrong


def handle_of(path: Path) -> str | None:
    """The address on TensorFlow Hub that a path stands for, or None if it is one of this computer's.

    `deepmind/biggan-256/2` is short for https://tfhub.dev/deepmind/biggan-256/2.
    """
    text = path.as_posix()
    if match := re.fullmatch(r"https?:/+(.+)", text):
        return f"https://{match[1]}"
    return f"https://tfhub.dev/{text}" if SHORT.fullmatch(text) and not path.exists() else None


def check_installed(what: str) -> None:
    """Raise PhotograftError, beginning with `what`, unless the extra is installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise PhotograftError(f"{what}: reading it needs TensorFlow: {EXTRA} ({', '.join(missing)} not found)")


def command(program: str, *arguments: str) -> list[str]:
    """How a program of this package is started."""
    return [sys.executable, "-m", f"models.tf.{program}", *arguments]


def environment() -> dict[str, str]:
    """That of a program: it finds this package, and TensorFlow keeps to errors."""
    ours = str(Path(__file__).parents[2])
    path = os.pathsep.join(part for part in (ours, os.environ.get("PYTHONPATH", "")) if part)
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "0")}
    return {**os.environ, **quiet, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}


def run(program: str, *arguments: str) -> None:
    """Run a program to its end. Raises PhotograftError with its last line, if it has one, when it fails."""
    done = subprocess.run(
        command(program, *arguments), env=environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        raise failure(done.returncode, done.stderr)


def failure(code: int | None, errors: bytes) -> PhotograftError:
    """What a program that failed had to say."""
    lines = [line for line in errors.decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "it said nothing"
    return PhotograftError(last[:400] if code == REFUSED else f"TensorFlow failed (exit code {code}): {last:.300}")
