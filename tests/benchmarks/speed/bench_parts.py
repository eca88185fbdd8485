"""Costs of single parts: importing, one prompt and its reply, agents, many calls at once, keyword search."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import jobs_work
from bench_children import ROOT, both, peer, values
from bench_table import Row
from support.servers.openai_server import ServerProcess

from engine.retrieval import BM25

FORBIDDEN = ("litellm", "optuna", "pandas", "streamlit")


def imports() -> list[Row]:
    """Wall time of a Python that only imports the library."""
    ours = [_seconds(sys.executable, "import engine") for _ in range(5)]
    python = peer()
    theirs = [_seconds(python, "import dspy") for _ in range(5)] if python else []
    first = "LM, Predict, Evaluate, ChatAdapter, MIPROv2"
    used = [_seconds(sys.executable, f"from engine import {first}") for _ in range(5)]
    used_there = [_seconds(python, f"from dspy import {first}") for _ in range(5)] if python else []
    code = f"import sys, engine; print(*(m for m in {FORBIDDEN!r} if m in sys.modules))"
    brought = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    missed = f"imports {brought.stdout.strip()}" if brought.stdout.strip() else ""
    bare = Row('python -c "import engine" (DSPy: import dspy)', "s", ours, theirs, limit=0.25, missed=missed)
    return [bare, Row(f'python -c "from engine import {first}"', "s", used, used_there)]


def _seconds(python: str, code: str) -> float:
    start = time.perf_counter()
    subprocess.run([python, "-c", code], check=True, cwd=ROOT, capture_output=True)
    return time.perf_counter() - start


def adapters() -> list[Row]:
    """Microseconds of format and parse, and of format with eight demonstrations."""
    ours, theirs = both("adapter")
    return [
        Row(
            "ChatAdapter, format + parse, five typed outputs",
            "us",
            values(ours, "us"),
            values(theirs, "us"),
            limit=60,
        ),
        Row(
            "ChatAdapter, format with 8 demonstrations",
            "us",
            values(ours, "demos_us"),
            values(theirs, "demos_us"),
        ),
    ]


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


PASSAGES = 100_000
QUERIES = 200


def retrieval() -> list[Row]:
    """Milliseconds of one BM25 query for 5 of 100,000 passages of 60 words."""
    rng = random.Random(0)
    known = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 9))) for _ in range(30_000)]
    # Few words often, most words rarely, as in any language.
    weights = [1 / (rank + 10) for rank in range(len(known))]
    drawn = rng.choices(known, weights, k=PASSAGES * 60)
    passages = [" ".join(drawn[at : at + 60]) for at in range(0, len(drawn), 60)]
    index = BM25(passages)
    queries = [" ".join(rng.choice(passages).split()[:8]) for _ in range(QUERIES)]
    times = []
    for _ in range(3):
        started = time.perf_counter()
        for query in queries:
            index.find(query, 5)
        times.append((time.perf_counter() - started) / QUERIES * 1000)
    return [Row("BM25, one query over 100,000 passages", "ms", tuple(times), limit=5)]
