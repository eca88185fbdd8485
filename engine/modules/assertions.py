"""`Assert` and `Suggest`: conditions on the values of a program, inside its `forward`.

A broken condition makes the step that produced the value try again, with the message as a hint, at most twice. Then
an `Assert` fails the call (in an evaluation: the row), and a `Suggest` is noted and let pass: in an evaluation it
takes a fifth of the row's score, appears in its feedback, and keeps the run from becoming a demonstration, so that
optimizers see it. Source of the method: Singhvi et al. 2023, "DSPy Assertions". Knows traces, and nothing of how a
step asks.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any

from engine.errors import ConstraintError
from engine.runtime import context, current

_log = logging.getLogger(__name__)

MOST_RETRIES = 2
_REMEMBERED = 10_000


class _TryAgainError(ConstraintError):
    """Carries a broken condition up to the program that will run again."""

    def __init__(self, attempt: ProgramAttempt, step: object, message: str, made: Any) -> None:
        super().__init__(message)
        self.attempt, self.step, self.made = attempt, step, made


def Assert(result: object, msg: str = "", target_module: object = None) -> bool:  # noqa: N802 - DSPy's name
    """Require something of a program's values; `msg` tells the model what was wrong.

    The step called last (or `target_module`) is asked again with the message, at most twice. Raises ConstraintError
    when that does not help, or outside a program's `forward`.

    >>> Assert(len("short") < 10, "Answer in under 10 characters.")
    True
    """
    return _require(result, msg or "A condition does not hold.", target_module, hard=True)


def Suggest(result: object, msg: str = "", target_module: object = None) -> bool:  # noqa: N802 - DSPy's name
    """Soft condition on a program's values: like `Assert`, but a value that still fails is only noted and lowers the row's score.

    Returns whether it holds.

    >>> Suggest(True, "Cite a source.")
    True
    """
    return _require(result, msg or "A suggestion was not followed.", target_module, hard=False)


class Attempt:
    """One run of some steps: hints for them by step id, and the suggestions that were not followed."""

    def __init__(self, hints: Mapping[int, str] = MappingProxyType({})) -> None:
        self.outer: Attempt | None = current().attempt
        self.hints: Mapping[int, str] = hints if self.outer is None else {**self.outer.hints, **hints}
        self.unmet: list[str] = []


class ProgramAttempt(Attempt):
    """One run of a program's `forward`: a context manager that swallows the request to try again."""

    def __init__(self, hints: dict[int, str], broken: Counter[int]) -> None:
        super().__init__(hints)
        self.result: Any = None
        self.again = False
        self.broken = broken
        self.conditions = 0
        self._around = current()
        # Without another reader of the trace the last calls are enough: a long loop would fill memory.
        self.trace: Any = [] if self._around.trace is not None else deque(maxlen=_REMEMBERED)
        self._next_hints = hints
        self._heard = None if self._around.stream is None else self._around.stream.heard()
        self._scope = context(trace=self.trace, attempt=self)

    def step(self, target: Any) -> tuple[Any, Any] | None:
        """Return the step to ask again and what it made, or None when none of this program's was called."""
        wanted = None if target is None else {id(step) for step in target.predictors()}
        for step, _inputs, made in reversed(self.trace):
            # A search or a tool in the trace would only do the same again.
            if hasattr(step, "demos") if wanted is None else id(step) in wanted:
                return step, made
        return None

    def __enter__(self) -> ProgramAttempt:
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> bool:
        self._scope.__exit__(None, None, None)
        if isinstance(error, _TryAgainError) and error.attempt is self:
            answer = "; ".join(f"{name}: {value}" for name, value in error.made.items())
            self._next_hints[id(error.step)] = HINT.format(made=answer, message=error)
            self.again = True
            if self._around.stream is not None and self._heard is not None:
                self._around.stream.again(str(error), self._heard, [step for step, _, _ in self.trace])
            return True
        if self._around.trace is not None:
            self._around.trace.extend(self.trace)
        if self.outer is not None:
            self.outer.unmet.extend(self.unmet)
        return False


def attempts() -> Iterator[ProgramAttempt]:
    """Yield attempts at one call until one of them does not ask for another."""
    hints: dict[int, str] = {}
    broken: Counter[int] = Counter()
    while True:
        attempt = ProgramAttempt(hints, broken)
        yield attempt
        if not attempt.again:
            return


def _require(result: object, message: str, target: object, *, hard: bool) -> bool:
    enclosing = list(_enclosing_attempts())
    for attempt in enclosing:
        attempt.conditions += 1
    if result:
        return True
    for attempt in enclosing:
        target_step = attempt.step(target)
        if target_step is None:
            continue
        # A condition is known by its place in the run: the first, the second ...
        if attempt.broken[attempt.conditions] >= MOST_RETRIES:
            break
        attempt.broken[attempt.conditions] += 1
        raise _TryAgainError(attempt, target_step[0], message, target_step[1])
    if hard:
        raise ConstraintError(f"A required condition was not met: {message}")
    _log.warning("A suggestion was not followed: %s", message)
    innermost = current().attempt
    if innermost is not None:
        innermost.unmet.append(message)
    return False


def _enclosing_attempts() -> Iterator[ProgramAttempt]:
    """Yield the runs of `forward` that are going on around the caller, innermost first."""
    attempt = current().attempt
    while attempt is not None:
        if isinstance(attempt, ProgramAttempt):
            yield attempt
        attempt = attempt.outer


HINT = """\
Your last answer was: {made}
It was not good enough: {message}"""
