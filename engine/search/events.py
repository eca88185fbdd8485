"""Events of a run: frozen records, each with its sentence.

The driver makes them; a store, a progress bar or a list in a test receives them. They must not know any of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from engine.basics.text import counted, percent
from engine.records import Candidate, Evaluation, Outcome, Usage

Split = Literal["train", "validation", "test", "teacher"]


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
class TrainingProgress(Event):
    """Progress of a training: trainings count from 1; `score` (0-1) is a checkpoint's on the validation rows, where it is one.

    `loss` and `reward` (0-1) are those of the last steps. `seconds`, `tokens` and `usd` are what it has taken so far.
    """

    kind: ClassVar[str] = "training_progress"
    training: int
    label: str
    step: int
    steps: int
    loss: float | None = None
    reward: float | None = None
    score: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    usd: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class TrainingEnded(Event):
    """A training has ended with a model (its name, "" for none), a file, or a problem.

    `ended` is "finished", "early", "stopped", "already" (trained by an earlier run) or "failed"; `score` (0-1) is the model's on the validation rows.
    """

    kind: ClassVar[str] = "training_ended"
    training: int
    label: str
    model: str
    ended: str
    score: float | None = None
    rows: int = 0
    seconds: float = 0.0
    tokens: int = 0
    usd: float | None = None
    file: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BudgetSpent(Event):
    """Everything that the run has spent so far, its seconds without pauses, and what of it earlier processes had paid for."""

    kind: ClassVar[str] = "budget_spent"
    usage: Usage
    seconds: float
    replayed: Usage = field(default_factory=Usage)


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
            scored = f"scored {percent(outcome.score, 0)}."
            return f"Trial {trial}, row {row} {f'failed: {outcome.error}' if outcome.error else scored}"
        case TrialFinished():
            return _end_of_trial(event)
        case NewBest(candidate, score):
            on_rows = "" if score is None else f", {percent(score, 0)} on the validation rows"
            return f"Best so far{on_rows}: {candidate.reason or 'no reason was given.'}"
        case Proposed(label, asked, received):
            usable = f"{received} of {counted(asked, 'answer')} usable"
            return f"Asked the prompt model for {label or 'proposals'}: {usable}."
        case TrainingProgress():
            return _training_step(event)
        case TrainingEnded():
            return _end_of_training(event)
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
    scored = f"{percent(event.evaluation.score, 0)} over {counted(len(outcomes), 'row')}"
    return f"Trial {event.trial} scored {scored}{failed}{cut}."


def _training_step(event: TrainingProgress) -> str:
    name = event.label or f"Training {event.training}"
    if event.score is not None:
        return f"{name}: {event.message or 'a checkpoint'} scored {percent(event.score, 0)} on the validation rows."
    figures = [("loss", event.loss), ("reward", event.reward)]
    known = "".join(f", {what} {value:.3f}" for what, value in figures if value is not None)
    text = f"{name}: step {event.step:,} of {event.steps:,}{known}."
    return f"{text} {event.message}".strip()


def _end_of_training(event: TrainingEnded) -> str:
    name = event.label or f"Training {event.training}"
    spent = [counted(event.tokens, "token")] if event.tokens else []
    spent += [f"{event.usd:.2f} US dollars"] if event.usd is not None and event.ended != "already" else []
    costs = f" It took {' and '.join(spent)}." if spent else ""
    if event.problem:
        return f"{name} failed: {event.problem}{costs}"
    if not event.model:
        return f"{name}: the training file is at {event.file}."
    ends = {
        "early": " ended early, as it no longer gained",
        "stopped": " was stopped; its best is kept",
        "already": " was trained already by an earlier run",
    }
    score = "" if event.score is None else f", {percent(event.score, 0)} on the validation rows"
    return f"{name}{ends.get(event.ended, ' is finished')}: {event.model}{score}.{costs}"
