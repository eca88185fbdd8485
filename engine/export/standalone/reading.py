"""Part of the script that stands alone: every type it reads, from a text and from a value that JSON has decoded.

The code below the imports is copied into exported scripts, after that of `standalone_values`.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

from engine.export.standalone.values import (
    TYPES,
    Kind,
    UnreadableError,
    as_json,
    bullet_items,
    from_json,
    from_text,
    loose_json,
    refuse,
    unfenced,
)

TRUTH = {"true": True, "yes": True, "y": True, "on": True, "1": True}
TRUTH.update({"false": False, "no": False, "n": False, "off": False, "0": False})
GROUPED = re.compile(r"[+-]?\d{1,3}(?:([, _\u00a0\u202f\u2009'])\d{3})(?:\1\d{3})*(?:\.\d+)?")
WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*")
NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
NOTHING = ("", "null", "none")
WRAPPERS = (("**", "**"), ("`", "`"), ('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019"))


def bare(text: str) -> str:
    """Return a single value without what models wrap it in: fences, bold, quotes, a full stop."""
    text = unfenced(text)
    while True:
        before = text
        text = text.strip()
        for start, end in WRAPPERS:
            if len(text) > len(start) + len(end) and text.startswith(start) and text.endswith(end):
                text = text[len(start) : -len(end)]
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1]
        if text == before:
            return text


def ungrouped(text: str) -> str:
    """Return a number's text without wrapping and without marks between its thousands."""
    text = bare(text)
    return re.sub(r"[, _\u00a0\u202f\u2009']", "", text) if GROUPED.fullmatch(text) else text


def words_json(_kind: Kind, value: Any) -> str:
    """Read text; structures as JSON."""
    if value is None:
        raise UnreadableError("must be text, but is null")
    if isinstance(value, str):
        return value
    return as_json(value) if isinstance(value, (list, dict)) else str(value)


def truth_text(kind: Kind, text: str) -> bool:
    """Read true or false, yes or no, on or off, 1 or 0."""
    for said in (text.strip().lower(), bare(text).lower()):
        if said in TRUTH:
            return TRUTH[said]
    return refuse(kind, text)


def truth_json(kind: Kind, value: Any) -> bool:
    """Read a truth value."""
    if isinstance(value, str):
        return truth_text(kind, value)
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    return refuse(kind, value)


def whole_text(kind: Kind, text: str) -> int:
    """Read a whole number; "42.0" and "1,234" are ones."""
    said = ungrouped(text)
    if WHOLE.fullmatch(said) and len(said) < 4000:
        return int(said)
    if NUMBER.fullmatch(said) and float(said).is_integer():
        return int(float(said))
    return refuse(kind, text)


