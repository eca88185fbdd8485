"""Part of the script that stands alone: a value as it stands in a prompt, and a model's text as a value of its type.

The code below the imports is copied into exported scripts as it is, so it uses Python 3.9's standard library alone.
What it reads and refuses, and in which words, is what `engine.adapters.reading` does. A type is a dict: its "kind",
in "must" what a model is told of it, and what the kind needs ("values" of a choice, "of" what a list holds ...).
"""

from __future__ import annotations

import ast
import datetime
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

Kind = dict[str, Any]
TYPES: dict[str, tuple[Callable[[Kind, str], Any], Callable[[Kind, Any], Any]]] = {}
"""Kind of a type -> how it is read from a text, and from a value that JSON has decoded."""


class UnreadableError(ValueError):
    """A value that is not of its type; the message goes on after the field's name."""


def written(value: Any, is_text: bool) -> str:
    """Return a value as it stands in a prompt; a list in a field for text becomes numbered passages."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return str(value)
    if value is None:
        return "null"
    if isinstance(value, (datetime.date, datetime.time)):
        return plain(value)
    if is_text and isinstance(value, (list, tuple)):
        return "\n".join(f"[{i}] {quoted(written(v, True))}" for i, v in enumerate(value, 1)) or "N/A"
    return as_json(value)


def quoted(text: str) -> str:
    """Return one passage between its marks."""
    if "\n" not in text:
        return f"«{text}»"
    return "«««\n" + "\n".join(f"    {line}" for line in text.split("\n")) + "\n»»»"


def as_json(value: Any) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=plain)


def plain(value: Any) -> str:
    """Return a date or a time, for which JSON has no form, as a text."""
    if isinstance(value, (datetime.date, datetime.time)):
        text = value.isoformat()
        return text[:-6] + "Z" if text.endswith("+00:00") else text
    return str(value)


def shown(value: Any) -> str:
    """Return a value as an error quotes it."""
    text = value.strip() if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= 120 else text[:117] + "...")


def refuse(kind: Kind, value: Any) -> NoReturn:
    """Say what a value must be, and what it is."""
    raise UnreadableError(f"{kind['must']}, but is {shown(value)}")


def from_text(kind: Kind, text: str) -> Any:
    """Return a text as a value of a type. Raises UnreadableError."""
    return TYPES[kind["kind"]][0](kind, text)


def from_json(kind: Kind, value: Any) -> Any:
    """Return a value that JSON has decoded as one of a type. Raises UnreadableError."""
    return TYPES[kind["kind"]][1](kind, value)


# JSON and lists as models write them


def unfenced(text: str) -> str:
    """Return what stands in a text that is one fenced block of code; any other text as it is."""
    match = re.fullmatch(r"\s*```[\w+-]*[ \t]*\n?(.*?)\n?\s*```\s*", text, re.DOTALL)
    return match[1] if match and "```" not in match[1] else text


def loose_json(text: str) -> Any:
    """Return the JSON value in a text, also fenced or in Python's spelling. Raises ValueError."""
    body = unfenced(text).strip()
    if body[:1] not in ("{", "["):
        inner = re.search(r"```[\w+-]*[ \t]*\n(.*?)```", body, re.DOTALL)
        body = inner[1].strip() if inner else body
    for attempt in (text, body):
        try:
            return json.loads(attempt, parse_constant=no_number, parse_int=sized)
        except (ValueError, RecursionError):
            continue
    try:
        return ast.literal_eval(body)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("there is no JSON in the text") from None


def sized(digits: str) -> int | float:
    """Return a whole number; one past 64 bits as a float."""
    return int(digits) if len(digits) < 21 and -(2**63) <= int(digits) < 2**64 else float(digits)


def no_number(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which are no JSON."""
    raise ValueError(name)


def loose_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text, with prose around it if need be. Raises ValueError."""
    try:
        found = loose_json(text)
    except ValueError:
        start, end = text.find("{"), text.rfind("}")
        if start < 0:
            raise
        found = loose_json(text[start : end + 1] if end > start else text[start:])
    if not isinstance(found, dict):
        raise ValueError("the JSON is no object")
    return found


def bullet_items(text: str) -> list[str] | None:
    """Return the items of a list with bullets, or None where a line is something else."""
    first = text.lstrip()[:1]
    if not first or first in "[{":
        return None
    items: list[str] = []
    for line in unfenced(text).splitlines():
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*(?:[-*•+\u2013]|\d{1,3}[.)])\s+(.*\S)\s*", line)
        if match:
            items.append(match[1])
        elif items and line[:2].isspace():  # an item that goes on
            items[-1] += f" {line.strip()}"
        else:
            return None
    return items or None
