"""The engine's event loop: one daemon thread (uvloop where there is one) on which all model calls run.

`run` is the plain-Python door to it, `in_thread` the way off it for code that blocks. It knows nothing
of what it runs.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import functools
import inspect
import itertools
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from engine.errors import ConfigurationError

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=Exception)

_MAX_THREADS = 1024
"""Threads are started when needed and reused; the limit only stops a runaway program."""


class _Process:
    """The loop, its thread and the worker threads of this process, started when they are needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.pool: ThreadPoolExecutor | None = None
        self.refusals = 0


_process = _Process()


class SyncCallOnLoopError(ConfigurationError):
    """A plain call was made on the event loop's own thread, where it would wait for itself."""


def get() -> asyncio.AbstractEventLoop:
    """Return the engine's event loop, started on first use (and again in a forked process)."""
    with _process.lock:
        if _process.loop is None or _process.thread is None or not _process.thread.is_alive():
            _process.loop = _new_loop()
            _process.thread = threading.Thread(
                target=_process.loop.run_forever, name="engine-loop", daemon=True
            )
            _process.thread.start()
        return _process.loop


def on_loop() -> bool:
    """Return whether this code runs on the engine's loop thread."""
    return _process.thread is not None and threading.get_ident() == _process.thread.ident


def refusals() -> int:
    """Return how often a plain call on the loop's thread was refused: a caller may hide the error."""
    return _process.refusals


def run(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine on the engine's loop and wait for its result.

    It sees the caller's context variables. Raises SyncCallOnLoopError on the loop's own thread.
    An interrupt (Ctrl-C) cancels the work.

    >>> async def double(x):
    ...     return 2 * x
    >>> run(double(21))
    42
    """
    try:
        refuse_on_loop()
    except SyncCallOnLoopError:
        work.close()
        raise
    future = submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
    finally:
        del (
            future
        )  # it holds the error, whose frames hold this one: all they hold would wait for the collector


def plainly(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Return an async method as one that waits for its result.

    >>> class Doubler:
    ...     async def adouble(self, x):
    ...         return 2 * x
    ...
    ...     double = plainly(adouble)
    >>> Doubler().double(21)
    42
    """

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        instance, *rest = args
        work: Coroutine[object, object, T] = getattr(instance, method.__name__)(*rest, **kwargs)
        return run(work)

    return call


def refuse_on_loop() -> None:
    """Raise SyncCallOnLoopError on the loop's own thread, where a plain call would wait for itself."""
    if on_loop():
        _process.refusals += 1
        raise SyncCallOnLoopError(
            "A program was called as program(...) inside async code of the engine. Write 'await program.acall(...)' there."
        )


def submit(work: Coroutine[object, object, T]) -> Future[T]:
    """Start a coroutine on the engine's loop, with the caller's context variables."""
    return asyncio.run_coroutine_threadsafe(work, get())


async def here_or_there(work: Coroutine[object, object, T]) -> T:
    """Await a coroutine on the engine's loop, from this loop or from any other."""
    if on_loop():
        return await work
    return await asyncio.wrap_future(submit(work))


async def in_thread(function: Callable[..., T], *args: object, **kwargs: object) -> T:
    """Run blocking code in a worker thread with this task's context variables."""
    if _process.pool is None:
        with _process.lock:
            _process.pool = _process.pool or ThreadPoolExecutor(
                _MAX_THREADS, thread_name_prefix="engine-worker"
            )
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_process.pool, lambda: context.run(function, *args, **kwargs))


async def tried_again(
    call: Callable[[int], Awaitable[T]], kind: type[E], wait: Callable[[E, int], float]
) -> T:
    """Await a call, and again after each error of a kind; both functions get the number of the try, from 1.

    `wait` returns the seconds to wait before the next try; it raises where there is none.
    """
    for number in itertools.count(1):
        try:
            return await call(number)
        except kind as error:
            seconds = wait(error, number)
        await asyncio.sleep(seconds)
    raise AssertionError


async def finished(
    work: Iterable[Coroutine[object, object, T]], at_once: int
) -> AsyncGenerator[asyncio.Task[T], None]:
    """Iterate over tasks as they end; the next is taken from `work` when fewer than `at_once` are under way.

    An error of `work` itself is raised once those under way have ended. They are cancelled where the iteration is
    closed.
    """
    waiting = iter(work)
    running: set[asyncio.Task[T]] = set()
    failure: Exception | None = None
    try:
        while True:
            while len(running) < at_once:
                try:
                    running.add(asyncio.create_task(next(waiting)))
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 - the rest is not known: raised below
                    failure, waiting = error, iter(())
            if not running:
                break
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(
                *done, return_exceptions=True
            )  # what is not asked for its error is no warning
            for task in done:
                yield task
    finally:
        for task in running:
            task.cancel()
    if failure is not None:
        raise failure


async def all_of(work: Iterable[Coroutine[object, object, T]], at_once: int) -> list[T]:
    """Return what some coroutines give, in their order, at most `at_once` under way; where one fails the others are stopped.

    >>> async def double(x):
    ...     return 2 * x
    >>> run(all_of(map(double, [1, 2, 3]), 2))
    [2, 4, 6]
    """
    results: dict[int, T] = {}

    async def placed(place: int, one: Coroutine[object, object, T]) -> None:
        results[place] = await one

    async with contextlib.aclosing(finished(itertools.starmap(placed, enumerate(work)), at_once)) as tasks:
        async for task in tasks:
            task.result()
    return [results[place] for place in range(len(results))]


async def called(function: Callable[..., object], *args: object, **kwargs: object) -> Any:
    """Call a function, an async one here and any other in a worker thread, and return what it comes to."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    result = await in_thread(function, *args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@atexit.register
def _stop_at_exit() -> None:
    """End the loop's thread before the interpreter goes: one that still runs then can crash the process."""
    if _process.loop is not None and _process.thread is not None:
        _process.loop.call_soon_threadsafe(_process.loop.stop)
        _process.thread.join(1.0)


if hasattr(os, "register_at_fork"):
    # No thread lives on in a forked process, and its lock may be taken.
    os.register_at_fork(after_in_child=_process.__init__)  # type: ignore[misc]  # as good as new
