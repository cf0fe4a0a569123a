"""What an entry script says where it is started with a Python that cannot run the project.

It runs where nothing else of ours does: without packages, and under any Python 3.
"""

import importlib.util
import os
import sys

OLDEST = (3, 11)
PACKAGES = ("typer", "rich", "pydantic", "safetensors", "torch")  # of those that commands need


def need_packages(script: str, command: str) -> None:
    """End with one line and exit code 2 unless the packages are there.

    Args:
        script: name of the entry script.
        command: the same, installed.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if sys.version_info >= OLDEST and not missing:
        return
    root = os.path.relpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    programs = os.path.normpath(os.path.join(root, ".venv", "bin"))
    made = "" if os.path.isdir(programs) else f"run make env in {root}, then "
    reason = f"has no {missing[0]}" if missing else "is older than 3.11"
    path = os.path.normpath(os.path.join(root, script))
    line = f"error: this Python {reason}: {made}start {programs}/python {path} ... or {programs}/{command} ..."
    print(line, file=sys.stderr)
    raise SystemExit(2)
