"""Messages between the driver of a run and its workers, in lists, many at once.

They are pickled: both ends are processes of one run, of one user, of the same Tuneboard. No key is ever in one: a
model is pickled by its settings without anything secret, and calls over a network are made by the driver.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from engine.search.backend import RowJob

if TYPE_CHECKING:
    from engine.lm.client import LM
    from engine.lm.exchange import Reply, Request
    from engine.records import Outcome
    from engine.search.settings import Settings


@dataclass(frozen=True, slots=True)
class SetUp:
    """To a new worker: the run's program, metric and rows, and the data folder, for what is read there."""

    settings: Settings
    home: str


@dataclass(frozen=True, slots=True)
class Begin:
    """To a worker: rows of this work follow under a number."""

    job: int
    work: RowJob


@dataclass(frozen=True, slots=True)
class End:
    """To a worker: no row of this job follows."""

    job: int


@dataclass(frozen=True, slots=True)
class Row:
    """To a worker: answer and score a row."""

    job: int
    row: int


@dataclass(frozen=True, slots=True)
class Done:
    """From a worker: a row has ended; `failure` is what a failed one raised."""

    job: int
    outcome: Outcome
    failure: Exception | None


@dataclass(frozen=True, slots=True)
class Broken:
    """From a worker: a row could not even be run."""

    job: int
    row: int
    error: Exception


@dataclass(frozen=True, slots=True)
class WorkerCall:
    """From a worker: a row's program asks a model, pickled as `lm`."""

    call: int
    job: int
    row: int
    lm: bytes
    request: Request


@dataclass(frozen=True, slots=True)
class ModelReply:
    """To a worker: the reply to what it asked, or the error."""

    call: int
    reply: Reply | None
    error: Exception | None


@dataclass(frozen=True, slots=True)
class Compute:
    """To a worker: have a model of that machine answer, once."""

    number: int
    lm: bytes
    request: Request


@dataclass(frozen=True, slots=True)
class Computed:
    """From a worker: the model's reply, or its error."""

    number: int
    reply: Reply | None
    error: Exception | None


def packed(messages: Sequence[object]) -> bytes:
    """Return messages as bytes.

    >>> unpacked(packed([End(3)]))
    [End(job=3)]
    """
    return pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes) -> list[object]:
    """Return the messages in bytes of `packed`, which came from the other end and from nowhere else."""
    found: list[object] = pickle.loads(data)  # noqa: S301 - from a process of this run: see the module
    return found


def sendable(error: Exception) -> Exception:
    """Return an error that can be pickled and read again: this one, or a RunError with its text.

    >>> class Odd(Exception):
    ...     def __init__(self, one, two):
    ...         super().__init__(f"{one}{two}")
    >>> sendable(Odd("a", "b"))
    RunError('Odd: ab')
    """
    from engine.errors import RunError

    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made on the line itself
    except Exception:  # noqa: BLE001 - whatever pickling a user's error raises
        return RunError(f"{type(error).__name__}: {error}".rstrip(": "))
    return error


def model_as_bytes(lm: LM) -> bytes:
    """Return a model's settings, without anything secret, the same bytes for equal ones.

    Raises ConfigurationError for a class that is not the engine's.

    >>> from engine.lm.client import LM
    >>> model_of(model_as_bytes(LM("openai/gpt-5-mini", api_key="sk-very-secret")))
    LM('openai/gpt-5-mini')
    """
    from engine.errors import ConfigurationError

    if not type(lm).__module__.startswith("engine.lm.") or not hasattr(lm, "dump_state"):
        raise ConfigurationError(
            f"{type(lm).__name__} is a model of your own: it is asked on one machine only. Use the local backend."
        )
    state = orjson.dumps(lm.dump_state(), option=orjson.OPT_SORT_KEYS, default=str)
    return pickle.dumps((type(lm), state))


def model_of(data: bytes) -> LM:
    """Return the model of `model_as_bytes`. Its key, where it needs one, is found in this process or not at all."""
    kind, state = pickle.loads(data)  # noqa: S301 - from a process of this run: see the module
    made: LM = kind(**orjson.loads(state))
    return made
