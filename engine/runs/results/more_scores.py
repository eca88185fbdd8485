"""Scores that a user asks for after a run's end: a prompt on the rows of a split that it was not scored on.

The run's worker is started again for them, so pause, stop, the meters and the call cache are those of any run. The
verdict and the result stay as they were, but where rows of the final test itself are scored; a prompt that the user
took and that is tested now gets its own. A request is open until it is answered and keeps the number of its trial, so
a process that follows a killed one does the same again; rows that have an outcome are not run again.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.basics.data import JsonObject
from engine.basics.text import counted, percent
from engine.errors import EngineError, RunError
from engine.records import Candidate, Evaluation, Outcome
from engine.runs.prepare import Prepared
from engine.runs.recorder import PatientWriter
from engine.runs.results.exports import taken_figures
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.search.requests import steps_problem
from engine.search.result import RunResult
from engine.search.settings import Settings
from engine.store.rows import NOT_DONE, OVER, SCORE, RequestRow, RunRow, RunState
from engine.store.store import Store

PHASE = "Scoring more rows"
LABEL = "scored later"
"""Label of a trial that was asked for after the run's end: on the test rows, after the choice."""

ROOM = 2
"""Calls allowed for a request: this many times those that its rows are expected to take."""

STOPPED = "Stopped when asked; the best prompt so far was kept and tested."
UNTESTED = "Stopped when asked, without the final test; the best prompt so far was kept."


class ScoreRequest(BaseModel):
    """Request for a prompt's score on all rows of a split; `calls` is the most that it may make.

    Without a candidate it is the final test, of which rows are missing: the run's result is written again with them.

    >>> ScoreRequest(candidate=Candidate({}).as_dict(), split="test").prompt.id == Candidate({}).id
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: JsonObject | None
    split: Literal["validation", "test"]
    calls: int | None = Field(default=None, ge=1)

    @property
    def prompt(self) -> Candidate:
        """The prompt to score."""
        return Candidate.from_dict(self.candidate or {})


def most_calls(rows: int, calls_a_row: float) -> int:
    """Return the most calls that a request for this number of rows may make.

    >>> most_calls(10, 1.5)
    30
    """
    return max(1, math.ceil(ROOM * rows * calls_a_row))


def known_outcomes(store: Store, run_id: str, candidate_id: str) -> dict[int, Outcome]:
    """Return the answers that a run has of a candidate so far, by row; the latest of each row, without failed ones."""
    found: dict[int, Outcome] = {}
    for trial in store.trials.all(run_id):
        if trial.candidate_id == candidate_id and trial.split in ("train", "validation", "test"):
            found |= {o.row: o for o in store.trials.outcomes(run_id, trial.number) if o.error is None}
    return found


def next_request(store: Store, run: RunRow) -> RequestRow | None:
    """Return the request to answer now. Without one the run is over again, as it was, and None is returned."""
    with store.transaction():
        waiting = [row for row in store.requests.open(run.id) if row.kind == SCORE]
        if waiting:
            return waiting[0]
        end_scoring(store, run)
    return None


def end_scoring(store: Store, run: RunRow, reason: str = "") -> None:
    """Store that a run is over again, as its result says; requests that are open are refused for the reason."""
    with store.transaction():
        for row in store.requests.open(run.id):
            store.requests.answer(run.id, row.id, f"{NOT_DONE}{reason or 'the run has ended.'}")
        result = store.runs.get(run.id).result  # the final test may have been finished meanwhile
        if result and not result.taken and (figures := taken_figures(store, run, run.taken)):
            store.runs.save_result(run.id, replace(result, taken=figures))
        store.runs.set_phase(run.id, "")
        store.runs.set_state(run.id, *state_of(result))


def state_of(result: RunResult | None) -> tuple[RunState, str]:
    """Return the state and the message of a run with this result."""
    if result is None:
        return "finished", ""
    if result.verdict.kind == "not_tested":
        return "stopped", UNTESTED
    if result.stopped == "stopped":
        return "stopped", STOPPED
    if result.final_test is not None and result.final_test.why:
        return "stopped", f"The final test lacks rows. {result.final_test.why}"
    if result.stopped == "failed":
        return "failed", result.reason
    return "finished", "" if result.stopped == "finished" else result.reason


def ask_score(store: Store, run_id: str, request: ScoreRequest) -> bool:
    """Store a request for a score; return whether the run's process must be started for it.

    Raises RunError where the run is still searching or has no result.
    """
    with store.transaction():
        run = store.runs.get(run_id)
        if run.result is None:
            raise RunError("This run has no result yet. Wait for its end; then more rows can be scored.")
        store.requests.add(run_id, SCORE, request.model_dump(mode="json"))
        if run.state in OVER:
            store.queue.expect(run_id)
            return True
    return run.state == "lost"


def ask_final_test(store: Store, run_id: str) -> bool:
    """Store a request for the rows that a run's final test lacks, as `ask_score` does. Raises RunError where none is missing."""
    result = store.runs.get(run_id).result
    if result is None or result.final_test is None:
        raise RunError("No row of this run's final test is missing.")
    return ask_score(store, run_id, ScoreRequest(candidate=None, split="test"))


