"""What every refusal must be, for the tests of bad input: the commands run in this process."""

from pathlib import Path

import pytest


def snapshot(*folders: Path) -> dict[Path, bytes | None]:
    """Every file's content and every folder's existence below these folders."""
    return {
        path: path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for folder in folders
        for path in sorted(folder.rglob("*"))
    }


def refused(code: int, capture: pytest.CaptureFixture[str], words: str = "", folder: Path | None = None) -> str:
    """Exit code 2, one line that says what is wrong, no traceback, and nothing written below `folder`.

    Returns the line.
    """
    err = capture.readouterr().err
    assert code == 2, err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, err
    assert words in errors[0], err
    assert not any(character < " " or character == "\x7f" for character in errors[0]), errors
    assert len(errors[0]) < 1000, errors
    assert folder is None or not folder.exists() or list(folder.iterdir()) == []
    return errors[0]
