"""`Parallel`: several programs, or one on several examples, at once.

It knows programs and examples, and nothing of metrics.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial, wraps
from typing import Any
from weakref import WeakKeyDictionary

from engine import loop
from engine.modules.batch import answered
from engine.modules.module import Module
from engine.records import Example
from engine.runtime import current


def asyncify(
    program: Callable[..., object], *, max_workers: int | None = None
) -> Callable[..., Awaitable[Any]]:
    """Return a program or a plain function as an async one; settings in force go with the call.

    A function runs in a worker thread, a program on the engine's loop. `max_workers`, or the setting
    `async_max_workers` where that is given, limits the calls that run at once; the others wait.

    >>> import asyncio
    >>> asyncio.run(asyncify(lambda x: x + 1)(2))
    3
    """
    limits: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def call(*args: object, **kwargs: object) -> Any:
        most = current().own.get("async_max_workers") if max_workers is None else max_workers
        if most is None:
            return await _call(program, *args, **kwargs)
        here = asyncio.get_running_loop()
        if here not in limits:
            limits[here] = asyncio.Semaphore(most or 1)
        async with limits[here]:
            return await _call(program, *args, **kwargs)

    return _named_like(program, call)


def syncify(program: Callable[..., object]) -> Any:
    """Return a program, or an async function, as something that is called plainly and waits.

    A program is returned as it is: it can be called plainly even if it defines only `aforward`.

    >>> async def double(x):
    ...     return 2 * x
    >>> syncify(double)(4)
    8
    """
    if isinstance(program, Module) or not inspect.iscoroutinefunction(program):
        return program

    def call(*args: object, **kwargs: object) -> Any:
        return loop.run(program(*args, **kwargs))

    return _named_like(program, call)


async def _call(program: Callable[..., object], *args: object, **kwargs: object) -> object:
    if isinstance(program, Module):
        return await program.acall(*args, **kwargs)
    return await loop.called(program, *args, **kwargs)


def _named_like(program: object, call: Callable[..., object]) -> Callable[..., Any]:
    return wraps(program)(call) if inspect.isroutine(program) else call


class Parallel(Module):
    """Run (program, example) pairs, `num_threads` at a time; the answer to a failed one is None, and is logged.

    A program may also be a function, plain (it runs in a worker thread) or async.

    An example is an Example (of which the inputs are taken; all of it with `access_examples=False`), a dict of
    inputs, or a tuple of positional arguments; a Parallel takes a list of such pairs. With
    `return_failed_examples=True` the result is (answers, failed examples, errors). At `max_errors` failures
    RunError is raised, with the answers so far in `answers`. Nothing runs twice.

    >>> from engine import Predict, context
    >>> from engine.testing import DummyLM
    >>> ask = Predict("question -> answer")
    >>> with context(lm=DummyLM({"one": {"answer": "1"}, "two": {"answer": "2"}})):
    ...     [p.answer for p in Parallel()([(ask, {"question": "one"}), (ask, {"question": "two"})])]
    ['1', '2']
    """

    def __init__(
        self,
        num_threads: int | None = None,
        max_errors: int | None = None,
        access_examples: bool = True,
        return_failed_examples: bool = False,
    ) -> None:
        super().__init__()
        self.num_threads = num_threads
        self.max_errors = max_errors
        self.access_examples = access_examples
        self.return_failed_examples = return_failed_examples

    async def aforward(
        self, exec_pairs: Sequence[tuple[object, object]], num_threads: int | None = None
    ) -> Any:
        """Run all pairs; answers come in the order of the pairs."""
        return await answered(
            [(example, partial(self._run, program, example)) for program, example in exec_pairs],
            num_threads or self.num_threads,
            self.max_errors,
            self.return_failed_examples,
        )

    async def _run(self, program: Any, example: object) -> object:
        if isinstance(example, Example) and self.access_examples:
            example = example.input_values() if example.knows_inputs else example.plain_values()
        if isinstance(example, dict):
            return await _call(program, **example)
        if isinstance(program, Parallel) and isinstance(example, list):
            return await program.acall(example)  # a Parallel inside a Parallel gets its list of pairs
        given = example if isinstance(example, tuple | list) else (example,)
        return await _call(program, *given)
