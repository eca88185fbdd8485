"""Child processes that measure: each prints one JSON object; DSPy has an interpreter of its own.

jobs.py does the same jobs with either library.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
TIMEOUT = 900.0
REPEATS = 3


def note(message: str) -> None:
    """Say on standard error what is going on, so that standard output holds the table alone."""
    print(message, file=sys.stderr, flush=True)


@functools.cache
def peer() -> str | None:
    """Return the interpreter that has DSPy, made on first use in .bench/dspy; None where that is impossible.

    TUNEBOARD_BENCH_PEER names a ready-made one; "none" leaves the comparison out.
    """
    given = os.environ.get("TUNEBOARD_BENCH_PEER")
    if given:
        return None if given == "none" else given
    home = ROOT / ".bench" / "dspy"
    subprocess.run([sys.executable, ROOT / ".ci" / "peers.py"], stdout=sys.stderr, check=True)
    if not (home / ".ready").exists():
        note("DSPy could not be installed: its column stays empty.")
        return None
    return str(home / ("Scripts" if os.name == "nt" else "bin") / "python")


def job(python: str, command: str, **options: Any) -> dict[str, Any]:
    """Run one job of one library in a process of its own and return what it measured.

    Raises RuntimeError with the child's last words when it fails.
    """
    library = "engine" if python == sys.executable else "dspy"
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "TUNEBOARD_HOME": scratch, "DSPY_CACHEDIR": scratch, "PYTHONWARNINGS": "ignore"}
        env.setdefault("PYTHONHASHSEED", "0")
        done = subprocess.run(
            [python, str(HERE / "jobs.py"), library, command, *flags],
            env=env,
            cwd=scratch,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    if done.returncode:
        raise RuntimeError(f"{library}: {command} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def both(
    command: str, repeats: int = REPEATS, **options: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run a job `repeats` times for each library, taking turns, and return what each measured."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for _ in range(repeats):
        ours.append(job(sys.executable, command, **options))
        theirs += their_job(command, **options)
    return ours, theirs


def their_job(command: str, **options: Any) -> list[dict[str, Any]]:
    """Run a job for DSPy; an empty list where there is no DSPy or the job fails."""
    python = peer()
    if python is None:
        return []
    try:
        return [job(python, command, **options)]
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        note(f"DSPy: {error}")
        return []


def values(measured: Sequence[dict[str, Any]], name: str, scale: float = 1.0) -> list[float]:
    """Return one value of each measurement."""
    return [scale * one[name] for one in measured]
