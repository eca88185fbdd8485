"""`Tool`: a plain function that a model may call.

The schema comes from hints and docstring; arguments are checked; a call has a time limit. It knows nothing of prompts:
modules write tools into them.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, create_model

from engine import loop
from engine.basics.data import JsonObject, Values
from engine.basics.text import shortened
from engine.callbacks import watched
from engine.errors import ConfigurationError, EngineError, ToolArgumentsError, ToolError, ToolTimeoutError
from engine.records import json_value
from engine.signature.types.tool import ToolForm

_DOC_LINE = re.compile(r"^\s*(?::param\s+)?(\w+)\s*(?:\([^)]*\))?\s*:\s*(\S.*)$")
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def written_out(part: object, document: Values, deepest: int = 3) -> Any:
    """Return a part of a JSON schema (or an OpenAPI document) with its references written out and without titles.

    A type that holds itself is written out `deepest` times and then left open. Raises ConfigurationError for types that
    refer to each other in too many ways.

    >>> written_out({"$ref": "#/$defs/P"}, {"$defs": {"P": {"type": "string", "title": "P"}}})
    {'type': 'string'}
    """
    left = _MOST_PARTS

    def written(part: object, deepest: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConfigurationError("The types of this schema refer to each other in too many ways.")
        if isinstance(part, list):
            return [written(one, deepest) for one in part]
        if not isinstance(part, Mapping):
            return part
        if isinstance(part.get("$ref"), str):
            siblings = {k: v for k, v in part.items() if k != "$ref"}
            inside = {**_target(part["$ref"], document), **siblings}
            return written(inside, deepest - 1) if deepest else {"type": "object"}
        found: dict[str, object] = {}
        for key, value in part.items():
            if key == "properties" and isinstance(value, Mapping):
                # The keys in here are a user's names, and may be any word of a schema.
                found[key] = {name: written(one, deepest) for name, one in value.items()}
            elif key not in ("$defs", "definitions") and not (key == "title" and isinstance(value, str)):
                found[key] = written(value, deepest)
        return found

    return written(part, deepest)


_MOST_PARTS = 100_000


def _target(reference: str, document: Values) -> Values:
    target: object = document
    for step in reference.removeprefix("#/").split("/"):
        target = target.get(step, {}) if isinstance(target, Mapping) else {}
    return target if isinstance(target, Mapping) else {}


def _arguments(schema: Values) -> dict[str, JsonObject]:
    """Return the properties of an object's schema, written out."""
    properties: dict[str, JsonObject] = written_out(schema, schema).get("properties", {})
    return properties


def _schemas(parts: Values) -> dict[str, JsonObject]:
    """Return name -> JSON schema of typed parts."""
    try:
        model = create_model("Arguments", __config__=ConfigDict(arbitrary_types_allowed=True), **parts)
        return _arguments(model.model_json_schema())
    except Exception:  # noqa: BLE001 - a hint pydantic has no schema for: the prompt gives the bare name
        return {name: {} for name in parts}


def _hints(function: Callable[..., object]) -> JsonObject:
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {n: v for n, v in getattr(target, "__annotations__", {}).items() if not isinstance(v, str)}


def _documentation(function: Callable[..., object]) -> str:
    """Return the docstring of a function, or of an object's `__call__`, else of its class."""
    call = type(function).__call__
    call_doc = call.__doc__ if inspect.isfunction(call) else None
    return inspect.cleandoc(call_doc) if call_doc else inspect.getdoc(function) or ""


def _described(documentation: str) -> dict[str, str]:
    """Return the parameters a docstring describes, one to a line: "name: text", "name (type): text", ":param name: text"."""
    matches = (_DOC_LINE.match(line) for line in documentation.splitlines())
    return {match[1]: match[2].strip() for match in matches if match}


def _config(annotation: object) -> ConfigDict | None:
    """Return the adapter's settings: any class is a type, except where a type has settings."""
    has_config = isinstance(annotation, type) and (
        hasattr(annotation, "model_config") or hasattr(annotation, "__dataclass_fields__")
    )
    has_config = has_config or typing.is_typeddict(annotation)
    return None if has_config else ConfigDict(arbitrary_types_allowed=True)


