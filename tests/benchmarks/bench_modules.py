"""Agents and many calls at once: CPU of a ReAct run, wall time of Parallel."""

from __future__ import annotations

import jobs_work
from bench_children import both, values
from bench_table import Row
from openai_server import ServerProcess

CALLS = 2000
CONCURRENCY = 256
LATENCY = 0.2


def react() -> list[Row]:
    """CPU of one ReAct run of five steps and an answer, with a model that answers at once."""
    ours, theirs = both("react", rows=200)
    return [
        Row(
            "ReAct, five steps and the answer, CPU a run (no latency)",
            "ms",
            values(ours, "cpu_ms"),
            values(theirs, "cpu_ms"),
            limit=3,
        )
    ]


def parallel() -> list[Row]:
    """Wall time of 2,000 calls at 200 ms latency, as a multiple of calls x latency / concurrency."""
    ideal = CALLS * LATENCY / CONCURRENCY
    with ServerProcess(latency=LATENCY, answer=jobs_work.REPLY) as server:
        ours, theirs = both("parallel", url=server.url, rows=CALLS, concurrency=CONCURRENCY)
    name = f"Parallel, 2,000 calls at 200 ms, concurrency {CONCURRENCY}, wall / ideal ({ideal:.2f} s)"
    return [Row(name, "x", values(ours, "wall", 1 / ideal), values(theirs, "wall", 1 / ideal), limit=1.3)]
