"""`PythonInterpreter`: Python that a model wrote, run where it can do no harm; and `Sandbox`, the base of every interpreter.

A sandbox keeps its variables from one execution to the next, answers calls of host functions by name, and ends at
SUBMIT. The built-in one is pydantic-monty: a separate interpreter in worker processes, without files, network,
environment or other processes, and here always with limits on time, memory, output and calls to the host. Between
executions an interpreter holds no worker: its variables are stored as a dump. It knows nothing of models or
prompts; what it can and cannot run is described in `DIALECT`, for prompts.
"""

from __future__ import annotations

import asyncio
import datetime
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from engine import loop
from engine.basics.data import JsonObject, Values
from engine.callbacks import observed, watched
from engine.errors import (
    ConfigurationError,
    EngineError,
    SandboxError,
    SandboxMemoryError,
    SandboxTimeoutError,
    ToolArgumentsError,
    ToolError,
)
from engine.records import json_value
from engine.tools.function import as_tool, shown

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty

OUTPUT_LIMIT = 100_000
VALUE_LIMIT = 1_000_000
SUBMIT = "SUBMIT"
DIALECT = """\
The code runs in a small sandboxed Python: functions, lambdas, plain classes, dataclasses, comprehensions, try/except, \
match, f-strings; modules json, re, math, datetime, decimal, random, collections, itertools, functools, bisect, csv, \
hashlib, base64. It has no class inheritance, no yield, no properties, no `del`, no files, no network, no input(), and \
no other packages (no numpy, no pandas). Print what you want to see."""


@dataclass(frozen=True, slots=True)
class Execution:
    """The result of running code: the value of its last expression, its printed text, and the values given to SUBMIT."""

    value: Any = None
    printed: str = ""
    output: Values | None = None

    def text(self, limit: int = OUTPUT_LIMIT) -> str:
        """Return what a model should see of it, at most about `limit` characters."""
        parts = [self.printed.rstrip()] if self.printed.strip() else []
        if self.output is not None:
            parts += [f"{name}: {shown(value, limit)}" for name, value in self.output.items()]
        elif self.value is not None:
            parts.append(shown(self.value, limit))
        return shown("\n".join(parts), limit) if parts else "(no output)"


