"""Processor time and memory of a process, read from outside."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """Return the seconds of processor time of a process until now."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


def started(pid: int) -> float:
    """Return when a process was started, in seconds since the epoch."""
    since_boot = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - since_boot + int(_fields(pid)[19]) / _TICKS


def _fields(pid: int) -> list[str]:
    """Return the fields of `stat` after the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def memory(pid: int) -> float:
    """Return the resident MB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
