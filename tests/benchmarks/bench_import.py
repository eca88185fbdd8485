"""What `import engine` costs, and what it must not bring along."""

from __future__ import annotations

import subprocess
import sys
import time

from bench_children import ROOT, peer
from bench_table import Row

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
