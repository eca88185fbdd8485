"""A search's progress on one line: a recorder between the driver and the caller's own."""

from __future__ import annotations

from engine.basics.progress import ProgressLine
from engine.basics.text import percent
from engine.search.budget import Budget
from engine.search.events import (
    BudgetSpent,
    CandidateFound,
    Event,
    TrainingProgress,
    TrialFinished,
    TrialStarted,
)
from engine.search.leader import LeaderPath
from engine.search.settings import Recorder


class SearchProgress:
    """Shows the prompt being scored, the leader's score, the calls of the budget and the time; passes every event on."""

    def __init__(self, budget: Budget, recorder: Recorder | None, *, shown: bool) -> None:
        self._budget, self._recorder = budget, recorder
        self._line = ProgressLine(shown=shown)
        self._phase, self._calls = "Getting ready", 0
        self._leaders = LeaderPath()
        self._numbers: dict[str, int] = {}
        self._validating: set[int] = set()

    def record(self, event: Event) -> None:
        """Receive one event."""
        if self._recorder is not None:
            self._recorder.record(event)
        if isinstance(event, CandidateFound):
            self._numbers[event.candidate.id] = event.number
        elif isinstance(event, TrialStarted):
            number = self._numbers.get(event.candidate.id, 0)
            self._phase = f"Prompt {number}" if number else "The starting prompt"
            self._phase += f" ({event.label})" if event.label else ""
            if event.split == "validation":
                self._validating.add(event.trial)
        elif isinstance(event, TrialFinished) and event.trial in self._validating:
            done = event.evaluation
            scores = {o.row: None if o.error else o.score for o in done.outcomes}
            if scores:
                number = self._numbers.get(done.candidate_id, 0)
                self._leaders.add(event.trial, done.candidate_id, number, scores)
        elif isinstance(event, TrainingProgress):
            self._phase = event.text
        elif isinstance(event, BudgetSpent):
            self._calls = event.usage.calls
        most = self._budget.calls
        leads = self._leaders.leads
        best = f"best so far {percent(leads[-1].score.mean, 0)}" if leads else ""
        calls = f"{self._calls:,} calls" if most is None else f"{self._calls:,} of {most:,} calls"
        self._line.show(self._phase, self._calls, most, best, calls)

    def close(self) -> None:
        """End the line."""
        self._line.close()
