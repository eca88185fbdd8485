"""A run's rows on a Ray cluster of two nodes with one CPU each, next to this machine alone, printed as a table.

Run it in the environment with Ray: `.venv-ray/bin/python tests/benchmarks/cluster.py`. All sides run in turns, in rounds.
"""

from __future__ import annotations

import os

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray stays on loopback
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ray.cluster_utils import Cluster
from support.servers.openai_server import ServerProcess

import engine
from engine import loop
from engine.metrics import ExactMatch
from engine.runs.backends.ray import ray_workers
from engine.search.backend import Backend, BackendChoice
from engine.search.driver import Driver
from engine.search.settings import Settings

ANSWER = "[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]"
LATENCY = 0.2
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


class Busy(engine.Module):
    """A program whose rows take the CPU of one process: plain Python for some milliseconds, and no model."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.ask = engine.Predict("question -> answer")  # never asked: a search needs something to tune

    async def aforward(self, question: str) -> engine.Prediction:
        """Count, and say yes."""
        total = 0
        for number in range(self.steps):
            total += number * number % 7
        return engine.Prediction(answer="yes" if total else "no")


def settings_of(program: engine.Module, rows: int, lm: engine.LM | None, concurrency: int) -> Settings:
    examples = {
        row: engine.Example(question=f"Is {row} a number?", answer="yes").with_inputs("question")
        for row in range(rows)
    }
    ids = tuple(range(rows))
    return Settings(program, ExactMatch(), examples, ids[:1], ids, lm=lm, concurrency=concurrency)


async def seconds_of(settings: Settings, backend: Backend | None = None) -> float:
    """Return the seconds in which all rows are answered and scored."""
    driver = Driver(settings, backend=backend)
    started = time.perf_counter()
    evaluation = await driver.score(driver.seed, settings.validation)
    taken = time.perf_counter() - started
    if evaluation.score != 1.0:
        raise SystemExit(f"Rows failed: {next(o.error for o in evaluation.outcomes if o.error)}")
    return taken


async def compared(address: str, settings: Settings, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round: here, on one worker, on two."""
    sides: dict[str, list[float]] = {"here": [], "one worker": [], "two workers": []}
    choice = BackendChoice(name="ray", address=address)
    for number in range(rounds + 1):
        async with ray_workers(choice, settings) as two:
            await two.all_ready()
            first = await seconds_of(settings, two)  # the first rows warm a new worker up
            found = await seconds_of(settings, two)
        async with ray_workers(choice, settings, most=1) as one:
            await seconds_of(settings, one)
            alone = await seconds_of(settings, one)
        here = await seconds_of(settings)
        print(
            f"  round {number}: here {here:.2f} s, one worker {alone:.2f} s, two {found:.2f} s (cold {first:.2f} s)"
        )
        if number:  # the first round warms this process up
            for name, seconds in zip(sides, (here, alone, found), strict=True):
                sides[name].append(seconds)
    return sides


def ratios(above: list[float], below: list[float]) -> str:
    """Return the median ratio of rounds, and its range."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, default=300_000, help="of the program that computes: 300,000 take 20 ms"
    )
    options = parser.parse_args()
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "node_ip_address": "127.0.0.1"})
    cluster.add_node(node_ip_address="127.0.0.1", **NODE)
    try:
        with ServerProcess(latency=LATENCY, answer=ANSWER) as server:
            lm = engine.LM("openai/model", api_base=server.url, api_key="none", cache=False)
            asked = settings_of(engine.Predict("question -> answer"), 1000, lm, 256)
            print(f"1,000 rows, one call each, {1000 * LATENCY:.0f} ms, 256 at once")
            waiting = loop.run(compared(cluster.address, asked, options.rounds))
        print("200 rows of a program that computes")
        busy = settings_of(Busy(options.steps), 200, None, 16)
        computing = loop.run(compared(cluster.address, busy, options.rounds))
    finally:
        cluster.shutdown()
    load = os.getloadavg()[0]
    print(f"\nOn {os.cpu_count()} cores, load {load:.0f}.\n")
    print("| rows | here | one worker | two workers | ratio |\n|---|---|---|---|---|")
    for name, sides, ratio in (
        (
            "that wait for an endpoint",
            waiting,
            f"two / here {ratios(waiting['two workers'], waiting['here'])}",
        ),
        ("that compute", computing, f"one / two {ratios(computing['one worker'], computing['two workers'])}"),
    ):
        figures = " | ".join(f"{statistics.median(sides[side]):.2f} s" for side in sides)
        print(f"| {name} | {figures} | {ratio} |")


if __name__ == "__main__":
    main()
