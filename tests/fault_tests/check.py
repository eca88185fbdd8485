"""A check of the table of faults: what it is called, what it should come to, and how it is measured. Knows no check."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.tables import markdown


@dataclass(frozen=True)
class Finding:
    """The result of a check today: its figure in words, and whether the goal is met."""

    figure: str
    met: bool


@dataclass(frozen=True)
class Check:
    """One line of the table. `name` is what the command line calls it, `goal` what its figure should be.

    `measure(folder, small)` works in an empty folder. With `small` it measures a small part in a few seconds: that part
    runs in `make test`, the whole of it in `make test-faults`. `in_tests` is False where no part is small enough.
    """

    name: str
    title: str
    goal: str
    measure: Callable[[Path, bool], Finding]
    in_tests: bool = True


def cpu_seconds() -> float:
    """Return the CPU time of this process and its ended children, which other work of the machine hardly changes."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def markdown_table(findings: Sequence[tuple[Check, Finding]]) -> str:
    """Return the table as Markdown."""
    rows = (
        (check.title, check.goal, found.figure, "yes" if found.met else "NO") for check, found in findings
    )
    return markdown(("Check", "Goal", "Today", "Met"), rows)
