"""One value to text and back: the forms in which values stand in a prompt, and the one typed reader.

Knows types and text; knows nothing of signatures, messages or models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import orjson

from engine.adapters.notes import type_hint
from engine.adapters.reading import UnreadableError, reader_for
from engine.types.base import Type

__all__ = ["UnreadableError", "format_value", "parse_value", "type_hint"]


def format_value(value: Any, annotation: Any = None) -> str:
    """Return a value as it stands in a prompt.

    Text stays as it is; a list given to a `str` field becomes numbered passages; other structures become
    JSON on one line.

    >>> format_value(True), format_value({"a": [1, "é"]}), format_value("x")
    ('True', '{"a":[1,"é"]}', 'x')
    >>> print(format_value(["One.", "Two."], str))
    [1] «One.»
    [2] «Two.»
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return] # checked on the line above
    if kind is bool or kind is int or kind is float:
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Type) and isinstance(form := value.format(), str):
        return form
    if annotation is str and isinstance(value, list | tuple):
        return numbered(format_value(one, str) for one in value)
    return _json_text(value)


def numbered(texts: Iterable[str]) -> str:
    """Return texts as numbered passages."""
    return "\n".join(f"[{i}] {_quoted(text)}" for i, text in enumerate(texts, start=1)) or "N/A"


def _quoted(text: str) -> str:
    if "\n" not in text:
        return f"«{text}»"
    lines = "\n".join(f"    {line}" for line in text.split("\n"))
    return f"«««\n{lines}\n»»»"


def _json_text(value: Any) -> str:
    data = jsonable(value)
    if isinstance(data, str):
        return data
    return orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS).decode()


def jsonable(value: Any) -> Any:
    """Return a value as JSON types: models, dataclasses, dates and sets included; unknown objects as str()."""
    kind = type(value)
    if kind is str or kind is bool or kind is int or kind is float or value is None:
        return value
    from pydantic_core import to_jsonable_python

    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    return to_jsonable_python(value, fallback=str)


def parse_value(value: Any, annotation: Any, constraints: Sequence[Any] = ()) -> Any:
    """Read a text (or a JSON value) as a type; raises UnreadableError, a ValueError, saying what it must be.

    >>> parse_value("1,234", int), parse_value("yes", bool), parse_value("- a\\n- b", list[str])
    (1234, True, ['a', 'b'])
    >>> parse_value("Answer: 42", int)
    Traceback (most recent call last):
        ...
    engine.adapters.scalars.UnreadableError: must be a single whole number, but is 'Answer: 42'
    """
    reader = reader_for(annotation, tuple(constraints))
    return reader.text(value) if isinstance(value, str) else reader.json(value)
