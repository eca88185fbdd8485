"""Search events -> rows of the store, as they happen.

It writes straight from the event loop (a write takes 20 to 300 microseconds). Rows of a trial are
gathered for at most `FLUSH_SECONDS`, so that a fast model does not make a commit of every row.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from engine.records import Outcome, Usage
from engine.search.events import (
    BudgetSpent,
    CandidateFound,
    Event,
    NewBest,
    Note,
    Proposed,
    RowScored,
    TrialFinished,
    TrialStarted,
)
from engine.store.store import Store

FLUSH_SECONDS = 0.15

TOLD_FAILURES = 3
"""Failed rows of one trial that become events; the trial's own event counts the rest."""


class StoreRecorder:
    """The search's `Recorder`: everything it is told is in the store at most 0.15 s later.

    `flush` is called at the end of a trial and must be called once at the end of the run. `usage` and
    `seconds` are the meters as last told.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._waiting: dict[int, list[Outcome]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._best: str | None = None
        self._failures: Counter[int] = Counter()
        self.usage = Usage()
        self.seconds = 0.0

    def record(self, event: Event) -> None:
        """Take note of one event. Called on the event loop."""
        match event:
            case RowScored():
                self._gather(event)
            case BudgetSpent():
                self.usage, self.seconds = event.usage, event.seconds
                self._store.runs.set_meters(self._run_id, event.usage, event.seconds)
            case TrialStarted():
                self._store.trials.add_candidate(self._run_id, event.candidate)
                self._store.trials.start(
                    self._run_id, event.trial, event.candidate.id, event.split, event.label, len(event.rows)
                )
            case TrialFinished():
                self._finish(event)
            case CandidateFound():
                self._store.trials.add_candidate(self._run_id, event.candidate)
                self._tell(event, {"candidate": event.candidate.id, "number": event.number})
            case NewBest():
                self._best = event.candidate.id
                self._store.trials.mark_best(self._run_id, event.candidate.id)
                self._tell(event, {"candidate": event.candidate.id, "score": event.score})
            case Proposed():
                self._tell(event, {"label": event.label, "asked": event.asked, "received": event.received})
            case Note():
                self._tell(event, {"level": event.level})

    def flush(self) -> None:
        """Write every row that is still waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, {}
        if waiting:
            with self._store.transaction():
                for trial, outcomes in waiting.items():
                    self._store.trials.add_outcomes(self._run_id, trial, outcomes)

    def _gather(self, event: RowScored) -> None:
        self._waiting.setdefault(event.trial, []).append(event.outcome)
        if event.outcome.error is not None:
            self._failures[event.trial] += 1
            if self._failures[event.trial] <= TOLD_FAILURES:
                self._tell(
                    event, {"trial": event.trial, "row": event.outcome.row, "number": event.outcome.number}
                )
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def _finish(self, event: TrialFinished) -> None:
        found = event.evaluation
        self.flush()
        with self._store.transaction():
            self._store.trials.finish(
                self._run_id,
                event.trial,
                score=found.score if found.outcomes else None,
                usage=found.usage,
                seconds=event.seconds,
                state="stopped" if event.partial else "finished",
            )
            if found.candidate_id == self._best:
                self._store.trials.mark_best(self._run_id, found.candidate_id)
            self._tell(event, {"trial": event.trial, "candidate": found.candidate_id, "score": found.score})

    def _tell(self, event: Event, data: dict[str, Any]) -> None:
        self._store.events.add(self._run_id, event.kind, event.text, data)
