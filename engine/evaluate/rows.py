"""Runs and grades a program on many rows, a bounded number at once.

Workers pull rows from one iterator. A row that fails is a record with its error. This module knows nothing of
stores, budgets or searches.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from engine import loop
from engine.errors import ConfigurationError, DatasetError, EngineError
from engine.metrics.base import Grade, Metric, Scorer, as_grade, explained
from engine.modules.assertions import Attempt
from engine.modules.function_program import as_program
from engine.modules.predict import ChainOfThought
from engine.records import Example, Outcome, TraceStep, Usage, json_value
from engine.runtime import context, noted_replies
from engine.signature.grammar import without_none

if TYPE_CHECKING:
    from engine.lm.base import Reply
    from engine.modules.module import Module
    from engine.signature import Signature


_lock = threading.Lock()
_inside = 0
_frozen_by_others: bool | None = None
"""Found out once: to count what is frozen takes as long as there are objects."""


@contextmanager
def older_objects_left_alone() -> Iterator[None]:
    """Leave the objects that are there now out of collections inside the `with` block; the blocks may overlap.

    In a process that had frozen its objects for good before the first block nothing is done: there it is so already.

    >>> import gc
    >>> with older_objects_left_alone():
    ...     gc.get_freeze_count() > 0
    True
    >>> gc.get_freeze_count()
    0
    """
    global _inside, _frozen_by_others
    with _lock:
        if _frozen_by_others is None:
            _frozen_by_others = gc.get_freeze_count() > 0
        _inside += 1
        if _inside == 1 and not _frozen_by_others:
            gc.freeze()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and not _frozen_by_others:
                gc.unfreeze()


T = TypeVar("T")

Limit = int | AbstractAsyncContextManager[object]
"""A limit of rows at once: a number, or something entered around each row (a semaphore, shared or not)."""

SUGGESTION_KEEPS = 0.8
"""Factor on a row's score for each suggestion that its answer does not follow."""

_MOST_WORKERS = 1024
_TRUSTED_AFTER = 3
_QUICK_IN_THREAD = 0.01
_SLOW_ON_LOOP = 0.002
_BREATH = 0.005


async def run_rows(
    program: Module,
    rows: Sequence[tuple[int, Example]],
    metric: Scorer,
    *,
    limit: Limit = 64,
    on_outcome: Callable[[Outcome], None] | None = None,
    on_failure: Callable[[Exception], None] | None = None,
    trace: bool = False,
) -> list[Outcome]:
    """Run and grade a program on rows (id, example); return their outcomes in the order of `rows`.

    `on_outcome` hears of each as it happens, `on_failure` before it of what a failed one raised. With `trace` an
    outcome carries every step's inputs and outputs. `Outcome.usage` counts what a row's calls take: paid ones under
    `calls`, those the cache answered under `cached`; tokens and cost are those of the calls as they were bought.
    `Outcome.error` is the error's sentence. Raises only what `limit` or `on_outcome` raise; rows under way then
    finish first.
    """

    def note(outcome: Outcome, _prediction: object, _score: object) -> None:
        outcomes[outcome.row] = outcome
        if on_outcome is not None:
            on_outcome(outcome)

    outcomes: dict[int, Outcome] = {}
    runner = Runner(program, metric, trace, note)
    runner.on_failure = on_failure
    await loop.here_or_there(runner.run(rows, limit))
    return [outcomes[row] for row, _ in rows if row in outcomes]


async def pull(
    rows: Sequence[T],
    limit: Limit,
    worker: Callable[[], AbstractContextManager[Callable[[T], Awaitable[None]]]],
) -> None:
    """Have workers take rows from one iterator until none is left, each row in a slot of `limit`.

    A worker gives the function that runs one row. What that or `limit` raises is raised once the rows under way
    have finished.
    """
    waiting, yielded = iter(rows), time.perf_counter()
    failure: Exception | None = None
    if isinstance(limit, int):
        slots: AbstractAsyncContextManager[object] = nullcontext()
        workers = min(limit, len(rows))
    else:
        slots = limit
        workers = min(getattr(limit, "size", _MOST_WORKERS), len(rows))

    async def work() -> None:
        nonlocal failure, yielded
        with worker() as run:
            for row in waiting:
                try:
                    async with slots:
                        if failure is not None:
                            return
                        await run(row)
                except Exception as error:  # noqa: BLE001 - not a row's failure: rows under way end, then it is raised
                    failure = failure or error
                if failure is not None:
                    return
                if time.perf_counter() - yielded > _BREATH:
                    # Answers from a cache never wait, so nothing else on the loop would get its turn.
                    yielded = time.perf_counter()
                    await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(work()) for _ in range(workers)]
    try:
        with older_objects_left_alone():
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    if failure is not None:
        raise failure


