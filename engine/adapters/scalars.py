"""Reading of loose JSON, lists and single values: text, truth, numbers and choices."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn

import orjson

from engine.adapters.notes import output_note
from engine.basics.text import fenced_blocks
from engine.basics.value_parsing import plain_numbers
from engine.signature.grammar import type_text

_FENCE = re.compile(r"\s*```[\w+-]*[ \t]*\n?(.*?)\n?\s*```\s*", re.DOTALL)
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


def loose_json(text: str) -> object:
    """Decode JSON that may be fenced, in Python's spelling or damaged; raises ValueError if there is none.

    >>> loose_json("{'a': True, 'b': [1, 2,]}")
    {'a': True, 'b': [1, 2]}
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    body = unfenced(text).strip()
    if body[:1] not in ("{", "["):
        body = next(iter(fenced_blocks(body)), body).strip()
    for decode in (orjson.loads, ast.literal_eval):
        try:
            return _whole_characters(decode(body), body)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    if body[:1] not in ("{", "["):
        raise ValueError("there is no JSON in the text")
    return _whole_characters(_repaired(body), body)


def _whole_characters(value: object, body: str) -> object:
    """Return a decoded value with the halves of characters joined that escapes leave; no encoding has a half such as "\\ud800"."""
    if "\\u" not in body and "\\U" not in body:
        return value
    if isinstance(value, str):
        joined = value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return joined.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole_characters(k, body): _whole_characters(v, body) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_whole_characters(item, body) for item in value)
    return value


def _repaired(body: str) -> object:
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


def loose_object(text: str) -> dict[str, object]:
    """Decode the JSON object in a text, with prose around it if need be; raises ValueError if there is none.

    >>> loose_object('Here it is: {"a": 1} Anything else?')
    {'a': 1}
    """
    try:
        value = loose_json(text)
    except ValueError:
        start, end = text.find("{"), text.rfind("}")
        if start < 0:
            raise
        value = loose_json(text[start : end + 1] if end > start else text[start:])
    if not isinstance(value, dict):
        raise ValueError("the JSON is no object")
    return value


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


class UnreadableError(ValueError):
    """A value that cannot be read as its type; the message is a clause that starts with "must" or "breaks"."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Two ways to one type: `text` reads a section of a reply, `json` a value that JSON has already decoded."""

    text: Callable[[str], object]
    json: Callable[[Any], object]


def shown(value: object) -> str:
    """Return a value as an error message quotes it, shortened."""
    text = value.strip() if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= 120 else text[:117] + "...")


def refuse(annotation: object, value: object) -> NoReturn:
    """Raise UnreadableError: what the type must be, and what the value is."""
    raise UnreadableError(
        f"{output_note(annotation) or f'must be {type_text(annotation)}'}, but is {shown(value)}"
    )


def str_from_json(value: object) -> str:
    """Return text; structures as JSON. Null is not text."""
    if isinstance(value, str):
        return value
    if value is None:
        raise UnreadableError("must be text, but is null")
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    return str(value)


def bare(text: str) -> str:
    """Strip what models wrap single values in: fences, bold, quotes, backticks, a closing full stop."""
    text = unfenced(text)
    while True:
        before = text
        text = text.strip()
        for opening, closing in _WRAPPERS:
            if (
                len(text) > len(opening) + len(closing)
                and text.startswith(opening)
                and text.endswith(closing)
            ):
                text = text[len(opening) : -len(closing)]
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1]
        if text == before:
            return text


