"""The runtime in force: model, adapter, retriever, middleware and observers, in one context variable.

`context(...)` scopes it and reaches every task and thread started inside; `configure(...)` sets the process's default,
for scripts and notebooks. The dashboard and the search driver only use `context`. It knows none of the things it holds.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError, spent_by

_log = logging.getLogger(__name__)


class StepStream(Protocol):
    """A layer round each step's call when a program is streamed (`engine.evaluate.streaming.StreamGate`)."""

    async def __call__(
        self, step: object, signature: object, adapter: object, asking: Awaitable[list[JsonObject]]
    ) -> list[JsonObject]:
        """Await the step's call and pass its reply to the listeners."""

    def held(self) -> StepStream:
        """Return a layer whose pieces wait until `release`."""

    def release(self) -> None:
        """Pass on the pieces that wait."""

    def heard(self) -> frozenset[int]:
        """Return the listeners that have heard a call, for `again`."""

    def again(self, reason: str, before: frozenset[int], steps: Collection[object]) -> None:
        """Report that the answers of these steps are given up for a new try."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The model, the adapter and everything else that is ambient. `None` means: not set."""

    lm: Any = None
    adapter: Any = None
    rm: Any = None
    """The retriever."""
    middleware: tuple[Any, ...] = ()
    """Layers round every model call, the first one outermost; `context(middleware=(mine, *current().middleware))` adds one."""
    callbacks: Sequence[Any] = ()
    """Observers of calls, see `engine.callbacks`."""
    trace: list[Any] | None = None
    """A list that collects one (predictor, inputs, prediction) for each step's call."""
    stream: StepStream | None = None
    """A layer round each step's call when a program is streamed."""
    attempt: Any = None
    """The current run of a program that may run again."""
    history: bool = True
    """Store the last calls."""
    max_history_size: int = 1000
    """Calls stored of each model, and of the process."""
    track_usage: bool = False
    """Note on predictions what the calls behind them cost."""
    progress: bool = True
    """Show a line on the progress of a search."""
    num_threads: int = 8
    max_errors: int | None = None
    models: Values = field(default_factory=dict)
    """Models by name that answer for steps with these `weights`, such as a server that has loaded a tuned model.

    `context(models={"tuned/abc": engine.LM("openai/abc", base_url=...)})`
    """
    own: Values = field(default_factory=dict)
    """User-defined settings, and those of other libraries (`engine.compat.settings`)."""


_default = Runtime()
_scoped: ContextVar[Runtime | None] = ContextVar("engine_runtime", default=None)


def current() -> Runtime:
    """Return the runtime in force here."""
    return _scoped.get() or _default


def configure(**settings: object) -> None:
    """Set the process's default runtime: `configure(lm=..., adapter=...)`. For scripts and notebooks.

    A setting of your own is kept and read as `settings.name`; a warning names the known one that is most like it.
    Raises ConfigurationError for a model's name in place of a model.

    >>> configure(num_threads=16)
    >>> current().num_threads
    16
    >>> configure(num_threads=8)
    """
    global _default  # the one default of the process, as its name says
    _default = _changed(_default, settings)


@contextmanager
def context(**settings: object) -> Iterator[Runtime]:
    """Change the runtime inside a `with` block, and in every task and thread started there.

    >>> with context(num_threads=2) as runtime:
    ...     current().num_threads
    2
    >>> current().num_threads
    8
    """
    runtime = _changed(current(), settings)
    token = _scoped.set(runtime)
    try:
        yield runtime
    finally:
        _scoped.reset(token)


@contextmanager
def noted_replies() -> Iterator[list[Any]]:
    """Yield a list that collects the reply to every call inside the `with` block, under any concurrency."""
    replies: list[object] = []
    with noting(lambda _, reply: replies.append(reply)):
        yield replies


@contextmanager
def noting(note: Callable[[Any, Any], None]) -> Iterator[None]:
    """Call `note` with the model and the reply of every call inside the `with` block, also with what a failed one has cost."""

    async def noted(lm: Any, request: object, send: Callable[[Any, Any], Awaitable[Any]]) -> object:
        try:
            reply = await send(lm, request)
        except Exception as error:
            if (spent := spent_by(error)) is not None:
                note(lm, spent)
            raise
        note(lm, reply)
        return reply

    with context(middleware=(noted, *current().middleware)):
        yield


def _changed(runtime: Runtime, settings: JsonObject) -> Runtime:
    custom = {name: settings[name] for name in settings if name not in Runtime.__dataclass_fields__}
    known = {name: value for name, value in settings.items() if name not in custom}
    if isinstance(given := known.get("lm"), str):
        raise ConfigurationError(f"lm takes a model, not its name: lm=engine.LM({given!r}).")
    if custom:
        import difflib  # here: most processes change no settings

        for name in custom.keys() - runtime.own.keys():
            near = difflib.get_close_matches(name, Runtime.__dataclass_fields__, 1)
            meant = f" Did you mean {near[0]!r}?" if near else f" Settings: {setting_names()}."
            _log.warning("There is no setting %r: it is kept as one of your own.%s", name, meant)
        known["own"] = {**runtime.own, **known.get("own", {}), **custom}
    return replace(runtime, **known)


def setting_names() -> str:
    """Return the names of the settings, as an error message lists them."""
    return ", ".join(sorted(Runtime.__dataclass_fields__))
