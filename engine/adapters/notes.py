"""A field's type and rules in words for a model: type hints, notes on outputs, rules in words, JSON schemas.

Pure functions of annotations. This module reads no values and knows no layout of a prompt.
"""

from __future__ import annotations

import datetime
import sys
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin

import orjson
import typing_extensions

from engine.basics.data import JsonObject, Values
from engine.signature.grammar import UNIONS, is_class, without_none
from engine.signature.nested import with_descriptions
from engine.signature.types.base import Type


def output_note(annotation: object, nested: Mapping[str, str] | None = None) -> str:
    """Return what an output of this type must look like, in words a model can follow ("" for text).

    `nested` are descriptions by path that replace those of the type.

    >>> output_note(bool), output_note(str)
    ('must be True or False', '')
    """
    plain, optional = without_none(annotation)
    try:
        note = _note(plain, nested) if nested else _cached_note(plain)
    except TypeError:  # a type that cannot be hashed, such as a Literal of a list
        note = _note(plain)
    if not optional:
        return note
    return f"{note}; or null if there is none" if note else "or null if there is none"


def _note(annotation: object, nested: Mapping[str, str] | None = None) -> str:
    for kind, note in _SIMPLE_NOTES:
        if annotation is kind:
            return note
    if get_origin(annotation) is Literal:
        return f"must be exactly one of: {'; '.join(str(a) for a in get_args(annotation))}"
    if is_class(annotation, Enum):
        return f"must be exactly one of: {'; '.join(str(m.value) for m in annotation)}"
    if is_class(annotation, Type) and annotation.description():
        return annotation.description()
    schema = json_schema(annotation, nested)
    if schema is None or not schema:
        return ""
    return f"must be JSON that fits this schema: {orjson.dumps(schema).decode()}"


_cached_note = lru_cache(maxsize=2048, typed=True)(_note)

_SIMPLE_NOTES = (
    (str, ""),
    (Any, ""),
    (bool, "must be True or False"),
    (int, "must be a single whole number"),
    (float, "must be a single number"),
    (datetime.datetime, "must be a date and time as in 2024-05-31T14:30:00"),
    (datetime.date, "must be a date as in 2024-05-31"),
    (datetime.time, "must be a time of day as in 14:30:00"),
)


def json_schema(
    annotation: object, nested: Mapping[str, str] | None = None, *, decimals_as_numbers: bool = False
) -> JsonObject | None:
    """Return a type's JSON schema, `type` first, titles left out; None where it has none.

    `nested` are descriptions by path that replace those of the type. pydantic's schema of a Decimal also takes a text.
    """
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError
    from pydantic.json_schema import GenerateJsonSchema

    class Numbers(GenerateJsonSchema):
        def decimal_schema(self, schema: Any) -> JsonObject:
            return self.float_schema(schema)

    generator = Numbers if decimals_as_numbers else GenerateJsonSchema
    try:
        schema = TypeAdapter(checkable(annotation)).json_schema(schema_generator=generator)
    except (PydanticUserError, TypeError):
        return None
    tidy = _tidy(with_descriptions(schema, annotation, nested) if nested else schema)
    return tidy if isinstance(tidy, dict) else None


def checkable(annotation: Any) -> Any:
    """Return a type in a form pydantic takes: before Python 3.12 it refuses `typing.TypedDict`, so these are rebuilt."""
    if sys.version_info >= (3, 12):
        return annotation
    if typing.is_typeddict(annotation) and type(annotation).__module__ == "typing":
        hints = typing.get_type_hints(annotation, include_extras=True)
        fields = {
            name: hint if name in annotation.__required_keys__ else typing_extensions.NotRequired[hint]
            for name, hint in hints.items()
        }
        return typing_extensions.TypedDict(annotation.__name__, {n: checkable(h) for n, h in fields.items()})  # type: ignore[operator] # the functional form, made at run time
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in UNIONS:
        return Union[tuple(checkable(a) for a in args)]  # noqa: UP007 - built from a tuple at run time
    if origin in (list, dict, set, frozenset, tuple):
        return origin[tuple(checkable(a) for a in args)]
    return annotation


def _tidy(schema: object) -> object:
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    keys = sorted(
        (k for k in schema if not (k == "title" and isinstance(schema[k], str))), key=lambda k: k != "type"
    )
    return {k: _tidy(schema[k]) for k in keys}


def rules_in_words(constraints: Iterable[object]) -> str:
    """Return a field's constraints (pydantic's metadata) as one clause ("" when there are none).

    >>> from pydantic import Field
    >>> rules_in_words(Field(ge=1, le=5).metadata)
    'at least 1, at most 5'
    """
    words = []
    for constraint in constraints:
        for attribute, template in _RULES:
            value = getattr(constraint, attribute, None)
            if value is not None:
                words.append(template.format(value))
        if getattr(constraint, "allow_inf_nan", None) is False:
            words.append("a finite number")
    return ", ".join(words)


def form_in_words(schema: Values) -> str:
    """Return the format and the limits of a JSON schema as a clause ("" when there are none).

    >>> form_in_words({"type": "string", "format": "date", "maxLength": 10})
    'a date as in 2024-05-31, length at most 10'
    """
    form, templates = _FORMATS.get(schema.get("format", "")), dict(_RULES)
    limits = [templates[rule].format(schema[key]) for key, rule in _LIMITS.items() if key in schema]
    return ", ".join(limits if form is None else [form, *limits])


_FORMATS = {
    "date": "a date as in 2024-05-31",
    "date-time": "a date and time as in 2024-05-31T14:30:00",
    "time": "a time of day as in 14:30:00",
    "duration": "a duration as in P1DT2H30M",
    "uuid": "a UUID as in 0b1d9a6c-3c55-4d2a-9c1e-5f0c8f6f2a11",
    "uri": "an address as in https://example.org/page",
    "email": "an e-mail address as in name@example.org",
    "ipv4": "an IP address as in 192.0.2.1",
    "ipv6": "an IP address as in 2001:db8::1",
    "ipvanyaddress": "an IP address as in 192.0.2.1",
}
"""JSON schema's formats, and pydantic's, in words."""

_LIMITS = {
    **{"exclusiveMinimum": "gt", "minimum": "ge", "exclusiveMaximum": "lt", "maximum": "le"},
    **{"multipleOf": "multiple_of", "minLength": "min_length", "maxLength": "max_length"},
    **{"minItems": "min_length", "maxItems": "max_length", "pattern": "pattern"},
}
"""Limits in a JSON schema -> the same as pydantic's."""

_RULES = (
    ("gt", "greater than {}"),
    ("ge", "at least {}"),
    ("lt", "less than {}"),
    ("le", "at most {}"),
    ("multiple_of", "a multiple of {}"),
    ("min_length", "length at least {}"),
    ("max_length", "length at most {}"),
    ("pattern", "matching the pattern {}"),
    ("max_digits", "at most {} digits"),
    ("decimal_places", "at most {} decimal places"),
)
