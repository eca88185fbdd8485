"""Numbers, dates and amounts of money as people write them, in several countries' ways: the only reader of them.

A text may be read in two ways ("1,234", "03/04/2026"): all readings are given, the likelier first. Where the text is one of
many, as in a column, `convention_of` tells from the others which way is meant.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from engine.basics.text import as_text


class Written(NamedTuple):
    """A number or a date in a text: its place, and its possible readings."""

    start: int
    end: int
    readings: tuple[object, ...]


class Convention(NamedTuple):
    """The way in which numbers and dates are written: the decimal mark ("" if unknown), and whether the day comes first."""

    decimal: str = ""
    day_first: bool | None = None


_UNKNOWN = Convention()
_MINUS = "-\u2212\u2013"
_SPACES = " \u00a0\u202f\u2009"
_GROUPS = f"_'\u2019{_SPACES}"
_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "zł": "PLN", "Fr.": "CHF", "kr": ""}
_BODY = (
    # The minus may stand before the currency's sign, as in "-$5".
    rf"[(+{re.escape(_MINUS)}]?(?:(?<=[-\u2212\u2013(])[€$£¥₹][{_SPACES}]?)?"
    rf"(?:\d{{1,3}}(?:[.,{_GROUPS}]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)*|\.\d+)(?:[eE][+-]?\d{{1,3}})?"
)
# A minus behind the amount, as bookkeepers write it; "5-10" and "5-fold" have none.
_BEHIND = rf"(?:[{re.escape(_MINUS)}](?![\w.,])(?!\s*\d)|[{_SPACES}][-\u2212](?=\s*\Z))?"
_NUMBER = re.compile(rf"(?<![\w.,]){_BODY}(?!\w){_BEHIND}")
_IN_WORDS = re.compile(rf"(?<!\d)(?<!\d[.,])(?:(?<!\w)|(?=[\d.])){_BODY}{_BEHIND}")
_LAST_DIGIT = re.compile(r"\d\D*\Z")
_LONGEST = 40


def numbers_in(text: str, *, in_words: bool = False) -> Iterator[Written]:
    """Iterate over the numbers of a text with all their readings, as floats; with `in_words` also "5kg" and "QM12".

    >>> [(text[n.start : n.end], n.readings) for text in ("Total 1.234,50 EUR",) for n in numbers_in(text)]
    [('1.234,50', (1234.5,))]
    >>> next(numbers_in("1,234")).readings
    (1234.0, 1.234)
    """
    for match in (_IN_WORDS if in_words else _NUMBER).finditer(text):
        if match.end() - match.start() > _LONGEST:
            continue
        readings = _plain_readings(match[0])
        if numbers := tuple(n for n in map(float, readings) if math.isfinite(n)):
            yield Written(match.start(), match.end(), numbers)
        elif in_words and not readings:  # "1,2,3" is no number but three
            for part in re.finditer(r"\d+", match[0]):
                yield Written(match.start() + part.start(), match.start() + part.end(), (float(part[0]),))


@lru_cache(maxsize=4096)
def _plain_readings(text: str, decimal: str = "") -> tuple[str, ...]:
    """Return what digits with points, commas and spaces may mean, in plain digits, the likelier reading first."""
    sign = "-" if text[0] in f"({_MINUS}" or text[-1] in _MINUS else ""
    number, mark, power = text.rstrip(f"{_SPACES}{_MINUS}").lower().partition("e")
    digits = re.sub(r"[^\d.,]", "", number)
    readings = [f"{sign}{reading}{mark}{power}" for reading in _digit_readings(digits, decimal)]
    # In brackets: an amount to take off, as bookkeepers write it, or a number in brackets.
    return tuple(readings + [one[1:] for one in readings if text[0] == "("])


def _digit_readings(digits: str, decimal: str) -> tuple[str, ...]:
    marks = [c for c in digits if c in ".,"]
    if not marks:
        return (digits,)
    before, _, after = digits.rpartition(marks[-1])
    joined = re.sub("[.,]", "", before)
    whole, parted = joined + after, f"{joined or '0'}.{after}"
    if len(set(marks)) == 2:
        return (parted,)
    if len(marks) > 1:
        return (whole,) if len(after) == 3 else ()
    if len(after) != 3 or not before or before.startswith("0") or len(before) > 3:
        return (parted,)
    if decimal:
        return (parted,) if marks[0] == decimal else (whole,)
    return (whole, parted) if marks[0] == "," else (parted, whole)


def read_numbers(value: object) -> tuple[float, ...]:
    """Return the readings of a value that is a number, or a text with one number in it; () for none.

    >>> read_numbers("12,50 €"), read_numbers("1.234,50-"), read_numbers("1e5"), read_numbers("none"), read_numbers(True)
    ((12.5,), (-1234.5,), (100000.0,), (), ())
    """
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        with suppress(OverflowError):
            return (float(value),)
    if not isinstance(value, str):
        return ()
    written = list(numbers_in(_without_currency(value)))
    return tuple(n for n in written[0].readings if isinstance(n, float)) if len(written) == 1 else ()


def last_number(value: object) -> tuple[float, ...]:
    """Return the readings of the number that a value is, or of the last one in its text; () without any.

    >>> last_number("$1,250.50 in all"), last_number("none"), last_number(-3), last_number(True)
    ((1250.5,), (), (-3.0,), (1.0,))
    """
    if isinstance(value, int | float | Decimal):
        return tuple(n for n in read_numbers(value + 0) if math.isfinite(n))
    text = as_text(value)
    digit = _LAST_DIGIT.search(text)
    tail = text[max(0, digit.start() - 2 * _LONGEST) : digit.start() + 4] if digit else ""
    *_, last = ((), *(number.readings for number in numbers_in(tail, in_words=True)))
    return tuple(n for n in last if isinstance(n, float))


def plain_numbers(text: str, convention: Convention = _UNKNOWN) -> tuple[str, ...]:
    """Return the readings, in plain digits, of a text that is a number and nothing else; () for any other text.

    A currency or a percent sign may stand with it.

    >>> plain_numbers("1.234,50 EUR"), plain_numbers("12,5 %"), plain_numbers("5 apples")
    (('1234.50',), ('12.5',), ())
    >>> plain_numbers("1.234"), plain_numbers("1.234", Convention(decimal=","))
    (('1.234', '1234'), ('1234',))
    """
    bare = _without_currency(text).strip().removesuffix("%").strip()
    # "(3)" is the third of a list, "(3.00)" an amount to take off.
    readable = len(bare) <= _LONGEST and not re.fullmatch(r"\(\d+\)", bare)
    match = _NUMBER.match(bare) if readable else None
    if match is None or bare[match.end() :] not in ("", ")", ",-"):
        return ()
    return _plain_readings(match[0], convention.decimal)


def unit_of(text: str) -> str:
    """Return what a number counts, as far as its text says: "EUR", "percent" or ""."""
    return "percent" if text.rstrip().endswith("%") else currency_of(text)


def convention_of(texts: Iterable[str]) -> Convention:
    """Return the convention that the texts with one reading show; texts that speak against each other show none.

    >>> convention_of(["1.234", "0,5"]), convention_of(["01/02/2026", "01/25/2026"])
    (Convention(decimal=',', day_first=None), Convention(decimal='', day_first=False))
    """
    decimals, first = set(), set()
    for text in texts:
        if len(readings := plain_numbers(text)) == 1 and (marks := re.findall("[.,]", text)):
            decimals.add(marks[-1] if "." in readings[0] else ".,".replace(marks[-1], ""))
        elif (match := _DATE.fullmatch(text.strip()[:_LONGEST])) and match["a"] != match["b"]:
            days = list(_date_readings(match.groupdict()))
            first |= {days[0].day == int(match["a"])} if len(days) == 1 else set()
    return Convention(decimals.pop() if len(decimals) == 1 else "", first.pop() if len(first) == 1 else None)


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
    for match in _DATE.finditer(text):
        if readings := tuple(_date_readings(match.groupdict())):
            yield Written(match.start(), match.end(), readings)


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
            reading = datetime.date(*(int(part or 0) for part in triple))
        except ValueError:
            continue
        if reading not in seen:
            seen.add(reading)
            yield reading


def _whole_year(text: str | None) -> str:
    return f"20{text}" if len(text or "") == 2 else text or ""


def read_dates(value: object, convention: Convention = _UNKNOWN) -> tuple[datetime.date, ...]:
    """Return the readings of a value that is a date, or a text with one date in it, the day first; () for none.

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
    written = list(dates_in(value))
    days = tuple(d for d in written[0].readings if isinstance(d, datetime.date)) if len(written) == 1 else ()
    return (
        days
        if convention.day_first is None or len(days) < 2
        else days[:1]
        if convention.day_first
        else days[1:]
    )


