"""Backends: where rows of one candidate are answered and scored. The contract, and the backend that is this process.

A backend decides nothing about budget, limits, cache or order: it runs rows in the context that it is called in.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine import evaluate, runtime
from engine.metrics.base import Metric, Scorer
from engine.parts import BACKENDS, check_name
from engine.records import Candidate, Outcome, StepState

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.records import Example
    from engine.search.settings import Settings
    from engine.search.trainers import Trainer


class BackendChoice(BaseModel):
    """The backend of a run, as data. `address` is that of a Ray cluster: "auto" (one that runs on this machine), "local"
    (one that is started for the run, on this machine only) or host:port.

    >>> BackendChoice(name="ray").address
    'auto'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "local"
    address: str = Field(default="auto", min_length=1, max_length=300)

    @field_validator("name")
    @classmethod
    def _registered(cls, name: str) -> str:
        return check_name(BACKENDS, name, "backend")


@dataclass(frozen=True, slots=True)
class RowJob:
    """One candidate to run rows with: by the student's program or the teacher's, with a trace or without.

    `part` is that of a chain whose teacher it is. `hidden` are the input fields by which a step recognizes, and leaves
    out, the example made from the row itself.
    """

    candidate: Candidate
    taught: bool = False
    trace: bool = False
    hidden: tuple[str, ...] = ()
    part: str = ""


@dataclass(frozen=True, slots=True)
class RowCallbacks:
    """The limit entered around each row, and the receivers of its outcome and, before that, of a failed row's error.

    `limit.size` is the most rows that may wait for it or run.
    """

    limit: AbstractAsyncContextManager[Any]
    on_outcome: Callable[[Outcome], None]
    on_failure: Callable[[Exception], None]


class Backend(Protocol):
    """A place where rows are answered and scored. `trainers` train there; they replace registered ones of the same name."""

    trainers: Sequence[Trainer]

    async def run(self, job: RowJob, rows: Sequence[int], callbacks: RowCallbacks) -> None:
        """Run rows in the current runtime. A failed row is an outcome; raises what `callbacks` raise, and RunError."""


class BackendPart(Protocol):
    """A backend as an optional part: see `engine.parts`. Made without arguments; `phase` says what `opened` does."""

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    phase: ClassVar[str]

    def opened(self, choice: BackendChoice, settings: Settings) -> AbstractAsyncContextManager[Backend]:
        """Return the backend of a run, which ends with the context. Raises ConfigurationError and RunError."""


class LocalBackend:
    """This process as an optional part."""

    name: ClassVar[str] = "local"
    title: ClassVar[str] = "On this machine"
    about: ClassVar[str] = "Rows run in the worker process of the run."
    phase: ClassVar[str] = ""

    @asynccontextmanager
    async def opened(self, choice: BackendChoice, settings: Settings) -> AsyncIterator[Backend]:  # noqa: ARG002 - the contract's
        """Yield this process."""
        yield Local(settings)


def program_of(settings: Settings, job: RowJob) -> Module:
    """Return the program that answers: the candidate's, whose steps skip the row's own example where that is asked for."""
    teacher = settings.part(job.part).teacher if job.taught else None
    program = (teacher or settings.program).with_candidate(job.candidate)
    if job.hidden:
        for step in program.predictors():
            if step.nearest:
                step.hides = tuple(name for name in step.signature.input_fields if name in job.hidden)
    return program


def metric_of(settings: Settings, job: RowJob) -> Scorer:
    """Return the metric that scores."""
    return with_trace(settings.metric) if job.trace and takes_trace(settings.metric) else settings.metric


def picks(state: StepState) -> bool:
    """Return whether a step picks its examples by the input."""
    return 0 < state.nearest < len(state.demos)


def takes_trace(metric: Scorer) -> bool:
    """Return whether a user's metric takes a trace, and so may be stricter when rows become examples."""
    if isinstance(metric, Metric):
        return False
    try:
        return "trace" in inspect.signature(metric).parameters
    except (TypeError, ValueError):
        return False


def with_trace(metric: Scorer) -> Scorer:
    """Return the metric called with the steps of the row's run, by which DSPy's metrics recognize bootstrapping."""

    @functools.wraps(metric)
    def strict(example: Example, prediction: object) -> object:
        return metric(example, prediction, trace=list(runtime.current().trace or ()))

    return strict


class Local:
    """Runs rows in this process, and trains on this machine."""

    trainers: Sequence[Trainer] = ()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self, job: RowJob, rows: Sequence[int], callbacks: RowCallbacks) -> None:
        """Run rows here."""
        await evaluate.run_rows(
            program_of(self._settings, job),
            [(row, self._settings.rows[row]) for row in rows],
            metric_of(self._settings, job),
            limit=callbacks.limit,
            on_outcome=callbacks.on_outcome,
            on_failure=callbacks.on_failure,
            trace=job.trace,
        )
