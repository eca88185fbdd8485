"""Whole MIPROv2 runs: wall time at 200 ms latency against calls x latency / concurrency, and CPU of about 1,700 calls."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import jobs_work
import orjson
from bench_children import REPEATS, job, note, their_job
from bench_table import Row
from support.servers.openai_server import ServerProcess, default_answer, main

LATENCY = 0.2
CONCURRENCY = 64
TRAIN = 100
CALLS = 1700


def varied_answer(body: dict[str, Any]) -> str:
    """Fill every field the prompt asks for, by a hash of the prompt, so that a search has something to tell apart."""
    digest = hashlib.sha256(orjson.dumps(body["messages"])).hexdigest()
    label = jobs_work.LABELS[int(digest[:8], 16) % len(jobs_work.LABELS)]
    sentence = f"Note {digest[:10]}: read the message closely and choose the team that can act on it."
    answer = default_answer(body)
    return answer.replace("[[ ## label ## ]]\nok", f"[[ ## label ## ]]\n{label}").replace(
        "]]\nok", f"]]\n{sentence}"
    )


def mipro() -> list[Row]:
    """One run each: it is long, and its calls are counted by the server."""
    ours, theirs = (
        [run["wall"] / (calls * LATENCY / CONCURRENCY) for run, calls in _tuned(who, LATENCY)]
        for who in ("ours", "DSPy")
    )
    name = "MIPROv2 light at 200 ms, concurrency 64, wall / ideal (calls x latency / 64)"
    return [Row(name, "x", ours, theirs, limit=3.0)]


def mipro_cpu() -> list[Row]:
    """CPU of the client process against a server that answers at once: medium effort on 230 rows, scaled to 1,700 calls."""
    seconds: dict[str, list[float]] = {"ours": [], "DSPy": []}
    for _ in range(REPEATS):
        for who, measured in seconds.items():
            for run, calls in _tuned(who, 0.0, auto="medium", validation=230):
                measured.append(run["cpu_ms"] / 1000 * CALLS / calls)
    name = "MIPROv2 medium, client CPU of 1,700 calls (no latency)"
    return [Row(name, "s", seconds["ours"], seconds["DSPy"], limit=1.5)]


def _tuned(who: str, latency: float, **options: Any) -> list[tuple[dict[str, Any], int]]:
    """Return what one run measured, and its calls; nothing where DSPy cannot be run."""
    options |= {"rows": TRAIN, "concurrency": CONCURRENCY}
    with ServerProcess(latency, script=__file__) as server:
        options["url"] = server.url
        runs = [job(sys.executable, "mipro", **options)] if who == "ours" else their_job("mipro", **options)
        calls = server.stats()["served"]
    for run in runs:
        note(f"  {who}: {calls} calls, {run['wall']:.1f} s, {run['cpu_ms'] / 1000:.2f} s of CPU")
    return [(run, calls) for run in runs]


if __name__ == "__main__":
    main(varied_answer)
