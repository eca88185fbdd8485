"""Events of a run: frozen records, each with its sentence.

The driver makes them; a store, a progress bar or a list in a test receives them. They must not know any of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.records import Candidate, Evaluation, Outcome, Usage
from engine.text import counted

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """A candidate that is new in the run. `number` counts them from 0, the starting one."""

    kind: ClassVar[str] = "candidate_found"
    candidate: Candidate
    number: int

    @property
    def text(self) -> str:
        """The event's message."""
        return f"Candidate {self.number}: {self.candidate.reason or 'No reason was given.'}"


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A candidate begins to run over some rows. Trials count from 1, in the order asked."""

    kind: ClassVar[str] = "trial_started"
    trial: int
    candidate: Candidate
    rows: tuple[int, ...]
    split: Split
    label: str = ""

    @property
    def text(self) -> str:
        """The event's message."""
        label = f" ({self.label})" if self.label else ""
        return f"Trial {self.trial}{label} starts on {counted(len(self.rows), self.split + ' row')}."


@dataclass(frozen=True, slots=True)
class RowScored:
    """One row of a trial has an outcome; `done` of `total` rows have one now, `score` is their mean (0-1)."""

    kind: ClassVar[str] = "row_scored"
    trial: int
    outcome: Outcome
    done: int
    total: int
    score: float

    @property
    def text(self) -> str:
        """The event's message."""
        row = self.outcome.row if self.outcome.number is None else self.outcome.number
        if self.outcome.error:
            return f"Trial {self.trial}, row {row} failed: {self.outcome.error}"
        return f"Trial {self.trial}, row {row} scored {_percent(self.outcome.score)}."


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial has ended after `seconds`. `partial`: the run ended before all of its rows could run."""

    kind: ClassVar[str] = "trial_finished"
    trial: int
    evaluation: Evaluation
    seconds: float
    partial: bool = False

    @property
    def text(self) -> str:
        """The event's message."""
        outcomes = self.evaluation.outcomes
        if not outcomes:
            return f"Trial {self.trial} was cut short before its first row."
        errors = sum(o.error is not None for o in outcomes)
        failed = f", {counted(errors, 'row')} failed" if errors else ""
        cut = ", cut short" if self.partial else ""
        scored = f"{_percent(self.evaluation.score)} over {counted(len(outcomes), 'row')}"
        return f"Trial {self.trial} scored {scored}{failed}{cut}."


@dataclass(frozen=True, slots=True)
class NewBest:
    """The search's result so far has changed; `score` (0-1) is on the validation rows where it is known."""

    kind: ClassVar[str] = "new_best"
    candidate: Candidate
    score: float | None = None

    @property
    def text(self) -> str:
        """The event's message."""
        score = "" if self.score is None else f", {_percent(self.score)} on the validation rows"
        return f"Best so far{score}: {self.candidate.reason or 'no reason was given.'}"


@dataclass(frozen=True, slots=True)
class Proposed:
    """The prompt model was asked for `asked` texts and `received` of them could be read."""

    kind: ClassVar[str] = "proposed"
    label: str
    asked: int
    received: int

    @property
    def text(self) -> str:
        """The event's message."""
        what = self.label or "proposals"
        return (
            f"Asked the prompt model for {what}: {self.received} of {counted(self.asked, 'answer')} usable."
        )


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """Everything that the run has spent so far, and its seconds without pauses."""

    kind: ClassVar[str] = "budget_spent"
    usage: Usage
    seconds: float

    @property
    def text(self) -> str:
        """The event's message."""
        cost = "" if self.usage.cost is None else f", {self.usage.cost:.4f} US dollars"
        return (
            f"Spent so far: {counted(self.usage.calls, 'call')}, {counted(self.usage.tokens, 'token')}{cost}."
        )


@dataclass(frozen=True, slots=True)
class Note:
    """A message for the user."""

    kind: ClassVar[str] = "note"
    message: str
    level: Literal["info", "warning"] = "info"

    @property
    def text(self) -> str:
        """The event's message."""
        return self.message


Event = CandidateFound | TrialStarted | RowScored | TrialFinished | NewBest | Proposed | BudgetSpent | Note


def _percent(score: float) -> str:
    return f"{100 * score:.0f} %"