_LONGEST = 200

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
    >>> tool.name, tool.desc, tool.required, tool(item="tea", count="2")
    ('price', 'Return what some items cost.', ('item',), 5.0)
    """

    reported_as: ClassVar[str] = "tool"

    def __init__(
        self,
        func: Callable[..., Any],
        name: str | None = None,
        desc: str | None = None,
        args: Values | None = None,
        arg_types: Values | None = None,
        arg_desc: Mapping[str, str] | None = None,
        *,
        timeout: float | None = TIMEOUT,
    ) -> None:
        self.func = func
        self.name = name or _name(func)
        self.desc = desc if desc is not None else _documentation(func).strip()
        self.timeout = timeout
        self._read_signature(arg_types or {})
        if args is not None:
            self.args = {argument: dict(schema) for argument, schema in args.items()}
        for argument, text in (arg_desc or {}).items():
            self.args.setdefault(argument, {})["description"] = text
        self._awaits = inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
            getattr(func, "__call__", None)  # noqa: B004 - an object whose call is a coroutine
        )

    def _read_signature(self, types: Values) -> None:
        """Take over the function's parameters; `types` overrides hints. Raises ConfigurationError without a signature."""
        try:
            parameters = inspect.signature(self.func).parameters
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{self.func!r} cannot be a tool: its arguments are not known. Wrap it in a function with hints."
            ) from error
        hints = {**_hints(self.func), **types}
        described = _described(_documentation(self.func))
        parts: JsonObject = {}
        for name, parameter in parameters.items():
            if parameter.kind not in _VARIABLE:
                default = ... if parameter.default is parameter.empty else parameter.default
                parts[name] = (hints.get(name, Any), Field(default, description=described.get(name)))
        self.args = _schemas(parts)
        self.required = tuple(name for name, (_, field) in parts.items() if field.is_required())
        self.arg_types: JsonObject = {name: annotation for name, (annotation, _) in parts.items()}
        self._readers: dict[str, TypeAdapter[Any]] = {
            name: TypeAdapter(annotation, config=_config(annotation))
            for name, annotation in self.arg_types.items()
        }
        self._takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._by_position = tuple(n for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY)

    @classmethod
    def with_schema(
        cls,
        func: Callable[..., object],
        name: str,
        desc: str,
        schema: Values,
        timeout: float | None = TIMEOUT,
    ) -> Tool:
        """Return a tool whose arguments a JSON schema of an object describes; their types are the other side's to check."""
        tool = cls(func, name, desc, timeout=timeout)
        tool.args = _arguments(schema)
        tool.required = tuple(schema.get("required", ()))
        tool._takes_any = bool(schema.get("additionalProperties"))
        tool.arg_types, tool._readers, tool._by_position = {}, {}, ()
        return tool

    def described(self, desc: str) -> Tool:
        """Return a copy with another description."""
        tool = self.__deepcopy__({})
        tool.desc = desc
        return tool

    def __call__(self, **kwargs: object) -> Any:
        """Call the tool and wait for its result."""
        return loop.run(self.acall(**kwargs))

    async def acall(self, **kwargs: object) -> Any:
        """Call the tool in async code; a plain function runs in a worker thread."""
        return await watched("tool", self, kwargs, self._call_in_time(kwargs))

    async def _call_in_time(self, kwargs: JsonObject) -> object:
        given = self._read(kwargs)
        first = [given.pop(name) for name in self._by_position if name in given]
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

    def _read(self, given: Mapping[str, object]) -> JsonObject:
        """Return a call's arguments in the types of the function. Raises ToolArgumentsError naming the argument."""
        unknown = [name for name in given if name not in self.args]
        if unknown and not self._takes_any:
            raise ToolArgumentsError(
                f"The tool {self.name!r} has no argument {unknown[0]!r}. Its arguments: {', '.join(self.args) or 'none'}."
            )
        missing = [name for name in self.required if name not in given]
        if missing:
            raise ToolArgumentsError(f"The tool {self.name!r} needs the argument {missing[0]!r}.")
        values: dict[str, object] = {}
        for name, value in given.items():
            reader = self._readers.get(name)
            try:
                values[name] = value if reader is None else reader.validate_python(value)
            except ValidationError as error:
                raise ToolArgumentsError(
                    f"The argument {name!r} of the tool {self.name!r} does not fit: {error.errors()[0]['msg']} "
                    f"(got {shown(repr(value), _LONGEST)})."
                ) from error
        return values

    @classmethod
    def made_of(cls, value: object) -> Tool:
        """Return a tool of a tool, a function, or a saved description; the last cannot be called. Raises ValueError."""
        if isinstance(value, Tool):
            return value
        if callable(value):
            return cls(value)
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise ValueError(f"A tool cannot be made of {type(value).__name__}.")
        name, args = value["name"], value.get("args") or {}

        def refuse(**_arguments: object) -> object:
            raise ToolError(
                f"The tool {name!r} came out of a file, without its function: give the program the tool itself."
            )

        schema = {"properties": args, "required": value.get("required", list(args))}
        return cls.with_schema(refuse, name, str(value.get("desc") or ""), schema)

    @classmethod
    def from_mcp_tool(
        cls, session: Any, tool: Any, result_mode: str = "text", timeout: float | None = TIMEOUT
    ) -> Tool:
        """Return one tool of an open MCP session (`result_mode`: "text" or "structured")."""

        async def call(**given: Any) -> Any:
            answer = await loop.here_or_there(session.call_tool(tool.name, given))
            text = "\n".join(_part_text(part) for part in answer.content)
            if _either(answer, "is_error", "isError"):
                raise ToolError(f"The tool {tool.name!r} failed: {text}")
            structured = _either(answer, "structured_content", "structuredContent")
            return structured if result_mode == "structured" and structured is not None else text

        schema = _either(tool, "input_schema", "inputSchema") or {}
        return cls.with_schema(call, tool.name, tool.description or "", schema, timeout)

    @classmethod
    def from_langchain(cls, tool: Any, timeout: float | None = TIMEOUT) -> Tool:
        """Return a tool of LangChain's as one of these: its name, description, arguments and function."""
        given_as: object = getattr(tool, "args_schema", None)
        schema = given_as.model_json_schema() if hasattr(given_as, "model_json_schema") else given_as
        if not isinstance(schema, Mapping):
            schema = {"properties": tool.args, "required": list(tool.args)}

        async def call(**given: object) -> Any:
            return await tool.ainvoke(given)

        return cls.with_schema(call, tool.name, tool.description or "", schema, timeout)

    def __deepcopy__(self, memo: dict[int, object]) -> Tool:
        # The function stays the same object: it may keep a session or a connection.
        tool = type(self).__new__(type(self))
        tool.__dict__.update(vars(self))
        return tool

    def __repr__(self) -> str:
        return f"Tool({self.name})"


