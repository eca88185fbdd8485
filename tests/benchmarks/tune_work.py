"""Shared parts of both libraries' tuning jobs: options, the server's counters. Standard library only."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

SMALLER = {"num_candidate_programs": 4}
"""Of BootstrapFewShotWithRandomSearch in a chain, for both libraries: with all 16 sets theirs takes minutes a seed."""


def options() -> argparse.Namespace:
    """Read the command line of a job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("optimizer")
    parser.add_argument("--url", default="", help="empty: the model answers in this process (ours only)")
    parser.add_argument("--task", default="classify")
    parser.add_argument("--seed", default="0", help="one, or for our jobs several with commas")
    parser.add_argument(
        "--calls", default="0", help="budget in calls, for all seeds or each; 0: the optimizer's own"
    )
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--set", default="{}", help="options of the optimizer, as JSON")
    return parser.parse_args()


def served(url: str) -> int:
    """Return how many calls the server has answered; 0 without one."""
    if not url:
        return 0
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=30) as response:
        return int(json.load(response)["served"])


class Meter:
    """Measures one compile: calls, wall seconds and this process's CPU seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._before, self._wall, self._cpu = served(url), time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        """Return what was used since the start."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"calls": served(self._url) - self._before, "wall": wall, "cpu": cpu}


def report(found: Mapping[str, Any]) -> None:
    """Print what was measured, and leave at once."""
    print(json.dumps(found), flush=True)
    leave()


def leave() -> None:
    """End the process at once."""
    sys.stdout.flush()
    os._exit(0)
