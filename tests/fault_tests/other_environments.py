"""Kills of trainings and on a Ray cluster: tests that need an environment each, run here for their line in the table."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from fault_tests.check import Check, Finding

ROOT = Path(__file__).parents[2]
LONGEST_SECONDS = 900


class Environment(NamedTuple):
    """An environment in the repository's folder, the command that makes it, and its tests of kills."""

    folder: str
    command: str
    tests: tuple[str, ...]
    words: str


WEIGHTS = Environment(
    ".venv-weights",
    "make weights",
    ("tests/weights_tests/test_local_trainer.py", "tests/weights_tests/test_grpo.py"),
    "killed",
)
RAY = Environment(
    ".venv-ray",
    "make cluster",
    ("tests/ray_tests",),
    "killed or lost or dies",
)


def kills_in(environment: Environment) -> Finding:
    """Run an environment's tests in which processes are killed; each asserts that nothing is lost."""
    python = ROOT / environment.folder / "bin" / "python"
    if not (ROOT / environment.folder / ".ready").exists():
        return Finding(f"not measured: {environment.command} makes what it needs", met=False)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *environment.tests, "-k", environment.words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    passed, failed = (_number(done.stdout, word) for word in ("passed", "failed"))
    figure = f"{passed} tests with kills, {failed} with something lost"
    return Finding(figure, met=done.returncode == 0 and passed > 0)


def _number(output: str, word: str) -> int:
    found = re.search(rf"(\d+) {word}", output)
    return int(found[1]) if found else 0


CHECKS = (
    Check(
        "kills-weights",
        "SIGKILLs of trainings and of the runs that train",
        "nothing lost",
        lambda _folder, _small: kills_in(WEIGHTS),
        in_tests=False,
    ),
    Check(
        "kills-ray",
        "SIGKILLs of workers, machines and trainings on a Ray cluster of two nodes",
        "nothing lost, nothing paid twice",
        lambda _folder, _small: kills_in(RAY),
        in_tests=False,
    ),
)
