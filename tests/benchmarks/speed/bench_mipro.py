"""Whole MIPROv2 runs: wall time at 200 ms latency against calls x latency / concurrency, and CPU of about 1,700 calls."""

from __future__ import annotations

import sys

from bench_children import REPEATS, job, note, their_job
from bench_server import VariedServerProcess
from bench_table import Row

LATENCY = 0.2
CONCURRENCY = 64
TRAIN = 100
CALLS = 1700


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


def mipro_cpu() -> list[Row]:
    """CPU of the client process against a server that answers at once: medium effort on 230 rows, scaled to 1,700 calls."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(REPEATS):
        ours += _cpu(sys.executable)
        theirs += _cpu("dspy")
    return [Row("MIPROv2 medium, client CPU of 1,700 calls (no latency)", "s", ours, theirs, limit=1.5)]


def _cpu(who: str) -> list[float]:
    options = {"rows": TRAIN, "concurrency": CONCURRENCY, "auto": "medium", "validation": 230}
    with VariedServerProcess(0.0) as server:
        mine = who == sys.executable
        found = (
            [job(who, "mipro", url=server.url, **options)]
            if mine
            else their_job("mipro", url=server.url, **options)
        )
        calls = server.stats()["served"]
    if not found:
        return []
    note(f"  {'ours' if mine else 'DSPy'}: {calls} calls, {found[0]['cpu_ms'] / 1000:.2f} s of CPU")
    return [found[0]["cpu_ms"] / 1000 * CALLS / calls]
