"""DSPy, installed in an environment of its own: code run there, so that its predictions can be compared with ours.

TUNEBOARD_BENCH_PEER names that environment's Python; `make bench` makes one in .bench/dspy.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest


@cache
def peer() -> str | None:
    """A Python that has DSPy, or None; an installation that was broken off is none."""
    places = (os.environ.get("TUNEBOARD_BENCH_PEER"), Path(__file__).parents[3] / ".bench/dspy/bin/python")
    found = (str(place) for place in places if place and Path(place).exists())
    return next((one for one in found if _imports_dspy(one)), None)


def _imports_dspy(python: str) -> bool:
    own = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        [python, "-c", "import dspy, bm25s, platformdirs, rapidfuzz"],
        capture_output=True,
        env={**os.environ, **own},
        timeout=600,
        check=False,
    )
    return done.returncode == 0


def in_dspy(code: str, folder: Path) -> str:
    """Run code with DSPy in a folder and return the last line it prints; the test is left out where there is no DSPy."""
    found = peer()
    if found is None:
        pytest.skip(
            "DSPy and what scripts need are not installed (TUNEBOARD_BENCH_PEER); the files' own parts were checked by the other tests."
        )
    own = {
        "DSPY_CACHEDIR": str(folder / "cache"),
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    done = subprocess.run(
        [found, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=folder, env={**os.environ, **own},
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]
