"""A few rows answered and scored before anything is spent on a search; or answers that are there, graded anew.

Like `engine.runs.trying` it works in a short-lived process, with the request on standard input and the rows on
standard output, both JSON:

    python -m engine.runs.rehearsal < request.json > rows.json

It knows no store. Keys are in the environment only.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import EngineError, RunError
from engine.pipeline.spec import AdapterName, PipelineSpec
from engine.records import Candidate, Example, Outcome, Usage
from engine.runs.spec import ModelChoice, Named
from engine.runs.trying import example_of

if TYPE_CHECKING:
    from engine.metrics.base import Metric

MOST_ROWS = 50
AT_ONCE = 8


class RehearsalRequest(BaseModel):
    """Which rows to answer and how to score them. `rows` is row id -> field -> value, right answers included.

    Without `candidate` the task is answered as it stands. Rows in `answers` (row id -> output -> value) are not
    answered, only graded: that asks no model but a judge.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: PipelineSpec
    rows: dict[int, dict[str, Any]] = Field(min_length=1, max_length=MOST_ROWS)
    metric: Named
    candidate: dict[str, Any] | None = None
    answers: dict[int, dict[str, Any]] = Field(default_factory=dict)
    model: ModelChoice = ModelChoice()
    adapter: AdapterName = "chat"


class RehearsedRow(BaseModel):
    """One row's answer and score. `error` says why there is none; `line` is the line of the metric's code it names."""

    model_config = ConfigDict(frozen=True)

    row: int
    answer: dict[str, Any] = Field(default_factory=dict)
    score: float | None = None
    feedback: str = ""
    error: str = ""
    line: int | None = None
    calls: int = 0
    cached: int = 0
    tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0


class Rehearsal(BaseModel):
    """The rows in the order asked; or a sentence why there are none."""

    rows: tuple[RehearsedRow, ...] = ()
    problem: str = ""

    @property
    def mean(self) -> float | None:
        """The mean score of the rows that have one."""
        scores = [r.score for r in self.rows if r.score is not None]
        return sum(scores) / len(scores) if scores else None


async def rehearse(request: RehearsalRequest) -> tuple[RehearsedRow, ...]:
    """Answer and score the rows.

    Raises an EngineError for a task or a metric that cannot be made, a value that does not fit its field, or a
    missing key. A failing row is no error here: it is told in the row.
    """
    from engine.evaluate.rows import run_rows
    from engine.lm.choice import make_lm
    from engine.pipeline.build import build_program
    from engine.runs.parts import check_key, check_model_keys, make_adapter, make_metric
    from engine.runtime import context

    metric = make_metric(request.metric)
    inputs = [f.name for f in request.pipeline.inputs]
    rows = {
        row: example_of(request.pipeline, {n: values.get(n) for n in inputs}, values)
        for row, values in request.rows.items()
    }
    asked = [(row, example) for row, example in rows.items() if row not in request.answers]
    if asked:
        check_model_keys(request.pipeline, request.model)
    elif metric.calls and not request.metric.options.get("judge"):
        check_key(request.model)
    if judge := request.metric.options.get("judge"):
        check_key(ModelChoice(name=judge))
    program = build_program(request.pipeline)
    if request.candidate is not None:
        program = program.with_candidate(Candidate.from_dict(request.candidate))
    with context(lm=make_lm(request.model), adapter=make_adapter(request.adapter)):
        outcomes = await run_rows(program, asked, metric, limit=AT_ONCE)
        graded = await _graded(request, rows, metric)
    found = {o.row: _told(o) for o in (*outcomes, *graded)}
    return tuple(found[row] for row in rows)


async def _graded(
    request: RehearsalRequest, rows: Mapping[int, Example], metric: Metric
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


def _told(outcome: Outcome) -> RehearsedRow:
    usage = outcome.usage
    return RehearsedRow(
        row=outcome.row,
        answer=dict(outcome.prediction),
        score=None if outcome.error is not None else outcome.score,
        feedback=outcome.feedback,
        error=outcome.error or "",
        line=error_line(outcome.error or ""),
        calls=usage.calls,
        cached=usage.cached,
        tokens=usage.tokens,
        cost=usage.cost,
        seconds=outcome.seconds,
    )


def error_line(error: str) -> int | None:
    """Return the line of the person's code that an error names last; None where it names none.

    >>> error_line("Traceback: line 2, in score; line 5, in <module>. NameError"), error_line("No key.")
    (5, None)
    """
    found = re.findall(r"\bline (\d+)", error)
    return int(found[-1]) if found else None


def answer_request(text: bytes) -> Rehearsal:
    """Return what came of a request's JSON text; what goes wrong is a sentence in it."""
    from engine import loop

    try:
        return Rehearsal(rows=loop.run(rehearse(RehearsalRequest.model_validate_json(text))))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return Rehearsal(problem=f"The request cannot be read at {where!r}: {error.errors()[0]['msg']}.")
    except (EngineError, RunError) as error:
        return Rehearsal(problem=str(error))


def main() -> None:
    """Answer the request on standard input."""
    sys.stdout.write(answer_request(sys.stdin.buffer.read()).model_dump_json())


if __name__ == "__main__":
    main()
