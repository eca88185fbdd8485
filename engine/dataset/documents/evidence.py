"""Evidence: the place of each value of a record in a document, found and checked by code.

A text is looked for as it is, then without regard to case and spaces, then by likeness; a number, a date or a
currency in every way of writing it. It asks no model: a quote that a model gave is checked like anything else.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from rapidfuzz import fuzz

from engine.basics.data import JsonObject, Values
from engine.basics.text import one_case
from engine.basics.value_parsing import (
    Written,
    currency_of,
    dates_in,
    numbers_in,
    plain,
    read_dates,
    read_numbers,
)
from engine.dataset.documents.paged import Box, Page, PagedDocument
from engine.records import json_value, leaves

How = Literal["exact", "normalised", "similar", "none"]

ALIKE = 88.0
"""Likeness, of 100, from which a passage counts as the value's evidence."""

_SHORTEST_ALIKE = 6
_LONGEST_VALUE = 2000
"""Characters of a value that is looked for."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The place of one value in a document, or that it has none.

    `path` is the value's ("total", "lines[0].price"); `how` it was found: "exact", "normalised" (another case, other
    spaces, another way to write a number or a date), "similar" (by likeness `score`, 0 to 1) or "none". `page` and `line`
    count from 1 (0: unknown); `start` and `end` are characters of the page's text, `quote` is the text at that place,
    `boxes` its rectangles where the document is a PDF with text. `quoted` says that the model's own quote led there.

    >>> Evidence.from_json(Evidence("total", "none").to_json()).marked
    True
    """

    path: str
    how: How
    page: int = 0
    line: int = 0
    start: int = 0
    end: int = 0
    quote: str = ""
    score: float = 0.0
    boxes: tuple[Box, ...] = ()
    quoted: bool = False

    @property
    def marked(self) -> bool:
        """True if the value is to be marked: it was not found in the document."""
        return self.how == "none"

    def to_json(self) -> JsonObject:
        """Return the evidence as JSON values."""
        data: JsonObject = {"path": self.path, "how": self.how}
        if self.page:
            place = ("page", "line", "start", "end", "quote", "score")
            data |= {name: getattr(self, name) for name in place}
        if self.boxes:
            data["boxes"] = [[round(side, 5) for side in box] for box in self.boxes]
        if self.quoted:
            data["quoted"] = True
        return data

    @classmethod
    def from_json(cls, data: Values) -> Evidence:
        """Return what `to_json` gave."""
        return cls(**{**data, "boxes": tuple(Box(*box) for box in data.get("boxes", ()))})


def evidence_for(
    document: PagedDocument, record: object, quotes: Mapping[str, str] | None = None
) -> tuple[Evidence, ...]:
    """Return evidence for every value of a record that is not empty, in the record's order.

    `quotes` are passages by path that a model gave for its values; one that does not stand in the document, or does not
    hold the value, is not believed.

    >>> from engine.dataset.documents.paged import read_document
    >>> found = evidence_for(
    ...     read_document("Invoice 7\\nTotal: 1.234,50 EUR"), {"total": 1234.5, "currency": "EUR", "due": "2026-01-01"}
    ... )
    >>> [(one.path, one.how, one.line, one.quote) for one in found]
    [('total', 'normalised', 2, '1.234,50'), ('currency', 'exact', 2, 'EUR'), ('due', 'none', 0, '')]
    """
    pages = [_SearchedPage(page) for page in document.pages if page.text.strip()]
    evidence: list[Evidence] = []
    anchors: dict[str, tuple[int, int]] = {}
    floors: dict[str, tuple[int, int]] = {}
    for path, value in leaves(json_value(record)):
        if value is None or value in ("", [], {}):
            continue
        item = path.rpartition("]")[0]
        near = _Near(anchors.get(item), floors.get(item)) if item else None
        place = _quoted(pages, path, value, (quotes or {}).get(path, "")) or _best(pages, path, value, near)
        if place.page:
            place = replace(place, boxes=document.boxes(place.page, place.start, place.end))
            if item:
                anchors.setdefault(item, (place.page, place.start))
                floors.setdefault(_next_item(item), (place.page, place.end))
        evidence.append(place)
    return tuple(evidence)


