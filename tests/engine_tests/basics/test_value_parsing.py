"""Numbers, dates and money are read in one way wherever Tuneboard reads them."""

from __future__ import annotations

import datetime

import pytest

from engine.adapters.values import UnreadableError, parse_value
from engine.basics.value_parsing import convention_of, plain_numbers, read_dates, read_numbers
from engine.dataset import profile, read_dataset, usable_rows
from engine.dataset.documents.evidence import evidence_for
from engine.dataset.documents.paged import read_document
from engine.lm.offline.text import numbers_in as offline_numbers
from engine.metrics import NumberWithin
from engine.metrics.comparers import make_comparer

SPELLINGS = {
    "1.234,50 EUR": 1234.5,
    "1234,5": 1234.5,
    "1 234,50 €": 1234.5,
    "1\u202f234,50\u00a0€": 1234.5,
    "1'234.50": 1234.5,
    "1\u2019234.50 CHF": 1234.5,
    "1,234.50": 1234.5,
    "$1,234.50": 1234.5,
    "EUR 1234.50": 1234.5,
    "1234.5": 1234.5,
    "1.234.567,89": 1234567.89,
    "1,234,567": 1234567,
    "1 234 567": 1234567,
    "0,125": 0.125,
    "0.125": 0.125,
    ".5": 0.5,
    "12,5 %": 12.5,
    "12.5%": 12.5,
    "42": 42,
    "1.5e3": 1500,
}
SIGNED = {"-1.234,50": -1234.5, "\u22125": -5, "-$5": -5, "-5 €": -5, "+7,25": 7.25}


@pytest.mark.parametrize(("text", "value"), [*SPELLINGS.items(), *SIGNED.items()])
def test_every_reader_reads_a_spelling_alike(text: str, value: float) -> None:
    assert read_numbers(text) == (value,)
    assert [float(one) for one in plain_numbers(text)] == [value]
    for metric in (NumberWithin().compare, lambda a, b: make_comparer("number").compare(a, b)):
        for expected, answer in ((value, text), (text, value), (text, f"{value:.12g}")):
            assert float(metric(expected, answer)) == 1.0
        assert float(metric(value + 1, text)) == 0.0
    assert NumberWithin().compare(value, f"It is {text}").score == 1
    assert make_comparer("currency").compare(value, text) == 1
    assert offline_numbers(f"It is {text}") == (value,)
    data = read_dataset(f'a,n\nx,"{text}"\ny,"{text}"\n'.encode(), "x.csv")
    assert profile(data)[1].kind == "number"
    rows = usable_rows(data, {"a": "a", "n": "n"}, inputs={"a": str}, outputs={"n": float}, parse=parse_value)
    assert rows.examples[0].n == value
    if "%" in text:  # of a reply it may mean 12.5 or 0.125: the model is asked again
        with pytest.raises(UnreadableError):
            parse_value(text, float)
    else:
        assert parse_value(text, float) == value
    (place,) = evidence_for(read_document(f"Total: {text} net".encode(), "a.txt"), {"total": value})
    assert place.start is not None


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (["1.234", "0,5"], [1234, 0.5]),
        (["1.234", "0.5"], [1.234, 0.5]),
        (["1,234", "7.25"], [1234, 7.25]),
        (["1,234", "7,25"], [1.234, 7.25]),
        (["1.234", "1.234.567"], [1234, 1234567]),
        (["1,234", "2"], [1234, 2]),
        (["1.234", "2"], [1.234, 2]),
    ],
)
def test_a_number_that_can_be_read_in_two_ways_is_read_as_the_rest_of_its_column(column, values) -> None:
    table = read_dataset(
        ("a,n\n" + "".join(f'x{i},"{one}"\n' for i, one in enumerate(column))).encode(), "x.csv"
    )
    rows = usable_rows(
        table, {"a": "a", "n": "n"}, inputs={"a": str}, outputs={"n": float}, parse=parse_value
    )
    assert [rows.examples[at].n for at in range(len(column))] == values
    assert profile(table)[1].whole == all(float(value).is_integer() for value in values)


def test_a_day_that_can_be_read_in_two_ways_is_read_as_the_rest_of_its_column() -> None:
    for other, expected in (
        ("25/02/2026", datetime.date(2026, 2, 1)),
        ("02/25/2026", datetime.date(2026, 1, 2)),
    ):
        table = read_dataset(f"a,d\nx,01/02/2026\ny,{other}\n".encode(), "x.csv")
        assert profile(table)[1].kind == "date"
        rows = usable_rows(
            table, {"a": "a", "d": "d"}, inputs={"a": str}, outputs={"d": datetime.date}, parse=parse_value
        )
        assert rows.examples[0].d == expected
    assert len(read_dates("01/02/2026")) == 2
    assert convention_of(["25/02/2026", "02/25/2026"]).day_first is None


@pytest.mark.parametrize(
    "text", ["31.03.2026", "31 March 2026", "2026-03-31", "31. M\u00e4rz 2026", "2026/03/31"]
)
def test_every_reader_reads_a_date_alike(text: str) -> None:
    day = datetime.date(2026, 3, 31)
    assert read_dates(text) == (day,)
    assert make_comparer("date").compare("2026-03-31", text) == 1
    assert parse_value(text, datetime.date) == day
    table = read_dataset(f"a,d\nx,{text}\ny,{text}\n".encode(), "x.csv")
    assert profile(table)[1].kind == "date"
    rows = usable_rows(
        table, {"a": "a", "d": "d"}, inputs={"a": str}, outputs={"d": datetime.date}, parse=parse_value
    )
    assert rows.examples[0].d == day
    assert [
        one.how
        for one in evidence_for(read_document(f"due {text}.".encode(), "a.txt"), {"due": "2026-03-31"})
    ] != ["none"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("6 x 7 = 42 apples", 42), ("about 104kg", 104), ("QM12", 12), ("EUR12,50", 12.5), ("the total (42)", 42), ("between 5-10", 10),
        ("{1,2,3}", 3), ("x=-5", -5), ("about 1e5", 100000), ("-3", -3), ("$1,250.50 in all", 1250.5), ("2nd", 2),
    ],
)  # fmt: skip
def test_the_last_number_of_a_sentence_counts(text: str, number: float) -> None:
    assert NumberWithin().compare(number, text).score == 1
    assert NumberWithin().compare(number + 1, text).score == 0


@pytest.mark.parametrize(
    "text", ["007", "1.2.3.4", "QM-12", "5 apples", "2026-03-31", "LHR 123", "", "12/13", "1,2,3", "(3)"]
)
def test_what_is_no_number_alone_is_none(text: str) -> None:
    data = read_dataset(f'a,n\nx,"{text}"\ny,"{text}"\n'.encode(), "x.csv")
    assert profile(data)[1].kind != "number"
    if text != "007":
        with pytest.raises(UnreadableError):
            parse_value(text, float)


def test_amounts_in_several_currencies_are_not_one_column_of_numbers() -> None:
    data = read_dataset(b"a,n\nx,12 EUR\ny,12 USD\nz,3 EUR\n", "x.csv")
    assert profile(data)[1].kind != "number"
