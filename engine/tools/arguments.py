"""A function's parameters as a JSON schema for a prompt, and a model's arguments read by it.

It knows functions and pydantic, and nothing of prompts or calls.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, create_model

from engine.errors import ConfigurationError, ToolArgumentsError

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

    def read(self, tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
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

    def _one(self, tool: str, name: str, value: Any) -> Any:
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


def _inlined(part: Any, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    if isinstance(part, list):
        return [_inlined(one, definitions, depth) for one in part]
    if not isinstance(part, Mapping):
        return part
    reference = part.get("$ref")
    if isinstance(reference, str):
        target = definitions.get(reference.rsplit("/", 1)[-1], {})
        beside = {k: v for k, v in part.items() if k != "$ref"}
        # A type that holds itself is written out a few times and then left open.
        return (
            _inlined({**target, **beside}, definitions, depth + 1) if depth < _DEEPEST else {"type": "object"}
        )
    plain = {k: v for k, v in part.items() if k != "title" or not isinstance(v, str)}
    return {k: _inlined(v, definitions, depth) for k, v in plain.items() if k not in ("$defs", "definitions")}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {n: v for n, v in getattr(target, "__annotations__", {}).items() if not isinstance(v, str)}


def _described(documentation: str) -> dict[str, str]:
    """Return the parameters a docstring describes, one to a line: "name: text", "name (type): text", ":param name: text"."""
    found = (_DOC_LINE.match(line) for line in documentation.splitlines())
    return {match[1]: match[2].strip() for match in found if match}


def _config(annotation: Any) -> ConfigDict | None:
    """Return the adapter's settings: any class is a type, except where a type brings settings of its own."""
    own = isinstance(annotation, type) and (
        hasattr(annotation, "model_config") or hasattr(annotation, "__dataclass_fields__")
    )
    own = own or typing.is_typeddict(annotation)
    return None if own else ConfigDict(arbitrary_types_allowed=True)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


_DEEPEST = 3
_LONGEST = 200
