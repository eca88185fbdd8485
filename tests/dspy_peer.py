"""DSPy, installed in an environment of its own: code run there, so that its predictions can be compared with ours.

TUNEBOARD_BENCH_PEER names that environment's Python; `make bench` makes one in .bench/dspy.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def peer() -> str | None:
    """A Python that has DSPy, or None."""
    places = (os.environ.get("TUNEBOARD_BENCH_PEER"), Path(__file__).parents[1] / ".bench/dspy/bin/python")
    return next((str(place) for place in places if place and Path(place).exists()), None)


def in_dspy(code: str, folder: Path) -> str:
    """Run code with DSPy in a folder and return the last line it prints; the test is left out where there is no DSPy."""
    found = peer()
    if found is None:
        pytest.skip(
            "DSPy is not installed (TUNEBOARD_BENCH_PEER); the files' own parts were checked by the other tests."
        )
    own = {
        "DSPY_CACHEDIR": str(folder / "cache"),
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    done = subprocess.run(
        [found, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=folder, env={**os.environ, **own},
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]
