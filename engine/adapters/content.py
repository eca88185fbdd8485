"""Values with a form of their own in messages: pictures, sound, files, documents, wherever they stand in a value.

While a text is put together each part leaves a mark in it that nobody can guess, so that no text from outside can pass
for one; in the end the text is cut at the marks. Knows types and content parts, nothing of signatures.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args

from engine.adapters.values import format_value
from engine.errors import ConfigurationError
from engine.types.base import Part, Type
from engine.types.tool import ToolForm

FORMED = (Type, ToolForm)
"""Values that say themselves how they stand in a message."""

_NONCE = secrets.token_hex(12)
_MARK = re.compile(rf"\[{_NONCE}:(\d+)\]")


class Content:
    """The parts of one message, collected while its text is written."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def text(self, value: Any, annotation: Any, name: str) -> str:
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
def _holds_types(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, FORMED):
        return True
    fields = getattr(annotation, "model_fields", None)
    if isinstance(fields, dict) and any(holds_types(f.annotation) for f in fields.values()):
        return True
    return any(holds_types(arg) for arg in get_args(annotation))


def holds_types(annotation: Any) -> bool:
    """Whether values of a type can hold such values.

    >>> from engine.types import Image
    >>> holds_types(list[Image]), holds_types(dict[str, int])
    (True, False)
    """
    try:
        return _holds_types(annotation)
    except (TypeError, RecursionError):  # cannot be hashed, or refers to itself
        return False


def revived(value: Any, annotation: Any) -> Any:
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


def fitted(value: Any, annotation: Any, name: str) -> Any:
    """Return an input's value as its type. Raises ConfigurationError that names the input."""
    from pydantic import ValidationError

    try:
        return _validator(annotation)(value)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"Input {name!r} cannot be used: {said}") from None
