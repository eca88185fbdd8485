"""Which model, adapter and observers a program runs with: one frozen object in a context variable.

`context(...)` scopes it and reaches every task and thread started inside; `configure(...)` sets the
process's default, for scripts and notebooks. The dashboard and the search driver only use `context`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from engine import callbacks as hooks
from engine.errors import ConfigurationError
from engine.lm import history
from engine.lm.base import install_gate

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM, Reply, Request
    from engine.modules.assertions import Attempt

    Send = Callable[[BaseLM, Request], Awaitable[Reply]]


class StreamGate(Protocol):
    """What is put around each step's call when a program is streamed."""

    async def __call__(
        self, step: Any, signature: Any, adapter: Adapter, asking: Awaitable[list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Await the step's call, with whoever is to hear of its reply."""

    def held(self) -> StreamGate:
        """Return a gate whose pieces wait until `release`: for a call that may turn out not to be the answer."""

    def release(self) -> None:
        """Pass on what waits."""

    def heard(self) -> frozenset[int]:
        """Return what has been listened to so far; to be handed to `again`."""

    def again(self, reason: str, before: frozenset[int], steps: Collection[Any]) -> None:
        """Say that what these steps gave is given up for a new try, which is heard as if they were asked for the first time."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything ambient. `None` means: not set.

    `send` is the gate every model call passes, whichever step or model makes it; the search driver
    puts the budget and the meters there. `trace` collects one (predictor, inputs, prediction) for each
    step's call when it is a list. `replies` collects every reply when it is a list. With `track_usage`
    predictions know what the calls behind them cost (`get_lm_usage`). `advice` holds a hint for single steps, by
    the step's id, `attempt` what `Assert` and `Suggest` look at; `remarks` collects broken suggestions when it is a list.
    `callbacks` hear of everything that happens (see `engine.callbacks`). `stream` is put around each step's call when
    a program is streamed.
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
    track_usage: bool = False
    advice: Mapping[int, str] | None = None
    attempt: Attempt | None = None
    remarks: list[str] | None = None
    callbacks: Sequence[Any] = ()
    stream: StreamGate | None = None

    async def call(self, lm: BaseLM, request: Request) -> Reply:
        """Send one request through the gate, and note the reply."""
        work = lm.complete(request) if self.send is None else self.send(lm, request)
        reply = await (_watched(lm, request, work) if hooks.listeners(lm) else work)
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

    Raises ConfigurationError for a setting that does not exist. Settings of DSPy without a meaning here, such as
    `async_max_workers`, are taken and change nothing.

    >>> configure(num_threads=16)
    >>> current().num_threads
    16
    >>> configure(num_threads=8)
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


@contextmanager
def track_usage() -> Iterator[UsageTracker]:
    """Note what every call inside the `with` block costs, under any concurrency.

    >>> with track_usage() as tracker:
    ...     pass
    >>> tracker.get_total_tokens()
    {}
    """
    tracker = UsageTracker()
    outer = current().replies
    try:
        with context(track_usage=True, replies=tracker.replies):
            yield tracker
    finally:
        if outer is not None:
            # Whoever counts outside counts these too: a row's usage, a run's.
            outer.extend(tracker.replies)


class UsageTracker:
    """The replies that came inside a `track_usage` block."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []

    def get_total_tokens(self) -> dict[str, dict[str, Any]]:
        """Return what was paid by model: calls, cached, input_tokens, output_tokens (and by DSPy's names), total_tokens, cost."""
        return usage_by_model(self.replies)


@contextmanager
def tracked() -> Iterator[Callable[[Any], Any]]:
    """Around one module's run: yields a function that notes the run's usage on its prediction, if usage is tracked."""
    outer = current()
    if not outer.track_usage:
        yield _unchanged
        return
    mine: list[Reply] = []

    def note(prediction: Any) -> Any:
        if hasattr(prediction, "set_lm_usage"):
            prediction.set_lm_usage(usage_by_model(mine))
        return prediction

    with context(replies=mine):
        try:
            yield note
        finally:
            if outer.replies is not None:
                outer.replies.extend(mine)


def usage_by_model(replies: Iterable[Reply]) -> dict[str, dict[str, Any]]:
    """Return what some replies cost, by the model that answered; an answer from the cache only counts under "cached"."""
    total: dict[str, dict[str, Any]] = {}
    for reply in replies:
        numbers = total.setdefault(reply.model, dict.fromkeys(_COUNTED, 0) | {"cost": None})
        if reply.cached:
            numbers["cached"] += 1
            continue
        usage = reply.usage
        tokens = (usage.input_tokens, usage.output_tokens)
        paid = (usage.calls, 0, *tokens, *tokens, usage.tokens)
        for name, number in zip(_COUNTED, paid, strict=True):
            numbers[name] += number
        if usage.cost is not None:
            numbers["cost"] = (numbers["cost"] or 0.0) + usage.cost
    return total


_TOKENS = ("input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "total_tokens")
_COUNTED = ("calls", "cached", *_TOKENS)
"""What is counted; "prompt_tokens" and "completion_tokens" are DSPy's names for the two before them."""


def _unchanged(prediction: Any) -> Any:
    return prediction


def _changed(runtime: Runtime, settings: dict[str, Any]) -> Runtime:
    known = {name: value for name, value in settings.items() if name not in _OF_DSPY}
    if "disable_history" in settings:
        known["history"] = not settings["disable_history"]
    unknown = known.keys() - Runtime.__dataclass_fields__.keys()
    if unknown:
        raise ConfigurationError(f"There is no setting {min(unknown)!r}. Settings: {_names()}.")
    return replace(runtime, **known)


def _names() -> str:
    return ", ".join(sorted(Runtime.__dataclass_fields__))


_OF_DSPY = frozenset(
    {
        "allow_tool_async_sync_conversion",
        "async_max_workers",
        "disable_history",
        "max_history_size",
        "max_trace_size",
        "provide_traceback",
        "warn_on_type_mismatch",
    }
)
"""Settings of DSPy that are taken: `disable_history` is `history=False`, the others have nothing to change here."""


async def _watched(lm: BaseLM, request: Request, work: Awaitable[Reply]) -> Reply:
    with hooks.observed("lm", lm, {"messages": request.messages, **request.params}) as note:
        reply = await work
        note(Texts(reply))
        return reply


class Texts(list[str]):
    """The completions' texts, as callbacks are told them; `reply` is all that came, with usage and cost."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(choice.text for choice in reply.choices)
        self.reply = reply


class _Settings:
    """Read access to the runtime in force, under the name DSPy users know: `settings.lm`, `settings["lm"]`."""

    def __getattr__(self, name: str) -> Any:
        if name not in Runtime.__dataclass_fields__:
            raise AttributeError(f"There is no setting {name!r}. Settings: {_names()}.")
        return getattr(current(), name)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return name in Runtime.__dataclass_fields__

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, or `default` where there is none of that name."""
        return getattr(current(), name) if name in self else default

    configure = staticmethod(configure)
    context = staticmethod(context)


settings = _Settings()


async def _call_in_force(lm: BaseLM, request: Request) -> Reply:
    return await current().call(lm, request)


# A model called by hand, lm("text"), passes the same gate as the calls of programs.
install_gate(_call_in_force)
history.install(lambda: current().history)
hooks.install(lambda: current().callbacks)
