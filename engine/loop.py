"""The engine's event loop: one daemon thread (uvloop where there is one) on which all model calls run.

`run` is the plain-Python door to it, `in_thread` the way off it for code that blocks. It knows nothing
of what it runs.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from engine.errors import ConfigurationError

T = TypeVar("T")

_MAX_THREADS = 1024
"""Threads are started when needed and reused; the limit only stops a runaway program."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_pool: ThreadPoolExecutor | None = None

refusals = 0
"""How often a plain call on the loop's thread was refused; read by code that must notice a hidden refusal."""


class SyncCallOnLoopError(ConfigurationError):
    """A plain call was made on the event loop's own thread, where it would wait for itself."""


def get() -> asyncio.AbstractEventLoop:
    """Return the engine's event loop, started on first use (and again in a forked process)."""
    global _loop, _thread
    if _thread is not None and _thread.is_alive() and _loop is not None:
        return _loop
    with _lock:
        if _thread is None or not _thread.is_alive():
            _loop = _new_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="engine-loop", daemon=True)
            _thread.start()
    return _loop if _loop is not None else get()


def on_loop() -> bool:
    """Whether this code runs on the engine's loop thread."""
    return _thread is not None and threading.get_ident() == _thread.ident


def run(work: Coroutine[Any, Any, T]) -> T:
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


def refuse_on_loop() -> None:
    """Raise SyncCallOnLoopError on the loop's own thread, where a plain call would wait for itself."""
    global refusals
    if on_loop():
        refusals += 1
        raise SyncCallOnLoopError(
            "A program was called as program(...) inside async code of the engine. Write 'await program.acall(...)' there."
        )


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the engine's loop, with the caller's context variables."""
    return asyncio.run_coroutine_threadsafe(work, get())


async def here_or_there(work: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on the engine's loop, from this loop or from any other."""
    if on_loop():
        return await work
    return await asyncio.wrap_future(submit(work))


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run blocking code in a worker thread with this task's context variables."""
    global _pool
    if _pool is None:
        with _lock:
            _pool = _pool or ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="engine-worker")
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_pool, lambda: context.run(function, *args, **kwargs))


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _forget() -> None:
    """In a forked process no thread lives on: start anew when needed."""
    global _loop, _thread, _pool, _lock
    _loop, _thread, _pool, _lock = None, None, None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
