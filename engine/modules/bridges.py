"""Between plain and async code: `asyncify`, `syncify`.

Every program can be called both ways already (`program(...)`, `await program.acall(...)`); these wrap functions, and serve
code written for DSPy. They know modules and the engine's loop.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from engine import loop
from engine.modules.module import Module


def asyncify(program: Callable[..., Any], *, max_workers: int | None = None) -> Callable[..., Awaitable[Any]]:
    """Return a program or a plain function as an async one; settings in force go with the call.

    A function runs in a worker thread, a program on the engine's loop. With `max_workers` only so many calls run at
    once, the others wait.

    >>> import asyncio
    >>> asyncio.run(asyncify(lambda x: x + 1)(2))
    3
    """
    limits: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def call(*args: Any, **kwargs: Any) -> Any:
        if isinstance(program, Module):
            return await program.acall(*args, **kwargs)
        if inspect.iscoroutinefunction(program):
            return await program(*args, **kwargs)
        return await loop.in_thread(program, *args, **kwargs)

    async def limited(*args: Any, **kwargs: Any) -> Any:
        here = asyncio.get_running_loop()
        if here not in limits:
            limits[here] = asyncio.Semaphore(max_workers or 1)
        async with limits[here]:
            return await call(*args, **kwargs)

    return _named_like(program, call if max_workers is None else limited)


def syncify(program: Callable[..., Any], in_place: bool = True) -> Any:  # noqa: ARG001 - DSPy's argument
    """Return a program, or an async function, as something that is called plainly and waits.

    A program is returned as it is: it can be called plainly even if it defines only `aforward`.

    >>> async def double(x):
    ...     return 2 * x
    >>> syncify(double)(4)
    8
    """
    if isinstance(program, Module) or not inspect.iscoroutinefunction(program):
        return program

    def call(*args: Any, **kwargs: Any) -> Any:
        return loop.run(program(*args, **kwargs))

    return _named_like(program, call)


def _named_like(program: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(program)(call) if inspect.isroutine(program) else call