def settings_for(row: RequestRow, prepared: Prepared, seconds: float) -> Settings:
    """Return the settings for one request: its own limit of calls, and nothing counted twice that the run has paid for."""
    calls, settings = row.content.get("calls"), prepared.settings
    most = most_calls(3 * max(len(prepared.split.test), len(prepared.split.validation)), settings.calls_a_row)
    limit = Budget(calls=calls if isinstance(calls, int) and calls > 0 else most)
    return replace(settings, budget=limit, payer=None, seconds_before=seconds)


def begin(row: RequestRow, driver: Driver, store: Store, run_id: str, writer: PatientWriter) -> int:
    """Number a request's trials after those of the run, as an earlier process did; return the first number."""
    number = row.batch or 1 + max((t.number for t in store.trials.all(run_id)), default=0)
    writer.write(lambda: store.requests.begin(run_id, row.id, number))
    driver.count_on(number - 1, {c.id: c.number for c in store.trials.candidate_index(run_id)})
    return number


async def answer_request(
    row: RequestRow, driver: Driver, prepared: Prepared, store: Store, run: RunRow, writer: PatientWriter
) -> None:
    """Score what a request asks for as a trial of the run, and answer it. Call it on the event loop."""

    def answer(message: str) -> None:
        writer.write(partial(store.requests.answer, run.id, row.id, message))

    try:
        request = ScoreRequest.model_validate(row.content)
        candidate = request.prompt
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
        answer(f"{NOT_DONE}it cannot be read.")
        return
    if problem := steps_problem(candidate, driver.seed):
        answer(f"{NOT_DONE}{problem}")
        return
    number = begin(row, driver, store, run.id, writer)
    rows = prepared.split.test if request.split == "test" else prepared.split.validation
    known = known_outcomes(store, run.id, candidate.id)
    driver.know(candidate, [known[r] for r in rows if r in known])
    try:
        # The search may show the model validation rows as examples: a row never sees its own answer.
        hide = request.split == "validation"
        evaluation = await driver.score(candidate, rows, label=LABEL, hide_own_row=hide)
        new = [o for o in evaluation.outcomes if o.row not in known]
        lost = not driver.ledger.replies and all(o.error is not None for o in new)
        failure = new[0].error if new and lost else None
    except EngineError as error:
        evaluation, failure = Evaluation(candidate.id, ()), str(error)
    if failure is not None:  # a model that cannot be reached says nothing of the prompt
        usage = evaluation.usage if evaluation.outcomes else None
        writer.write(lambda: store.trials.finish(run.id, number, usage=usage, state="stopped"))
    answer(_answer(evaluation, len(rows), request.split, failure or "", driver.ledger.closed or ""))


def _answer(evaluation: Evaluation, rows: int, split: str, failure: str, closed: str) -> str:
    done = len(evaluation.outcomes)
    if failure:
        return f"{NOT_DONE}no row was answered. The first problem: {failure}"
    if done < rows:
        return f"{NOT_DONE}{done} of {counted(rows, 'row')} are scored, and stay so. {closed}".strip()
    return f"Done: it scores {percent(evaluation.score)} on the {counted(rows, f'{split} row')}."
