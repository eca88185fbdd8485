"""Which model, adapter and observers a program runs with: one frozen object in a context variable.

`context(...)` scopes it and reaches every task and thread started inside; `configure(...)` sets the
process's default, for scripts and notebooks. The dashboard and the search driver only use `context`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM, Reply, Request

    Send = Callable[[BaseLM, Request], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything ambient. `None` means: not set.

    `send` is the gate every model call passes, whichever step or model makes it; the search driver
    puts the budget and the meters there. `trace` collects one (predictor, inputs, prediction) for each
    step's call when it is a list. `usage` collects every reply when it is a list.
    """

    lm: BaseLM | None = None
    adapter: Adapter | None = None
    rm: Any = None
    send: Send | None = None
    trace: list[Any] | None = None
    replies: list[Reply] | None = None
    history: bool = True
    num_threads: int = 8
    max_errors: int | None = None

    async def call(self, lm: BaseLM, request: Request) -> Reply:
        """Send one request through the gate, and note the reply."""
        reply = await (lm.complete(request) if self.send is None else self.send(lm, request))
        if self.replies is not None:
            self.replies.append(reply)
        return reply


_default = Runtime()
_scoped: ContextVar[Runtime | None] = ContextVar("engine_runtime", default=None)


def current() -> Runtime:
    """Return the runtime in force here."""
    return _scoped.get() or _default


def configure(**settings: Any) -> None:
    """Set the process's default runtime: `configure(lm=..., adapter=...)`. For scripts and notebooks.

    Raises ConfigurationError for a setting that does not exist.
    """
    global _default
    _default = _changed(_default, settings)


@contextmanager
def context(**settings: Any) -> Iterator[Runtime]:
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


def _changed(runtime: Runtime, settings: dict[str, Any]) -> Runtime:
    unknown = settings.keys() - Runtime.__dataclass_fields__.keys()
    if unknown:
        raise ConfigurationError(
            f"There is no setting {sorted(unknown)[0]!r}. Settings: {', '.join(sorted(Runtime.__dataclass_fields__))}."
        )
    return replace(runtime, **settings)


class _Settings:
    """Read access to the runtime in force, under the name DSPy users know: `settings.lm`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(current(), name)

    configure = staticmethod(configure)
    context = staticmethod(context)


settings = _Settings()
