"""Measure the optimizers next to DSPy's on teachable tasks: `make bench-optimizers`, or `python tests/benchmarks/optimizers.py --quick`.

Each run is a child process with the same model, rows and seeds: DSPy's asks a local server, ours the model in its own
process, or the server too where wall times are measured (`--latency`). `--markdown` writes the table of the guide.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
MODEL = TESTS / "benchmarks" / "teachable" / "model.py"
sys.path[:0] = [str(TESTS), str(TESTS / "benchmarks" / "speed")]

from bench_children import note, peer
from support.servers.openai_server import ServerProcess
from support.tables import aligned, markdown
from teachable.worlds import KEPT_TASKS, MORE_TASKS, TASKS, world

PAIRS: tuple[tuple[str, str], ...] = (
    ("BootstrapFewShotWithRandomSearch", "BootstrapRS"),
    ("MIPROv2", "MIPROv2"),
    ("GEPA", "GEPA"),
    ("COPRO", "COPRO"),
    ("SIMBA", "SIMBA"),
    ("LabeledFewShot", "LabeledFewShot"),
    ("BootstrapFewShot", "BootstrapFewShot"),
    ("BootstrapFewShotWithOptuna", "BootstrapFewShotWithOptuna"),
    ("KNNFewShot", "KNNFewShot"),
    ("BayesianSignatureOptimizer", "MIPROv2-zero-shot"),
    ("InferRules", "InferRules"),
    ("BetterTogether", "BetterTogether"),
    ("AvatarOptimizer", ""),
)
"""Our optimizers and their DSPy counterparts ("": DSPy's cannot be run), each with its own default budget."""

QUICK_PAIRS = PAIRS[:3]
TAKES_MINUTES = ("BetterTogether",)
"""Optimizers of DSPy that run on the first worlds only."""
FIFTH = "Autotune, 1/5 of the calls of DSPy's best"
PARTS = ("rules", "examples", "nearest", "reasoning", "model", "runs")
TIMEOUT = 900.0


@dataclass(frozen=True)
class Line:
    """Results of one optimizer on one task, one for each seed, which each of them names."""

    task: str
    who: str
    optimizer: str
    found: tuple[dict[str, Any], ...]

    def mean(self, name: str) -> float:
        """Mean of a measured value over the seeds."""
        return statistics.fmean(float(f[name]) for f in self.found)

    def error(self, name: str) -> float:
        """Standard error of that mean."""
        return _standard_error([float(f[name]) for f in self.found])

    def difference(self, other: Line) -> tuple[float, float]:
        """Return by how much its scores are higher, seed by seed, and the standard error; of one seed its own scores' deviation."""
        known = {f["seed"]: float(f["score"]) for f in other.found}
        gains = [float(f["score"]) - known[f["seed"]] for f in self.found if f["seed"] in known]
        alone = self.error("score") * len(self.found) ** 0.5
        return statistics.fmean(gains), _standard_error(gains) if len(gains) > 1 else alone

    def beside_ideal(self, name: str, threads: int, seconds: float = 1.0) -> str:
        """A value as a multiple of the ideal: a run's calls, `threads` at a time, but at least those of one row in turn."""
        chain = len(world(self.task, 0).steps)
        ideal = [max(float(f["calls"]) / threads, chain) for f in self.found if f["calls"]]
        if not ideal or any(name not in f for f in self.found):
            return "-"
        return f"{self.mean(name) / seconds / statistics.fmean(ideal):.1f}"


class Bench:
    """Runs jobs against one server."""

    def __init__(self, url: str, seeds: Sequence[int], options: argparse.Namespace) -> None:
        self._url, self.seeds, self._threads = url, tuple(seeds), options.threads
        self._peer_seeds = self.seeds[: options.peer_seeds or None]
        self._ours_url = url if options.latency else ""
        known = self._known_at = options.keep
        self._known: dict[str, dict[str, Any]] = {}
        if known is not None and known.exists():
            self._known = json.loads(known.read_text(encoding="utf-8"))
        self.lines: list[Line] = []

    def ours(
        self, task: str, optimizer: str, calls: int | Sequence[int] = 0, title: str = "", **options: Any
    ) -> Line | None:
        """Run one of our optimizers, with a budget of so many calls (0: its own), for each seed its own where they differ."""
        return self._line(
            task, "ours", optimizer, title or optimizer, calls, sys.executable, "tune_engine.py", options
        )

    def with_counterpart(self, task: str, optimizer: str, line: Line | None) -> None:
        """Run one of ours next to its counterpart: by its default, and where that takes more calls, with theirs as budget."""
        ours = self.ours(task, optimizer)
        if ours is None or line is None:
            return
        spent = [round(found["calls"]) for found in line.found]
        if all(spent) and ours.mean("calls") > line.mean("calls"):
            self.lines.remove(ours)
            spent += [round(statistics.fmean(spent))] * (len(self.seeds) - len(spent))
            self.ours(task, optimizer, spent)

    def theirs(self, task: str, optimizer: str, title: str = "") -> Line | None:
        """Run one of DSPy's optimizers, `title` is ours; None where there is no DSPy, or no such optimizer."""
        python = peer()
        if python is None or not optimizer or (optimizer in TAKES_MINUTES and task not in TASKS):
            return None
        return self._line(task, "DSPy", optimizer, title or optimizer, 0, python, "tune_dspy.py", {})

    def _line(
        self,
        task: str,
        who: str,
        optimizer: str,
        title: str,
        calls: int | Sequence[int],
        python: str,
        script: str,
        options: Any,
    ) -> Line | None:
        url = self._ours_url if who == "ours" else self._url
        common = ["--url", url, "--task", task, "--threads", str(self._threads)]
        common += ["--set", json.dumps(options)]
        command = [python, str(TESTS / "benchmarks" / script), optimizer, *common]
        found = []
        if who == "ours":
            budgets = [calls] if isinstance(calls, int) else calls
            flags = ["--seed", ",".join(map(str, self.seeds)), "--calls", ",".join(map(str, budgets))]
            jobs = [(self.seeds, [*command, *flags])]
        else:
            jobs = [((n,), [*command, "--seed", str(n), "--calls", "0"]) for n in self._peer_seeds]
        for seeds, job in jobs:
            try:
                results = self._measured(job, who)
                found += [{**result, "seed": n} for n, result in zip(seeds, results, strict=True)]
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                note(f"  {who} {title} on {task}: {error}")
        if not found:
            return None
        line = Line(task, who, title, tuple(found))
        self.lines.append(line)
        note(f"  {task}: {who} {title}: {line.mean('score'):.1f} with {line.mean('calls'):.0f} calls")
        return line

    def _measured(self, command: Sequence[str], who: str) -> list[dict[str, Any]]:
        """Run a child, or take what DSPy's gave the last time: it has not changed since, our code has."""
        flags = dict(zip(command[3::2], command[4::2], strict=True))
        name = " ".join([command[2], flags["--task"], flags["--seed"], flags["--set"]])
        if who == "ours" or self._known_at is None:
            return _child(command)
        if name not in self._known:
            (self._known[name],) = _child(command)
            self._known_at.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        return [self._known[name]]


def _child(command: Sequence[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "TUNEBOARD_HOME": scratch, "DSPY_CACHEDIR": scratch, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            command,
            env=env,
            cwd=scratch,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode:
        raise RuntimeError(f"failed:\n{done.stderr[-1500:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def compare(bench: Bench, task: str, pairs: Sequence[tuple[str, str]], autotune: bool) -> None:
    """All optimizers on one task, then Autotune, also with a fifth of the calls of DSPy's best."""
    bench.ours(task, "start")
    bench.ours(task, "ceiling")
    theirs: list[Line] = []
    for our_name, their_name in pairs:
        line = bench.theirs(task, their_name, our_name)
        theirs += [line] if line else []
        bench.with_counterpart(task, our_name, line)
    if not autotune:
        return
    bench.ours(task, "Autotune")
    if theirs and task != "nothing":
        best = max(theirs, key=lambda line: line.mean("score"))
        bench.ours(task, "Autotune", max(1, round(best.mean("calls") / 5)), FIFTH)


def sweep(bench: Bench, task: str, budgets: Sequence[int]) -> None:
    """Autotune with each budget."""
    bench.ours(task, "start")
    bench.ours(task, "ceiling")
    for calls in budgets:
        bench.ours(task, "Autotune", calls, f"Autotune, {calls} calls")


def budget_table(lines: Sequence[Line]) -> str:
    """Return the table of `sweep`: a row a task, mean score, standard error and calls by budget, and the largest fall.

    The fall is the largest by which the mean is lower than with the budget before, with its paired standard error.
    """
    rows: list[list[str]] = []
    for task in dict.fromkeys(line.task for line in lines):
        tried = [x for x in lines if x.task == task]
        swept = [x for x in tried if x.optimizer.startswith("Autotune")]
        falls = [before.difference(after) for before, after in pairwise(swept)]
        worst, error = max(falls, default=(0.0, 0.0))
        cells = [f"{x.mean('score'):.1f} ± {x.error('score'):.1f} ({x.mean('calls'):.0f})" for x in swept]
        known = {x.optimizer: f"{x.mean('score'):.1f}" for x in tried}
        rows.append(
            [task, known.get("start", "-"), known.get("ceiling", "-"), *cells, f"{worst:.1f} ± {error:.1f}"]
        )
    budgets = list(dict.fromkeys(x.optimizer.split()[1] for x in lines if x.optimizer.startswith("Autotune")))
    head = ["World", "Start", "Ceiling", *budgets, "Largest fall"]
    return markdown(head, rows)


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def ablate(bench: Bench, task: str, calls: int) -> None:
    """Autotune whole, and without each of its parts."""
    bench.ours(task, "Autotune", calls)
    for part in PARTS:
        bench.ours(task, "Autotune", calls, f"without {part}", leave_out=[part])


def world_table(lines: Sequence[Line], threads: int) -> str:
    """Return the table of worlds: for each a row of ours and one of DSPy's, with a column for each optimizer.

    A cell has the mean score, its standard error where there are several seeds, and in brackets the calls and, of ours,
    the waits next to the fewest. What is lower than DSPy's by more than the error of the difference
    is in bold. The last row has the mean difference over the worlds, and its standard error.
    """
    known = {(line.task, line.optimizer, line.who): line for line in lines}
    tasks, names = (list(dict.fromkeys(part)) for part in zip(*[key[:2] for key in known], strict=True))
    body: list[list[str]] = []
    for task in tasks:
        label = f"{task} (kept aside)" if task in KEPT_TASKS else task
        pairs = [[known.get((task, name, who)) for name in names] for who in ("ours", "DSPy")]
        body.append([label, "ours", *(_cell(a, b, threads) for a, b in zip(*pairs, strict=True))])
        if any(pairs[1]):
            body.append(["", "DSPy", *(_cell(line, None, 0) for line in pairs[1])])
    gains = [
        [
            known[task, name, "ours"].difference(known[task, name, "DSPy"])[0]
            for task in tasks
            if (task, name, "DSPy") in known and (task, name, "ours") in known
        ]
        for name in names
    ]
    means = [f"{statistics.fmean(some):+.1f} ± {_standard_error(some):.1f}" if some else "" for some in gains]
    head = ["World", "", *names]
    return markdown(head, [*body, ["all, mean", "difference", *means]])


def _cell(line: Line | None, theirs: Line | None, threads: int) -> str:
    """Return a cell of `world_table`; of ours, with `theirs` next to it."""
    if line is None:
        return ""
    score = f"{line.mean('score'):.1f}"
    gain, error = line.difference(theirs) if theirs else (0.0, 0.0)
    if gain < -error:
        score = f"**{score}**"
    score += f" ± {line.error('score'):.1f}" if len(line.found) > 1 else ""
    calls = f"{line.mean('calls'):.0f}"
    waits = line.beside_ideal("rounds", threads) if threads else "-"
    return score if calls == "0" else f"{score} ({calls}{'' if waits == '-' else f', {waits}'})"


def table(lines: Sequence[Line], threads: int, latency: float) -> str:
    """Return the table for the terminal: a row for each optimizer on each task, DSPy's next to ours.

    "Waits / ideal" says how many calls one after the other ours takes, next to the fewest that so many calls can take;
    with a `latency` in seconds the wall time is next to it, which a busy machine adds to.
    """
    head = ["Task", "Optimizer", "Score", "Calls", "CPU s", "Waits / ideal", "DSPy: score", "Calls", "CPU s"]
    head += ["Wall / ideal", "DSPy: wall / ideal"] if latency else []
    body = []
    for task, optimizer in dict.fromkeys((line.task, line.optimizer) for line in lines):
        both = [
            next((x for x in lines if (x.task, x.optimizer, x.who) == (task, optimizer, who)), None)
            for who in ("ours", "DSPy")
        ]
        cells = [task, optimizer]
        for line in both:
            cells += ["-"] * 3 if line is None else [f"{line.mean('score'):.1f}", f"{line.mean('calls'):.0f}"]
            cells += [] if line is None else [f"{line.mean('cpu'):.1f}"]
            if len(cells) == 5:  # ours
                cells.append("-" if line is None else line.beside_ideal("rounds", threads))
        for line in both if latency else ():
            cells.append("-" if line is None else line.beside_ideal("wall", threads, latency))
        body.append(cells)
    return aligned(head, body)


def main() -> int:
    """Run what was asked for and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one seed, two tasks, three optimizers")
    parser.add_argument("--seeds", default="3", help="how many seeds, from 0 on; or which, as in 3-5")
    parser.add_argument(
        "--tasks",
        default=",".join(TASKS),
        help=f'some of: {", ".join((*TASKS, *MORE_TASKS, *KEPT_TASKS))}; "more", "kept" or "all"',
    )
    parser.add_argument(
        "--latency", type=float, default=0.0, help="seconds the server waits before each answer"
    )
    parser.add_argument("--threads", type=int, default=64, help="calls at once")
    parser.add_argument(
        "--ablate", action="store_true", help="Autotune without each of its parts, nothing else"
    )
    parser.add_argument("--calls", type=int, default=300, help="the budget of --ablate")
    parser.add_argument(
        "--budgets", default="", help="Autotune with each of these numbers of calls, as in 60,250"
    )
    parser.add_argument("--details", type=Path, help="file that gets every run of every line, as JSON")
    parser.add_argument("--only", default="", help="only these of our optimizers (and their counterparts)")
    parser.add_argument(
        "--keep",
        type=Path,
        help="file of DSPy's results: what it holds is not run again, what it lacks is added",
    )
    parser.add_argument(
        "--peer-seeds", type=int, default=0, help="DSPy's with the first so many seeds only; 0: with all"
    )
    parser.add_argument("--peer-only", action="store_true", help="run DSPy's optimizers only")
    parser.add_argument("--markdown", type=Path, help="file that gets the table of worlds")
    options = parser.parse_args()
    groups = {"more": MORE_TASKS, "kept": KEPT_TASKS, "all": (*TASKS, *MORE_TASKS, *KEPT_TASKS)}
    named = "classify,two_step" if options.quick else options.tasks
    tasks = [task for name in named.split(",") for task in groups.get(name, (name,))]
    first, _, last = ("0-0" if options.quick else options.seeds).partition("-")
    seeds = range(int(first), int(last) + 1) if last else range(int(first))
    pairs = QUICK_PAIRS if options.quick else PAIRS
    if options.only:
        pairs = tuple(pair for pair in PAIRS if pair[0] in options.only.split(","))
    # A sweep of our own searches needs no server next to it.
    with nullcontext() if options.budgets else ServerProcess(options.latency, script=MODEL) as server:
        bench = Bench(server.url if server else "", seeds, options)
        for task in tasks:
            if options.peer_only:
                for _, name in pairs:
                    bench.theirs(task, name)
            elif options.budgets:
                sweep(bench, task, [int(n) for n in options.budgets.split(",")])
            elif options.ablate:
                ablate(bench, task, options.calls)
            else:
                compare(bench, task, pairs, not options.only or "Autotune" in options.only.split(","))
    if options.details:
        options.details.write_text(
            json.dumps([asdict(line) for line in bench.lines], indent=1), encoding="utf-8"
        )
    shown = (
        budget_table(bench.lines) if options.budgets else table(bench.lines, options.threads, options.latency)
    )
    print(shown)
    if options.markdown:
        made = shown if options.budgets else world_table(bench.lines, options.threads)
        options.markdown.write_text(made + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
