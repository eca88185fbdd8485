"""A wall clock that runs backwards while a run is under way: nothing may be decided by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fault_tests.check import Check, Finding
from support.run_setup import add_run

from engine.store.store import Store

BACKWARDS = """
import sys, time
real, begun = time.time(), time.monotonic()
time.time = lambda: real - 1000 * (time.monotonic() - begun)
from engine.cli import main
sys.argv = ["tuneboard", "run", sys.argv[1]]
main()
"""


def measure(folder: Path, small: bool) -> Finding:
    """Carry out a run in a process whose wall clock goes back by 1,000 seconds each second; count its trials."""
    run_id = add_run(folder)
    done = subprocess.run(
        [sys.executable, "-c", BACKWARDS, run_id],
        env={**os.environ, "TUNEBOARD_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise AssertionError(done.stderr[-500:])
    with Store.open(folder, read_only=True) as store:
        trials = store.trials.all(run_id)
        state = store.runs.get(run_id).state
    numbers = [trial.number for trial in trials]
    whole = bool(trials) and numbers == list(range(1, len(trials) + 1)) and trials[-1].split == "test"
    lost = (max(numbers) if numbers else 0) - len(numbers)
    return Finding(f"{len(trials)} trials kept, {lost} lost, {state}", met=whole and state == "finished")


CHECK = Check("clock", "A wall clock that runs backwards during a run", "no trial lost", measure)