def as_tool(given: object, name: str | None = None) -> Tool:
    """Return a tool as it is, or a function as one. Raises ConfigurationError for anything else."""
    if isinstance(given, Tool):
        return given
    if callable(given):
        return Tool(given, name)
    raise ConfigurationError(f"{given!r} cannot be a tool. Give a function or an engine.Tool.")


def shown(value: object, limit: int) -> str:
    """Return a tool's result as text for a prompt; of a long one its head and its tail.

    >>> shown({"a": 1}, 100), shown("x" * 50, 10)
    ('{"a":1}', 'xxxxx\\n... (40 of 50 characters left out) ...\\nxxxxx')
    """
    return shortened(value if isinstance(value, str) else _json(value), limit)


def _json(value: object) -> str:
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    try:
        return orjson.dumps(json_value(value)).decode()
    except (TypeError, ValueError, RecursionError):
        return str(value)


def _name(func: Callable[..., object]) -> str:
    name = getattr(func, "__name__", None) or type(func).__name__
    return name if name.isidentifier() else type(func).__name__


def _part_text(part: object) -> str:
    """Return one part of an MCP tool's answer as text."""
    text = getattr(part, "text", None)
    return text if isinstance(text, str) else f"({getattr(part, 'type', 'other')} content)"


def _either(holder: object, name: str, older: str) -> Any:
    value = getattr(holder, name, None)
    return getattr(holder, older, None) if value is None else value
