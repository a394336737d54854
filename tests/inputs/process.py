"""Memory and open files of a running process, from `/proc`."""

from __future__ import annotations

from pathlib import Path


def most_memory(pid: int) -> int:
    """Return the peak resident memory in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def open_files(pid: int) -> int:
    """Return the number of open files and sockets."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
