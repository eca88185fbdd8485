"""A whole MIPROv2 run, light, at 200 ms latency: wall time against calls x latency / concurrency."""

from __future__ import annotations

import sys

from bench_children import job, note, their_job
from bench_server import VariedServerProcess
from bench_table import Row

LATENCY = 0.2
CONCURRENCY = 64
TRAIN = 100


def mipro() -> list[Row]:
    """One run each: it is long, and its calls are counted by the server."""
    ours, theirs = _ideals(sys.executable), _ideals("dspy")
    name = "MIPROv2 light at 200 ms, concurrency 64, wall / ideal (calls x latency / 64)"
    return [Row(name, "x", ours, theirs, limit=3.0)]


def _ideals(who: str) -> list[float]:
    options = {"rows": TRAIN, "concurrency": CONCURRENCY}
    with VariedServerProcess(LATENCY) as server:
        if who == sys.executable:
            found = [job(who, "mipro", url=server.url, **options)]
        else:
            found = their_job("mipro", url=server.url, **options)
        calls = server.stats()["served"]
    if not found:
        return []
    ideal = calls * LATENCY / CONCURRENCY
    label = "ours" if who == sys.executable else "DSPy"
    note(f"  {label}: {calls} calls, {found[0]['wall']:.1f} s, ideal {ideal:.1f} s")
    return [found[0]["wall"] / ideal]
