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
from typing import Any

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, create_model

from engine import loop
from engine.callbacks import watched
from engine.errors import ConfigurationError, EngineError, ToolArgumentsError, ToolError, ToolTimeoutError
from engine.records import json_value
from engine.types.tool import ToolForm

_DOC_LINE = re.compile(r"^\s*(?::param\s+)?(\w+)\s*(?:\([^)]*\))?\s*:\s*(\S.*)$")
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments:
    """The parameters of a function: `schema` (name -> JSON schema), `required`, and `read` for a call's arguments.

    >>> def area(width: float, height: float = 1.0): ...
    >>> found = Arguments.of(area)
    >>> found.required, found.schema["height"]["type"], found.read("area", {"width": "2"})
    (('width',), 'number', {'width': 2.0})
    """

    def __init__(
        self,
        schema: Mapping[str, Mapping[str, Any]],
        required: tuple[str, ...] = (),
        adapters: Mapping[str, TypeAdapter[Any]] | None = None,
        takes_any: bool = False,
        by_position: tuple[str, ...] = (),
        types: Mapping[str, Any] | None = None,
    ) -> None:
        self.types = dict(types or {})
        self.by_position = by_position
        self.schema = {name: dict(part) for name, part in schema.items()}
        self.required = required
        self.takes_any = takes_any
        self._adapters = adapters or {}

    @classmethod
    def of(cls, function: Callable[..., Any], types: Mapping[str, Any] | None = None) -> Arguments:
        """Return a function's parameters; `types` overrides hints. Raises ConfigurationError without a signature."""
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{function!r} cannot be a tool: its arguments are not known. Wrap it in a function with hints."
            ) from error
        hints = {**_hints(function), **(types or {})}
        described = _described(inspect.getdoc(function) or "")
        parts: dict[str, Any] = {}
        for name, parameter in signature.parameters.items():
            if parameter.kind in _VARIABLE:
                continue
            default = ... if parameter.default is parameter.empty else parameter.default
            parts[name] = (hints.get(name, Any), Field(default, description=described.get(name)))
        schema = json_schema(parts)
        adapters = {
            name: TypeAdapter(annotation, config=_config(annotation))
            for name, (annotation, _) in parts.items()
        }
        required = tuple(name for name, (_, field) in parts.items() if field.is_required())
        any_name = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        by_position = tuple(name for name, p in signature.parameters.items() if p.kind is p.POSITIONAL_ONLY)
        types = {name: annotation for name, (annotation, _) in parts.items()}
        return cls(schema, required, adapters, any_name, by_position, types)

    def with_schema(self, schema: Mapping[str, Mapping[str, Any]]) -> Arguments:
        """Return the same arguments, described otherwise."""
        return Arguments(schema, self.required, self._adapters, self.takes_any, self.by_position, self.types)

    def read(self, tool: str, given: Mapping[str, object]) -> dict[str, Any]:
        """Return a call's arguments in the types of the function. Raises ToolArgumentsError naming the argument."""
        unknown = [name for name in given if name not in self.schema]
        if unknown and not self.takes_any:
            raise ToolArgumentsError(
                f"The tool {tool!r} has no argument {unknown[0]!r}. Its arguments: {', '.join(self.schema) or 'none'}."
            )
        missing = [name for name in self.required if name not in given]
        if missing:
            raise ToolArgumentsError(f"The tool {tool!r} needs the argument {missing[0]!r}.")
        return {name: self._one(tool, name, value) for name, value in given.items()}

    def _one(self, tool: str, name: str, value: object) -> Any:
        adapter = self._adapters.get(name)
        if adapter is None:
            return value
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ToolArgumentsError(
                f"The argument {name!r} of the tool {tool!r} does not fit: {reason} (got {_short(value)})."
            ) from error


