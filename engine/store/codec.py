"""JSON in and out of the database. It never fails on what a model or a CSV may hold.

Unpaired surrogates (broken emoji) cannot be written as UTF-8; they become the replacement character.
Values that JSON has no form for are written as their text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson


def to_json(value: Any) -> str:
    r"""Return compact JSON.

    >>> to_json({"a": "\x00", 1: {2}})
    '{"a":"\\u0000","1":[2]}'
    """
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):  # surrogates, integers over 64 bits, very deep nesting
        return json.dumps(value, default=_plain, skipkeys=True)


def from_json(text: str | None, default: Any = None) -> Any:
    """Read what `to_json` wrote; None gives the default."""
    if text is None:
        return default
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)


def clean_text(text: str) -> str:
    """Return text that SQLite can hold: unpaired surrogates become the replacement character."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)
