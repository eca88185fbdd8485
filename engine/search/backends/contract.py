"""The contract of every backend: rows of one candidate in, outcomes out.

A backend decides nothing about budget, limits, cache or order: it runs rows in the context that it is called in.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from engine import runtime
from engine.metrics.base import Metric
from engine.records import Candidate, Outcome, StepState

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.search.settings import Settings
    from engine.training.contract import Trainer

BackendName = Literal["local", "ray"]
BACKENDS: tuple[BackendName, ...] = ("local", "ray")


class BackendChoice(BaseModel):
    """The backend of a run, as data. `address` is that of a Ray cluster: "auto" (one that runs on this machine), "local"
    (one that is started for the run, on this machine only) or host:port.

    >>> BackendChoice(name="ray").address
    'auto'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: BackendName = "local"
    address: str = Field(default="auto", min_length=1, max_length=300)


@dataclass(frozen=True, slots=True)
class Work:
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
class Heard:
    """The limit entered around each row, and the receivers of its outcome and, before that, of a failed row's error.

    `limit.size` is the most rows that may wait for it or run.
    """

    limit: AbstractAsyncContextManager[Any]
    on_outcome: Callable[[Outcome], None]
    on_failure: Callable[[Exception], None]


class Backend(Protocol):
    """A place where rows are answered and scored. `trainers` train there; they replace registered ones of the same name."""

    trainers: Sequence[Trainer]

    async def run(self, work: Work, rows: Sequence[int], heard: Heard) -> None:
        """Run rows in the current runtime. A failed row is an outcome; raises what `heard` raises, and RunError."""


def program_of(settings: Settings, work: Work) -> Module:
    """Return the program that answers: the candidate's, whose steps skip the row's own example where that is asked for."""
    teacher = settings.part(work.part).teacher if work.taught else None
    program = (teacher or settings.program).with_candidate(work.candidate)
    if work.hidden:
        for step in program.predictors():
            if step.nearest:
                step.hides = tuple(name for name in step.signature.input_fields if name in work.hidden)
    return program


def metric_of(settings: Settings, work: Work) -> Any:
    """Return the metric that scores."""
    return with_trace(settings.metric) if work.trace and takes_trace(settings.metric) else settings.metric


def picks(state: StepState) -> bool:
    """Return whether a step picks its examples by the input."""
    return 0 < state.nearest < len(state.demos)


def takes_trace(metric: Any) -> bool:
    """Return whether a user's metric takes a trace, and so may be stricter when rows become examples."""
    if isinstance(metric, Metric):
        return False
    try:
        return "trace" in inspect.signature(metric).parameters
    except (TypeError, ValueError):
        return False


def with_trace(metric: Any) -> Any:
    """Return the metric called with the steps of the row's run, by which DSPy's metrics recognize bootstrapping."""

    @functools.wraps(metric)
    def strict(example: Any, prediction: Any) -> Any:
        return metric(example, prediction, trace=list(runtime.current().trace or ()))

    return strict