def is_date(text: str) -> bool:
    """Return whether a text is a date, with or without a time, and nothing else.

    >>> is_date("31.03.2026"), is_date("2026-03-31T10:00Z"), is_date("1.2.10"), is_date("due 31.03.2026")
    (True, True, False, False)
    """
    match = _DATE.match(text.strip()[: 2 * _LONGEST])
    alone = match is not None and bool(_TIME.fullmatch(match.string, match.end()))
    # With two digits for the year and no month's name it may be a version.
    return alone and bool(re.search(r"\d{4}|[^\W\d_]{3}", text)) and len(read_dates(text)) > 0


_TIME = re.compile(r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?")


_CODES = (
    "EUR USD GBP JPY CHF CAD AUD NZD CNY HKD SGD INR SEK NOK DKK PLN CZK HUF RON BGN TRY ILS AED SAR ZAR BRL MXN ARS CLP "
    "COP KRW TWD THB IDR MYR PHP VND UAH RUB ISK EGP NGN KES"
)
_CODE = re.compile(rf"(?<![A-Za-z])(?:{_CODES.replace(' ', '|')})(?![A-Za-z])")
_CURRENCY = re.compile(
    "|".join([_CODE.pattern, *(rf"(?<![-\u2212\u2013(]){re.escape(sign)}" for sign in _SIGNS)])
)


def _without_currency(text: str) -> str:
    return _CURRENCY.sub(" ", text)


def currency_of(text: str) -> str:
    """Return the currency's three letters in a text, from its code or its sign; "" for none.

    >>> currency_of("1.234,50 €"), currency_of("USD 12"), currency_of("12")
    ('EUR', 'USD', '')
    """
    code = _CODE.search(text)
    return code[0] if code else next((code for sign, code in _SIGNS.items() if sign in text), "")


def plain(value: object) -> object:
    """Return an enum's member as its value; anything else as it is."""
    return value.value if isinstance(value, Enum) else value
