"""The record of a signature's field: its side, its type, its description and its constraints.

A field is a pydantic `FieldInfo`; the side, description and label stand in its `json_schema_extra`
under the keys "role", "desc" and "prefix". This module knows nothing of signatures as a whole.
"""

from __future__ import annotations

import copy
import keyword
import re
from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from engine.errors import SignatureError

Role = Literal["input", "output"]

_DSPY_ONLY = ("format", "parser")
"""Arguments that DSPy accepts and ignores; so do we."""


def InputField(**options: object) -> Any:  # noqa: N802 - the name users of DSPy know
    """Declare a field that a step reads.

    `desc` says in words what it holds. Every other argument is pydantic's: `default`, `ge`, `le`,
    `max_length` and so on; constraints are shown in the prompt and hold for outputs.

    >>> InputField(desc="A customer's message.").json_schema_extra["role"]
    'input'
    """
    return _field("input", options)


def OutputField(**options: object) -> Any:  # noqa: N802 - the name users of DSPy know
    """Declare a field that a step writes; the arguments are those of `InputField`.

    With a default (or a type that admits None) a reply may leave it out.
    """
    return _field("output", options)


def _field(role: Role, options: dict[str, Any]) -> FieldInfo:
    desc = options.pop("desc", None) or options.get("description")
    prefix = options.pop("prefix", None)
    for name in _DSPY_ONLY:
        options.pop(name, None)
    given = options.pop("json_schema_extra", None)
    extra = {**(given if isinstance(given, dict) else {}), "role": role}
    if desc:
        extra["desc"] = str(desc)
    if prefix:
        extra["prefix"] = str(prefix)
    info: FieldInfo = pydantic.Field(json_schema_extra=extra, **options)
    return info


def role_of(field: object) -> Role | None:
    """Return the side of a field, or None for anything that is not a signature's field."""
    extra = getattr(field, "json_schema_extra", None) if isinstance(field, FieldInfo) else None
    role = extra.get("role") if isinstance(extra, dict) else None
    return role if role in ("input", "output") else None


def typed(name: str, field: FieldInfo, annotation: Any) -> FieldInfo:
    """Return a copy of a field with its type, description and label filled in.

    Without a description the placeholder "${name}" is used, as programs for DSPy expect;
    `Signature.description` reads it as "".
    """
    try:
        info = FieldInfo.from_annotated_attribute(annotation, copy.copy(field))
    except (TypeError, pydantic.PydanticUserError) as error:
        raise SignatureError(f"Field {name!r} cannot have the type {annotation!r}: {error}") from error
    extra = dict(field.json_schema_extra) if isinstance(field.json_schema_extra, dict) else {}
    extra.setdefault("desc", f"${{{name}}}")
    extra.setdefault("prefix", infer_prefix(name) + ":")
    info.json_schema_extra = extra
    return info


RULES = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "allow_inf_nan")
"""Keywords of pydantic's that are rules for a value."""


def with_rules(field: FieldInfo, rules: Mapping[str, Any]) -> FieldInfo:
    """Return a copy of a field with rules added; one of a kind that it has already takes that one's place.

    >>> from pydantic import Field
    >>> with_rules(Field(ge=1, le=5), {"le": 3}).metadata
    [Ge(ge=1), Le(le=3)]
    """
    made = copy.copy(field)
    new = pydantic.Field(**rules).metadata
    kinds = {type(rule) for rule in new}
    made.metadata = [*(rule for rule in field.metadata if type(rule) not in kinds), *new]
    return made


def check_name(name: object) -> str:
    """Return a field's name, or raise SignatureError when Python could not use it as one.

    >>> check_name("2nd try")
    Traceback (most recent call last):
    engine.errors.SignatureError: '2nd try' cannot be a field's name. Use letters, digits and _ ...
    """
    if not isinstance(name, str) or not is_field_name(name):
        raise SignatureError(
            f"{name!r} cannot be a field's name. Use letters, digits and _ only, start with a letter, "
            "and avoid Python's own words (class, from, ...)."
        )
    return name


def is_field_name(name: str) -> bool:
    """Return whether Python could use a text as a field's name."""
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def infer_prefix(name: str) -> str:
    """Return a field name as title-case words, with acronyms kept.

    >>> infer_prefix("customer_name"), infer_prefix("shortURL2"), infer_prefix("HTMLPage")
    ('Customer Name', 'Short URL 2', 'HTML Page')
    """
    words = _WORDS.findall(name) or [name]
    return " ".join(word if word.isupper() and len(word) > 1 else word.capitalize() for word in words)
