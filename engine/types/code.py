"""`Code`: source text in a field, written in a fenced block."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_serializer, model_validator

from engine.types.base import Type

_FENCE = re.compile(r"```[^\n`]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_OPEN = re.compile(r"```[^\n`]*\n(.*)", re.DOTALL)


class Code(Type):
    """Source text: `Code(code="print(1)")`; `Code["java"]` is the type for another language than Python.

    Of a model's text the first fenced block is taken, without a block all of it.

    >>> Code.read("Here it is:\\n```python\\nprint(1)\\n```").code
    'print(1)'
    >>> Code["java"].description()
    'must be java code in a fenced block that starts with ```java'
    """

    code: str
    language: ClassVar[str] = "python"
    _languages: ClassVar[dict[str, type[Code]]] = {}

    def __init__(self, code: Any = None, **more: Any) -> None:
        super().__init__(**({} if code is None else {"code": _source(code)}), **more)

    def __class_getitem__(cls, language: str) -> type[Code]:  # type: ignore[override]  # no generic, but DSPy's notation
        if language not in cls._languages:
            name = f"Code_{re.sub(r'[^0-9a-zA-Z]', '_', language)}"
            cls._languages[language] = type(name, (Code,), {"language": language, "__module__": __name__})
        return cls._languages[language]

    @model_validator(mode="wrap")
    @classmethod
    def _from_text(cls, value: Any, handler: Any) -> Any:
        if isinstance(value, cls):
            return value
        return handler({"code": _source(value)} if isinstance(value, str | Code) else value)

    @model_serializer
    def _as_text(self) -> str:
        return self.code

    @classmethod
    def description(cls) -> str:
        """Return how a model should write code."""
        return f"must be {cls.language} code in a fenced block that starts with ```{cls.language}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the first fenced block of a text, or all of it."""
        return cls(_source(text).strip("\n").rstrip())

    def format(self) -> str:
        """Return the code in a fenced block."""
        return f"```{self.language}\n{self.code}\n```"

    def __str__(self) -> str:
        return self.code


def _source(value: Any) -> str:
    if isinstance(value, Code):
        return value.code
    if isinstance(value, Mapping):
        value = value.get("code")
    if not isinstance(value, str):
        raise ValueError(f"Code cannot be made of {type(value).__name__}.")
    found = _FENCE.search(value) or _OPEN.search(value)
    return found[1] if found else value
