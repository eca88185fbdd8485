"""A JSON Schema -> fields: properties, enums, nested objects by description. It reads data, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import PipelineError
from engine.pipeline.spec import FieldSpec

_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
DEEPEST = 12


@dataclass(frozen=True, slots=True)
class ReadSchema:
    """A schema's properties as fields."""

    fields: tuple[FieldSpec, ...]
    description: str
    notes: tuple[str, ...]


def read_schema(text: str) -> ReadSchema:
    """Return the fields of a JSON Schema; one inside a tool's or a response format's description is found too.

    Raises PipelineError when it is no JSON, or describes no object with properties.

    >>> found = read_schema('{"properties": {"kind": {"enum": ["a", "b"]}, "n": {"type": ["integer", "null"]}}}')
    >>> [(f.name, f.type, f.choices) for f in found.fields]
    [('kind', 'str', ('a', 'b')), ('n', 'Optional[int]', ())]
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise PipelineError(
            f"This is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from None
    except RecursionError:
        raise PipelineError("This JSON is nested too deeply to be a schema of fields.") from None
    schema, said = _object_in(data)
    if schema is None:
        raise PipelineError(
            'This JSON is no schema of an object: it has no "properties". Paste one such as {"properties": {"name": {"type": "string"}}}.'
        )
    definitions = {
        **(data.get("definitions") or {}),
        **(schema.get("definitions") or {}),
        **(data.get("$defs") or {}),
        **(schema.get("$defs") or {}),
    }
    reader = _Reader(definitions)
    fields = tuple(
        reader.field(name, part) for name, part in schema["properties"].items() if isinstance(part, Mapping)
    )
    if not fields:
        raise PipelineError("The schema has no properties, so there is nothing to answer. Add at least one.")
    return ReadSchema(fields, " ".join(str(said).split()), tuple(reader.notes))


def _object_in(data: Any, depth: int = 0) -> tuple[dict[str, Any] | None, str]:
    """Return the schema with properties in the usual wrappings, and its description."""
    if not isinstance(data, dict) or depth > 5:
        return None, ""
    if isinstance(data.get("properties"), dict):
        return data, str(data.get("description", ""))
    for key in ("parameters", "input_schema", "inputSchema", "schema", "json_schema", "function", "items"):
        found, said = _object_in(data.get(key), depth + 1)
        if found is not None:
            return found, said or str(data.get("description", ""))
    reference = str(data.get("$ref", "")).rpartition("/")[2]
    for key in ("$defs", "definitions"):
        if reference and isinstance(data.get(key), dict):
            return _object_in(data[key].get(reference), depth + 1)
    return None, ""


class _Reader:
    """Reads properties, given the schema's definitions."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        self.notes: list[str] = []

    def field(self, name: str, part: Mapping[str, Any]) -> FieldSpec:
        part = self._resolved(part)
        said = " ".join(str(part.get("description", "")).split())
        values = (
            [v for v in part.get("enum", []) if v is not None] if isinstance(part.get("enum"), list) else []
        )
        if len(values) > 1:
            return FieldSpec(name=name, choices=tuple(str(v) for v in values), description=said)
        inner = self._resolved(part.get("items")) if part.get("type") == "array" else part
        nested = self._nested(inner)
        return FieldSpec(
            name=name, type=self._type(part), description=" ".join(x for x in (said, nested) if x)
        )

    def _resolved(self, part: Any, depth: int = 0) -> dict[str, Any]:
        if not isinstance(part, Mapping):
            return {}
        if "$ref" in part and depth < DEEPEST:
            target = self.definitions.get(str(part["$ref"]).rpartition("/")[2], {})
            return self._resolved({**target, **{k: v for k, v in part.items() if k != "$ref"}}, depth + 1)
        if isinstance(part.get("allOf"), list) and len(part["allOf"]) == 1 and depth < DEEPEST:
            return {
                **self._resolved(part["allOf"][0], depth + 1),
                **{k: v for k, v in part.items() if k != "allOf"},
            }
        return dict(part)

    def _type(self, part: Any, depth: int = 0) -> str:
        part = self._resolved(part)
        if depth > DEEPEST:
            return "str"
        for key in ("anyOf", "oneOf"):
            if isinstance(part.get(key), list):
                return self._union([self._type(p, depth + 1) for p in part[key]])
        kind = part.get("type")
        if isinstance(kind, list):
            return self._union([_PLAIN.get(str(k), "str") for k in kind])
        if kind == "array":
            return f"list[{self._type(part.get('items'), depth + 1)}]" if part.get("items") else "list[str]"
        if kind == "object" or "properties" in part:
            return "dict[str, Any]"
        return _PLAIN.get(str(kind), "str")

    def _union(self, kinds: list[str]) -> str:
        others = list(dict.fromkeys(k for k in kinds if k != "None"))
        joined = " | ".join(others) or "str"
        return f"Optional[{joined}]" if "None" in kinds else joined

    def _nested(self, part: Mapping[str, Any]) -> str:
        inside = part.get("properties")
        if not isinstance(inside, Mapping) or not inside:
            return ""
        return f"With: {', '.join(f'{name} ({self._type(p)})' for name, p in inside.items())}."
