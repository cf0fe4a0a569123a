"""What starting a command costs before it works: processor time in a new process, beside that of `import torch`."""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

TORCH = ("-c", "import torch")
RUN = ("-m", "infer.cli.main")
MAX_SHARES = {  # of the processor time of `import torch`; all of these once took three times as long as that
    ("--help",): 0.3,
    ("edit", "--help"): 0.3,
    ("catalog", "build", "--help"): 0.3,
    ("evaluate", "translation", "--help"): 0.3,
    ("models",): 1.0,
    ("classes",): 1.0,
}


def processor_seconds(arguments: Sequence[str]) -> float:
    """User and system time of a Python process with these arguments, in one thread.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [sys.executable, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = os.times()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def measure_startup(commands: Iterable[Sequence[str]], *, repeats: int = 5) -> list[tuple[float, float]]:
    """(seconds, share of `import torch`) of each command: medians; torch takes turns with them, so that load hits all.

    Args:
        commands: arguments of `infer.py`.
        repeats: rounds, after one that does not count.
    """
    processes = [TORCH, *((*RUN, *command) for command in commands)]
    rounds = [[processor_seconds(process) for process in processes] for _ in range(repeats + 1)][1:]
    torch, *others = (statistics.median(times) for times in zip(*rounds, strict=True))
    return [(seconds, seconds / torch) for seconds in others]


def bench_startup(*, repeats: int = 5, console: Console | None = None) -> None:
    """Measure and print a table."""
    table = Table(title="Starting: processor time of a new process")
    for column in ("command", "measured", "of import torch", "bar"):
        table.add_column(column, justify="left" if column == "command" else "right")
    for (command, most), (seconds, share) in zip(
        MAX_SHARES.items(), measure_startup(MAX_SHARES, repeats=repeats), strict=True
    ):
        met = "met" if share <= most else "missed"
        table.add_row(" ".join(command), f"{seconds:.2f} s", f"{share:.2f} (at most {most:g})", met)
    (console or Console()).print(table)


if __name__ == "__main__":
    bench_startup()