Note = Callable[[Outcome, object, object], None]
"""Hears of a finished row: its outcome, the program's prediction (None: failed) and the metric's raw result."""


class Runner:
    """One program over some rows: what the workers share."""

    def __init__(self, program: Module, metric: Scorer, trace: bool, note: Note) -> None:
        self.program = as_program(program)
        self.metric, self.score = metric, _MetricRunner(metric)
        parts = self.program.named_sub_modules() if trace else ()
        self.paths = {id(part): path.removeprefix("self.") for path, part in parts} if trace else None
        self.note = note
        self.on_failure: Callable[[Exception], None] | None = None
        self.wanted = required_inputs(self.program)

    async def run(self, rows: Sequence[tuple[int, Example]], limit: Limit) -> None:
        """Run all rows; raise what `limit` or `note` raised, after the rows under way have finished."""
        await pull(rows, limit, self._worker)

    @contextmanager
    def _worker(self) -> Iterator[Callable[[tuple[int, Example]], Awaitable[None]]]:
        """Yield the function that runs one row after the other, each one's replies and steps collected in this context."""
        steps: list[object] | None = None if self.paths is None else []
        attempt = Attempt()
        with noted_replies() as replies, context(trace=steps, attempt=attempt):

            async def run(numbered: tuple[int, Example]) -> None:
                self.note(*await self._row(*numbered, replies, steps, attempt.unmet))
                replies.clear()
                attempt.unmet.clear()
                if steps:
                    steps.clear()

            yield run

    async def _row(
        self,
        row: int,
        example: Example,
        replies: list[Reply],
        steps: list[object] | None,
        suggestions: list[str],
    ) -> tuple[Outcome, object, object]:
        started = time.perf_counter()
        prediction: object = None
        result: object = None
        error: str | None = None
        grade = _FAILED
        unmet: tuple[str, ...] = ()
        try:
            inputs = example.input_values()
            if self.wanted and self.wanted.isdisjoint(inputs):
                # It would be asked about nothing: that costs, and may even be called right.
                raise DatasetError(f"The row has no value for {_listed(self.wanted)}.")
            prediction = await self.program.acall(**inputs)
            result = await self.score(example, prediction, replies)
            grade = explained(as_grade(result, self.metric), example, prediction)
            if unmet := tuple(dict.fromkeys(suggestions)):
                result = grade = lowered(grade, unmet)
        except Exception as failure:  # noqa: BLE001 - whatever a row raises is that row's record
            error = error_text(failure)
            if self.on_failure is not None:
                self.on_failure(failure)
        outcome = Outcome(
            row,
            grade.score,
            json_values(prediction),
            grade.feedback,
            error,
            _usage(replies),
            time.perf_counter() - started,
            self._trace(steps) if steps else (),
            unmet,
            grade.objective_scores,
        )
        return outcome, prediction, result

    def _trace(self, steps: list[Any]) -> tuple[TraceStep, ...]:
        paths = self.paths or {}
        return tuple(
            TraceStep(paths.get(id(step), ""), json_value(inputs), json_value(outputs))
            for step, inputs, outputs in steps
        )


def required_inputs(program: Module) -> frozenset[str]:
    """Return the inputs of a program that is one of the engine's steps, without those that may be left out.

    A user-defined class may take other inputs than its signature's: of those nothing is known.

    >>> from engine.modules.predict import Predict
    >>> sorted(required_inputs(Predict("question, note: Optional[str] -> answer")))
    ['question']
    """
    step = program.predict if type(program) is ChainOfThought else program
    signature: type[Signature] | None = getattr(step, "signature", None)
    if signature is None or not type(program).__module__.startswith("engine."):
        return frozenset()
    return frozenset(
        name
        for name, field in signature.input_fields.items()
        if field.is_required() and not without_none(signature.annotation(name))[1]
    )