class _Near(NamedTuple):
    """Known places (page, character) of an item: of its first value, and of the item before it."""

    anchor: tuple[int, int] | None
    floor: tuple[int, int] | None

    def rank(self, place: _Place) -> tuple[float, ...]:
        """Return the order of a place: in the item's own line first, then near to it; without one, below the item before."""
        known = self.anchor or self.floor
        if known is None:
            return (place.page.number, place.start)
        page, start = known
        distance = abs(place.start - start) + 1e6 * abs(place.page.number - page)
        if self.anchor is None:
            return ((place.page.number, place.start) < known, distance)
        between = place.page.page.text[min(start, place.start) : max(start, place.start)]
        return (
            place.page.number != page or "\n" in between,
            (place.page.number, place.start) < known,
            distance,
        )


def _next_item(item: str) -> str:
    start, _, number = item.rpartition("[")
    return f"{start}[{int(number) + 1}" if number.isdigit() else item


class _SearchedPage:
    """A page, with what is found in it once for all values."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.number = page.number

    @cached_property
    def numbers(self) -> list[Written]:
        """Numbers in the text; dates are none."""
        dates = [(one.start, one.end) for one in self.dates]
        return [
            one
            for one in numbers_in(self.page.text)
            if not any(start <= one.start < end for start, end in dates)
        ]

    @cached_property
    def by_number(self) -> dict[float, list[Written]]:
        """The numbers in the text by each of their readings."""
        by_reading: dict[float, list[Written]] = {}
        for one in self.numbers:
            for reading in one.readings:
                if isinstance(reading, float):
                    by_reading.setdefault(_number_key(reading), []).append(one)
        return by_reading

    @cached_property
    def dates(self) -> list[Written]:
        return list(dates_in(self.page.text))

    @cached_property
    def collapsed(self) -> str:
        """The text in one case with single spaces: tells quickly what is not in `folded`."""
        return one_case(self.page.text)

    @cached_property
    def folded(self) -> tuple[str, list[int]]:
        """The text in one case with single spaces, and each character's place in the page's text."""
        characters: list[str] = []
        places: list[int] = []
        for found in re.finditer(r"\s+|\S+", self.page.text):
            word = found[0]
            small = " " if word.isspace() else word.casefold()
            if small == " " or len(small) == len(word):
                characters.append(small)
                places += range(found.start(), found.start() + len(small))
                continue
            for at, one in enumerate(word, found.start()):  # some letters become two
                characters.append(one.casefold())
                places += [at] * len(one.casefold())
        return "".join(characters), places


@dataclass(frozen=True, slots=True)
class _Place:
    page: _SearchedPage
    start: int
    end: int
    how: How
    score: float = 1.0

    def evidence(self, path: str, quoted: bool = False) -> Evidence:
        page = self.page.page
        quote = page.text[self.start : self.end]
        line = page.line_at(self.start)
        return Evidence(
            path, self.how, page.number, line, self.start, self.end, quote, self.score, quoted=quoted
        )


def _best(pages: Sequence[_SearchedPage], path: str, value: object, near: _Near | None) -> Evidence:
    """Return the likeliest place of a value: in its item's lines, else next to its own name, else the first."""
    places = list(_places(pages, value))
    if not places:
        return Evidence(path, "none")

    def rank(place: _Place) -> tuple[float, ...]:
        if near is not None:
            return near.rank(place)
        return (not next_to_name(place.page.page, place.start, path), place.page.number, place.start)

    how = min(_ORDER[place.how] for place in places)
    return min((place for place in places if _ORDER[place.how] == how), key=rank).evidence(path)


def next_to_name(page: Page, start: int, path: str) -> bool:
    r"""Return whether a place on a page comes after a word of the value's own name, in the same line.

    >>> next_to_name(Page(1, "Net 5\nTotal 5"), 12, "sums.total")
    True
    """
    line = page.text[page.text.rfind("\n", 0, start) + 1 : start].casefold()
    return any(word in line for word in re.findall(r"[^\W\d_]{3,}", path.rpartition(".")[2].casefold()))


_ORDER: dict[How, int] = {"exact": 0, "normalised": 0, "similar": 1, "none": 2}
"""A number in a country's own way of writing is as good as the digits alone."""


