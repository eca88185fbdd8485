"""The runtime in force: model, adapter, retriever, middleware and observers, in one context variable.

`context(...)` scopes it and reaches every task and thread started inside; `configure(...)` sets the process's default,
for scripts and notebooks. The dashboard and the search driver only use `context`. It knows none of the things it holds.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import ConfigurationError, spent_by

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM
    from engine.lm.exchange import Reply, Request
    from engine.modules.assertions import Attempt
    from engine.records import Usage

    # `Any`: a layer may be written for one kind of model.
    Send = Callable[[Any, Request], Awaitable[Reply]]


_log = logging.getLogger(__name__)


class Middleware(Protocol):
    """A layer round a model's call. `engine.lm.middleware` has the order of all of them."""

    async def __call__(self, lm: Any, request: Request, send: Send) -> Reply:
        """Answer a request, as a rule with `send`, which asks the next layer."""


class StepStream(Protocol):
    """A layer round each step's call when a program is streamed (`engine.evaluate.streaming.StreamGate`)."""

    async def __call__(
        self, step: object, signature: object, adapter: object, asking: Awaitable[list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
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
    """The model, the adapter and everything else that is ambient. `None` means: not set.

    `middleware` goes round every model call made in this context, the first entry outermost; put your own before those
    in force: `context(middleware=(mine, *current().middleware))`. Observers: `callbacks` (see `engine.callbacks`), `trace`
    (a list that collects one (predictor, inputs, prediction) for each step's call), `stream` (round each step's call
    when a program is streamed) and `attempt` (the current run of a program that may run again). With `track_usage`
    predictions know what the calls behind them cost; with `progress` a search shows a line on it; `history` keeps the last calls, `max_history_size` of each model and
    of the process. `models` are models by name that answer for steps with these `weights`, such as a server that has
    loaded a tuned model: `context(models={"tuned/abc": engine.LM("openai/abc", base_url=...)})`.
    """

    lm: BaseLM | None = None
    adapter: Adapter | None = None
    rm: Any = None
    middleware: tuple[Middleware, ...] = ()
    callbacks: Sequence[Any] = ()
    trace: list[Any] | None = None
    stream: StepStream | None = None
    attempt: Attempt | None = None
    history: bool = True
    max_history_size: int = 1000
    track_usage: bool = False
    progress: bool = True
    num_threads: int = 8
    max_errors: int | None = None
    models: Mapping[str, BaseLM] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the user's own, and those of DSPy that have no other place."""


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
def noted_replies() -> Iterator[list[Reply]]:
    """Yield a list that collects the reply to every call inside the `with` block, under any concurrency."""
    replies: list[Reply] = []
    with _noting(lambda _, reply: replies.append(reply)):
        yield replies


@contextmanager
def _noting(note: Callable[[BaseLM, Reply], None]) -> Iterator[None]:
    async def noted(lm: BaseLM, request: Request, send: Send) -> Reply:
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


@contextmanager
def track_usage() -> Iterator[UsageTracker]:
    """Note what every call inside the `with` block costs, under any concurrency.

    >>> with track_usage() as tracker:
    ...     pass
    >>> tracker.get_total_tokens()
    {}
    """
    tracker = UsageTracker()
    with context(track_usage=True, usage_tracker=tracker), _noting(tracker.note):
        yield tracker


class UsageTracker:
    """The cost of the calls made inside a `track_usage` block.

    >>> tracker = UsageTracker()
    >>> tracker.add_usage("mine", {"prompt_tokens": 3, "completion_tokens": 2})
    >>> tracker.get_total_tokens()["mine"]["total_tokens"]
    5
    """

    def __init__(self) -> None:
        self._noted: list[tuple[str, Usage | Mapping[str, Any] | None]] = []

    def note(self, lm: BaseLM, reply: Reply) -> None:
        """Add a reply's usage, under the name that its model was made with."""
        self._noted.append((reply.name or lm.model, None if reply.cached else reply.usage))

    def add_usage(self, lm: str, usage_entry: Mapping[str, Any]) -> None:
        """Add the usage of a call made elsewhere, by the protocol's names; other numbers in it are added up as well."""
        self._noted.append((lm, usage_entry))

    def get_total_tokens(self) -> dict[str, dict[str, Any]]:
        """Return what was paid, by the name the model was made with; nothing for a model that only answered from the cache.

        The numbers: calls, cached, input_tokens and output_tokens (also by DSPy's names), total_tokens, cost.
        """
        total: dict[str, dict[str, Any]] = {}
        paid = {name for name, usage in self._noted if usage is not None}
        for name, usage in self._noted:
            if name not in paid:
                continue
            numbers = total.setdefault(name, dict.fromkeys(_COUNTED, 0) | {"cost": None})
            for key, number in _numbers(usage).items():
                numbers[key] = (numbers.get(key) or 0) + number
        return total


def _numbers(usage: Usage | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the numbers of one call; None means an answer from the cache."""
    if usage is None:
        return {"cached": 1}
    if isinstance(usage, Mapping):
        given = {key: n for key, n in usage.items() if isinstance(n, int | float) and not isinstance(n, bool)}
        read, written = given.get("prompt_tokens", 0), given.get("completion_tokens", 0)
        same = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
        return {"calls": 1, **same, **given}
    tokens = (usage.input_tokens, usage.output_tokens)
    counted = dict(zip(_COUNTED, (usage.calls, 0, *tokens, *tokens, usage.tokens), strict=True))
    return counted if usage.cost is None else {**counted, "cost": usage.cost}


@contextmanager
def tracked() -> Iterator[Callable[[Any], Any]]:
    """Yield a function that notes the usage of one module's run on its prediction, if usage is tracked."""
    if not current().track_usage:
        yield lambda prediction: prediction
        return
    tracker = UsageTracker()
    with _noting(tracker.note):

        def note(prediction: object) -> Any:
            if hasattr(prediction, "set_lm_usage"):
                prediction.set_lm_usage(tracker.get_total_tokens())
            return prediction

        yield note


_COUNTED = (
    *("calls", "cached", "input_tokens", "output_tokens"),
    *("prompt_tokens", "completion_tokens", "total_tokens"),
)
"""The numbers that are counted; "prompt_tokens" and "completion_tokens" are DSPy's names for the two before them."""


def _changed(runtime: Runtime, settings: dict[str, Any]) -> Runtime:
    own = {name: settings[name] for name in settings if name not in Runtime.__dataclass_fields__}
    known = {name: value for name, value in settings.items() if name not in own}
    if isinstance(given := known.get("lm"), str):
        raise ConfigurationError(f"lm takes a model, not its name: lm=engine.LM({given!r}).")
    if own:
        import difflib  # here: most processes change no settings

        for name in own.keys() - _OF_DSPY.keys() - runtime.own.keys():
            near = difflib.get_close_matches(name, [*Runtime.__dataclass_fields__, *_OF_DSPY], 1)
            meant = f" Did you mean {near[0]!r}?" if near else f" Settings: {_names()}."
            _log.warning("There is no setting %r: it is kept as one of your own.%s", name, meant)
        if "disable_history" in own:
            known["history"] = not own.pop("disable_history")
        known["own"] = {**runtime.own, **own}
    return replace(runtime, **known)


def _names() -> str:
    return ", ".join(sorted(Runtime.__dataclass_fields__))


_OF_DSPY: Mapping[str, Any] = {
    "allow_tool_async_sync_conversion": True,
    "async_max_workers": 8,
    "branch_idx": 0,
    "caller_modules": None,
    "caller_predict": None,
    "disable_history": False,
    "experimental": False,
    "interpreter_factory": None,
    "max_trace_size": 10000,
    "provide_traceback": False,
    "send_stream": None,
    "stream_listeners": (),
    "usage_tracker": None,
    "warn_on_type_mismatch": True,
}
"""Settings of DSPy and what they are where they are not given. `disable_history` is `history=False`."""


class _Settings:
    """The settings in force, under the name DSPy users know: `settings.lm`, `settings["lm"]`; setting one configures it."""

    def __getattr__(self, name: str) -> Any:
        runtime = current()
        if name in Runtime.__dataclass_fields__:
            return getattr(runtime, name)
        if name == "disable_history":
            return not runtime.history
        if name in runtime.own or name in _OF_DSPY:
            return runtime.own.get(name, _OF_DSPY.get(name))
        raise AttributeError(f"There is no setting {name!r}. Settings: {_names()}.")

    def __setattr__(self, name: str, value: object) -> None:
        configure(**{name: value})

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __setitem__(self, name: str, value: object) -> None:
        configure(**{name: value})

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __repr__(self) -> str:
        return f"settings({self.copy()!r})"

    def keys(self) -> list[str]:
        """Return the names of all settings, also of your own."""
        return [
            name for name in (*Runtime.__dataclass_fields__, *{**_OF_DSPY, **current().own}) if name != "own"
        ]

    def copy(self) -> dict[str, Any]:
        """Return all settings as they are here."""
        return {name: getattr(self, name) for name in self.keys()}

    @property
    def config(self) -> dict[str, Any]:
        """All settings as they are here."""
        return self.copy()

    def get(self, key: str, default: object = None) -> Any:
        """Return a setting, or `default` where there is none of that name."""
        return getattr(self, key, default)

    configure = staticmethod(configure)
    context = staticmethod(context)


settings = _Settings()
