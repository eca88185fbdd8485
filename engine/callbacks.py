"""Hooks: the user's own code, called at the start and the end of modules, model calls, tools and more.

Put a callback into `engine.configure(callbacks=[...])` or `engine.context(callbacks=[...])`, or on one module, model,
adapter or tool. What a callback raises is logged and changes nothing. Without callbacks a call pays for one look.

This module knows none of the things it reports on.
"""

from __future__ import annotations

import functools
import inspect
import logging
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from engine.basics.data import JsonObject
from engine.runtime import current

T = TypeVar("T")

_log = logging.getLogger(__name__)

active_call_id: ContextVar[str | None] = ContextVar("engine_active_call_id", default=None)
"""The id of the call that this code runs in: what a callback's start hook sees as its parent."""


Inputs = Mapping[str, object]
"""A call's arguments by name."""

Raised = BaseException | None
"""The error that ended a call."""


class BaseCallback:
    """Override the hooks you need; each start has an end with the same `call_id`.

    `instance` is what is called, `inputs` its arguments by name (`Arguments`, which knows DSPy's forms), `outputs`
    what came (None after an error), `exception` what was raised. Hooks run where the call runs, so they must not
    block.

    >>> from engine import Predict, context
    >>> from engine.testing import DummyLM
    >>> class Printer(BaseCallback):
    ...     def on_lm_end(self, call_id, outputs, exception=None):
    ...         print(outputs)
    >>> with context(lm=DummyLM([{"answer": "4"}]), callbacks=[Printer()]):
    ...     answer = Predict("question -> answer")(question="2 + 2?")
    ['[[ ## answer ## ]]\\n4\\n\\n[[ ## completed ## ]]']
    """

    def on_module_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A module is called."""

    def on_module_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """A module has answered or failed."""

    def on_lm_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A model is asked: `inputs` are messages and parameters."""

    def on_lm_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """A model has answered: `outputs` are the completions' texts."""

    def on_adapter_format_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A prompt is about to be written."""

    def on_adapter_format_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """A prompt is written: `outputs` are the messages."""

    def on_adapter_parse_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A reply is about to be read."""

    def on_adapter_parse_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """A reply is read: `outputs` are the fields."""

    def on_tool_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A tool is called."""

    def on_tool_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """A tool has returned or failed."""

    def on_retrieve_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A retriever is asked: `inputs` are query and k."""

    def on_retrieve_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """A retriever has answered: `outputs` hold the passages."""

    def on_interpreter_execute_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A sandbox is given code: `inputs` are code and variables."""

    def on_interpreter_execute_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """The code has ended: `outputs` are its value and what it printed."""

    def on_interpreter_tool_call_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """Code calls a function of the host's: `inputs` are tool_name, args and kwargs."""

    def on_interpreter_tool_call_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """The function has returned or failed."""

    def on_interpreter_startup_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A sandbox takes a worker, or starts one."""

    def on_interpreter_startup_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """The worker is there."""

    def on_interpreter_shutdown_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A sandbox gives its worker back."""

    def on_interpreter_shutdown_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """The worker is given back."""

    def on_evaluate_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """An evaluation begins."""

    def on_evaluate_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """An evaluation has its result."""

    def on_compile_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """An optimizer begins."""

    def on_compile_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """An optimizer has its program."""


class Arguments(JsonObject):
    """A call's arguments by name. DSPy's ["args"] and ["kwargs"] are answered as well, and what else `more` holds.

    >>> heard = Arguments({"question": "Why?"})
    >>> heard["question"], heard["kwargs"], heard["args"], list(heard)
    ('Why?', {'question': 'Why?'}, (), ['question'])
    """

    def __init__(self, named: Inputs, more: Inputs | None = None) -> None:
        super().__init__(named)
        self._more = {"args": (), "kwargs": dict(named), **(more or {})}

    def __missing__(self, name: str) -> Any:
        return self._more[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or `default`."""
        return super().get(name, self._more.get(name, default))


def with_callbacks(method: Any) -> Any:
    """Return a method, plain or async, that reports its start and end to the callbacks, as DSPy's decorator does.

    It is reported as what its class is: a module, a model, a tool, an adapter (by the method's name), an evaluation
    or an optimizer's run.
    """
    signature = inspect.signature(method)

    def report(instance: object, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Any:
        kind = getattr(type(instance), "reported_as", "module")
        bound = signature.bind(instance, *args, **kwargs)
        bound.apply_defaults()
        named = dict(list(bound.arguments.items())[1:])
        return observed(f"adapter_{method.__name__}" if kind == "adapter" else kind, instance, named)

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def awaited(self: object, *args: object, **kwargs: object) -> Any:
            if not listeners(self):
                return await method(self, *args, **kwargs)
            with report(self, args, kwargs) as note:
                return note(await method(self, *args, **kwargs))

        return awaited

    @functools.wraps(method)
    def called(self: object, *args: object, **kwargs: object) -> Any:
        if not listeners(self):
            return method(self, *args, **kwargs)
        with report(self, args, kwargs) as note:
            return note(method(self, *args, **kwargs))

    return called


def listeners(instance: object) -> Sequence[object]:
    """Return the callbacks for a call to `instance`: those in force, then its own."""
    of_instance = getattr(instance, "callbacks", None)
    everywhere = current().callbacks
    return (*everywhere, *of_instance) if of_instance else everywhere


@contextmanager
def observed(kind: str, instance: object, inputs: Inputs) -> Iterator[Callable[[T], T]]:
    """Report what happens inside the `with` block; yields a function that notes the outputs and returns them."""
    heard = listeners(instance)
    if not heard:
        yield _unchanged
        return
    call_id = uuid.uuid4().hex
    inputs = inputs if isinstance(inputs, Arguments) else Arguments(inputs)
    outputs: object = None
    exception: BaseException | None = None

    def note(value: T) -> T:
        nonlocal outputs
        outputs = value
        return value

    _call_hooks(heard, f"on_{kind}_start", call_id=call_id, instance=instance, inputs=inputs)
    token = active_call_id.set(call_id)
    try:
        yield note
    except BaseException as error:
        exception = error
        raise
    finally:
        active_call_id.reset(token)
        _call_hooks(heard, f"on_{kind}_end", call_id=call_id, outputs=outputs, exception=exception)


def watched(
    kind: str, instance: object, inputs: Inputs, work: Coroutine[object, object, T]
) -> Coroutine[object, object, T]:
    """Return the work itself or, where there are callbacks, the work with a report of its start and end."""
    return _reported(kind, instance, inputs, work) if listeners(instance) else work


def reported(
    kind: str, instance: object, names: Sequence[str], function: Callable[..., T], *args: object
) -> T:
    """Call a function; where there are callbacks, with a report of its start and end. `names` are those of `args`."""
    if not listeners(instance):
        return function(*args)
    with observed(kind, instance, dict(zip(names, args, strict=True))) as note:
        return note(function(*args))


async def _reported(kind: str, instance: object, inputs: Inputs, work: Coroutine[object, object, T]) -> T:
    with observed(kind, instance, inputs) as note:
        return note(await work)


def _call_hooks(heard: Sequence[object], hook: str, **arguments: object) -> None:
    for callback in heard:
        try:
            getattr(callback, hook)(**arguments)
        except Exception:  # noqa: BLE001 - whatever a callback does, the call goes on
            _log.exception("The callback %s failed in %s.", type(callback).__name__, hook)


def _unchanged(value: T) -> T:
    return value
