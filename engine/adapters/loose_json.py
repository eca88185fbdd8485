"""JSON as models write it: fenced, in Python's spelling, damaged; and Markdown bullets.

Text in, JSON values out. Knows no field types.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import orjson

_FENCE = re.compile(r"\s*```[\w+-]*[ \t]*\n?(.*?)\n?\s*```\s*", re.DOTALL)
_INNER_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)```", re.DOTALL)
LONGEST_REPAIR = 300_000
"""Characters of damaged JSON."""

DEEPEST_REPAIR = 100
_BRACKET = re.compile(r"[\[\]{}]")
_BULLET = re.compile(r"\s*(?:[-*•+\u2013]|\d{1,3}[.)])\s+(.*\S)\s*")


def unfenced(text: str) -> str:
    """Return the content of a text that is one fenced code block; any other text as it is.

    >>> unfenced("```json\\n[1]\\n```")
    '[1]'
    """
    if "```" not in text:
        return text
    match = _FENCE.fullmatch(text)
    return match[1] if match and "```" not in match[1] else text


def loose_json(text: str) -> Any:
    """Decode JSON that may be fenced, in Python's spelling or damaged; raises ValueError where there is none.

    >>> loose_json("{'a': True, 'b': [1, 2,]}")
    {'a': True, 'b': [1, 2]}
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    body = unfenced(text).strip()
    if body[:1] not in ("{", "["):
        fenced = _INNER_FENCE.search(body)
        body = fenced[1].strip() if fenced else body
    for decode in (orjson.loads, ast.literal_eval):
        try:
            return decode(body)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    if body[:1] not in ("{", "["):
        raise ValueError("there is no JSON in the text")
    return _repaired(body)


def _repaired(body: str) -> Any:
    """Return the value of damaged JSON; raises ValueError where nothing can be made of it."""
    if len(body) > LONGEST_REPAIR or _deepest(body) > DEEPEST_REPAIR:
        # A repair takes time that grows with the square of the depth, and everything else would wait for it.
        raise ValueError("the JSON is too long or too deep to repair")
    import json_repair

    try:
        repaired = json_repair.loads(body)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not isinstance(repaired, dict | list) or (not repaired and len(body) > 2):
        raise ValueError("the JSON cannot be repaired")
    return repaired


def _deepest(text: str) -> int:
    """Return how many brackets are open at once at most."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def loose_object(text: str) -> dict[str, Any]:
    """Decode the JSON object in a text, with prose around it if need be; raises ValueError where there is none.

    >>> loose_object('Here it is: {"a": 1} Anything else?')
    {'a': 1}
    """
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
    """Return the items of a Markdown list, or None when any line is something else.

    >>> bullet_items("- red\\n- blue"), bullet_items("red")
    (['red', 'blue'], None)
    """
    first = text.lstrip()[:1]
    if not first or first in "[{":
        return None
    items: list[str] = []
    for line in unfenced(text).splitlines():
        if not line.strip():
            continue
        match = _BULLET.fullmatch(line)
        if match is not None:
            items.append(match[1])
        elif items and line[:2].isspace():  # an item that goes on
            items[-1] += f" {line.strip()}"
        else:
            return None
    return items or None
