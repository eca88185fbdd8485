"""Estimated times next to real runs against a server of this machine: `python tests/benchmarks/estimated_times.py`.

A server in a process of its own answers as the offline model does, after 200, 400 or 800 ms and a third more or less. Each
case is estimated twice, with a data folder of its own: when three rows were answered (a preview), and when one run is over;
each time a worker process then makes the run with an empty call cache, and its working time is measured. `--only 0,4`
chooses cases.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.servers.openai_server import OpenAIServer

from engine import loop, runtime
from engine.dataset import read_dataset
from engine.evaluate import run_rows
from engine.lm.base import Request
from engine.lm.choice import ModelChoice
from engine.lm.client import make_lm
from engine.lm.offline.learner import reply_text
from engine.optimizers.choose import plans
from engine.pipeline.templates import get_sample
from engine.runs.prepare import estimate_run, prepare
from engine.runs.spec import Named, RunSpec, sample_bytes, sample_draft
from engine.search.budget import Budget
from engine.search.estimate import Estimate
from engine.store.rows import RunRow
from engine.store.store import Store

JITTER = 0.33


class Case(NamedTuple):
    """A run to estimate. `budget` is a plan of Autotune, or a number of calls."""

    optimizer: str
    sample: str
    milliseconds: int
    budget: str | int


CASES = (
    Case("Autotune", "support_tickets", 400, "Quick"),
    Case("Autotune", "reviews", 200, "Balanced"),
    Case("MIPROv2", "support_tickets", 400, 600),
    Case("GEPA", "reviews", 400, 500),
    Case("GEPA", "support_tickets", 200, 500),
    Case("BootstrapFewShotWithRandomSearch", "math_problems", 400, 600),
    Case("BootstrapFewShotWithRandomSearch", "lending_questions", 800, 1000),
    Case("BootstrapFewShot", "reviews", 800, 500),
    Case("BootstrapFewShot", "festival_questions", 400, 600),
    Case("COPRO", "reviews", 400, 500),
    Case("SIMBA", "support_tickets", 400, 700),
    Case("LabeledFewShot", "shift_notes", 800, 1000),
)


class Figures(NamedTuple):
    """What was estimated, and what the run then took: its working time, and calls with those from the cache."""

    estimate: Estimate
    run: RunRow

    @property
    def seconds(self) -> float:
        """The working time of the run, as its page shows it."""
        return self.run.seconds

    @property
    def ratio(self) -> float:
        """The middle of the estimate divided by the time measured."""
        return self.estimate.seconds.typical / self.seconds

    @property
    def calls(self) -> int:
        """Calls that the run made."""
        return self.run.calls + self.run.cached

    @property
    def calls_hold(self) -> bool:
        """True if the calls lay in the range."""
        return self.estimate.calls.low <= self.calls <= self.estimate.calls.high

    @property
    def seconds_hold(self) -> bool:
        """True if the time lay in the range."""
        return self.estimate.seconds.low <= self.seconds <= self.estimate.seconds.high


def main() -> None:
    """Measure the cases and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="numbers of cases")
    options = parser.parse_args()
    print(
        "| optimizer | sample | latency | | calls low to high | made | seconds low, middle, high | measured | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    before, after = [], []
    for number, case in enumerate(CASES):
        if not options.only or str(number) in options.only.split(","):
            first, second = _measured(case)
            before.append(first)
            after.append(second)
            print(_line(case, "before", first), _line(case, "after", second), sep="\n", flush=True)
    for words, some, most in (("Before any run", before, 2.0), ("After one run", after, 1.5)):
        near = sum(abs(math.log(f.ratio)) <= math.log(most) for f in some)
        calls, seconds = sum(f.calls_hold for f in some), sum(f.seconds_hold for f in some)
        mean = math.exp(fmean(math.log(f.ratio) for f in some))
        print(
            f"{words}: middle within {most:g} x in {near} of {len(some)} (mean ratio {mean:.2f}); the range of time held in "
            f"{seconds}, that of calls in {calls}."
        )


def _line(case: Case, when: str, found: Figures) -> str:
    calls, time_ = found.estimate.calls, found.estimate.seconds
    missed = "" if found.calls_hold else " (missed)"
    return (
        f"| {case.optimizer} {case.budget} | {case.sample} | {case.milliseconds} ms | {when} | {calls.low:.0f} to "
        f"{calls.high:.0f} | {found.calls}{missed} | {time_.low:.1f}, {time_.typical:.1f}, {time_.high:.1f} | "
        f"{found.seconds:.1f} | {found.ratio:.2f} |"
    )


def _measured(case: Case) -> tuple[Figures, Figures]:
    address: Any = multiprocessing.get_context("spawn").Queue()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(case.milliseconds / 1000, address), daemon=True
    )
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TUNEBOARD_HOME"] = folder
            os.environ["CUSTOM_OPENAI_API_KEY"] = "sk-test"
            spec = _spec(case, address.get(timeout=120))
            _preview(spec)
            first = _run(Path(folder), spec)
            for file in Path(folder).glob("cache.sqlite3*"):
                file.unlink()
            return first, _run(Path(folder), spec)
    finally:
        server.terminate()
        server.join()