def json_schema(parts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return name -> JSON schema of typed parts, references written out and titles left away."""
    try:
        model = create_model("Arguments", __config__=ConfigDict(arbitrary_types_allowed=True), **parts)
        whole = model.model_json_schema()
    except Exception:  # noqa: BLE001 - a hint pydantic has no schema for: the prompt gives the bare name
        return {name: {} for name in parts}
    return {
        name: _inlined(part, whole.get("$defs", {})) for name, part in whole.get("properties", {}).items()
    }


def inlined(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the properties of an object's JSON schema with references written out.

    >>> inlined({"properties": {"at": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "string", "title": "P"}}})
    {'at': {'type': 'string'}}
    """
    definitions = {**schema.get("$defs", {}), **schema.get("definitions", {})}
    return {name: _inlined(part, definitions) for name, part in schema.get("properties", {}).items()}


def _inlined(part: object, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    if isinstance(part, list):
        return [_inlined(one, definitions, depth) for one in part]
    if not isinstance(part, Mapping):
        return part
    reference = part.get("$ref")
    if isinstance(reference, str):
        target = definitions.get(reference.rsplit("/", 1)[-1], {})
        siblings = {k: v for k, v in part.items() if k != "$ref"}
        # A type that holds itself is written out a few times and then left open.
        return (
            _inlined({**target, **siblings}, definitions, depth + 1)
            if depth < _DEEPEST
            else {"type": "object"}
        )
    plain = {k: v for k, v in part.items() if k != "title" or not isinstance(v, str)}
    return {k: _inlined(v, definitions, depth) for k, v in plain.items() if k not in ("$defs", "definitions")}


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {n: v for n, v in getattr(target, "__annotations__", {}).items() if not isinstance(v, str)}


def _described(documentation: str) -> dict[str, str]:
    """Return the parameters a docstring describes, one to a line: "name: text", "name (type): text", ":param name: text"."""
    found = (_DOC_LINE.match(line) for line in documentation.splitlines())
    return {match[1]: match[2].strip() for match in found if match}


def _config(annotation: object) -> ConfigDict | None:
    """Return the adapter's settings: any class is a type, except where a type has its own settings."""
    own = isinstance(annotation, type) and (
        hasattr(annotation, "model_config") or hasattr(annotation, "__dataclass_fields__")
    )
    own = own or typing.is_typeddict(annotation)
    return None if own else ConfigDict(arbitrary_types_allowed=True)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


_DEEPEST = 3
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

    def __call__(self, **kwargs: object) -> Any:
        """Call the tool and wait for its result."""
        return loop.run(self.acall(**kwargs))

    async def acall(self, **kwargs: object) -> Any:
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
    def made_of(cls, value: object) -> Tool:
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

    def __deepcopy__(self, memo: dict[int, object]) -> Tool:
        # The function stays the same object: it may keep a session or a connection.
        made = type(self).__new__(type(self))
        made.__dict__.update(vars(self))
        return made

    def __repr__(self) -> str:
        return f"Tool({self.name})"


def as_tool(given: object) -> Tool:
    """Return a tool as it is, or a function as one. Raises ConfigurationError for anything else."""
    if isinstance(given, Tool):
        return given
    if callable(given):
        return Tool(given)
    raise ConfigurationError(f"{given!r} cannot be a tool. Give a function or an engine.Tool.")


def shown(value: object, limit: int) -> str:
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


def _json(value: object) -> str:
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    try:
        return orjson.dumps(json_value(value)).decode()
    except (TypeError, ValueError, RecursionError):
        return str(value)


def _only_described(name: str) -> Callable[..., Any]:
    def refuse(**_arguments: object) -> Any:
        raise ToolError(
            f"The tool {name!r} came out of a file, without its function: give the program the tool itself."
        )

    return refuse


def _name(func: Callable[..., object]) -> str:
    name = getattr(func, "__name__", None) or type(func).__name__
    return name if name.isidentifier() else type(func).__name__


def _text(part: object) -> str:
    """Return one part of an MCP tool's answer as text."""
    text = getattr(part, "text", None)
    return text if isinstance(text, str) else f"({getattr(part, 'type', 'other')} content)"


def _either(holder: object, name: str, older: str) -> Any:
    found = getattr(holder, name, None)
    return getattr(holder, older, None) if found is None else found
