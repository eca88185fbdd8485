"""A few rows of a project answered and scored before a run, and whether the result is still up to date.

Rows come from those a search learns from, never from those kept for the final test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dashboard.state import child, models, reading
from dashboard.state.examples import split_of
from engine.records import Outcome, json_value
from engine.runs.playground import PreviewRequest
from engine.runs.spec import ModelChoice, ProjectDraft

TRIED = 10
GRADED = 20


class Preview(NamedTuple):
    """The outcomes, the rows as asked, and stamps of the settings, to tell when it is out of date."""

    outcomes: tuple[Outcome, ...]
    rows: Mapping[int, Mapping[str, Any]]
    task: str
    metric: str

    @property
    def answers(self) -> dict[int, Mapping[str, Any]]:
        """The answers there are, by row."""
        return {o.row: o.prediction for o in self.outcomes if o.prediction}


def mean_score(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean score of the rows that did not fail; None where all did."""
    scores = [o.score for o in outcomes if o.error is None]
    return sum(scores) / len(scores) if scores else None


def why_not(draft: ProjectDraft) -> str:
    """Return why no row can be tried yet, or "".

    >>> why_not(ProjectDraft())
    'Describe the task first: what goes in, and what should come out.'
    """
    steps = ("task", "examples", "metric")
    return next((p.sentence for p in draft.problems() if p.step in steps), "")


def some_rows(draft: ProjectDraft, count: int) -> dict[int, dict[str, Any]]:
    """Return rows to try as field -> JSON value by row id, spread over the training rows. Raises EngineError."""
    if draft.pipeline is None or draft.dataset is None:
        return {}
    usable = reading.usable(draft.dataset, draft.pipeline, draft.mapping).examples
    train = split_of(draft).train
    rows = [row for row in sorted(train) if row in usable and row not in draft.excluded]
    return {row: json_value(dict(usable[row])) for row in spread(rows, count)}


def spread(rows: Sequence[int], count: int) -> list[int]:
    """Return this number of rows, evenly spread, so that a sorted file is not previewed at its head alone.

    >>> spread(range(100), 4), spread([5, 6], 4)
    ([0, 25, 50, 75], [5, 6])
    """
    if len(rows) <= count:
        return list(rows)
    return [rows[i * len(rows) // count] for i in range(count)]


def answer_rows(
    draft: ProjectDraft,
    rows: Mapping[int, Mapping[str, object]],
    answers: Mapping[int, Mapping[str, object]] | None = None,
) -> tuple[Outcome, ...]:
    """Answer and score some rows; those with answers are only scored. Raises RunError."""
    assert draft.pipeline is not None and draft.metric is not None  # noqa: S101, PT018 - `why_not` has been asked
    request = PreviewRequest(
        pipeline=draft.pipeline,
        rows={row: dict(values) for row, values in rows.items()},
        metric=draft.metric,
        answers={row: dict(answer) for row, answer in (answers or {}).items()},
        model=draft.model or ModelChoice(),
        adapter=draft.adapter,
    )
    found = child.result("preview", request, models.for_process())
    numbers = reading.row_numbers(draft.dataset, rows)
    return tuple(Outcome.from_json({**one, "number": numbers[one["row"]]}) for one in found)


def task_stamp(draft: ProjectDraft) -> str:
    """Return what the answers depend on, as text to compare."""
    model = draft.model or ModelChoice()
    pipeline = draft.pipeline.model_dump_json() if draft.pipeline else ""
    return json.dumps([pipeline, draft.dataset, model.model_dump(), draft.adapter, draft.mapping])


def metric_stamp(draft: ProjectDraft) -> str:
    """Return what the scores depend on, other than the answers, as text to compare."""
    return draft.metric.model_dump_json() if draft.metric else ""
