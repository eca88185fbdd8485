"""Programs written for DSPy: a class that overrides `__call__` or `acall` in place of `forward`.

An override runs however the program is called, once: async code runs an overridden `__call__` in a worker thread, and a
plain call an overridden `acall`. What either reaches by super() is the other one, or the program's `forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from engine import loop
from engine.modules.module import Module
from engine.modules.predict import Predict

Call = Callable[..., Any]
AsyncCall = Callable[..., Coroutine[Any, Any, Any]]

_extended: set[Call] = set()
"""The methods of the engine's classes: a class with others overrides them."""

_running: ContextVar[tuple[Module | None, str]] = ContextVar("engine_compat_running", default=(None, ""))
"""The program whose `__call__` or `acall` runs, and the one of the two that was called first."""


def install() -> None:
    """Have overrides of `__call__` and `acall` run, whichever of the two is called."""
    for cls in (Module, Predict):
        plain, awaited = vars(cls)["__call__"], vars(cls)["acall"]
        for name, method in (("__call__", _call_over(plain, awaited)), ("acall", _acall_over(awaited))):
            method.__name__, method.__doc__ = name, vars(cls)[name].__doc__
            _extended.add(method)
            setattr(cls, name, method)


def _call_over(below: Call, awaited: AsyncCall) -> Call:
    """Return the `__call__` of Module or Predict, which a subclass's one reaches by super()."""

    def call(self: Module, *args: object, **kwargs: object) -> Any:
        if not (_overrides(self, "__call__") or _overrides(self, "acall")):
            return below(self, *args, **kwargs)
        if self._plain:
            with _run_as(None, ""):
                return below(self, *args, **kwargs)
        if _running.get() == (self, "acall"):
            with _run_as(None, ""):
                return loop.run(awaited(self, *args, **kwargs))
        with _run_as(self, "__call__"):
            return below(self, *args, **kwargs)

    return call


def _acall_over(below: AsyncCall) -> AsyncCall:
    """Return the `acall` of Module or Predict, which runs a subclass's `__call__`."""

    async def acall(self: Module, *args: object, **kwargs: object) -> Any:
        if _overrides(self, "__call__") and _running.get() != (self, "__call__"):
            with _run_as(self, "acall"):
                return await loop.in_thread(self.__call__, *args, **kwargs)
        if _running.get()[0] is None:
            return await below(self, *args, **kwargs)
        with _run_as(None, ""):
            return await below(self, *args, **kwargs)

    return acall


def _overrides(program: Module, name: str) -> bool:
    return getattr(type(program), name) not in _extended


@contextmanager
def _run_as(program: Module | None, name: str) -> Iterator[None]:
    token = _running.set((program, name))
    try:
        yield
    finally:
        _running.reset(token)
