"""`PythonInterpreter`: Python that a model wrote, run where it can do no harm.

The sandbox is pydantic-monty: a separate interpreter in worker processes, without files, network, environment or
other processes, and here always with limits on time, memory, output and calls to the host. Between executions an
interpreter holds no worker: its variables are kept as a dump. It knows nothing of models or prompts; what it can and
cannot run is described in `DIALECT`, for prompts.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from engine.callbacks import observed
from engine.errors import SandboxError, SandboxMemoryError, SandboxTimeoutError
from engine.tools.function import shown
from engine.tools.sandbox import (
    CALL_LIMIT,
    OUTPUT_LIMIT,
    SEEN_BY_CODE,
    SUBMIT,
    Execution,
    FinalOutput,
    HostCalls,
    Sandbox,
    sandboxed,
)

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty

__all__ = ["DIALECT", "Execution", "FinalOutput", "PythonInterpreter", "sandboxed"]

TIME_LIMIT = 10.0
MEMORY_LIMIT = 256 * 2**20
DIALECT = """\
The code runs in a small sandboxed Python: functions, lambdas, plain classes, dataclasses, comprehensions, try/except, \
match, f-strings; modules json, re, math, datetime, decimal, random, collections, itertools, functools, bisect, csv, \
hashlib, base64. It has no class inheritance, no yield, no properties, no `del`, no files, no network, no input(), and \
no other packages (no numpy, no pandas). Print what you want to see."""


class PythonInterpreter(Sandbox):
    """A sandbox for Python. Variables and functions live on from one execution to the next.

    `tools` are host functions, callable in the sandbox by name (a name that Python has itself, such as abs, stays
    Python's). `time_limit` is in seconds of the sandbox's own work, `memory_limit` in bytes, `output_limit` in characters
    printed, `call_limit` in calls of host functions for each execution. Randomness starts from `seed`, and sleeping is
    refused, so the same code gives the same result. Raises SandboxError with the traceback, SandboxTimeoutError or
    SandboxMemoryError; the process is unharmed.

    >>> python = PythonInterpreter(tools={"vat": lambda net: net * 1.2})
    >>> python("total = sum(range(5))"), python("print(total)"), python("vat(net=total)")
    ('(no output)', '10', 12.0)
    """

    dialect = DIALECT

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
        callbacks: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(
            tools, output_fields, output_limit=output_limit, call_limit=call_limit, callbacks=callbacks
        )
        self.time_limit = time_limit
        self._limits: dict[str, Any] = {
            "max_feed_duration_secs": time_limit,
            "max_memory": memory_limit,
            "max_suspensions": _MOST_SUSPENSIONS,
            "max_total_sleep_secs": 0.0,
        }
        self._policy: dict[str, Any] = {"random_start": {"seed": seed}}
        self._state: bytes | None = None

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
                    failure = _failure(error, self.time_limit)
                    if type(failure) is SandboxError and not isinstance(
                        error, MontyConversionError | MontyCrashedError
                    ):
                        self._state = await session.dump()  # the state before the mistake is kept
                    raise failure from None
                if feed.calls.submitted is None:
                    self._state = await session.dump()
        except MontyError as error:
            raise _failure(error, self.time_limit) from None
        except TimeoutError:
            raise SandboxError(NO_WORKER) from None
        return Execution(value, "".join(feed.printed), feed.calls.submitted)

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[Any]:
        """Take a worker with the variables so far, and give it back."""
        with observed("interpreter_startup", self, {}):
            pool = await _the_pool()
            taken = pool.checkout(limits=self._limits, os_policy=self._policy)  # type: ignore[arg-type]  # plain dicts of their keys
            session = await taken.__aenter__()
        try:
            if self._state is not None:
                await session.load_session(self._state)
            yield session
        finally:
            with observed("interpreter_shutdown", self, {}):
                await taken.__aexit__(*sys.exc_info())


class _Feed:
    """One execution under way: what was printed and submitted, and the host's side of calls."""

    def __init__(self, interpreter: PythonInterpreter) -> None:
        self.interpreter = interpreter
        self.calls = HostCalls(interpreter)
        self.printed: list[str] = []
        self._room = interpreter.output_limit
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

    async def _until_stop(self, work: Coroutine[object, object, object]) -> Any:
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
                self.calls.submit(at.args, at.kwargs)
                return None
            else:
                answer = await self._called(str(at.function_name), at.args, at.kwargs)
                at = await self._until_stop(at.resume(answer))
        return at.output

    async def _called(self, name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Any:
        try:
            return {"return_value": await self.calls.answer(name, args, kwargs)}
        except SEEN_BY_CODE as error:
            return {"exception": error}


def _named(name: str) -> Callable[..., Any]:
    """Return a function that carries a name into the sandbox; calls of it come back by that name."""

    def host(*_args: object, **_kwargs: object) -> None: ...

    host.__name__ = host.__qualname__ = name
    return host


def _failure(error: object, time_limit: float) -> SandboxError:
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
    """Return the process's pool of workers, started on first use (and again for another event loop)."""
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

NO_WORKER = "No sandbox worker became free in time: too many programs run code at once."
