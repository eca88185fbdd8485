"""Types that are text: `Reasoning`, `History`, `Code`; `Document`, a text to answer from, and `Citations`, the evidence of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import ValidationError, model_serializer, model_validator

from engine.basics.data import JsonObject
from engine.basics.text import fenced_blocks
from engine.errors import ConfigurationError
from engine.signature.types.base import Items, Part, Type


class Reasoning(Type):
    """Text that a model thought before its answer. It has every method of `str`.

    >>> thought = Reasoning("First add.")
    >>> thought.upper(), thought + " Then stop.", thought == "First add.", len(thought)
    ('FIRST ADD.', 'First add. Then stop.', True, 10)
    """

    content: str

    def __init__(self, content: object = None, **more: object) -> None:
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

    def __add__(self, other: object) -> str:
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


class History(Type):
    """Earlier turns, oldest first, each a dict of the signature's fields; shown as turns before the current inputs.

    A signature has one at most, among its inputs.

    >>> len(History(messages=[{"question": "Who wrote it?", "answer": "Ada"}]).messages)
    1
    """

    messages: list[JsonObject]

    def __init__(self, messages: object = None, **more: object) -> None:
        super().__init__(**({} if messages is None else {"messages": messages}), **more)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            return {"messages": list(value)}
        return dict(value) if isinstance(value, Mapping) else value


def history_of(value: object) -> list[dict[str, object]]:
    """Return the turns of a History, of its saved form, or of none. Raises ConfigurationError for anything else."""
    if value is None:
        return []
    try:
        return (value if isinstance(value, History) else History.model_validate(value)).messages
    except ValidationError:
        raise ConfigurationError(
            f"A history is a list of dicts of field values, not {type(value).__name__}. Use History(messages=[...])."
        ) from None


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

    def __init__(self, code: object = None, **more: object) -> None:
        super().__init__(**({} if code is None else {"code": code}), **more)

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
        return handler({"code": _source(value)})

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


def _source(value: object) -> str:
    if isinstance(value, Code):
        return value.code
    if isinstance(value, Mapping):
        value = value.get("code")
    if not isinstance(value, str):
        raise ValueError(f"Code cannot be made of {type(value).__name__}.")
    return next(iter(fenced_blocks(value)), value)


class Document(Type):
    """A text with a title and, if need be, what it is about (`context`).

    >>> print(Document(data="Refunds take five days.", title="Refunds").format())
    «Refunds»
    Refunds take five days.
    """

    data: str
    title: str | None = None
    media_type: Literal["text/plain", "application/pdf"] = "text/plain"
    context: str | None = None

    def __init__(self, data: object = None, **more: object) -> None:
        super().__init__(**({} if data is None else {"data": data}), **more)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> Any:
        return {"data": value} if isinstance(value, str) else value

    def format(self) -> str:
        """Return the document as text: title, context, then the text."""
        head = [f"«{self.title}»"] if self.title else []
        return "\n".join([*head, *([self.context] if self.context else []), self.data])


class CitableDocument(Document):
    """A document as a part of a message that some providers cite from by themselves; its form is Anthropic's."""

    def format(self) -> list[Part]:  # type: ignore[override]  # a part where a document is text
        """Return the document as a part with citations switched on."""
        source = {"type": "text", "media_type": self.media_type, "data": self.data}
        if self.media_type == "application/pdf":
            source["type"] = "base64"
        named = {"title": self.title, "context": self.context}
        extra = {name: text for name, text in named.items() if text}
        return [{"type": "document", "source": source, "citations": {"enabled": True}, **extra}]


def citable(value: object) -> object:
    """Return a document, or a list of them, as CitableDocument."""
    if isinstance(value, Document):
        return CitableDocument(**value.model_dump())
    return [citable(one) for one in value] if isinstance(value, list | tuple) else value


class Citation(Type):
    """One cited piece of a document: its words, the document's place in the list (from 0) and where in it they stand."""

    cited_text: str
    document_index: int = 0
    document_title: str | None = None
    start_char_index: int | None = None
    end_char_index: int | None = None
    supported_text: str | None = None
    type: Literal["char_location"] = "char_location"


class Citations(Items[Citation]):
    """The pieces of documents that an answer rests on; as an output the model lists them.

    >>> Citations.from_dict_list([{"cited_text": "five days", "document_index": 0}])[0].cited_text
    'five days'
    """

    citations: tuple[Citation, ...] = ()

    _item_key = ("cited_text",)

    @classmethod
    def description(cls) -> str:
        """Return how a model should write citations."""
        return (
            'must be a JSON list of objects with "cited_text" (copied word for word), "document_index" (from 0) and '
            '"supported_text" (the words of the answer that it supports)'
        )

    def format(self) -> str:
        """Return the citations as JSON."""
        return f"[{', '.join(c.model_dump_json(exclude_none=True) for c in self.citations)}]"


# DSPy's name; inside the class it would hide the class it names.
Citations.Citation = Citation  # type: ignore[attr-defined]
