"""Typed reading: what models write, as the types that signatures ask for."""

from __future__ import annotations

import datetime
import decimal
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Optional, TypedDict, Union

import pytest
from pydantic import BaseModel, Field

from engine.adapters.values import UnreadableError, format_value, parse_value, type_text
from engine.errors import SignatureError


class Colour(Enum):
    RED = "red"
    DARK_BLUE = "dark blue"


class Level(Enum):
    LOW = 1
    HIGH = 2


class Item(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    number: int
    items: list[Item]
    due: datetime.date | None = None


class Movie(TypedDict):
    title: str
    year: int


@dataclass
class Point:
    x: int
    y: int


Label = Literal["billing", "shipping", "other"]


@pytest.mark.parametrize(
    ("text", "annotation", "expected"),
    [
        (" hello \n", str, "hello"),
        ("True", bool, True),
        ("no", bool, False),
        ("YES.", bool, True),
        ("`false`", bool, False),
        ("42", int, 42),
        ("-7", int, -7),
        ("42.0", int, 42),
        ("1,234,567", int, 1234567),
        ("1 234", int, 1234),
        ("**42**", int, 42),
        ("```\n42\n```", int, 42),
        ("12345678901234567890123", int, 12345678901234567890123),
        ("1,234.5", float, 1234.5),
        ("\x1c0.5\x1f", float, 0.5),
        ("\x1c42", int, 42),
        ("3", float, 3.0),
        ("1e-3", float, 0.001),
        ('"0.5"', float, 0.5),
        ("billing", Label, "billing"),
        ("'billing'", Label, "billing"),
        ("\u201cbilling\u201d", Label, "billing"),
        ("Billing", Label, "billing"),
        ("**Shipping**.", Label, "shipping"),
        ("Literal['other']", Label, "other"),
        ("2", Literal[1, 2], 2),
        ("red", Colour, Colour.RED),
        ("RED", Colour, Colour.RED),
        ("dark_blue", Colour, Colour.DARK_BLUE),
        ("Colour.RED", Colour, Colour.RED),
        ("2", Level, Level.HIGH),
        ("high", Level, Level.HIGH),
        ("null", int | None, None),
        ("None", Optional[str], None),  # noqa: UP045 - the older spelling must work too
        ("7", Optional[int], 7),  # noqa: UP045
        ("text", str | None, "text"),
        ("5", int | str, 5),
        ("five", int | str, "five"),
        ("2.5", Union[int, float], 2.5),  # noqa: UP007
        ("null", Label | None, None),
        ('["a", "b"]', list[str], ["a", "b"]),
        ("['a', 'b']", list[str], ["a", "b"]),
        ("- a\n- b\n", list[str], ["a", "b"]),
        ("1. first thing\n2) second, thing", list[str], ["first thing", "second, thing"]),
        ("- a long item\n  that goes on\n- b", list[str], ["a long item that goes on", "b"]),
        ("```json\n[1, 2]\n```", list[int], [1, 2]),
        ('["1,000", 2.0]', list[int], [1000, 2]),
        ("[]", list[str], []),
        ("billing, Other", list[Label], ["billing", "other"]),
        ('["yes", false]', list[bool], [True, False]),
        ('{"a": 1,}', dict[str, int], {"a": 1}),
        ("{'a': True}", dict[str, bool], {"a": True}),
        ("{}", dict, {}),
        ("[1, 'x']", tuple[int, str], (1, "x")),
        ("[1, 2, 3]", tuple[int, ...], (1, 2, 3)),
        ("[1, 1, 2]", set[int], {1, 2}),
        ("2024-05-31", datetime.date, datetime.date(2024, 5, 31)),
        ('"2024-05-31T14:30:00"', datetime.datetime, datetime.datetime(2024, 5, 31, 14, 30)),  # noqa: DTZ001
        ("14:30", datetime.time, datetime.time(14, 30)),
        ("1,234.50", decimal.Decimal, decimal.Decimal("1234.50")),
        ('{"title": "Heat", "year": 1995}', Movie, {"title": "Heat", "year": 1995}),
        ('[{"title": "Heat", "year": "1995"}]', list[Movie], [{"title": "Heat", "year": 1995}]),
        ('{"a": {"title": "Heat", "year": 1995}}', dict[str, Movie], {"a": {"title": "Heat", "year": 1995}}),
        ('{"x": 1, "y": "2"}', Point, Point(1, 2)),
        ("[1, 2]", Any, [1, 2]),
        ("plain", Any, "plain"),
    ],
)
def test_reads(text: str, annotation: Any, expected: Any) -> None:
    found = parse_value(text, annotation)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "annotation", "words"),
    [
        ("Answer: 42", int, "must be a single whole number, but is 'Answer: 42'"),
        ("forty-two", int, "whole number"),
        ("42.5", int, "whole number"),
        ("4,2", int, "whole number"),
        ("50%", float, "single number"),
        ("nan", float, "single number"),
        ("1e999", float, "single number"),
        ("maybe", bool, "True or False"),
        ("yes, because it is late", bool, "True or False"),
        ("", bool, "True or False"),
        ("bill", Label, "must be exactly one of: billing; shipping; other"),
        ("billing or shipping", Label, "exactly one of"),
        ("purple", Colour, "exactly one of: red; dark blue"),
        ("just prose", list[str], "schema"),
        ("[1, 'x']", list[int], "item 2 must be a single whole number"),
        ("[1]", tuple[int, str], "exactly 2 items"),
        ('{"a": "x"}', dict[str, int], "entry 'a' must be a single whole number"),
        ("2024", datetime.date, "must be a date"),
        ("May 31st", datetime.date, "breaks its rule"),
        ('{"number": 1, "items": [{"name": "x"}]}', Invoice, "items.0.price"),
        ("no object", Invoice, "JSON"),
        ("null", int, "whole number"),
    ],
)
def test_refuses(text: str, annotation: Any, words: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse_value(text, annotation)
    assert words in str(caught.value)


def test_case_counts_where_choices_differ_only_in_case() -> None:
    units = Literal["m", "M"]
    assert parse_value("M", units) == "M"
    with pytest.raises(UnreadableError):
        parse_value("KM", units)
    mixed = Literal["Ab", "aB"]
    with pytest.raises(UnreadableError):
        parse_value("AB", mixed)


def test_nested_models_are_read_from_fenced_and_damaged_json() -> None:
    text = 'Here it is:\n```json\n{"number": "7", "items": [{"name": "pen", "price": 1.5,}], "due": "2024-05-31"\n```'
    found = parse_value(text, Invoice)
    assert found == Invoice(number=7, items=[Item(name="pen", price=1.5)], due=datetime.date(2024, 5, 31))


def test_decoded_json_values_are_read_too() -> None:
    assert parse_value(3.0, int) == 3
    assert parse_value(1, bool) is True
    assert parse_value(None, int | None) is None
    assert parse_value({"x": 1, "y": 2}, Point) == Point(1, 2)
    assert parse_value(2, Level) is Level.HIGH
    assert parse_value(["a"], str) == '["a"]'
    for value, annotation in [
        (True, int),
        (None, str),
        (5, list[int]),
        (1700000000, datetime.date),
        (True, Literal[1]),
    ]:
        with pytest.raises(UnreadableError):
            parse_value(value, annotation)


@pytest.mark.parametrize(
    ("text", "annotation", "field", "words"),
    [
        ("9", int, Field(ge=1, le=5), "less than or equal to 5 (le=5)"),
        ("0", int, Field(gt=0), "gt=0"),
        ("7", int, Field(multiple_of=2), "multiple_of=2"),
        ("too long", str, Field(max_length=3), "max_length=3"),
        ("x", str, Field(pattern="^[0-9]+$"), "pattern"),
        ("[1,2,3]", list[int], Field(max_length=2), "max_length=2"),
        ("9", int | None, Field(le=5), "le=5"),
    ],
)
def test_rules_are_enforced(text: str, annotation: Any, field: Any, words: str) -> None:
    with pytest.raises(UnreadableError, match="breaks its rule") as caught:
        parse_value(text, annotation, field.metadata)
    assert words in str(caught.value)


def test_rules_let_good_values_through() -> None:
    assert parse_value("5", int, Field(ge=1, le=5).metadata) == 5
    assert parse_value("null", int | None, Field(le=5).metadata) is None


@pytest.mark.parametrize(
    ("value", "annotation", "text"),
    [
        ("é\n", str, "é\n"),
        (True, bool, "True"),
        (1.5, float, "1.5"),
        (None, int | None, "null"),
        (Colour.RED, Colour, "red"),
        (["a", "b"], list[str], '["a","b"]'),
        (["a", "b"], str, "[1] «a»\n[2] «b»"),
        (["a\nb"], str, "[1] «««\n    a\n    b\n»»»"),
        ([], str, "N/A"),
        ({"é": [1]}, dict, '{"é":[1]}'),
        (Item(name="pen", price=1), Item, '{"name":"pen","price":1.0}'),
        (Point(1, 2), Point, '{"x":1,"y":2}'),
        (datetime.date(2024, 5, 31), datetime.date, "2024-05-31"),
        ({2, 1}, set[int], "[1,2]"),
        ((1, "a"), tuple[int, str], '[1,"a"]'),
    ],
)
def test_formats(value: Any, annotation: Any, text: str) -> None:
    assert format_value(value, annotation) == text
    if annotation is not str:
        assert parse_value(text, annotation) == value


def test_type_hints_read_as_written() -> None:
    hints = {
        list[dict[str, int]]: "list[dict[str, int]]",
        Colour: "Colour",
        tuple[int, ...]: "tuple[int, ...]",
    }
    for annotation, hint in hints.items():
        assert type_text(annotation) == hint
    assert type_text(Optional[Label]) == "Literal['billing', 'shipping', 'other'] | None"  # noqa: UP045


class Opaque:
    """A type nobody can read from text."""


def test_a_type_that_cannot_be_read_is_said_when_the_signature_is_first_used() -> None:
    with pytest.raises(SignatureError, match="Opaque cannot be read"):
        parse_value("x", Opaque)
