"""`PythonInterpreter`: Python that a model wrote, run where it can do no harm.

The sandbox is pydantic-monty: an interpreter of its own in worker processes, without files, network, environment or
other processes, and here always with limits on time, memory, output and calls to the host. Between executions an
interpreter holds no worker: its variables are kept as a dump. It knows nothing of models or prompts; what it can and
cannot run is told in `DIALECT`, for prompts.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from engine import loop
from engine.errors import (
    EngineError,
    SandboxError,
    SandboxMemoryError,
    SandboxTimeoutError,
    ToolArgumentsError,
    ToolError,
)
from engine.records import json_value
from engine.tools.function import Tool, shown

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty

TIME_LIMIT = 10.0
MEMORY_LIMIT = 256 * 2**20
OUTPUT_LIMIT = 100_000
CALL_LIMIT = 1000
SUBMIT = "SUBMIT"


@dataclass(frozen=True, slots=True)
class Execution:
    """What code came to: the value of its last expression, what it printed, and what it handed to SUBMIT, if it did."""

    value: Any = None
    printed: str = ""
    submitted: Mapping[str, Any] | None = None

    def text(self, limit: int = OUTPUT_LIMIT) -> str:
        """Return what a model should see of it, at most about `limit` characters."""
        parts = [self.printed.rstrip()] if self.printed.strip() else []
        if self.value is not None:
            parts.append(shown(self.value, limit))
        return shown("\n".join(parts), limit) if parts else "(no output)"


@dataclass(frozen=True, slots=True)
class FinalOutput:
    """What code handed to SUBMIT: `output` by name."""

    output: Mapping[str, Any]


class PythonInterpreter:
    """A sandbox for Python. Variables and functions live on from one execution to the next.

    `tools` are host functions, callable in the sandbox by name (a name that Python has itself, such as abs, stays Python's). `time_limit` is in seconds of the sandbox's own work,
    `memory_limit` in bytes, `output_limit` in characters printed, `call_limit` in calls of host functions for each
    execution. Randomness starts from `seed`, and sleeping is refused, so the same code gives the same result.
    Raises SandboxError with the traceback, SandboxTimeoutError or SandboxMemoryError; the process is unharmed.

    >>> python = PythonInterpreter(tools={"vat": lambda net: net * 1.2})
    >>> python("total = sum(range(5))"), python("print(total)"), python("vat(net=total)")
    ('(no output)', '10', 12.0)
    """

    def __init__(
        self,
        tools: Sequence[Any] | Mapping[str, Any] | None = None,
        output_fields: Sequence[Any] | None = None,
        *,
        time_limit: float = TIME_LIMIT,
        memory_limit: int = MEMORY_LIMIT,
        output_limit: int = OUTPUT_LIMIT,
        call_limit: int = CALL_LIMIT,
        seed: int = 0,
    ) -> None:
        self.tools = _by_name(tools)
        self.output_fields = tuple(
            f["name"] if isinstance(f, Mapping) else str(f) for f in output_fields or ()
        )
        self.time_limit = time_limit
        self.output_limit = output_limit
        self.call_limit = call_limit
        self._limits: dict[str, Any] = {
            "max_feed_duration_secs": time_limit,
            "max_memory": memory_limit,
            "max_suspensions": _MOST_SUSPENSIONS,
            "max_total_sleep_secs": 0.0,
        }
        self._policy: dict[str, Any] = {"random_start": {"seed": seed}}
        self._state: bytes | None = None
        self._busy = asyncio.Lock()

    def execute(self, code: str, variables: Mapping[str, Any] | None = None) -> Any:
        """Run code and wait: the value of its last expression, else what it printed; a FinalOutput after SUBMIT."""
        done = loop.run(self.arun(code, variables))
        if done.submitted is not None:
            return FinalOutput(done.submitted)
        return done.value if done.value is not None else done.text(self.output_limit)

    __call__ = execute

    async def arun(self, code: str, variables: Mapping[str, Any] | None = None) -> Execution:
        """Run code in async code. `variables` are set before it starts; values without a form there come as JSON."""
        work = self._run(code, {name: sandboxed(value) for name, value in (variables or {}).items()})
        return await loop.here_or_there(work)

    def start(self) -> None:
        """Do nothing: workers start when they are needed."""

    def shutdown(self) -> None:
        """Forget all variables."""
        self._state = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    async def _run(self, code: str, variables: dict[str, Any]) -> Execution:
        from pydantic_monty import MontyConversionError, MontyCrashedError, MontyError

        async with self._busy:
            feed = _Feed(self)
            try:
                pool = await _the_pool()
                async with pool.checkout(limits=self._limits, os_policy=self._policy) as session:  # type: ignore[arg-type]  # plain dicts of their keys
                    if self._state is not None:
                        await session.load_session(self._state)
                    try:
                        value = await feed.drive(session, code, variables)
                    except MontyError as error:
                        failure = _failure(error, self.time_limit)
                        if type(failure) is SandboxError and not isinstance(
                            error, MontyConversionError | MontyCrashedError
                        ):
                            self._state = await session.dump()  # what ran before the mistake stands
                        raise failure from None
                    if feed.submitted is None:
                        self._state = await session.dump()
            except MontyError as error:
                raise _failure(error, self.time_limit) from None
            except TimeoutError:
                raise SandboxError(NO_WORKER) from None
        return Execution(value, "".join(feed.printed), feed.submitted)


class _Feed:
    """One execution under way: what was printed and submitted, and the host's side of calls."""

    def __init__(self, interpreter: PythonInterpreter) -> None:
        self.interpreter = interpreter
        self.printed: list[str] = []
        self.submitted: Mapping[str, Any] | None = None
        self._room = interpreter.output_limit
        self._calls = 0
        self._step: asyncio.Future[Any] | None = None

    def print(self, _stream: str, text: str) -> None:
        """Take what the code prints; called from a thread of the sandbox's."""
        if self._room < 0:
            return
        self.printed.append(text[: self._room])
        self._room -= len(text)
        if self._room < 0 and self._step is not None:
            # An error raised here would only be seen at the time limit: the step is given up instead.
            self._step.get_loop().call_soon_threadsafe(self._step.cancel)

    async def _until_stop(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await one stretch of sandboxed work, up to its next call of the host."""
        self._step = asyncio.ensure_future(work)
        try:
            return await self._step
        except asyncio.CancelledError:
            if self._room < 0:
                raise SandboxError(
                    f"More than {self.interpreter.output_limit} characters were printed."
                ) from None
            raise

    async def drive(self, session: Any, code: str, variables: dict[str, Any]) -> Any:
        """Run code, answering its calls of host functions, until it ends or submits."""
        from pydantic_monty import AsyncFunctionSnapshot, AsyncNameLookupSnapshot, MontyComplete

        at = await self._until_stop(session.feed_start(code, inputs=variables, print_callback=self.print))
        while not isinstance(at, MontyComplete):
            if isinstance(at, AsyncNameLookupSnapshot):
                tool = self.interpreter.tools.get(at.variable_name)
                given = {} if tool is None else {"value": _named(at.variable_name)}
                at = await self._until_stop(at.resume(**given))
            elif not isinstance(at, AsyncFunctionSnapshot):
                raise SandboxError(
                    "Waiting for several things at once is not possible here: call one after the other."
                )
            elif at.is_os_function:
                at = await self._until_stop(at.resume_not_handled())
            elif at.function_name == SUBMIT:
                self.submitted = self._submission(at.args, at.kwargs)
                return None
            else:
                answer = await self._called(str(at.function_name), at.args, at.kwargs)
                at = await self._until_stop(at.resume(answer))
        return at.output

    async def _called(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._calls += 1
        if self._calls > self.interpreter.call_limit:
            raise SandboxError(f"The code called functions more than {self.interpreter.call_limit} times.")
        tool = self.interpreter.tools.get(name)
        if tool is None:
            return {"exception": NameError(f"name {name!r} is not defined")}
        if len(args) > len(tool.args):
            return {
                "exception": TypeError(f"{name} takes {len(tool.args)} arguments, {len(args)} were given")
            }
        try:
            return {
                "return_value": sandboxed(
                    await tool.acall(**dict(zip(tool.args, args, strict=False)), **kwargs)
                )
            }
        except ToolArgumentsError as error:
            return {"exception": ValueError(str(error))}
        except (ToolError, SandboxError) as error:
            return {"exception": RuntimeError(str(error))}
        except EngineError:
            raise  # a spent budget or a model that is gone is not the code's affair

    def _submission(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        names = self.interpreter.output_fields
        if (
            len(args) == 1
            and not kwargs
            and isinstance(args[0], Mapping)
            and (not names or set(args[0]) <= set(names))
        ):
            return MappingProxyType({str(k): v for k, v in args[0].items()})
        names = (
            names or tuple(f"output_{i}" for i in range(1, len(args) + 1))
            if len(args) != 1
            else names or ("output",)
        )
        return MappingProxyType({**dict(zip(names, args, strict=False)), **kwargs})


def sandboxed(value: Any) -> Any:
    """Return a value in a form that the sandbox has: plain data as it is, anything else as JSON values."""
    if type(value) in _PLAIN:
        return value
    if type(value) is dict:
        return {k if type(k) in _PLAIN else str(k): sandboxed(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [sandboxed(item) for item in value]
    return json_value(value)


def _by_name(tools: Sequence[Any] | Mapping[str, Any] | None) -> dict[str, Tool]:
    if isinstance(tools, Mapping):
        return {
            str(name): tool if isinstance(tool, Tool) else Tool(tool, str(name))
            for name, tool in tools.items()
        }
    made = (tool if isinstance(tool, Tool) else Tool(tool) for tool in tools or ())
    return {tool.name: tool for tool in made}


def _named(name: str) -> Callable[..., Any]:
    """Return a function that carries a name into the sandbox; calls of it come back by that name."""

    def host(*_args: Any, **_kwargs: Any) -> None: ...

    host.__name__ = host.__qualname__ = name
    return host


def _failure(error: Any, time_limit: float) -> SandboxError:
    text = str(error)
    if "time limit exceeded" in text or getattr(error, "timed_out", False):
        return SandboxTimeoutError(f"The code ran longer than the {time_limit:g} seconds it may take.")
    if "memory limit exceeded" in text:
        return SandboxMemoryError("The code needed more memory than it may use.")
    if "sleep limit exceeded" in text:
        return SandboxError("The code tried to sleep, which the sandbox does not allow.")
    display = getattr(error, "display", None)
    return SandboxError(shown(display() if display else text, _LONGEST_TRACEBACK))


async def _the_pool() -> AsyncMonty:
    """Return the process's pool of workers, started on first use (and anew for another event loop)."""
    global _pool
    here = asyncio.get_running_loop()
    if _pool is None or _pool[0] is not here:
        try:
            from pydantic_monty import AsyncMonty
        except ImportError as error:
            raise SandboxError(
                "The sandbox is not installed. Install it with: pip install pydantic-monty"
            ) from error
        pool = AsyncMonty(max_processes=_MOST_WORKERS, checkout_timeout=_WAIT_FOR_WORKER)
        _pool = (here, asyncio.ensure_future(pool.__aenter__()))
    return await asyncio.shield(_pool[1])


_pool: tuple[asyncio.AbstractEventLoop, asyncio.Future[AsyncMonty]] | None = None
_MOST_WORKERS = 64
_MOST_SUSPENSIONS = 1_000_000
_WAIT_FOR_WORKER = 120.0
_LONGEST_TRACEBACK = 4000
_PLAIN = frozenset(
    {str, bool, int, float, type(None), bytes, datetime.date, datetime.datetime, datetime.timedelta}
)

NO_WORKER = "No sandbox worker became free in time: too many programs run code at once."
DIALECT = """\
The code runs in a small sandboxed Python: functions, lambdas, plain classes, dataclasses, comprehensions, try/except, \
match, f-strings; modules json, re, math, datetime, decimal, random, collections, itertools, functools, bisect, csv, \
hashlib, base64. It has no class inheritance, no yield, no properties, no `del`, no files, no network, no input(), and \
no other packages (no numpy, no pandas). Print what you want to see."""
