"""Reading of single values: text, truth, numbers and choices.

Lenient about form only (code fences, quotes, "yes" for True, thousands separators); never about content: "Answer: 42" is
no number, and a word that could mean two choices is neither. Knows no structures and no signatures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn

import orjson

from engine.adapters.loose_json import unfenced
from engine.adapters.notes import output_note, type_hint


class UnreadableError(ValueError):
    """A value that cannot be read as its type; the message is a clause that starts with "must" or "breaks"."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Two ways to one type: `text` reads a section of a reply, `json` a value that JSON has already decoded."""

    text: Callable[[str], Any]
    json: Callable[[Any], Any]


def shown(value: Any) -> str:
    """Return a value as an error message quotes it, shortened."""
    text = value.strip() if isinstance(value, str) else repr(value)
    return repr(text if len(text) <= 120 else text[:117] + "...")


def refuse(annotation: Any, value: Any) -> NoReturn:
    """Raise UnreadableError: what the type must be, and what the value is."""
    raise UnreadableError(
        f"{output_note(annotation) or f'must be {type_hint(annotation)}'}, but is {shown(value)}"
    )


def str_from_json(value: Any) -> str:
    """Return text; structures as JSON. Null is not text."""
    if isinstance(value, str):
        return value
    if value is None:
        _refuse_null()
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    return str(value)


def _refuse_null() -> NoReturn:
    raise UnreadableError("must be text, but is null")


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
    found = _TRUTH.get(text.strip().lower())
    if found is None:
        found = _TRUTH.get(bare(text).lower())
    if found is None:
        refuse(bool, text)
    return found


def bool_json(value: Any) -> bool:
    """Read a JSON value as a truth value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return bool_text(value)
    if value == 0 or value == 1:
        return bool(value)
    refuse(bool, value)


_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([, _\u00a0\u202f\u2009'])\d{3})(?:\1\d{3})*(?:\.\d+)?")


def number_text(text: str) -> str:
    """Return a number's text without wrapping and thousands separators."""
    text = bare(text)
    return re.sub(r"[, _\u00a0\u202f\u2009']", "", text) if _GROUPED.fullmatch(text) else text


_PLAIN_INT = re.compile(r"\s*[+-]?[0-9]+\s*")
_PLAIN_FLOAT = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")


def int_text(text: str) -> int:
    """Read a whole number; "42.0" and "1,234" are ones."""
    if _PLAIN_INT.fullmatch(text) and len(text) < 4000:
        return int(text)
    plain = number_text(text)
    if _PLAIN_INT.fullmatch(plain) and len(plain) < 4000:
        return int(plain)
    if _PLAIN_FLOAT.fullmatch(plain):
        number = float(plain)
        if number.is_integer():
            return int(number)
    refuse(int, text)


def int_json(value: Any) -> int:
    """Read a JSON value as a whole number."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return int_text(value)
    refuse(int, value)


def float_text(text: str) -> float:
    """Read a finite number."""
    plain = text if _PLAIN_FLOAT.fullmatch(text) else number_text(text)
    if not _PLAIN_FLOAT.fullmatch(plain):
        refuse(float, text)
    number = float(plain)
    if not math.isfinite(number):
        refuse(float, text)
    return number


def float_json(value: Any) -> float:
    """Read a JSON value as a number."""
    if isinstance(value, bool):
        refuse(float, value)
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return float_text(value)
    refuse(float, value)


def choices(annotation: Any, spellings: Mapping[Any, Sequence[str]]) -> Reader:
    """Read a Literal or an Enum: exactly, then without wrapping, then without case where that is unambiguous."""
    exact, folded = _spelled(spellings)
    wrapper = re.compile(
        rf"(?:Literal|str|{re.escape(type_hint(annotation).partition('[')[0])})[\[.](.*?)\]?", re.DOTALL
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
            found = folded.get(candidate.casefold(), [])
            if len(found) == 1:
                return found[0]
        return refuse(annotation, written)

    return Reader(text, lambda value: _chosen(annotation, tuple(spellings), text, value))


def _spelled(spellings: Mapping[Any, Sequence[str]]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return spelling -> value, and spelling without case -> values; earlier spellings go first (value before name)."""
    exact: dict[str, Any] = {}
    for rank in range(max((len(names) for names in spellings.values()), default=0)):
        for value, names in spellings.items():
            if rank < len(names):
                exact.setdefault(names[rank], value)
    folded: dict[str, list[Any]] = {}
    for spelling, value in exact.items():
        values = folded.setdefault(spelling.casefold(), [])
        if value not in values:
            values.append(value)
    return exact, folded


def _chosen(annotation: Any, options: Sequence[Any], text: Callable[[str], Any], value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    for option in options:
        plain = option.value if isinstance(option, Enum) else option
        if type(plain) is type(value) and plain == value:
            return option
    return refuse(annotation, value)
