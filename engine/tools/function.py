"""`Tool`: a plain function that a model may call.

The schema comes from hints and docstring; arguments are checked; a call has a time limit. It knows nothing of prompts:
modules write tools into them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from engine import loop
from engine.callbacks import watched
from engine.errors import ConfigurationError, EngineError, ToolError, ToolTimeoutError
from engine.records import json_value
from engine.tools.arguments import Arguments, inlined
from engine.types.tool import ToolForm

TIMEOUT = 30.0
"""Seconds a tool may take unless it says otherwise."""


class Tool(ToolForm):
    """A function with a name, a description and checked arguments.

    `name`, `desc`, `args` (argument -> JSON schema), `arg_types` and `arg_desc` override what the function says of
    itself. `timeout` is in seconds (None: no limit). Called plainly it waits; in async code `await tool.acall(...)`.
    Raises ToolArgumentsError, ToolTimeoutError, or ToolError when the function raises.

    >>> def price(item: str, count: int = 1) -> float:
    ...     "Return what some items cost."
    ...     return 2.5 * count
    >>> tool = Tool(price)
    >>> tool.name, tool.desc, tool(item="tea", count="2")
    ('price', 'Return what some items cost.', 5.0)
    """

    def __init__(
        self,
        func: Callable[..., Any],
        name: str | None = None,
        desc: str | None = None,
        args: Mapping[str, Any] | None = None,
        arg_types: Mapping[str, Any] | None = None,
        arg_desc: Mapping[str, str] | None = None,
        *,
        timeout: float | None = TIMEOUT,
    ) -> None:
        self.func = func
        self.name = name or _name(func)
        self.desc = desc if desc is not None else (inspect.getdoc(func) or "").strip()
        self.timeout = timeout
        self._arguments = Arguments.of(func, arg_types)
        if args is not None:
            self._arguments = self._arguments.with_schema(args)
        for argument, text in (arg_desc or {}).items():
            self._arguments.schema.setdefault(argument, {})["description"] = text
        self._awaits = inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
            getattr(func, "__call__", None)  # noqa: B004 - an object whose call is a coroutine
        )

    @classmethod
    def with_schema(
        cls,
        func: Callable[..., Any],
        name: str,
        desc: str,
        schema: Mapping[str, Any],
        timeout: float | None = TIMEOUT,
    ) -> Tool:
        """Return a tool whose arguments a JSON schema of an object describes; their types are the other side's to check."""
        made = cls(func, name, desc, timeout=timeout)
        open_ended = bool(schema.get("additionalProperties"))
        made._arguments = Arguments(inlined(schema), tuple(schema.get("required", ())), takes_any=open_ended)
        return made

    @property
    def args(self) -> dict[str, dict[str, Any]]:
        """Argument -> JSON schema."""
        return self._arguments.schema

    @property
    def arg_types(self) -> dict[str, Any]:
        """Argument -> the type it is read as."""
        return self._arguments.types

    @property
    def required(self) -> tuple[str, ...]:
        """Arguments without a default."""
        return self._arguments.required

    def described(self, desc: str) -> Tool:
        """Return a copy with another description."""
        made = self.__deepcopy__({})
        made.desc = desc
        return made

    def __call__(self, **kwargs: Any) -> Any:
        """Call the tool and wait for its result."""
        return loop.run(self.acall(**kwargs))

    async def acall(self, **kwargs: Any) -> Any:
        """Call the tool in async code; a plain function runs in a worker thread."""
        return await watched("tool", self, kwargs, self._called(kwargs))

    async def _called(self, kwargs: dict[str, Any]) -> Any:
        given = self._arguments.read(self.name, kwargs)
        first = [given.pop(name) for name in self._arguments.by_position if name in given]
        work = self.func(*first, **given) if self._awaits else loop.in_thread(self.func, *first, **given)
        try:
            result = await asyncio.wait_for(work, self.timeout)
            return await asyncio.wait_for(result, self.timeout) if inspect.isawaitable(result) else result
        except TimeoutError as error:
            raise ToolTimeoutError(
                f"The tool {self.name!r} gave no result within {self.timeout:g} seconds."
            ) from error
        except EngineError:
            raise
        except Exception as error:
            raise ToolError(f"The tool {self.name!r} failed: {type(error).__name__}: {error}") from error

    @classmethod
    def made_of(cls, value: Any) -> Tool:
        """Return a tool of a tool, a function, or a saved description; the last cannot be called. Raises ValueError."""
        if isinstance(value, Tool):
            return value
        if callable(value):
            return cls(value)
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise ValueError(f"A tool cannot be made of {type(value).__name__}.")
        name, args = value["name"], value.get("args") or {}
        schema = {"properties": args, "required": value.get("required", list(args))}
        return cls.with_schema(_only_described(name), name, str(value.get("desc") or ""), schema)

    @classmethod
    def from_mcp_tool(
        cls, session: Any, tool: Any, result_mode: str = "text", timeout: float | None = TIMEOUT
    ) -> Tool:
        """Return one tool of an open MCP session (`result_mode`: "text" or "structured")."""

        async def call(**given: Any) -> Any:
            answer = await loop.here_or_there(session.call_tool(tool.name, given))
            text = "\n".join(_text(part) for part in answer.content)
            if _either(answer, "is_error", "isError"):
                raise ToolError(f"The tool {tool.name!r} failed: {text}")
            structured = _either(answer, "structured_content", "structuredContent")
            return structured if result_mode == "structured" and structured is not None else text

        schema = _either(tool, "input_schema", "inputSchema") or {}
        return cls.with_schema(call, tool.name, tool.description or "", schema, timeout)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tool:
        # The function stays the same object: it may hold a session or a connection.
        made = type(self).__new__(type(self))
        made.__dict__.update(vars(self))
        return made

    def __repr__(self) -> str:
        return f"Tool({self.name})"


def as_tool(given: Any) -> Tool:
    """Return a tool as it is, or a function as one. Raises ConfigurationError for anything else."""
    if isinstance(given, Tool):
        return given
    if callable(given):
        return Tool(given)
    raise ConfigurationError(f"{given!r} cannot be a tool. Give a function or an engine.Tool.")


def shown(value: Any, limit: int) -> str:
    """Return a tool's result as text for a prompt; of a long one its head and its tail.

    >>> shown({"a": 1}, 100), shown("x" * 50, 10)
    ('{"a":1}', 'xxxxx\\n... (40 of 50 characters left out) ...\\nxxxxx')
    """
    text = value if isinstance(value, str) else _json(value)
    if len(text) <= limit:
        return text
    half = limit // 2
    return (
        f"{text[:half]}\n... ({len(text) - 2 * half} of {len(text)} characters left out) ...\n{text[-half:]}"
    )


def _json(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    try:
        return orjson.dumps(json_value(value)).decode()
    except (TypeError, ValueError, RecursionError):
        return str(value)


def _only_described(name: str) -> Callable[..., Any]:
    def refuse(**_arguments: Any) -> Any:
        raise ToolError(
            f"The tool {name!r} came out of a file, without its function: give the program the tool itself."
        )

    return refuse


def _name(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", None) or type(func).__name__
    return name if name.isidentifier() else type(func).__name__


def _text(part: Any) -> str:
    """Return one part of an MCP tool's answer as text."""
    text = getattr(part, "text", None)
    return text if isinstance(text, str) else f"({getattr(part, 'type', 'other')} content)"


def _either(holder: Any, name: str, older: str) -> Any:
    found = getattr(holder, name, None)
    return getattr(holder, older, None) if found is None else found
