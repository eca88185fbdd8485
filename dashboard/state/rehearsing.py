"""A few rows of a project answered and scored before a run: which rows, what to ask, and whether it still holds.

Rows come from those a search learns from, never from those kept for the final test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dashboard.state import reading
from dashboard.state.examples import split_of
from engine.records import json_value
from engine.runs.rehearsal import Rehearsal, RehearsalRequest
from engine.runs.spec import ModelChoice, ProjectDraft

TRIED = 10
GRADED = 20


class Shown(NamedTuple):
    """What a rehearsal came to: the rows as asked, and the settings it was asked with, to tell when it is out of date."""

    found: Rehearsal
    rows: Mapping[int, Mapping[str, Any]]
    task: str
    metric: str

    @property
    def answers(self) -> dict[int, dict[str, Any]]:
        """The answers there are, by row."""
        return {r.row: r.answer for r in self.found.rows if r.answer}


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
    """Return so many rows, evenly spread over all of them, so that a sorted file is not tried at its head alone.

    >>> spread(range(100), 4), spread([5, 6], 4)
    ([0, 25, 50, 75], [5, 6])
    """
    if len(rows) <= count:
        return list(rows)
    return [rows[i * len(rows) // count] for i in range(count)]


def request(
    draft: ProjectDraft,
    rows: Mapping[int, Mapping[str, Any]],
    answers: Mapping[int, Mapping[str, Any]] | None = None,
) -> RehearsalRequest:
    """Return what to ask for some rows; those with answers are graded only."""
    assert draft.pipeline is not None and draft.metric is not None  # noqa: S101, PT018 - `why_not` has been asked
    return RehearsalRequest(
        pipeline=draft.pipeline,
        rows={row: dict(values) for row, values in rows.items()},
        metric=draft.metric,
        answers={row: dict(answer) for row, answer in (answers or {}).items()},
        model=draft.model or ModelChoice(),
        adapter=draft.adapter,
    )


def task_stamp(draft: ProjectDraft) -> str:
    """Return what the answers depend on, as text to compare."""
    model = draft.model or ModelChoice()
    pipeline = draft.pipeline.model_dump_json() if draft.pipeline else ""
    return json.dumps([pipeline, draft.dataset, model.model_dump(), draft.adapter, draft.mapping])


def metric_stamp(draft: ProjectDraft) -> str:
    """Return what the scores depend on besides the answers, as text to compare."""
    return draft.metric.model_dump_json() if draft.metric else ""
