"""`Type`: what a field's type defines to stand in messages. Subclass it for a type of your own."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from engine.basics.data import JsonObject

Part = JsonObject
"""One part of a message's content in the OpenAI form: {"type": "text" | "image_url" | ..., ...}."""

_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)((?:;[\w-]+=[^;,]*)*);base64,", re.IGNORECASE)
_SHOWN = 60


class Type(BaseModel):
    """A value with its own form in messages. Immutable; compares and saves by its fields.

    Subclasses define `format`, which returns a text or content parts, and may define `description`, which tells a
    model how to write one, and `read`, which makes one of what a model wrote.

    >>> class Emphasis(Type):
    ...     words: str
    ...     def format(self):
    ...         return f"*{self.words}*"
    >>> Emphasis(words="now").format()
    '*now*'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    shown_whole: ClassVar[bool] = True
    """The type says itself how it is written: its parts have no descriptions by path."""

    def format(self) -> str | list[Part]:
        """Return the value as text or as parts of a message."""
        return self.model_dump_json()

    @classmethod
    def description(cls) -> str:
        """Return how a model should write one, as a clause that starts with "must"; "" to show the JSON schema."""
        return ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the value of a model's text. Raises ValueError."""
        return cls.model_validate_json(text)


Item = TypeVar("Item")


class Items(Type, Generic[Item]):
    """A type that holds one tuple, its first field: made of a list too, or of one item; iterates over the items."""

    _item_key: ClassVar[Sequence[str]] = ()
    """Keys by which a dict is one item."""

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        if isinstance(value, Mapping) and any(key in value for key in cls._item_key):
            value = [value]
        return {next(iter(cls.model_fields)): value} if isinstance(value, list | tuple) else value

    @classmethod
    def from_dict_list(cls, items: Iterable[Mapping[str, object]]) -> Self:
        """Return the items from dicts of their fields. Raises ValueError."""
        return cls.model_validate(list(items))

    @property
    def _items(self) -> tuple[Item, ...]:
        items: tuple[Item, ...] = getattr(self, next(iter(type(self).model_fields)))
        return items

    def __iter__(self) -> Iterator[Item]:  # type: ignore[override]  # iterates over items, not over fields
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        return self._items[index]


def shortened(text: str) -> str:
    """Return the beginning of a long text, for messages and `repr`.

    >>> shortened("x" * 100)[-18:]
    '... 100 characters'
    """
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... {len(text)} characters"


def split_data_uri(text: str) -> tuple[str, str] | None:
    """Return (media type, base-64 data) of a data URI, or None if it is none.

    >>> split_data_uri("data:image/png;base64,iVBORw0KGgo=")
    ('image/png', 'iVBORw0KGgo=')
    """
    lead = _DATA_URI.match(text)
    return None if lead is None else (lead[1].lower(), text[lead.end() :])


def data_uri(media_type: str, data: bytes) -> str:
    """Return bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def decoded(data: str, what: str) -> bytes:
    """Return base-64 data as bytes. Raises ValueError that names what it should be."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{what} is no base-64 data: {shortened(data)!r}") from None
