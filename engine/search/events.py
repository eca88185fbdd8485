"""Events of a run: frozen records, each with its sentence.

The driver makes them; a store, a progress bar or a list in a test receives them. They must not know any of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.records import Candidate, Evaluation, Outcome, Usage
from engine.text import counted

Split = Literal["train", "validation", "test"]


class Event:
    """Base of all events; `kind` names an event's class in a store."""

    __slots__ = ()
    kind: ClassVar[str]

    @property
    def text(self) -> str:
        """The event's message."""
        return _message(self)


@dataclass(frozen=True, slots=True)
class CandidateFound(Event):
    """A candidate that is new in the run. `number` counts them from 0, the starting one."""

    kind: ClassVar[str] = "candidate_found"
    candidate: Candidate
    number: int


@dataclass(frozen=True, slots=True)
class TrialStarted(Event):
    """A candidate begins to run over some rows. Trials count from 1, in the order asked."""

    kind: ClassVar[str] = "trial_started"
    trial: int
    candidate: Candidate
    rows: tuple[int, ...]
    split: Split
    label: str = ""


@dataclass(frozen=True, slots=True)
class RowScored(Event):
    """One row of a trial has an outcome; `done` of `total` rows have one now, `score` is their mean (0-1)."""

    kind: ClassVar[str] = "row_scored"
    trial: int
    outcome: Outcome
    done: int
    total: int
    score: float


@dataclass(frozen=True, slots=True)
class TrialFinished(Event):
    """A trial has ended after `seconds`. `partial`: the run ended before all of its rows could run."""

    kind: ClassVar[str] = "trial_finished"
    trial: int
    evaluation: Evaluation
    seconds: float
    partial: bool = False


@dataclass(frozen=True, slots=True)
class NewBest(Event):
    """The search's result so far has changed; `score` (0-1) is on the validation rows where it is known."""

    kind: ClassVar[str] = "new_best"
    candidate: Candidate
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Proposed(Event):
    """The prompt model was asked for `asked` texts and `received` of them could be read."""

    kind: ClassVar[str] = "proposed"
    label: str
    asked: int
    received: int


@dataclass(frozen=True, slots=True)
class BudgetSpent(Event):
    """Everything that the run has spent so far, and its seconds without pauses."""

    kind: ClassVar[str] = "budget_spent"
    usage: Usage
    seconds: float


@dataclass(frozen=True, slots=True)
class Note(Event):
    """A message for the user."""

    kind: ClassVar[str] = "note"
    message: str
    level: Literal["info", "warning"] = "info"


def _message(event: Event) -> str:
    match event:
        case CandidateFound(candidate, number):
            return f"Candidate {number}: {candidate.reason or 'No reason was given.'}"
        case TrialStarted():
            label = f" ({event.label})" if event.label else ""
            return f"Trial {event.trial}{label} starts on {counted(len(event.rows), event.split + ' row')}."
        case RowScored(trial, outcome):
            row = outcome.row if outcome.number is None else outcome.number
            scored = f"scored {_percent(outcome.score)}."
            return f"Trial {trial}, row {row} {f'failed: {outcome.error}' if outcome.error else scored}"
        case TrialFinished():
            return _end_of_trial(event)
        case NewBest(candidate, score):
            on_rows = "" if score is None else f", {_percent(score)} on the validation rows"
            return f"Best so far{on_rows}: {candidate.reason or 'no reason was given.'}"
        case Proposed(label, asked, received):
            usable = f"{received} of {counted(asked, 'answer')} usable"
            return f"Asked the prompt model for {label or 'proposals'}: {usable}."
        case BudgetSpent(usage):
            cost = "" if usage.cost is None else f", {usage.cost:.4f} US dollars"
            return f"Spent so far: {counted(usage.calls, 'call')}, {counted(usage.tokens, 'token')}{cost}."
        case Note(message):
            return message
    raise TypeError(event)


def _end_of_trial(event: TrialFinished) -> str:
    outcomes = event.evaluation.outcomes
    if not outcomes:
        return f"Trial {event.trial} was cut short before its first row."
    errors = sum(o.error is not None for o in outcomes)
    failed = f", {counted(errors, 'row')} failed" if errors else ""
    cut = ", cut short" if event.partial else ""
    scored = f"{_percent(event.evaluation.score)} over {counted(len(outcomes), 'row')}"
    return f"Trial {event.trial} scored {scored}{failed}{cut}."


def _percent(score: float) -> str:
    return f"{100 * score:.0f} %"
