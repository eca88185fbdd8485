"""Processes of this machine, known by their number and their start: a number alone is soon taken by another process."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path


def process_start(pid: int) -> str:
    """Return a text for when a process was started, the same as long as it lives; "" if it is not known."""
    fields = _stat(pid)
    if fields is not None:
        return f"{_machine_start()}:{fields[19]}"
    if os.name != "posix" or Path("/proc/self/stat").exists():
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - a number
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def process_lives(pid: int | None, start: str = "") -> bool:
    """Return whether a process with this number exists on this machine (always True where that cannot be known).

    A process that has ended but was not yet waited for by its parent counts as ended; so does one whose number now
    belongs to a process with another start.
    """
    if pid is None:
        return False
    if os.name != "posix":
        return True  # signal 0 would end the process there; the heartbeat must do
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    fields = _stat(pid)
    if fields is not None and fields[0] in ("Z", "X"):
        return False
    return not start or process_start(pid) in ("", start)


def _stat(pid: int) -> list[str] | None:
    """Return what Linux knows of a process, from its state on; None elsewhere, and where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


@cache
def _machine_start() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
