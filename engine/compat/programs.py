"""Programs written for DSPy: a class that overrides `__call__` or `acall` in place of `forward`.

As in DSPy a plain call runs `__call__`, and async code `acall`. Async code runs an overridden `__call__` in a
worker thread where the class has no `acall`; a plain call does so the other way round where it has no `forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from engine import loop
from engine.modules.module import Module
from engine.modules.predict import Predict

Call = Callable[..., Any]
AsyncCall = Callable[..., Coroutine[Any, Any, Any]]

_extended: set[Call] = set()
"""The methods of the engine's classes: a class with others overrides them."""


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
        if _overrides(self, "__call__") and not self._plain:
            return loop.run(awaited(self, *args, **kwargs))  # else it would come back to the class's own
        return below(self, *args, **kwargs)

    return call


def _acall_over(below: AsyncCall) -> AsyncCall:
    """Return the `acall` of Module or Predict, which runs a subclass's `__call__`."""

    async def acall(self: Module, *args: object, **kwargs: object) -> Any:
        if _overrides(self, "__call__") and not _overrides(self, "acall"):
            return await loop.in_thread(self.__call__, *args, **kwargs)
        return await below(self, *args, **kwargs)

    return acall


def _overrides(program: Module, name: str) -> bool:
    return getattr(type(program), name) not in _extended
