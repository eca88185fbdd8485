"""The work both libraries are given: rows, and clocks. Imports nothing but the standard library."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

LABELS = ("billing", "shipping", "technical", "other")
INSTRUCTIONS = "Sort a customer's message: which team, is it urgent, and how sure are you?"
REPLY = "[[ ## label ## ]]\nbilling\n\n[[ ## urgent ## ]]\nTrue\n\n[[ ## confidence ## ]]\n0.87\n\n[[ ## completed ## ]]"
FIVE = (
    "[[ ## label ## ]]\nbilling\n\n[[ ## urgent ## ]]\nTrue\n\n[[ ## stars ## ]]\n4\n\n[[ ## summary ## ]]\n"
    'A customer was charged twice.\n\n[[ ## tags ## ]]\n["refund", "card"]\n\n[[ ## completed ## ]]'
)
STEPS = [
    *(
        {"next_thought": f"Step {i}.", "next_tool_name": "add", "next_tool_args": {"a": i, "b": 1}}
        for i in range(4)
    ),
    {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}},
    {"reasoning": "The tool said so.", "answer": "4"},
]
_WORDS = (
    "my parcel order card was charged twice late broken again please help refund the app login invoice"
).split()


def message(i: int) -> str:
    """Return the text of row `i`: about 40 words, different for every row."""
    words = [_WORDS[(i * 7 + j * (3 + i % 5)) % len(_WORDS)] for j in range(38)]
    return f"Ticket {i}: {' '.join(words)}."


def options() -> argparse.Namespace:
    """Read the command line of a job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=("engine", "dspy"))
    parser.add_argument("command")
    parser.add_argument("--url", default="")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--cache", default="")
    parser.add_argument("--auto", default="light", help="how much MIPROv2 tries")
    parser.add_argument("--validation", type=int, default=100, help="rows MIPROv2 validates on")
    return parser.parse_args()


def measured(work: Callable[[], Any], rows: int) -> dict[str, float]:
    """Run the work once; return wall seconds, and CPU milliseconds a row, of this process."""
    wall, cpu = time.perf_counter(), os.times()
    work()
    wall, after = time.perf_counter() - wall, os.times()
    spent = after.user - cpu.user + after.system - cpu.system
    return {"wall": wall, "cpu_ms": spent * 1000 / rows}


def per_call(work: Callable[[], Any], calls: int = 2000) -> dict[str, float]:
    """Return the microseconds of one call, best of five rounds."""
    for _ in range(20):
        work()
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        best = min(best, (time.perf_counter() - start) / calls)
    return {"us": best * 1e6}


def report(found: dict[str, Any]) -> None:
    """Print what was measured, and leave at once (what runs at exit is not part of any job)."""
    print(json.dumps(found), flush=True)
    sys.stdout.flush()
    os._exit(0)