def refuse_rows_without_inputs(program: Module, rows: Sequence[Example]) -> None:
    """Raise ConfigurationError where no row at all has an input that the program needs: their names do not match."""
    wanted = required_inputs(program)
    if wanted and all(wanted.isdisjoint(row.input_values()) for row in rows):
        raise ConfigurationError(
            f"No row has a value for {_listed(wanted)}: the rows' inputs are {_listed(rows[0].input_values()) or 'none'}. "
            "Name them as the program does, and in with_inputs(...)."
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


class _MetricRunner:
    """Calls a metric where it does no harm: on the loop, or in a thread if it blocks or calls a program.

    The engine's metrics start on the loop. Anyone else's start in a thread; after a few quick calls that used no
    model they move to the loop, where a call costs a twentieth. All move to a thread at the first sign of blocking.
    """

    def __init__(self, metric: Scorer) -> None:
        self._metric = metric
        self._inline = isinstance(metric, Metric) or getattr(metric, "__module__", "").startswith(
            "engine.metrics"
        )
        self._awaited = metric.acall if isinstance(metric, Metric) and metric.awaits else None
        self._stays = False
        self._quick_calls = self._slow_calls = 0

    async def __call__(self, example: Example, prediction: Any, replies: Sequence[Reply]) -> Any:
        if self._awaited is not None:
            return await self._awaited(example, prediction)
        return await (self._on_loop if self._inline else self._in_thread)(example, prediction, replies)

    async def _on_loop(self, example: Example, prediction: object, replies: Sequence[Reply]) -> object:
        started, refused = time.perf_counter(), loop.refusals()
        try:
            result = self._metric(example, prediction)
        except loop.SyncCallOnLoopError:
            result = None
        if loop.refusals() != refused:
            # It called a program after all, and may have hidden the error: what it returned is void.
            self._move_to_threads()
            return await self._in_thread(example, prediction, replies)
        if type(result) not in _NUMBERS and inspect.isawaitable(result):
            return await result
        # Once may be the machine's fault, several times in a row is the metric's.
        self._slow_calls = self._slow_calls + 1 if time.perf_counter() - started > _SLOW_ON_LOOP else 0
        if self._slow_calls >= _TRUSTED_AFTER:
            self._move_to_threads()
        return result

    async def _in_thread(self, example: Example, prediction: object, replies: Sequence[Reply]) -> object:
        before = len(replies)
        result, seconds = await loop.in_thread(self._timed, example, prediction)
        quick = seconds < _QUICK_IN_THREAD and len(replies) == before
        self._quick_calls = self._quick_calls + 1 if quick else 0
        if not self._stays:
            self._inline = self._quick_calls >= _TRUSTED_AFTER
        return await result if inspect.isawaitable(result) else result

    def _timed(self, example: Example, prediction: object) -> tuple[object, float]:
        # Timed in the thread: seen from a busy loop every call looks slow.
        started = time.perf_counter()
        result = self._metric(example, prediction)
        return result, time.perf_counter() - started

    def _move_to_threads(self) -> None:
        self._inline, self._stays = False, True


def lowered(grade: Grade, unmet: Sequence[str]) -> Grade:
    """Return a row's grade when suggestions were not followed: each takes a fifth of the score, and is named in the feedback.

    >>> lowered(Grade(1.0, "Correct."), ["Cite a source."])
    Grade(score=0.8, feedback='Correct. A suggestion was not followed: Cite a source.')
    """
    notes = [f"A suggestion was not followed: {message}" for message in unmet]
    score, feedback = (
        grade.score * SUGGESTION_KEEPS ** len(unmet),
        " ".join(filter(None, [grade.feedback, *notes])),
    )
    return Grade(score, feedback, grade.objective_scores)


def error_text(error: BaseException) -> str:
    """Return an error as one sentence for a record; one that is not of the engine is named by its type.

    >>> error_text(KeyError("answer"))
    "KeyError: 'answer'"
    """
    text = str(error)
    return text if isinstance(error, EngineError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def _usage(replies: Sequence[Reply]) -> Usage:
    """Return what replies took; one from the cache is no call."""
    each = (replace(r.usage, calls=0, cached=1) if r.cached else r.usage for r in replies)
    return sum(each, Usage())


def json_values(prediction: object) -> Mapping[str, object]:
    """Return what a program answered as JSON values by field; an answer that is no mapping is the field "output"."""
    if prediction is None:
        return {}
    if isinstance(prediction, Mapping):
        values = prediction.plain_values() if isinstance(prediction, Example) else prediction
        return {k: v if type(v) in _PLAIN else json_value(v) for k, v in values.items()}
    return {"output": json_value(prediction)}


_FAILED = Grade(0.0)
_NUMBERS = frozenset({Grade, bool, int, float})
_PLAIN = frozenset({str, bool, int, float, type(None)})