class Sandbox(ABC):
    """Base of sandboxes. Subclasses define `_run`; `dialect` tells a model what their Python has and lacks.

    `tools` are host functions, callable in the sandbox by name (a name that Python has itself, such as abs, stays
    Python's). `time_limit` is in seconds of the sandbox's work, `memory_limit` in bytes, `output_limit` in
    characters printed, `call_limit` in calls of host functions for each execution. Randomness starts from `seed`.
    Callbacks hear of every execution, and of the start and end of what runs it (`on_interpreter_execute_start` and
    so on).
    """

    dialect: ClassVar[str] = ""
    value_limit: int = VALUE_LIMIT
    """Characters of a value that comes out or that a host function returns: of a longer one a part comes, with a note."""

    def __init__(
        self,
        tools: Sequence[Any] | Values | None = None,
        output_fields: Sequence[Any] | None = None,
        *,
        time_limit: float = 10.0,
        memory_limit: int = 256 * 2**20,
        output_limit: int = OUTPUT_LIMIT,
        call_limit: int = 1000,
        seed: int = 0,
        callbacks: Sequence[Any] | None = None,
        **unknown: object,
    ) -> None:
        if unknown:
            raise ConfigurationError(f"{type(self).__name__} takes no argument {min(unknown)!r}.")
        if isinstance(tools, Mapping):
            self.tools = {str(name): as_tool(tool, str(name)) for name, tool in tools.items()}
        else:
            self.tools = {tool.name: tool for tool in map(as_tool, tools or ())}
        self.output_fields = tuple(
            f["name"] if isinstance(f, Mapping) else str(f) for f in output_fields or ()
        )
        self.time_limit = time_limit
        self.memory_limit = memory_limit
        self.output_limit = output_limit
        self.call_limit = call_limit
        self.seed = seed
        self.callbacks: Sequence[object] = list(callbacks or ())
        self._busy = asyncio.Lock()

    def execute(self, code: str, variables: Mapping[str, object] | None = None) -> Any:
        """Run code and wait: the value of its last expression, else what it printed; after SUBMIT the `Execution`."""
        done = loop.run(self.arun(code, variables))
        if done.output is not None:
            return done
        return done.value if done.value is not None else done.text(self.output_limit)

    __call__ = execute

    async def arun(self, code: str, variables: Mapping[str, object] | None = None) -> Execution:
        """Run code in async code. `variables` are set before it starts; values without a form there come as JSON."""
        given = {name: sandboxed(value) for name, value in (variables or {}).items()}
        inputs = {"code": code, "variables": given}
        work = watched("interpreter_execute", self, inputs, self._locked(code, given))
        return await loop.here_or_there(work)

    async def _locked(self, code: str, variables: dict[str, object]) -> Execution:
        async with self._busy:
            return await self._run(code, variables)

    @abstractmethod
    async def _run(self, code: str, variables: dict[str, object]) -> Execution:
        """Run code once; only one execution at a time comes here."""

    def start(self) -> None:  # noqa: B027 - a name programs written for DSPy call
        """Do nothing: what runs the code starts when it is needed."""

    @abstractmethod
    def shutdown(self) -> None:
        """Forget all variables."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


class HostSide:
    """One execution under way, as its host sees it: what was printed and submitted, and calls of host functions."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.submitted: Values | None = None
        self._printed: list[str] = []
        self._room = sandbox.output_limit
        self._calls = 0

    def ended(self, value: object) -> Execution:
        """Return the whole execution, with the value of its last expression; of values too long a part.

        Raises SandboxError where it printed too much.
        """
        if self._room < 0:
            raise self.too_much()  # it may end before it can be stopped
        printed = "".join(self._printed)
        submitted = None
        if self.submitted is not None:
            most = self.sandbox.value_limit
            submitted = MappingProxyType({name: in_part(one, most) for name, one in self.submitted.items()})
        return Execution(in_part(value, self.sandbox.value_limit), printed, submitted)

    def fits(self, text: str) -> bool:
        """Take what the code prints; False once that is more than it may print."""
        self._printed.append(text[: max(0, self._room)])
        self._room -= len(text)
        return self._room >= 0

    def too_much(self) -> SandboxError:
        """Return the error for code that prints more than it may."""
        return SandboxError(f"More than {self.sandbox.output_limit} characters were printed. Print a part.")

    def too_long(self) -> SandboxError:
        """Return the error for code that runs longer than it may."""
        return SandboxTimeoutError(
            f"The code ran longer than the {self.sandbox.time_limit:g} seconds it may take."
        )

    async def answer(self, name: str, args: Sequence[object], kwargs: Values) -> Any:
        """Call a function of the host's. Raises what it raises: NameError, TypeError, ValueError or RuntimeError are
        for the code to see; SandboxError ends the execution, and so does what is not the code's affair.
        """
        self._calls += 1
        if self._calls > self.sandbox.call_limit:
            raise SandboxError(f"The code called functions more than {self.sandbox.call_limit} times.")
        tool = self.sandbox.tools.get(name)
        if tool is None:
            raise NameError(f"name {name!r} is not defined")
        if len(args) > len(tool.args):
            raise TypeError(f"{name} takes {len(tool.args)} arguments, {len(args)} were given")
        given = {**dict(zip(tool.args, args, strict=False)), **kwargs}
        inputs = {"tool_name": name, "args": (), "kwargs": given}
        try:
            with observed("interpreter_tool_call", self.sandbox, inputs) as note:
                return in_part(sandboxed(note(await tool.acall(**given))), self.sandbox.value_limit)
        except ToolArgumentsError as error:
            raise ValueError(str(error)) from None
        except (ToolError, SandboxError) as error:
            raise RuntimeError(str(error)) from None
        except EngineError:
            raise  # a spent budget or a model that is gone is not the code's affair

    def submit(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Take what the code hands to SUBMIT, by the names of the output fields where there are any."""
        names = self.sandbox.output_fields
        only = args[0] if len(args) == 1 and not kwargs else None
        if isinstance(only, Mapping) and (not names or set(only) <= set(names)):
            self.submitted = MappingProxyType({str(k): v for k, v in only.items()})
            return
        if not names:
            names = ("output",) if len(args) == 1 else tuple(f"output_{i}" for i in range(1, len(args) + 1))
        self.submitted = MappingProxyType({**dict(zip(names, args, strict=False)), **kwargs})


SEEN_BY_CODE = (NameError, TypeError, ValueError, RuntimeError)
"""Errors of a host function that the code may catch."""


def dialect_of(factory: object) -> str:
    """Return what the sandboxes that a factory makes can run, in words for a prompt."""
    return str(getattr(getattr(factory, "func", factory), "dialect", "") or DIALECT)


def sandboxed(value: object) -> object:
    """Return a value in a form that a sandbox has: plain data as it is, anything else as JSON values."""
    if type(value) in _PLAIN:
        return value
    if type(value) is dict:
        return {k if type(k) in _PLAIN else str(k): sandboxed(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [sandboxed(item) for item in value]
    return json_value(value)


def in_part(value: object, most: int) -> object:
    """Return a value that passes between the sandbox and its host; of one longer than `most` characters a part, with a note.

    >>> in_part(["a", 1], 10), in_part(["x"] * 50, 3), in_part({"a": "x" * 50}, 10)
    (['a', 1], ['x', '... (49 more left out) ...'], {'a': 'xxxx\\n... (42 of 50 characters left out) ...\\nxxxx'})
    """
    return value if _fits(value, most) else _Part(most).of(value)


def _fits(value: object, most: int) -> bool:
    """Return whether a value is short and not deep, each part counted as often as it comes."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        below: list[object] = []
        for one in level:
            most -= 1
            if isinstance(one, str | bytes):
                most -= len(one)
            elif not isinstance(one, (*_SHORT, Mapping, *_LISTS)):
                most -= len(str(one))  # an error of the code's, or an object of its classes
            elif isinstance(one, Mapping):
                below += (*one, *one.values())
            elif isinstance(one, _LISTS):
                below += one
            if most < 0 or len(below) > most:
                return False
        level, depth = below, depth + 1
    return not level


class _Part:
    """The part of a too long value that stays."""

    def __init__(self, room: int) -> None:
        self._room = room

    def of(self, value: object, depth: int = 0) -> object:
        self._room -= 1
        if isinstance(value, str | bytes):
            text = shown(value if isinstance(value, str) else repr(value[: self._room]), max(0, self._room))
            self._room -= len(value)
            return text
        if not isinstance(value, (Mapping, *_LISTS)):
            return value if isinstance(value, _SHORT) else self.of(str(value), depth)
        if depth > _DEEPEST:
            return "... (nested too deeply) ..."
        if isinstance(value, Mapping):
            pairs = self._parts_that_fit(value.items(), lambda pair: (pair[0], self.of(pair[1], depth + 1)))
            shortened = dict(pairs)
            return (
                shortened
                if len(pairs) == len(value)
                else {**shortened, "...": _left_out(len(value) - len(pairs))}
            )
        items = self._parts_that_fit(value, lambda item: self.of(item, depth + 1))
        return items if len(items) == len(value) else [*items, _left_out(len(value) - len(items))]

    def _parts_that_fit(self, items: Iterable[object], part: Callable[[Any], Any]) -> list[Any]:
        fitting = []
        for item in items:
            if self._room <= 0:
                break
            fitting.append(part(item))
        return fitting


def _left_out(count: int) -> str:
    return f"... ({count:,} more left out) ..."


_LISTS = (list, tuple, set, frozenset)
_SHORT = (int, float, type(None), datetime.date, datetime.timedelta)
_DEEPEST = 100

_PLAIN = frozenset(
    {str, bool, int, float, type(None), bytes, datetime.date, datetime.datetime, datetime.timedelta}
)


class PythonInterpreter(Sandbox):
    """A sandbox for Python. Variables and functions live on from one execution to the next.

    Arguments are those of `Sandbox`. Sleeping is refused, so the same code gives the same result. Raises SandboxError
    with the traceback, SandboxTimeoutError or SandboxMemoryError; the process is unharmed.

    >>> python = PythonInterpreter(tools={"vat": lambda net: net * 1.2})
    >>> python("total = sum(range(5))"), python("print(total)"), python("vat(net=total)")
    ('(no output)', '10', 12.0)
    """

    dialect = DIALECT
    _state: bytes | None = None

    def shutdown(self) -> None:
        """Forget all variables."""
        self._state = None

    async def _run(self, code: str, variables: dict[str, object]) -> Execution:
        from pydantic_monty import MontyConversionError, MontyCrashedError, MontyError

        feed = _Feed(self)
        try:
            async with self._worker() as session:
                try:
                    value = await feed.drive(session, code, variables)
                except MontyError as error:
                    lost = isinstance(error, MontyConversionError | MontyCrashedError)
                    if not lost and feed.failure(error).__class__ is SandboxError:
                        self._state = await session.dump()  # the state before the mistake stays
                    # Not stored in a variable: an error and the frame that holds it would wait for the garbage collector.
                    raise feed.failure(error) from None
                if feed.submitted is None:
                    self._state = await session.dump()
        except SandboxError:
            raise
        except MontyError as error:
            raise feed.failure(error) from None
        except RuntimeError as error:  # the worker is gone without an error it could report
            raise SandboxError(f"The sandbox broke off: {error}.") from None
        except TimeoutError:
            raise SandboxError(NO_WORKER) from None
        return feed.ended(value)

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[Any]:
        """Take a worker with the variables so far, and give it back."""
        limits: Any = {
            "max_feed_duration_secs": self.time_limit,
            "max_memory": self.memory_limit,
            "max_suspensions": _MOST_SUSPENSIONS,
            "max_total_sleep_secs": 0.0,
        }
        policy: Any = {"random_start": {"seed": self.seed}}
        with observed("interpreter_startup", self, {}):
            pool = await _the_pool()
            worker = pool.checkout(limits=limits, os_policy=policy)
            session = await worker.__aenter__()
        try:
            if self._state is not None:
                await session.load_session(self._state)
            yield session
        finally:
            with observed("interpreter_shutdown", self, {}):
                await worker.__aexit__(*sys.exc_info())


class _Feed(HostSide):
    """One execution in a worker."""

    _step: asyncio.Future[Any] | None = None

    def print(self, _stream: str, text: str) -> None:
        """Take what the code prints; called from a thread of the sandbox's."""
        if not self.fits(text) and self._step is not None:
            # An error raised here would only be seen at the time limit: the step is given up instead.
            self._step.get_loop().call_soon_threadsafe(self._step.cancel)

    async def _until_stop(self, work: Coroutine[object, object, object]) -> object:
        """Await one stretch of sandboxed work, up to its next call of the host."""
        self._step = asyncio.ensure_future(work)
        try:
            return await self._step
        except asyncio.CancelledError:
            if self._room < 0:
                raise self.too_much() from None
            raise
        finally:
            # The sandbox keeps the callback that prints, and with it this object: what it held would stay for ever.
            self._step = None
            del work  # it holds an error, whose frames hold this one

    async def drive(self, session: Any, code: str, variables: JsonObject) -> Any:
        """Run code, answering its calls of host functions, until it ends or submits."""
        from pydantic_monty import AsyncFunctionSnapshot, AsyncNameLookupSnapshot, MontyComplete

        at = await self._until_stop(session.feed_start(code, inputs=variables, print_callback=self.print))
        while not isinstance(at, MontyComplete):
            if isinstance(at, AsyncNameLookupSnapshot):
                tool = self.sandbox.tools.get(at.variable_name)
                given = {} if tool is None else {"value": _host_function(at.variable_name)}
                at = await self._until_stop(at.resume(**given))
            elif not isinstance(at, AsyncFunctionSnapshot):
                raise SandboxError(
                    "Waiting for several things at once is not possible here: call one after the other."
                )
            elif at.is_os_function:
                at = await self._until_stop(at.resume_not_handled())
            elif at.function_name == SUBMIT:
                self.submit(at.args, at.kwargs)
                return None
            else:
                at = await self._until_stop(at.resume(await self._reply(at)))
        return at.output

    async def _reply(self, at: Any) -> Any:
        """Return the result of a host function, or its error for the code to see."""
        try:
            return {"return_value": await self.answer(str(at.function_name), at.args, at.kwargs)}
        except SandboxError:
            raise  # the end of the execution
        except SEEN_BY_CODE as error:
            return {"exception": type(error)(str(error))}  # a new one: the frames of this one hold all it had

    def failure(self, error: object) -> SandboxError:
        """Return an error of the sandbox's as the engine's."""
        text = str(error)
        if "time limit exceeded" in text or getattr(error, "timed_out", False):
            return self.too_long()
        if "memory limit exceeded" in text or "exceeded its memory limit" in text:
            return SandboxMemoryError("The code needed more memory than it may use.")
        if "sleep limit exceeded" in text:
            return SandboxError("The code tried to sleep, which the sandbox does not allow.")
        display = getattr(error, "display", None)
        return SandboxError(shown(display() if display else text, LONGEST_TRACEBACK))


def _host_function(name: str) -> Callable[..., object]:
    """Return a function that carries a name into the sandbox; calls of it come back by that name."""

    def host(*_args: object, **_kwargs: object) -> None: ...

    host.__name__ = host.__qualname__ = name
    return host


async def _the_pool() -> AsyncMonty:
    """Return the process's pool of workers, started on first use (and again for another event loop)."""
    global _pool
    here = asyncio.get_running_loop()
    if _pool is None or _pool[0] is not here:
        from pydantic_monty import AsyncMonty

        pool = AsyncMonty(max_processes=_MOST_WORKERS, checkout_timeout=_WAIT_FOR_WORKER)
        _pool = (here, asyncio.ensure_future(pool.__aenter__()))
    return await asyncio.shield(_pool[1])


_pool: tuple[asyncio.AbstractEventLoop, asyncio.Future[AsyncMonty]] | None = None
_MOST_WORKERS = 64
_MOST_SUSPENSIONS = 1_000_000
_WAIT_FOR_WORKER = 120.0
LONGEST_TRACEBACK = 4000

NO_WORKER = "No sandbox worker became free in time: too many programs run code at once."
