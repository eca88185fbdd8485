"""A function as a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine import loop
from engine.errors import ConfigurationError
from engine.modules.module import Module


class FunctionProgram(Module):
    """A function, plain or async, or another callable, as a program: what `Evaluate` makes of one."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    async def aforward(self, *args: object, **kwargs: object) -> Any:
        """Call the function; a plain one runs in a worker thread."""
        return await loop.called(self.function, *args, **kwargs)


def as_program(given: object) -> Any:
    """Return a program as it is, and a function as one. Raises ConfigurationError for what cannot be called.

    >>> type(as_program(len)).__name__
    'FunctionProgram'
    """
    if isinstance(given, Module):
        if not _defines_run(type(given)):
            given.forward()  # says what to define
        return given
    if hasattr(given, "acall"):
        return given
    if not callable(given):
        raise ConfigurationError(f"{given!r} is no program: give a Module, or a function.")
    return FunctionProgram(given)


def _defines_run(kind: type[Module]) -> bool:
    """Return whether a class defines any of the methods that run a program."""
    names = ("__call__", "acall", "forward")
    return kind.aforward is not None or any(getattr(kind, n) is not getattr(Module, n) for n in names)
