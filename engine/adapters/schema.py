"""The structured-output schema of a signature: what `response_format` carries to endpoints that take one.

Strict schemas (OpenAI's rules): every object is closed and every property required. A type that strict schemas
cannot say, such as a dict with free keys, falls back to plain JSON mode. Rules such as `le=5` are left out, since
endpoints differ in which they accept; the adapter enforces them when it reads the reply.
"""

from __future__ import annotations

from typing import Any

from engine.adapters.notes import json_schema
from engine.adapters.plan import Plan

JSON_MODE: dict[str, Any] = {"type": "json_object"}


def response_format(plan: Plan) -> dict[str, Any]:
    """Return the response_format of a signature's outputs."""
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for field in plan.outputs:
        schema = json_schema(field.annotation)
        if not schema:
            return JSON_MODE
        definitions.update(schema.pop("$defs", {}))
        properties[field.name] = schema
    try:
        closed = _closed({"type": "object", "properties": properties})
        if definitions:
            closed["$defs"] = {name: _closed(schema) for name, schema in definitions.items()}
    except ValueError:
        return JSON_MODE
    return {"type": "json_schema", "json_schema": {"name": plan.name[:64], "strict": True, "schema": closed}}


def _closed(schema: Any) -> Any:
    """Return a schema with every object closed; raises ValueError for an object with free keys."""
    if not isinstance(schema, dict):
        return schema
    kept = {k: v for k, v in schema.items() if k not in _UNSUPPORTED}
    if kept.get("type") == "object" or "properties" in kept:
        if "properties" not in kept:
            raise ValueError("an object with free keys")
        kept["properties"] = {name: _closed(part) for name, part in kept["properties"].items()}
        kept["required"] = list(kept["properties"])
        kept["additionalProperties"] = False
    for key in ("items", "not"):
        if key in kept:
            kept[key] = _closed(kept[key])
    if "prefixItems" in kept:
        raise ValueError("a tuple of fixed length")
    for key in ("anyOf", "oneOf", "allOf"):
        if key in kept:
            kept[key] = [_closed(part) for part in kept[key]]
    return kept


_UNSUPPORTED = frozenset(
    {
        "default",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "pattern",
        "format",
        "title",
    }
)
