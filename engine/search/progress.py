"""A search's progress on one line: a recorder between the driver and the caller's own."""

from __future__ import annotations

from engine.progress import ProgressLine
from engine.search.budget import Budget
from engine.search.events import BudgetSpent, Event, TrainingProgress, TrialFinished, TrialStarted
from engine.search.settings import Recorder
from engine.text import percent


class SearchProgress:
    """Shows the trial under way, the best score so far, the calls of the budget and the time; passes every event on."""

    def __init__(self, budget: Budget, recorder: Recorder | None, *, shown: bool) -> None:
        self._budget, self._recorder = budget, recorder
        self._line = ProgressLine(shown=shown)
        self._phase, self._best, self._calls = "Getting ready", None, 0  # type: str, float | None, int
        self._validating: set[int] = set()

    def record(self, event: Event) -> None:
        """Receive one event."""
        if self._recorder is not None:
            self._recorder.record(event)
        if isinstance(event, TrialStarted):
            self._phase = f"Trial {event.trial}" + (f" ({event.label})" if event.label else "")
            if event.split == "validation":
                self._validating.add(event.trial)
        elif isinstance(event, TrialFinished) and not event.partial and event.trial in self._validating:
            self._best = max(self._best or 0.0, event.evaluation.score)
        elif isinstance(event, TrainingProgress):
            self._phase = event.text
        elif isinstance(event, BudgetSpent):
            self._calls = event.usage.calls
        most = self._budget.calls
        best = "" if self._best is None else f"best so far {percent(self._best, 0)}"
        calls = f"{self._calls:,} calls" if most is None else f"{self._calls:,} of {most:,} calls"
        self._line.show(self._phase, self._calls, most, best, calls)

    def close(self) -> None:
        """End the line."""
        self._line.close()
