"""Shared by every Python sandbox: an execution's result, the host's functions, and how they are called.

A sandbox keeps its variables from one execution to the next, answers calls of host functions by name, and ends at
SUBMIT. It knows no particular interpreter: `interpreter` and `pyodide` are two.
"""

from __future__ import annotations

import asyncio
import datetime
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

from engine import loop
from engine.callbacks import observed, watched
from engine.errors import EngineError, SandboxError, ToolArgumentsError, ToolError
from engine.records import json_value
from engine.tools.function import Tool, shown

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


class Sandbox(ABC):
    """Base of sandboxes. Subclasses define `_run`; `dialect` tells a model what their Python has and lacks.

    Callbacks hear of every execution, and of the start and end of what runs it (`on_interpreter_execute_start` and so on).
    """

    dialect: ClassVar[str] = ""

    def __init__(
        self,
        tools: Sequence[Any] | Mapping[str, Any] | None = None,
        output_fields: Sequence[Any] | None = None,
        *,
        output_limit: int = OUTPUT_LIMIT,
        call_limit: int = CALL_LIMIT,
        callbacks: Sequence[Any] | None = None,
    ) -> None:
        self.tools = _by_name(tools)
        self.output_fields = tuple(
            f["name"] if isinstance(f, Mapping) else str(f) for f in output_fields or ()
        )
        self.output_limit = output_limit
        self.call_limit = call_limit
        self.callbacks: Sequence[Any] = list(callbacks or ())
        self._busy = asyncio.Lock()

    def execute(self, code: str, variables: Mapping[str, object] | None = None) -> Any:
        """Run code and wait: the value of its last expression, else what it printed; a FinalOutput after SUBMIT."""
        done = loop.run(self.arun(code, variables))
        if done.submitted is not None:
            return FinalOutput(done.submitted)
        return done.value if done.value is not None else done.text(self.output_limit)

    __call__ = execute

    async def arun(self, code: str, variables: Mapping[str, object] | None = None) -> Execution:
        """Run code in async code. `variables` are set before it starts; values without a form there come as JSON."""
        given = {name: sandboxed(value) for name, value in (variables or {}).items()}
        work = self._locked(code, given)
        inputs = {"code": code, "variables": given}
        return await loop.here_or_there(watched("interpreter_execute", self, inputs, work))

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


class HostCalls:
    """One execution's calls of host functions: at most `call_limit`, and what was submitted."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._made = 0
        self.submitted: Mapping[str, Any] | None = None

    async def answer(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function of the host's. Raises what it raises: NameError, TypeError, ValueError or RuntimeError are
        for the code to see; SandboxError ends the execution, and so does what is not the code's affair.
        """
        self._made += 1
        if self._made > self._sandbox.call_limit:
            raise SandboxError(f"The code called functions more than {self._sandbox.call_limit} times.")
        tool = self._sandbox.tools.get(name)
        if tool is None:
            raise NameError(f"name {name!r} is not defined")
        if len(args) > len(tool.args):
            raise TypeError(f"{name} takes {len(tool.args)} arguments, {len(args)} were given")
        given = {**dict(zip(tool.args, args, strict=False)), **kwargs}
        try:
            with observed(
                "interpreter_tool_call", self._sandbox, {"tool_name": name, "args": (), "kwargs": given}
            ) as note:
                return sandboxed(note(await tool.acall(**given)))
        except ToolArgumentsError as error:
            raise ValueError(str(error)) from None
        except (ToolError, SandboxError) as error:
            raise RuntimeError(str(error)) from None
        except EngineError:
            raise  # a spent budget or a model that is gone is not the code's affair

    def submit(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Take what the code hands to SUBMIT, by the names of the output fields where there are any."""
        names = self._sandbox.output_fields
        only = args[0] if len(args) == 1 and not kwargs else None
        if isinstance(only, Mapping) and (not names or set(only) <= set(names)):
            self.submitted = MappingProxyType({str(k): v for k, v in only.items()})
            return
        if not names:
            names = ("output",) if len(args) == 1 else tuple(f"output_{i}" for i in range(1, len(args) + 1))
        self.submitted = MappingProxyType({**dict(zip(names, args, strict=False)), **kwargs})


SEEN_BY_CODE = (NameError, TypeError, ValueError, RuntimeError)
"""Errors of a host function that the code may catch."""


def dialect_of(factory: object, default: str) -> str:
    """Return what the sandboxes that a factory makes can run, in words for a prompt."""
    return str(getattr(getattr(factory, "func", factory), "dialect", "") or default)


def sandboxed(value: object) -> Any:
    """Return a value in a form that a sandbox has: plain data as it is, anything else as JSON values."""
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


_PLAIN = frozenset(
    {str, bool, int, float, type(None), bytes, datetime.date, datetime.datetime, datetime.timedelta}
)
