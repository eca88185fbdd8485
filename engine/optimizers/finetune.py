"""BootstrapFinetune: a teacher answers the training rows, and a model is trained on the answers that pass the metric.

Source: DSPy's BootstrapFinetune (Khattab et al. 2023, arXiv 2310.03714; Soylu et al. 2024, arXiv 2407.10930). Unlike there,
rows without labels count too, checkpoints are scored with the program's own metric, and the start is kept where it is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.basics.text import counted
from engine.metrics.base import Metric
from engine.optimizers.base import option
from engine.optimizers.few_shot import MAX_ERRORS, METRIC_THRESHOLD, Rules, bootstrap, teacher_of
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.training import (
    FROZEN,
    Method,
    TrainingOptimizer,
    TrainOptions,
    closing,
    leak,
    row_calls,
    trained_together,
)
from engine.records import Outcome
from engine.search.contract import Problem, Search, Train, together


class BootstrapFinetuneOptions(TrainOptions):
    """Options of BootstrapFinetune."""

    method: Method = option(
        "lora", "What is trained", "lora: a small adapter; full: all weights of the model."
    )
    epochs: float = option(3, "Epochs", "How often each row is learned.", gt=0)
    batch_size: int = option(8, "Rows at once", "Rows of one training step.", ge=1)
    metric_threshold: float | None = METRIC_THRESHOLD
    lower_threshold: float | None = option(
        None,
        "Score to make do with",
        "Where no answer counts as solved: the best ones that score at least this are taken.",
        ge=0,
        le=1,
    )
    max_rounds: int = option(
        1, "Tries a row", "How often a row is tried; later tries are fresh samples.", ge=1
    )
    max_errors: int | None = MAX_ERRORS
    unlabelled: bool = option(
        True,
        "Rows without an answer",
        "On: the teacher answers them too. A judge filters its answers; a metric that needs the right answer lets them pass.",
    )


class BootstrapFinetune(TrainingOptimizer):
    """Trains a model on a teacher's right answers: rows become conversations, exactly as each step will ask them.

    Calls: train rows x `max_rounds` x calls a row by the teacher, and V x c for the start and for each checkpoint (V
    validation rows, c calls a row). Rows without labels count where a judge, or no metric, looks at them.
    `BootstrapFinetune(metric, base_model="...", train_kwargs={"epochs": 2}).compile(student, trainset=rows, teacher=large)`.
    Source: DSPy's BootstrapFinetune (arXiv 2310.03714, 2407.10930).

    >>> BootstrapFinetune(multitask=False, train_kwargs={"n_epochs": 2}).options.epochs
    2.0
    """

    name = "BootstrapFinetune"
    title = "Train a model on right answers"
    about = "A teacher answers your rows; a small model is trained on what it got right."
    pace = "Takes long"
    takes_unlabelled = True
    options_model = BootstrapFinetuneOptions
    options: BootstrapFinetuneOptions

    @property
    def answers_unlabelled(self) -> bool:
        """True if rows without any answer are wanted."""
        return self.options.unlabelled

    def search(self, problem: Problem) -> Search:
        """Let the teacher answer the rows, train on what passes, and keep the better of the start and the result."""
        groups = self.groups(problem)
        if refusal := leak(problem) if groups else FROZEN:
            return refusal
        leaderboard = Leaderboard(problem)
        wrong: dict[int, Outcome] = {}
        rows = self._rows(problem)
        answering = bootstrap(teacher_of(problem, 0), rows, len(rows), Rules.of(self), wrong)
        first: list[Any] = [leaderboard.validate([problem.seed], "starting prompt"), answering]
        solved: dict[int, Outcome] = (yield from together(first))[1]
        chosen = self._chosen(problem, solved, wrong)
        if not chosen:
            return no_row_passed(wrong)
        calls = [(row, call) for row, outcome in chosen.items() for call in outcome.trace]
        student, settings = self.student(problem), self.train_settings()
        asks = [
            Train(student, steps, settings, taught, label=_label(steps, groups))
            for steps in groups
            if (taught := row_calls(calls, steps))
        ]
        if not asks:
            return "The teacher's answers hold no call of a step that may be trained, so nothing was trained."
        return closing((yield from trained_together(leaderboard, student, asks)))

    def _rows(self, problem: Problem) -> tuple[int, ...]:
        """Return the rows that the teacher answers: as many as leave enough to score the start and the checkpoints."""
        left, rows = problem.meter.rows_left, problem.train
        if not self.options.unlabelled:
            rows = tuple(row for row in rows if _labelled(problem, row))
        if math.isinf(left):
            return rows
        scored = (1 + self.options.checkpoints) * len(problem.validation)
        return rows[: max(1, int(left) - scored, int(left) // 3)]

    def _chosen(
        self, problem: Problem, solved: Mapping[int, Outcome], wrong: Mapping[int, Outcome]
    ) -> dict[int, Outcome]:
        """Return the answers to learn: those that passed, those that nothing could judge, else the best of the rest."""
        unjudged = {
            row: outcome
            for row, outcome in wrong.items()
            if row not in solved and self._unjudged(problem, outcome)
        }
        chosen = {**solved, **unjudged}
        least = self.options.lower_threshold
        if not chosen and least is not None:
            chosen = {row: o for row, o in wrong.items() if o.error is None and o.score >= least}
        return {row: chosen[row] for row in problem.train if row in chosen}

    def _unjudged(self, problem: Problem, outcome: Outcome) -> bool:
        """Return whether an answer is readable and its row has no label that the metric could compare it with."""
        if not outcome.prediction or _labelled(problem, outcome.row):
            return False
        return outcome.error is not None or (
            isinstance(self.metric, Metric) and not judges_alone(self.metric)
        )


def _labelled(problem: Problem, row: int) -> bool:
    return any(problem.rows[row].get(name) is not None for name in problem.output_fields)


def judges_alone(metric: Metric) -> bool:
    """Return whether a metric can score an answer without the right one: a judge, a pattern, a Python function."""
    return bool(metric.calls) or metric.name in _NEED_NO_LABEL


_NEED_NO_LABEL = ("Regex", "PythonMetric", "WeightedSum")
"""Metrics without a judge that can score an answer alone."""


def no_row_passed(wrong: Mapping[int, Outcome]) -> str:
    """Return why there is nothing to train on: how many rows failed, with what, and how near the best came.

    >>> no_row_passed({0: Outcome(0, 0.4, feedback="Too long."), 1: Outcome(1, 0.0, error="No reply.")})[:80]
    'No answer of the teacher passed the metric, so nothing was trained: 1 row failed'
    """
    failed = [o for o in wrong.values() if o.error is not None]
    low = sorted((o for o in wrong.values() if o.error is None), key=lambda o: -o.score)
    parts = [f"{counted(len(failed), 'row')} failed (the first: {failed[0].error})"] if failed else []
    if low:
        parts.append(f"{counted(len(low), 'row')} scored too low")
    what = " and ".join(parts) or "no row was answered"
    text = f"No answer of the teacher passed the metric, so nothing was trained: {what}."
    if not low or low[0].score <= 0:
        return f"{text} Use a stronger teacher, or look at the metric."
    best = low[0]
    row = best.row if best.number is None else best.number
    close = sum(o.score >= best.score for o in low)
    feedback = f" {best.feedback[:200]}" if best.feedback else ""
    return (
        f"{text} The closest is row {row} with {best.score:.2f}.{feedback} Set lower_threshold to {best.score:.2f} to train on "
        f"{counted(close, 'answer')} like it, or use a stronger teacher."
    )


def _label(steps: Sequence[str], groups: Sequence[Sequence[str]]) -> str:
    return "tuned model" if len(groups) == 1 else f"tuned model of {', '.join(steps)}"