def whole_json(kind: Kind, value: Any) -> int:
    """Read a whole number."""
    if isinstance(value, str):
        return whole_text(kind, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        refuse(kind, value)
    return int(value)


def number_text(kind: Kind, text: str) -> float:
    """Read a finite number."""
    said = ungrouped(text)
    if not NUMBER.fullmatch(said) or not math.isfinite(float(said)):
        refuse(kind, text)
    return float(said)


def number_json(kind: Kind, value: Any) -> float:
    """Read a number."""
    if isinstance(value, str):
        return number_text(kind, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(kind, value)
    return float(value)


def anything_text(_kind: Kind, text: str) -> Any:
    """Read JSON where there is some, else text."""
    try:
        return loose_json(text)
    except ValueError:
        return text.strip()


def choice_text(kind: Kind, text: str) -> Any:
    """Read one of the allowed values: exactly, else without wrapping, else without case."""
    spelled: dict[str, Any] = {}
    for value in kind["values"]:
        spelled.setdefault(str(value), value)
    said = [text.strip(), bare(text)]
    wrapped = re.fullmatch(r"(?:Literal|str)[\[.](.*?)\]?", said[1], re.DOTALL)
    if wrapped:
        said.append(bare(wrapped[1]))
    for one in said:
        if one in spelled:
            return spelled[one]
    for one in said:
        alike = [value for name, value in spelled.items() if name.casefold() == one.casefold()]
        if len(alike) == 1:
            return alike[0]
    return refuse(kind, text)


def choice_json(kind: Kind, value: Any) -> Any:
    """Read one of the allowed values."""
    if isinstance(value, str):
        return choice_text(kind, value)
    for allowed in kind["values"]:
        if type(allowed) is type(value) and allowed == value:
            return allowed
    return refuse(kind, value)


def list_text(kind: Kind, text: str) -> list[Any]:
    """Read a list: bullets, JSON, or allowed values with commas between."""
    items: Any = bullet_items(text)
    if items is None:
        try:
            items = loose_json(text)
        except ValueError:
            if kind["of"]["kind"] != "choice":
                refuse(kind, text)
            items = [part.strip() for part in unfenced(text).split(",") if part.strip()]
    return list_json(kind, items)


def list_json(kind: Kind, value: Any) -> list[Any]:
    """Read a list, item by item."""
    if not isinstance(value, (list, tuple, set)):
        refuse(kind, value)
    items = []
    for position, item in enumerate(value, 1):
        try:
            items.append(from_json(kind["of"], item))
        except UnreadableError as error:
            raise UnreadableError(f"item {position} {error}") from None
    return items


def object_text(kind: Kind, text: str) -> dict[str, Any]:
    """Read an object."""
    try:
        found = loose_json(text)
    except ValueError:
        refuse(kind, text)
    return object_json(kind, found)


def object_json(kind: Kind, value: Any) -> dict[str, Any]:
    """Read an object, entry by entry."""
    if not isinstance(value, dict):
        refuse(kind, value)
    read = {}
    for key, entry in value.items():
        try:
            read[key] = from_json(kind["of"], entry)
        except UnreadableError as error:
            raise UnreadableError(f"entry {key!r} {error}") from None
    return read


def either_text(kind: Kind, text: str) -> Any:
    """Read the first of several types that fits, or nothing where that is allowed."""
    nothing = kind["optional"] and text.strip().lower() in NOTHING
    closed = any(one["kind"] == "choice" for one in kind["of"])
    if nothing and not closed:
        return None
    try:
        return first_fit(kind, from_text, text)
    except UnreadableError:
        if nothing or (kind["optional"] and bare(text).lower() in NOTHING):
            return None
        raise


def either_json(kind: Kind, value: Any) -> Any:
    """Read the first of several types that fits."""
    if value is None and kind["optional"]:
        return None
    if any(PLAIN.get(one["kind"]) is type(value) for one in kind["of"]):
        return value
    if isinstance(value, str):
        return either_text(kind, value)
    return first_fit({**kind, "of": [*kind["of"], None]}, from_json, value)


def first_fit(kind: Kind, read: Callable[[Kind, Any], Any], value: Any) -> Any:
    """Return what the first type that can read a value makes of it; a type that is alone says itself what is wrong."""
    if len(kind["of"]) == 1:
        return read(kind["of"][0], value)
    for one in kind["of"]:
        try:
            if one is not None:
                return read(one, value)
        except UnreadableError:
            continue
    return refuse(kind, value)


def calendar_text(kind: Kind, text: str) -> Any:
    """Read a date or a time as ISO 8601 has it."""
    said = bare(text)
    if said.replace(".", "").isdigit():
        refuse(kind, text)
    return calendar_json(kind, said)


def calendar_json(kind: Kind, value: Any) -> Any:
    """Read a date or a time."""
    kinds: dict[str, Any] = {"date": datetime.date, "datetime": datetime.datetime, "time": datetime.time}
    try:
        return kinds[kind["kind"]].fromisoformat(re.sub(r"[zZ]$", "+00:00", value))
    except (ValueError, TypeError):
        return refuse(kind, value)


PLAIN = {"text": str, "truth": bool, "whole": int, "number": float}
TYPES.update(
    {
        "text": (lambda _kind, text: text.strip(), words_json),
        "truth": (truth_text, truth_json),
        "whole": (whole_text, whole_json),
        "number": (number_text, number_json),
        "anything": (anything_text, lambda _kind, value: value),
        "choice": (choice_text, choice_json),
        "list": (list_text, list_json),
        "object": (object_text, object_json),
        "either": (either_text, either_json),
        "date": (calendar_text, calendar_json),
        "datetime": (calendar_text, calendar_json),
        "time": (calendar_text, calendar_json),
    }
)
