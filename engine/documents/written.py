"""Numbers, dates and amounts of money as people write them, in several countries' ways.

A text may be read in two ways ("1,234", "03/04/2026"): all readings are given, and who compares takes any of them.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Written(NamedTuple):
    """A number or a date in a text: its place, and its possible readings."""

    start: int
    end: int
    readings: tuple[object, ...]


_MINUS = "-\u2212\u2013"
_SPACES = " \u00a0\u202f\u2009"
_NUMBER = re.compile(
    rf"(?<![\w.,])[(+{re.escape(_MINUS)}]?"
    rf"(?:\d{{1,3}}(?:[.,'\u2019{_SPACES}]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)*|\.\d+)(?!\w)"
    # A minus behind the amount, as bookkeepers write it; "5-10" and "5-fold" have none.
    rf"(?:[{re.escape(_MINUS)}](?![\w.,])(?!\s*\d)|[{_SPACES}][-\u2212](?=\s*\Z))?"
)
_SCIENTIFIC = re.compile(r"\s*([+-]?\d+(?:\.\d+)?[eE][+-]?\d{1,3})\s*")
_LONGEST = 40


def numbers_in(text: str) -> Iterator[Written]:
    """Iterate over the numbers of a text with all their readings, as floats.

    >>> [(text[n.start : n.end], n.readings) for text in ("Total 1.234,50 EUR",) for n in numbers_in(text)]
    [('1.234,50', (1234.5,))]
    >>> next(numbers_in("1,234")).readings
    (1234.0, 1.234)
    """
    for found in _NUMBER.finditer(text):
        if found.end() - found.start() <= _LONGEST and (readings := _number_readings(found[0])):
            yield Written(found.start(), found.end(), readings)


@lru_cache(maxsize=4096)
def _number_readings(text: str) -> tuple[float, ...]:
    """Return what digits with points, commas and spaces may mean, the likelier reading first."""
    sign = -1.0 if text[0] in f"({_MINUS}" or text[-1] in _MINUS else 1.0
    digits = re.sub(rf"[{_SPACES}'\u2019]", "", text.strip(f"(+{_MINUS}"))
    marks = [c for c in digits if c in ".,"]
    kinds = set(marks)
    if not marks:
        return (sign * float(digits),)
    last = digits.rindex(marks[-1])
    after = len(digits) - last - 1
    whole = sign * float(re.sub("[.,]", "", digits))
    parted = sign * float(f"{re.sub('[.,]', '', digits[:last]) or '0'}.{digits[last + 1 :] or '0'}")
    if len(kinds) == 2:
        return (parted,)
    if len(marks) > 1:
        return (whole,) if after == 3 else ()
    if after != 3 or not last:
        return (parted,)
    return (whole, parted) if marks[0] == "," else (parted, whole)


def read_numbers(value: object) -> tuple[float, ...]:
    """Return the readings of a value that is a number, or a text with one number in it; () for none.

    >>> read_numbers("12,50 €"), read_numbers("1.234,50-"), read_numbers("1e5"), read_numbers("none"), read_numbers(True)
    ((12.5,), (-1234.5,), (100000.0,), (), ())
    """
    if isinstance(value, bool) or value is None:
        return ()
    if isinstance(value, int | float | Decimal):
        try:
            return (float(value),)
        except OverflowError:
            return ()
    if not isinstance(value, str):
        return ()
    if (scientific := _SCIENTIFIC.fullmatch(value)) is not None:
        number = float(scientific[1])
        return (number,) if math.isfinite(number) else ()
    found = list(numbers_in(_without_signs(value)))
    return tuple(one for one in found[0].readings if isinstance(one, float)) if len(found) == 1 else ()


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier enero gennaio",
            "feb february februar fevrier février febrero febbraio",
            "mar march märz maerz mars marzo",
            "apr april avril abril aprile",
            "may mai mayo maggio",
            "jun june juni juin junio giugno",
            "jul july juli juillet julio luglio",
            "aug august août aout agosto",
            "sep sept september septembre septiembre settembre",
            "oct october oktober okt octobre octubre ottobre",
            "nov november novembre noviembre",
            "dec december dezember dez decembre décembre diciembre dicembre",
        ),
        1,
    )
    for name in names.split()
}
_DATE = re.compile(
    r"(?<![\w.])(?:"
    r"(?P<y>\d{4})[-/.年](?P<m>\d{1,2})[-/.月](?P<d>\d{1,2})日?"
    r"|(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{4}|\d{2})"
    r"|(?P<day>\d{1,2})(?:st|nd|rd|th|\.|er)?\s+(?:of\s+)?(?P<month>[^\W\d_]{3,10})\.?,?\s+(?P<year>\d{4})"
    r"|(?P<day3>\d{1,2})(?P<mark>[-/]?)(?P<month3>[^\W\d_]{3,10})(?P=mark)(?P<year3>\d{4}|\d{2})"
    r"|(?P<year4>\d{4})[\s/-](?P<month4>[^\W\d_]{3,10})\.?[\s/-](?P<day4>\d{1,2})"
    r"|(?P<month2>[^\W\d_]{3,10})\.?\s+(?P<day2>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year2>\d{4})"
    r")(?!\d)"
)
_COMPACT = re.compile(r"\s*(\d{4})(\d\d)(\d\d)\s*")
"""A value that is a date without marks; in a document such digits may be anything."""


def dates_in(text: str) -> Iterator[Written]:
    """Iterate over the dates of a text with all their readings.

    >>> [one.readings for one in dates_in("due 31.03.2026, sent 3 March 2026")]
    [(datetime.date(2026, 3, 31),), (datetime.date(2026, 3, 3),)]
    >>> len(next(dates_in("03/04/2026")).readings)
    2
    """
    for found in _DATE.finditer(text):
        if readings := tuple(_date_readings(found.groupdict())):
            yield Written(found.start(), found.end(), readings)


def _date_readings(parts: dict[str, str | None]) -> Iterator[datetime.date]:
    triples: list[tuple[str | None, str | None, str | None]]
    if parts["y"]:
        triples = [(parts["y"], parts["m"], parts["d"])]
    elif parts["a"]:
        year = _whole_year(parts["c"])
        triples = [(year, parts["b"], parts["a"]), (year, parts["a"], parts["b"])]
    else:
        forms = ("", "2", "3", "4")
        year, name, day = (
            "".join(parts[f"{part}{form}"] or "" for form in forms) for part in ("year", "month", "day")
        )
        if name.casefold() not in _MONTHS:
            return
        triples = [(_whole_year(year), str(_MONTHS[name.casefold()]), day)]
    seen = set()
    for triple in triples:
        try:
            made = datetime.date(*(int(part or 0) for part in triple))
        except ValueError:
            continue
        if made not in seen:
            seen.add(made)
            yield made


def _whole_year(text: str | None) -> str:
    return f"20{text}" if len(text or "") == 2 else text or ""


def read_dates(value: object) -> tuple[datetime.date, ...]:
    """Return the readings of a value that is a date, or a text with one date in it; () for none.

    >>> read_dates("2026-03-31"), read_dates("31 March 2026") == read_dates("31.3.2026"), read_dates("soon")
    ((datetime.date(2026, 3, 31),), True, ())
    """
    if isinstance(value, datetime.datetime):
        return (value.date(),)
    if isinstance(value, datetime.date):
        return (value,)
    if not isinstance(value, str):
        return ()
    if (compact := _COMPACT.fullmatch(value)) is not None:
        value = "-".join(compact.groups())
    found = list(dates_in(value))
    return tuple(d for d in found[0].readings if isinstance(d, datetime.date)) if len(found) == 1 else ()


_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "zł": "PLN", "Fr.": "CHF", "kr": ""}
_CODE = re.compile(r"(?<![A-Za-z])(?:[A-Z]{3})(?![A-Za-z])")


def _without_signs(text: str) -> str:
    for sign in _SIGNS:
        text = text.replace(sign, " ")
    return _CODE.sub(" ", text)


def currency_of(text: str) -> str:
    """Return the currency's three letters in a text, from its code or its sign; "" for none.

    >>> currency_of("1.234,50 €"), currency_of("USD 12"), currency_of("12")
    ('EUR', 'USD', '')
    """
    codes = [code for code in _CODE.findall(text) if code in _CODES]
    if codes:
        return str(codes[0])
    return next((code for sign, code in _SIGNS.items() if sign in text), "")


_CODES = frozenset(
    "EUR USD GBP JPY CHF CAD AUD NZD CNY HKD SGD INR SEK NOK DKK PLN CZK HUF RON BGN TRY ILS AED SAR ZAR BRL MXN ARS CLP "
    "COP KRW TWD THB IDR MYR PHP VND UAH RUB ISK EGP NGN KES".split()
)


def plain(value: object) -> object:
    """Return an enum's member as its value; anything else as it is."""
    return value.value if isinstance(value, Enum) else value
