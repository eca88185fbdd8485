"""`Reasoning`: a model's thoughts as a field, used like a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from pydantic import model_serializer, model_validator

from engine.types.base import Type


class Reasoning(Type):
    """Text that a model thought before its answer. It has every method of `str`.

    >>> thought = Reasoning("First add.")
    >>> thought.upper(), thought + " Then stop.", thought == "First add.", len(thought)
    ('FIRST ADD.', 'First add. Then stop.', True, 10)
    """

    content: str

    def __init__(self, content: Any = None, **more: Any) -> None:
        super().__init__(**({} if content is None else {"content": content}), **more)

    @model_validator(mode="wrap")
    @classmethod
    def _from_text(cls, value: Any, handler: Any) -> Any:
        if isinstance(value, cls):
            return value
        return handler({"content": value} if isinstance(value, str) else value)

    @model_serializer
    def _as_text(self) -> str:
        return self.content

    @classmethod
    def description(cls) -> str:
        """Return how a model should write it."""
        return "must be your step-by-step thoughts, as text"

    @classmethod
    def read(cls, text: str) -> Self:
        """Return a model's text."""
        return cls(text.strip())

    def format(self) -> str:
        """Return the text."""
        return self.content

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.content, name)

    def __str__(self) -> str:
        return self.content

    def __eq__(self, other: object) -> bool:
        return self.content == (other.content if isinstance(other, Reasoning) else other)

    def __hash__(self) -> int:
        return hash(self.content)

    def __add__(self, other: Any) -> str:
        return self.content + str(other)

    def __radd__(self, other: str) -> str:
        return other + self.content

    def __getitem__(self, index: Any) -> str:
        return self.content[index]

    def __contains__(self, part: str) -> bool:
        return part in self.content

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]  # iterates like a text, not over fields
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)
