"""How far an evaluation is: a bar on standard error, and whoever wants to hear of every row."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

OnProgress = Callable[[int, int, float], Any]
"""Hears of rows done, rows in all, and the mean score so far (0-1)."""

_log = logging.getLogger(__name__)


class Progress:
    """Counts rows, draws a bar when `shown`, and tells `told`; what that raises is logged and changes nothing."""

    def __init__(self, rows: int, told: OnProgress | None, *, shown: bool) -> None:
        self._rows = rows
        self._told = told
        self._total, self._done = 0.0, 0
        self._bar: Any = None
        self._task: Any = None
        if shown:
            self._bar, self._task = _bar(rows)

    def advance(self, score: float) -> None:
        """A row is done."""
        self._total, self._done = self._total + score, self._done + 1
        mean = self._total / self._done
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=f"Mean score {100 * mean:.1f} %")
        if self._told is not None:
            try:
                self._told(self._done, self._rows, mean)
            except Exception:  # noqa: BLE001 - whatever a listener does, the evaluation goes on
                _log.exception("The progress callback failed.")

    def close(self) -> None:
        """The evaluation is over."""
        if self._bar is not None:
            self._bar.stop()


def _bar(rows: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(file=sys.stderr))
    task = bar.add_task("Evaluating", total=rows)
    bar.start()
    return bar, task
