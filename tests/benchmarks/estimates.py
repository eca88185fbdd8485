"""Estimates next to real runs: `python tests/benchmarks/estimates.py`, `--samples reviews --only GEPA --seeds 0-2`.

Every optimizer tunes every sample with the offline model, within the sample's budget. A range holds when the run's
calls, answers from the cache included, lie in it; its width is its upper end divided by its lower end. What is left of a
run, as its page says it, is right at a moment when it is at most twice and at least half of what the run then made.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dashboard.state.live.figures import calls_left
from engine.dataset import read_dataset
from engine.errors import EngineError
from engine.pipeline.templates import SAMPLES, Sample
from engine.registry import OPTIMIZERS
from engine.runs.prepare import estimate_run
from engine.runs.spec import Named, RunSpec, sample_bytes, sample_draft
from engine.runs.worker import work
from engine.store.rows import RunRow, TrialRow
from engine.store.store import Store

MOMENTS = tuple(share / 100 for share in range(25, 100, 5))
"""Shares of a run's calls at which what is left of it is looked at."""


class Case(NamedTuple):
    """One run and its estimate, in calls."""

    optimizer: str
    sample: str
    low: float
    high: float
    real: int
    seconds: float
    moments: int
    """Of the `MOMENTS`, those at which what was said to be left was right."""

    @property
    def holds(self) -> bool:
        """True if the run lay in the range."""
        return self.low <= self.real <= self.high

    @property
    def width(self) -> float:
        """The upper end divided by the lower one."""
        return self.high / max(1, self.low)


def main() -> None:
    """Run what was asked for and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", default=",".join(s.name for s in SAMPLES))
    parser.add_argument("--only", default=",".join(o.__name__ for o in OPTIMIZERS))
    parser.add_argument("--seeds", default="0", help="as in 0-2")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    cases: list[Case] = []
    for name in options.only.split(","):
        for sample in (s for s in SAMPLES if s.name in options.samples.split(",")):
            for seed in range(int(first), int(last or first) + 1):
                cases += _measured(name, sample, seed)
    print(
        "\n| optimizer | ranges that hold | median width | widest | farthest outside | what is left is right |"
        "\n|---|---|---|---|---|---|"
    )
    for name in [*dict.fromkeys(case.optimizer for case in cases), "all"]:
        print(_line(name, [case for case in cases if name in (case.optimizer, "all")]))


def _measured(optimizer: str, sample: Sample, seed: int) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["TUNEBOARD_HOME"] = folder
        try:
            with Store.open(home) as store:
                spec = _spec(store, optimizer, sample, seed)
                expected = estimate_run(store, spec)
                run_id = store.runs.create(
                    store.projects.create("P", {}), spec.model_dump(mode="json"), "A run", expected.as_dict()
                )
            began = time.perf_counter()
            work(home, run_id)
            with Store.open(home) as store:
                run = store.runs.get(run_id)
                moments = _moments(run, store.trials.all(run_id))
        except EngineError as error:
            print(f"{optimizer} on {sample.name}: not run, {error}", flush=True)
            return
    case = Case(
        optimizer,
        sample.name,
        expected.calls.low,
        expected.calls.high,
        run.calls + run.cached,
        time.perf_counter() - began,
        moments,
    )
    note = "holds" if case.holds else "MISSED"
    print(
        f"{optimizer:34} {sample.name:22} {case.low:6.0f} to {case.high:6.0f}  real {case.real:6}  {note}"
        f"  {case.seconds:.0f} s{'' if run.state == 'finished' else '  ' + run.state + ': ' + run.message}",
        flush=True,
    )
    yield case


def _moments(run: RunRow, trials: Sequence[TrialRow]) -> int:
    """Return at how many `MOMENTS` of a run that is over its page was right on what was left."""
    real = run.calls + run.cached
    tests = [trial for trial in trials if trial.split == "test"]
    final = sum(trial.usage.calls + trial.usage.cached for trial in tests)
    right = 0
    for share in MOMENTS:
        done = int(share * real)
        tested = max(0.0, 1 - (real - done) / final) if final else 0.0
        seen = [replace(t, rows_done=round(tested * t.rows_total)) for t in tests] if tested else []
        left = calls_left(replace(run, calls=done, cached=0), seen)
        right += left is not None and 0.5 <= max(1.0, left) / (real - done) <= 2
    return right


def _spec(store: Store, optimizer: str, sample: Sample, seed: int) -> RunSpec:
    content = sample_bytes(sample.file)
    table = read_dataset(content, sample.file)
    digest = hashlib.sha256(content).hexdigest()
    stored = store.datasets.add(sample.file, content, digest, table.columns, len(table), "sample")
    draft = sample_draft(sample, stored)
    named = (
        draft.optimizer if draft.optimizer and draft.optimizer.name == optimizer else Named(name=optimizer)
    )
    return draft.model_copy(update={"optimizer": named, "seed": seed}).to_run(digest)


def _line(name: str, cases: list[Case]) -> str:
    if not cases:
        return f"| {name} | - | - | - | - | - |"
    widths = sorted(case.width for case in cases)
    outside = [max(case.low / max(1, case.real), case.real / max(1, case.high)) for case in cases]
    held = sum(case.holds for case in cases)
    return (
        f"| {name} | {held} of {len(cases)} | {widths[len(widths) // 2]:.1f} | {widths[-1]:.1f} | "
        f"{max(outside):.2f} x | {100 * sum(case.moments for case in cases) / len(MOMENTS) / len(cases):.0f} % |"
    )


if __name__ == "__main__":
    main()
