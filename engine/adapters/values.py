"""Values as text and as the content of a message: how they are written, and read by hand."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, get_args

import orjson

from engine.adapters.notes import type_hint
from engine.adapters.reading import UnreadableError, reader_for
from engine.errors import ConfigurationError
from engine.types.base import Part, Type
from engine.types.tool import ToolForm

__all__ = ["UnreadableError", "format_value", "parse_value", "type_hint"]


def format_value(value: Any, annotation: Any = None) -> str:
    """Return a value as it is written in a prompt.

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


def _json_text(value: object) -> str:
    data = jsonable(value)
    if isinstance(data, str):
        return data
    return orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS).decode()


def jsonable(value: object) -> Any:
    """Return a value as JSON types: models, dataclasses, dates and sets included; unknown objects as str()."""
    kind = type(value)
    if kind is str or kind is bool or kind is int or kind is float or value is None:
        return value
    from pydantic_core import to_jsonable_python

    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    return to_jsonable_python(value, fallback=str)


def parse_value(value: object, annotation: object, constraints: Sequence[object] = ()) -> Any:
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


FORMED = (Type, ToolForm)
"""Values that say themselves how they stand in a message."""

_NONCE = secrets.token_hex(12)
_MARK = re.compile(rf"\[{_NONCE}:(\d+)\]")


class Content:
    """The parts of one message, collected while its text is written."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def text(self, value: object, annotation: object, name: str) -> str:
        """Return a value as text with marks where its parts stand. Raises ConfigurationError for a value that does not fit.

        Saved values are JSON: they become what the field's type says first.
        """
        if holds_types(annotation):
            value = fitted(value, annotation, name)
        if isinstance(value, list | tuple) and value and all(isinstance(item, FORMED) for item in value):
            return "\n".join(f"[{i}] {self._of(item)}" for i, item in enumerate(value, start=1))
        return format_value(self._plain(value), annotation)

    def of(self, text: str) -> str | list[Part]:
        """Return a message's content: the text, or its pieces and parts in turn."""
        if not self.parts:
            return text
        content: list[Part] = []
        for i, piece in enumerate(_MARK.split(text)):
            if i % 2:
                content.append(self.parts[int(piece)])
            elif piece.strip():
                content.append({"type": "text", "text": piece})
        return content

    def _plain(self, value: Any) -> Any:
        if isinstance(value, FORMED):
            return self._of(value)
        if isinstance(value, Mapping):
            return {key: self._plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        if hasattr(value, "model_fields_set"):
            return {name: self._plain(getattr(value, name)) for name in type(value).model_fields}
        return value

    def _of(self, value: Type | ToolForm) -> str:
        form = value.format()
        if isinstance(form, str):
            return form
        marks = []
        for part in form:
            marks.append(f"[{_NONCE}:{len(self.parts)}]")
            self.parts.append(part)
        return "".join(marks)


@lru_cache(maxsize=1024)
def _holds_types(annotation: object) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, FORMED):
        return True
    fields = getattr(annotation, "model_fields", None)
    if isinstance(fields, dict) and any(holds_types(f.annotation) for f in fields.values()):
        return True
    return any(holds_types(arg) for arg in get_args(annotation))


def holds_types(annotation: object) -> bool:
    """Return whether values of a type can hold such values.

    >>> from engine.types import Image
    >>> holds_types(list[Image]), holds_types(dict[str, int])
    (True, False)
    """
    try:
        return _holds_types(annotation)
    except (TypeError, RecursionError):  # cannot be hashed, or refers to itself
        return False


def revived(value: object, annotation: object) -> Any:
    """Return a saved output (JSON values) as its type; one that does not fit as it is: it is only shown.

    >>> from engine.types import Code
    >>> revived("print(1)", Code)
    Code(code='print(1)')
    """
    if isinstance(value, FORMED):
        return value
    try:
        return fitted(value, annotation, "")
    except ConfigurationError:
        return value


@lru_cache(maxsize=256)
def _validator(annotation: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(annotation).validate_python


def fitted(value: object, annotation: object, name: str) -> Any:
    """Return an input's value as its type. Raises ConfigurationError that names the input."""
    from pydantic import ValidationError

    try:
        return _validator(annotation)(value)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"Input {name!r} cannot be used: {said}") from None
