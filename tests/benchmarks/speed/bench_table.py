"""Rows that a benchmark yields, and the table of all of them. Knows nothing about the measured code."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.tables import aligned, markdown


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `ours` and `theirs` are repeated measurements in `unit`; the best of them is compared (whatever else runs on
    a machine only ever adds to a measurement), the median is shown next to it. `limit` is the most that ours may be;
    `peer_share` the most it may be as a share of theirs. `missed` names a condition other than speed that failed.
    """

    name: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    limit: float | None = None
    peer_share: float | None = None
    missed: str = ""

    @property
    def ratio(self) -> float | None:
        """Their figure as a multiple of ours."""
        return min(self.theirs) / min(self.ours) if self.ours and self.theirs and min(self.ours) > 0 else None

    @property
    def target(self) -> str:
        parts = []
        if self.limit is not None:
            parts.append(f"<= {_number(self.limit)} {self.unit}")
        if self.peer_share is not None:
            parts.append(f"<= {self.peer_share:.2g} x DSPy")
        return ", ".join(parts)

    @property
    def met(self) -> bool | None:
        """True if every target that could be checked was met; None if there was nothing to check."""
        if not self.ours:
            return False
        checks = [not self.missed] if self.missed else []
        if self.limit is not None:
            checks.append(min(self.ours) <= self.limit)
        if self.peer_share is not None and self.theirs:
            checks.append(min(self.ours) <= self.peer_share * min(self.theirs))
        return all(checks) if checks else None


Benchmark = Callable[[], Sequence[Row]]
"""The contract of a bench_*.py file: a function without arguments that measures and returns its rows."""

HEADINGS = ("Benchmark", "Tuneboard", "DSPy", "DSPy / ours", "Target", "Met")


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's texts, in the order of HEADINGS."""
    met = row.met
    verdict = "" if met is None else "yes" if met else "NO"
    if row.missed:
        verdict += f" ({row.missed})"
    ratio = f"{row.ratio:.1f} x" if row.ratio is not None else "-"
    return (
        row.name,
        _measured(row.ours, row.unit),
        _measured(row.theirs, row.unit),
        ratio,
        row.target,
        verdict,
    )


def text_table(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    return aligned(HEADINGS, map(cells, rows))


def markdown_table(rows: Sequence[Row]) -> str:
    """Return the table as Markdown, under the machine's description."""
    return f"{machine()}\n{CAPTION}\n\n{markdown(HEADINGS, map(cells, rows))}\n"


def machine() -> str:
    """Return a sentence about the machine that measures."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
        memory = f", {gib:.0f} GiB of memory"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cpu}, {cores} cores{memory}, {platform.system()}, Python {platform.python_version()}."


def _measured(values: Sequence[float], unit: str) -> str:
    if not values:
        return "-"
    best, median = _number(min(values)), _number(statistics.median(values))
    return f"{best} {unit}" if best == median else f"{best} {unit} (median {median})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


CAPTION = "Best of three child processes, the median next to it; CPU is the client process's own user and system time."
