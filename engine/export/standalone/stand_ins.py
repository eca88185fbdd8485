"""Replacements for packages that a script does without: JSON, BM25, checks of values. Simpler, with the same answers.

The code is copied into exported scripts, for Python 3.9; see `engine.export.carried`.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, Union

from engine.adapters.scalars import refuse
from engine.signature.grammar import without_none
from engine.similarity import search_words

HERE = "engine.export.standalone.stand_ins"
REPLACED = {
    "orjson": f"{HERE}.orjson",
    "engine.adapters.scalars._repaired": f"{HERE}.no_repair",
    "engine.adapters.notes.output_note": f"{HERE}.output_note",
    "engine.adapters.values._own_form": "engine.adapters.values._structured",
    "engine.adapters.values._schema_type": f"{HERE}.no_schema",
    "engine.adapters.values._validator": f"{HERE}.calendar_check",
    "engine.signature.nested.is_record": f"{HERE}.no_record",
    "engine.adapters.xml.fields_of": f"{HERE}.no_fields",
    "engine.adapters.values.jsonable": f"{HERE}.calendar_text",
    "engine.similarity._posting": f"{HERE}.pairs",
    "engine.similarity._ranked": f"{HERE}.ranked",
    "engine.pipeline.build._may_be_absent": f"{HERE}.may_be_absent",
    "engine.signature.grammar.UNIONS": f"{HERE}.UNIONS",
    "engine.types.base.Type": f"{HERE}.Type",
}
"""Code that needs a package -> its replacement in a script."""

NOTES: dict[Any, str] = {}
"""Type -> what a value of it must be, as errors put it; filled from the program."""

UNIONS = (Union,)


class Type:
    """A field's type with its own form in messages, such as Image: no script has any."""


class orjson:  # noqa: N801 - under the name that the engine uses
    """JSON by the standard library."""

    JSONDecodeError = ValueError
    OPT_NON_STR_KEYS = 0

    @staticmethod
    def loads(text: str) -> Any:
        """Return the value of a JSON text; a whole number past 64 bits is a float. Raises ValueError."""
        try:
            return json.loads(text, parse_constant=no_number, parse_int=sized)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None

    @staticmethod
    def dumps(value: object, option: int = 0) -> bytes:  # noqa: ARG004 - keys are written as texts anyway
        """Return a value as JSON on one line."""
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=calendar_text).encode()


def sized(digits: str) -> float:
    """Return a whole number; one past 64 bits as a float."""
    return int(digits) if len(digits) < 21 and -(2**63) <= int(digits) < 2**64 else float(digits)


def no_number(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which are no JSON."""
    raise ValueError(name)


def no_repair(_body: str) -> NoReturn:
    """Refuse damaged JSON: its repair takes a package."""
    raise ValueError("there is no JSON in the text")


def output_note(annotation: object) -> str:
    """Return what a value of a type must be."""
    return NOTES.get(annotation, "")


def no_schema(_annotation: object) -> None:
    """Return nothing: schemas are written out when the script is made."""


def no_record(_kind: object) -> bool:
    """Return that a type is no class with fields: no script reads one."""
    return False


def no_fields(_kind: object) -> dict[str, tuple[object, str, str]]:
    """Return no fields; see `no_record`."""
    return {}


def calendar_check(annotation: Any) -> Callable[[object], object]:
    """Return the check of a date or a time, which reads it as ISO 8601 has it; other values pass."""

    def check(value: Any) -> Any:
        if annotation not in (datetime.date, datetime.datetime, datetime.time):
            return value
        try:
            return annotation.fromisoformat(re.sub(r"[zZ]$", "+00:00", value))
        except (ValueError, TypeError):
            refuse(annotation, value)

    return check


def calendar_text(value: object) -> object:
    """Return a date or a time, for which JSON has no form, as a text; another value as it is."""
    if not isinstance(value, (datetime.date, datetime.time)):
        return value
    text = value.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def may_be_absent(field: Any) -> bool:
    """Return whether a step runs without an input."""
    return without_none(field.annotation)[1]


def pairs(places: list[int], shares: list[float]) -> list[tuple[int, float]]:
    """Return the texts that hold a part, by place, with its share of each."""
    return list(zip(places, shares, strict=True))


def ranked(size: int, weighed: Iterable[tuple[float, list[tuple[int, float]]]]) -> list[int]:
    """Return the places of all texts by the sums of weighed shares, the largest first."""
    closeness = [0.0] * size
    for weight, posting in weighed:
        for place, share in posting:
            closeness[place] += weight * share
    return sorted(range(size), key=lambda place: -closeness[place])


class BM25:
    """Passages by the words they share with a query, best first; equal ones in their own order.

    Source: Robertson et al. 1994, "Okapi at TREC-3", in Lucene's variant.
    """

    def __init__(self, passages: Sequence[str], k: int) -> None:
        self.passages, self.k = passages, k
        self.counts = [Counter(search_words(passage)) for passage in passages]
        self.seen = Counter(word for count in self.counts for word in count)
        lengths = [sum(count.values()) for count in self.counts]
        usual = sum(lengths) / max(len(lengths), 1) or 1.0
        self.held_back = [1.5 * (0.25 + 0.75 * length / usual) for length in lengths]

    def find(self, query: str) -> list[str]:
        """Return the passages that share a word with a query."""
        scores = [0.0] * len(self.passages)
        for word in dict.fromkeys(search_words(query)):
            n = self.seen[word]
            weight = math.log(1 + (len(self.passages) - n + 0.5) / (n + 0.5))
            for place, count in enumerate(self.counts):
                if word in count:
                    scores[place] += weight * count[word] / (count[word] + self.held_back[place])
        best = [place for place, score in enumerate(scores) if score > 0]
        best.sort(key=lambda place: (-round(scores[place], 5), place))
        return [self.passages[place] for place in best[: self.k]]
