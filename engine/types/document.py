"""`Document`: a text to answer from, with a title; `Citations`: what an answer rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import model_validator

from engine.types.base import Part, Type


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

    def __init__(self, data: Any = None, **more: Any) -> None:
        super().__init__(**({} if data is None else {"data": data}), **more)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
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


def citable(value: Any) -> Any:
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


class Citations(Type):
    """The pieces of documents that an answer rests on; as an output the model lists them.

    >>> Citations.from_dict_list([{"cited_text": "five days", "document_index": 0}])[0].cited_text
    'five days'
    """

    citations: tuple[Citation, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {"citations": value}
        if isinstance(value, Mapping) and "cited_text" in value:
            return {"citations": [value]}
        return value

    @classmethod
    def from_dict_list(cls, citations: Iterable[Mapping[str, Any]]) -> Self:
        """Return citations from dicts of their fields."""
        return cls.model_validate(list(citations))

    @classmethod
    def description(cls) -> str:
        """Return how a model should write citations."""
        return (
            'must be a JSON list of objects with "cited_text" (copied word for word), "document_index" (from 0) and '
            '"supported_text" (the words of the answer that it supports)'
        )

    def __iter__(self) -> Iterator[Citation]:  # type: ignore[override]  # iterates over citations, not over fields
        return iter(self.citations)

    def __len__(self) -> int:
        return len(self.citations)

    def __getitem__(self, index: int) -> Citation:
        return self.citations[index]

    def found_in(self, documents: Iterable[Document | str]) -> bool:
        """Whether every cited text stands, word for word, in the document it names."""
        texts = [d.data if isinstance(d, Document) else d for d in documents]
        return all(
            0 <= c.document_index < len(texts) and c.cited_text in texts[c.document_index]
            for c in self.citations
        )

    def format(self) -> str:
        """Return the citations as JSON."""
        return f"[{', '.join(c.model_dump_json(exclude_none=True) for c in self.citations)}]"
