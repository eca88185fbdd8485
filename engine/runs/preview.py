"""A few rows answered and scored before anything is spent on a search, or given answers scored again.

A task of `engine.runs.child`; it knows no store.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from engine.pipeline.spec import AdapterName, PipelineSpec
from engine.records import Candidate, Example, Outcome, Usage
from engine.runs.playground import example_of
from engine.runs.spec import ModelChoice, Named

if TYPE_CHECKING:
    from engine.metrics.base import Metric

MOST_ROWS = 50
AT_ONCE = 8


class PreviewRequest(BaseModel):
    """The rows to answer and how to score them. `rows` is row id -> field -> value, right answers included.

    Without `candidate` the task is answered as it is. Rows in `answers` (row id -> output -> value) are not
    answered, only scored: that asks no model but a judge.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: PipelineSpec
    rows: dict[int, dict[str, Any]] = Field(min_length=1, max_length=MOST_ROWS)
    metric: Named
    candidate: dict[str, Any] | None = None
    answers: dict[int, dict[str, Any]] = Field(default_factory=dict)
    model: ModelChoice = ModelChoice()
    adapter: AdapterName = "chat"


async def answer_rows(request: PreviewRequest) -> tuple[Outcome, ...]:
    """Answer and score the rows.

    Raises an EngineError for a task or a metric that cannot be made, a value that does not fit its field, or a
    missing key. A failing row is no error here: its outcome holds the message.
    """
    from engine.evaluate.rows import run_rows
    from engine.lm.client import make_lm
    from engine.pipeline.build import build_program
    from engine.runs.parts import check_key, check_model_keys, judge_of, make_adapter, make_metric
    from engine.runtime import context

    metric = make_metric(request.metric, request.model)
    inputs = [f.name for f in request.pipeline.inputs]
    rows = {
        row: example_of(request.pipeline, {n: values.get(n) for n in inputs}, values)
        for row, values in request.rows.items()
    }
    asked = [(row, example) for row, example in rows.items() if row not in request.answers]
    if asked:
        check_model_keys(request.pipeline, request.model)
    if judge := judge_of(metric, request.model):
        check_key(judge)
    program = build_program(request.pipeline)
    if request.candidate is not None:
        program = program.with_candidate(Candidate.from_dict(request.candidate))
    with context(lm=make_lm(request.model), adapter=make_adapter(request.adapter)):
        outcomes = await run_rows(program, asked, metric, limit=AT_ONCE)
        graded = await _graded(request, rows, metric)
    found = {o.row: o for o in (*outcomes, *graded)}
    return tuple(found[row] for row in rows)


async def _graded(
    request: PreviewRequest, rows: Mapping[int, Example], metric: Metric
) -> tuple[Outcome, ...]:
    from engine.evaluate.rows import error_text
    from engine.metrics.base import as_grade
    from engine.prediction import Prediction

    slots = asyncio.Semaphore(AT_ONCE)

    async def one(row: int) -> Outcome:
        answer = request.answers[row]
        outputs = [f.name for f in request.pipeline.outputs]
        async with slots:
            try:
                typed = example_of(request.pipeline, request.rows[row], answer)
                said = Prediction.of({**answer, **{n: typed[n] for n in outputs if n in typed}})
                grade = as_grade(await metric.acall(rows[row], said))
            except Exception as error:  # noqa: BLE001 - a row that cannot be graded is that row's record
                return Outcome(row, 0.0, answer, error=error_text(error))
        return Outcome(row, grade.score, answer, grade.feedback, usage=Usage())

    return tuple(await asyncio.gather(*(one(row) for row in request.answers if row in rows)))


def error_line(error: str) -> int | None:
    """Return the line of the user's code that an error names last; None where it names none.

    >>> error_line("Traceback: line 2, in score; line 5, in <module>. NameError"), error_line("No key.")
    (5, None)
    """
    found = re.findall(r"\bline (\d+)", error)
    return int(found[-1]) if found else None