def serve(seconds: float, address: Any) -> None:
    """Answer as the offline model does, this late, until the process is ended."""
    with Unsteady(answer=_answer) as server:
        server.usual = seconds
        address.put(server.url)
        while True:
            time.sleep(60)


class Unsteady(OpenAIServer):
    """A server whose latency is `usual` seconds, a third more or less."""

    usual = 0.0

    @property
    def latency(self) -> float:
        """The seconds of the next answer."""
        return self.usual * random.uniform(1 - JITTER, 1 + JITTER)

    @latency.setter
    def latency(self, seconds: float) -> None:
        pass


def _answer(body: dict[str, Any]) -> str:
    messages, params = tuple(body["messages"]), {k: body[k] for k in ("temperature",) if k in body}
    return reply_text(Request("offline/learner", messages, params))


def _spec(case: Case, url: str) -> RunSpec:
    sample = get_sample(case.sample)
    content = sample_bytes(sample.file)
    table = read_dataset(content, sample.file)
    digest = hashlib.sha256(content).hexdigest()
    with Store.open(Path(os.environ["TUNEBOARD_HOME"])) as store:
        stored = store.datasets.add(sample.file, content, digest, table.columns, len(table), "sample")
        model = ModelChoice(name="custom_openai/test", base_url=url)
        changes = {"model": model, "optimizer": Named(name=case.optimizer), "budget": Budget()}
        spec = sample_draft(sample, stored).model_copy(update=changes).to_run(digest)
        if isinstance(case.budget, int):
            return spec.model_copy(update={"budget": Budget(calls=case.budget)})
        ready = prepare(store, spec)
    calls = plans(len(ready.split.validation), len(ready.split.test), ready.settings.calls_a_row)[case.budget]
    return spec.model_copy(update={"budget": Budget(calls=calls)})


def _preview(spec: RunSpec) -> None:
    with Store.open(Path(os.environ["TUNEBOARD_HOME"])) as store:
        settings = prepare(store, spec).settings
    rows = [(row, settings.rows[row]) for row in settings.train[:3]]
    with runtime.context(lm=make_lm(spec.model)):
        loop.run(run_rows(settings.program, rows, settings.metric, limit=3))


def _run(home: Path, spec: RunSpec) -> Figures:
    with Store.open(home) as store:
        expected = estimate_run(store, spec)
        project = store.projects.create("P", {})
        run_id = store.runs.create(project, spec.model_dump(mode="json"), "A run", expected.as_dict())
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine", "run", run_id], check=False, capture_output=True
    )
    with Store.open(home) as store:
        run = store.runs.get(run_id)
    if run.state not in ("finished", "budget"):
        print(json.dumps([run.state, run.message, done.stderr.decode()[-2000:]]))
    return Figures(expected, run)


if __name__ == "__main__":
    main()