_WRAPPERS = (("**", "**"), ("`", "`"), ('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019"))
_TRUTH = dict.fromkeys(("true", "yes", "y", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "n", "off", "0"), False
)


def bool_text(text: str) -> bool:
    """Read true/false, yes/no, on/off, y/n, 1/0 in any case."""
    truth = _TRUTH.get(text.strip().lower())
    if truth is None:
        truth = _TRUTH.get(bare(text).lower())
    if truth is None:
        refuse(bool, text)
    return truth


def number_text(text: str, *, whole: bool = False) -> str:
    """Return a number's text in plain digits, as it is read most likely; any other text without wrapping.

    With `whole` a reading that is a whole number goes first. A percent sign stays: 50 % may mean 0.5.
    """
    text = bare(text)
    readings = () if text.endswith("%") else plain_numbers(text)
    if whole:
        readings = tuple(sorted(readings, key=lambda reading: not _PLAIN_INT.fullmatch(reading)))
    return readings[0] if readings else text


_PLAIN_INT = re.compile(r"[+-]?[0-9]+")
_PLAIN_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def int_text(text: str) -> int:
    """Read a whole number; "42.0", "1,234" and "1.234" are ones."""
    plain = text.strip()  # `int` and `float` refuse some white space that `strip` takes off
    if not _PLAIN_INT.fullmatch(plain):
        plain = number_text(plain, whole=True)
    if _PLAIN_INT.fullmatch(plain) and len(plain) < 4000:
        return int(plain)
    if _PLAIN_FLOAT.fullmatch(plain) and (number := float(plain)).is_integer():
        return int(number)
    refuse(int, text)


def float_text(text: str) -> float:
    """Read a finite number."""
    plain = text.strip()
    if not _PLAIN_FLOAT.fullmatch(plain):
        plain = number_text(plain)
    if not _PLAIN_FLOAT.fullmatch(plain) or not math.isfinite(number := float(plain)):
        refuse(float, text)
    return number


def _reader(annotation: type, text: Callable[[str], object], converted: Callable[[object], object]) -> Reader:
    """Return the reader of a scalar; `converted` gives a JSON value that is no text as the type, or None."""

    def json(value: object) -> object:
        if isinstance(value, str):
            return text(value)
        scalar = converted(value)
        return refuse(annotation, value) if scalar is None else scalar

    return Reader(text, json)


STR = Reader(str.strip, str_from_json)
BOOL = _reader(bool, bool_text, lambda value: bool(value) if value in (0, 1) else None)
INT = _reader(
    int,
    int_text,
    lambda value: (
        int(value) if type(value) is int or (isinstance(value, float) and value.is_integer()) else None
    ),
)
FLOAT = _reader(
    float,
    float_text,
    lambda value: float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None,
)


def choices(annotation: object, spellings: Mapping[object, Sequence[str]]) -> Reader:
    """Read a Literal or an Enum: exactly, then without wrapping, then without case where that is unambiguous."""
    exact, folded = _spelled(spellings)
    wrapper = re.compile(
        rf"(?:Literal|str|{re.escape(type_text(annotation).partition('[')[0])})[\[.](.*?)\]?", re.DOTALL
    )

    def text(written: str) -> Any:
        stripped = written.strip()
        if stripped in exact:
            return exact[stripped]
        candidates = [stripped, bare(written)]
        if wrapped := wrapper.fullmatch(candidates[1]):
            candidates.append(bare(wrapped[1]))
        for candidate in candidates:
            if candidate in exact:
                return exact[candidate]
        for candidate in candidates:
            matches = folded.get(candidate.casefold(), [])
            if len(matches) == 1:
                return matches[0]
        return refuse(annotation, written)

    return Reader(text, lambda value: _chosen(annotation, tuple(spellings), text, value))


def _spelled(spellings: Mapping[object, Sequence[str]]) -> tuple[dict[str, object], dict[str, list[object]]]:
    """Return spelling -> value, and spelling without case -> values; earlier spellings go first (value before name)."""
    exact: dict[str, object] = {}
    for rank in range(max((len(names) for names in spellings.values()), default=0)):
        for value, names in spellings.items():
            if rank < len(names):
                exact.setdefault(names[rank], value)
    folded: dict[str, list[object]] = {}
    for spelling, value in exact.items():
        values = folded.setdefault(spelling.casefold(), [])
        if value not in values:
            values.append(value)
    return exact, folded


def _chosen(
    annotation: object, options: Sequence[object], text: Callable[[str], object], value: object
) -> object:
    if isinstance(value, str):
        return text(value)
    for option in options:
        plain = option.value if isinstance(option, Enum) else option
        if type(plain) is type(value) and plain == value:
            return option
    return refuse(annotation, value)