def _quoted(pages: Sequence[_SearchedPage], path: str, value: object, quote: str) -> Evidence | None:
    """Return the place of a value inside a quote, where the document holds the quote and the quote holds the value."""
    if not quote.strip():
        return None
    for outer in _text_places(pages, quote):
        inside = _SearchedPage(Page(outer.page.number, outer.page.page.text[outer.start : outer.end]))
        for place in _places([inside], value):
            moved = replace(
                place, page=outer.page, start=place.start + outer.start, end=place.end + outer.start
            )
            return moved.evidence(path, quoted=True)
    return None


def _places(pages: Sequence[_SearchedPage], value: object) -> Iterator[_Place]:
    """Iterate over the places where a value may stand."""
    value = plain(value)
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield from _number_places(pages, value)
        return
    text = str(value)[:_LONGEST_VALUE]
    if days := read_dates(text) if _DATE_ALONE.fullmatch(text.strip()) else ():
        yield from _date_places(pages, days)
        return
    yield from _text_places(pages, text)
    if re.fullmatch("[A-Z]{3}", text) and (sign := _SIGN_OF.get(text)):
        yield from (replace(place, how="normalised") for place in _text_places(pages, sign))
    elif re.fullmatch(r"[-+\d.,' ]{1,40}", text) and (numbers := read_numbers(text)):
        yield from _number_places(pages, numbers[0])


_DATE_ALONE = re.compile(r"[\w./, -]{6,24}(?:T[\d:.+Z-]+)?")
_SIGN_OF = {code: sign for sign in ("€", "$", "£", "¥", "₹") if (code := currency_of(sign))}


def _number_places(pages: Sequence[_SearchedPage], value: float) -> Iterator[_Place]:
    written = f"{value:g}"
    for page in pages:
        for one in page.by_number.get(_number_key(float(value)), ()):
            same = page.page.text[one.start : one.end] == written
            yield _Place(page, one.start, one.end, "exact" if same else "normalised")


def _number_key(value: float) -> float:
    """Return what numbers that are the same in a document have in common; credits are often written without a minus."""
    return float(f"{abs(value):.12g}")


def _date_places(pages: Sequence[_SearchedPage], days: Sequence[datetime.date]) -> Iterator[_Place]:
    for page in pages:
        for one in page.dates:
            if set(days) & set(one.readings):
                same = page.page.text[one.start : one.end] == days[0].isoformat()
                yield _Place(page, one.start, one.end, "exact" if same else "normalised")


def _text_places(pages: Sequence[_SearchedPage], text: str) -> Iterator[_Place]:
    text = text.strip()
    if not text:
        return
    matched = False
    for page in pages:
        for start in _occurrences(page.page.text, text):
            matched = True
            yield _Place(page, start, start + len(text), "exact")
    if matched:
        return
    wanted = one_case(text)
    for page in (page for page in pages if wanted in page.collapsed):
        folded, places = page.folded
        for start in _occurrences(folded, wanted):
            matched = True
            yield _Place(page, places[start], places[start + len(wanted) - 1] + 1, "normalised")
    if not matched and len(wanted) >= _SHORTEST_ALIKE:
        yield from _similar_places(pages, wanted)


def _occurrences(text: str, wanted: str) -> Iterator[int]:
    """Iterate over the places of a text, as whole words where it begins and ends with a letter or a digit."""
    at = text.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        begins = at == 0 or not (wanted[0].isalnum() and _in_word(text[at - 1]))
        ends = end == len(text) or not (wanted[-1].isalnum() and _in_word(text[end]))
        if begins and ends:
            yield at
        at = text.find(wanted, at + 1)


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _similar_places(pages: Sequence[_SearchedPage], wanted: str) -> Iterator[_Place]:
    for page in pages:
        if len(page.collapsed) < len(wanted) // 2 or not fuzz.partial_ratio(
            wanted, page.collapsed, score_cutoff=ALIKE
        ):
            continue
        folded, places = page.folded
        near = fuzz.partial_ratio_alignment(wanted, folded, score_cutoff=ALIKE)
        if near is not None and near.dest_end > near.dest_start:
            start, end = places[near.dest_start], places[near.dest_end - 1] + 1
            yield _Place(page, start, end, "similar", round(near.score / 100, 4))
