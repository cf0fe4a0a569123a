"""How much memory there is."""

from pathlib import Path

UNKNOWN = 16 * 2**30  # bytes, where the system does not tell (no /proc)


def free_memory() -> int:
    """Bytes of memory that can still be had."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return UNKNOWN
