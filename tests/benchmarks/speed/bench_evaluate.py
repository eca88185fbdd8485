"""Evaluate over one typed Predict: CPU a row, wall time against the ideal, and again from the persistent cache."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import jobs_work
from bench_children import REPEATS, both, job, note, their_job, values
from bench_table import Row
from support.servers.openai_server import ServerProcess

ROWS = 1000
LATENCY = 0.2
QUICK = 64


def cpu() -> list[Row]:
    """CPU of the client process a row, against a server that answers at once."""
    with ServerProcess(latency=0.0, answer=jobs_work.REPLY) as server:
        ours, theirs = both("evaluate", url=server.url, rows=ROWS, concurrency=QUICK)
    note(f"  wall of the same: ours {min(values(ours, 'wall')):.2f} s")
    return [
        Row(
            "Evaluate, CPU a row (no latency, concurrency 64)",
            "ms",
            values(ours, "cpu_ms"),
            values(theirs, "cpu_ms"),
            limit=0.75,
            peer_share=1 / 3,
            missed=_unlike(ours, theirs),
        )
    ]


def wall() -> list[Row]:
    """Wall time of 1,000 rows at 200 ms latency, as a multiple of rows x latency / concurrency."""
    found = []
    with ServerProcess(latency=LATENCY, answer=jobs_work.REPLY) as server:
        for concurrency, limit in ((64, 1.05), (256, 1.3)):
            ideal = ROWS * LATENCY / concurrency
            ours, theirs = both("evaluate", url=server.url, rows=ROWS, concurrency=concurrency)
            name = f"Evaluate, 1,000 rows at 200 ms, concurrency {concurrency}, wall / ideal ({ideal:.2f} s)"
            found.append(
                Row(
                    name, "x", values(ours, "wall", 1 / ideal), values(theirs, "wall", 1 / ideal), limit=limit
                )
            )
    return found


def cached() -> list[Row]:
    """The same 1,000 rows again, in a new process, from the persistent cache."""
    with (
        ServerProcess(latency=0.0, answer=jobs_work.REPLY) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        kept = {
            "url": server.url,
            "rows": ROWS,
            "concurrency": QUICK,
            "cache": str(Path(folder) / "calls.db"),
        }
        job(sys.executable, "evaluate", **kept)
        ours = [job(sys.executable, "evaluate", **kept) for _ in range(REPEATS)]
        kept["cache"] = str(Path(folder) / "dspy")
        their_job("evaluate", **kept)
        theirs = [one for _ in range(REPEATS) for one in their_job("evaluate", **kept)]
    name = "Evaluate, the same 1,000 rows from the persistent cache"
    return [Row(name, "ms", values(ours, "wall", 1000), values(theirs, "wall", 1000), limit=100)]


def _unlike(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> str:
    scores = {one["score"] for one in (*ours, *theirs)}
    return "" if len(scores) == 1 else f"scores differ: {sorted(scores)}"
