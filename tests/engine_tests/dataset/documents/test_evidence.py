"""Where values stand in documents."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.basics.value_parsing import dates_in, numbers_in, read_dates, read_numbers
from engine.dataset.documents import Evidence, evidence_for, read_document
from sample_data.invoices import file_of, papers

PAPERS = tuple(papers())


def only(text: str, value: object, **options: object) -> Evidence:
    (found,) = evidence_for(read_document(text, "a.txt"), {"value": value}, **options)
    return found


@pytest.mark.parametrize(
    ("text", "value", "how", "quote"),
    [
        ("Sold to Maple House Hotel", "Maple House Hotel", "exact", "Maple House Hotel"),
        ("Sold to MAPLE  House\nHotel", "Maple House Hotel", "normalised", "MAPLE  House\nHotel"),
        ("Sold to Mapel House Hotel", "Maple House Hotel", "similar", "Mapel House Hotel"),
        ("Total 1.234,50 EUR", 1234.5, "normalised", "1.234,50"),
        ("Total 1 234,50", Decimal("1234.50"), "normalised", "1 234,50"),
        ("Total 1'234.50", "1234.50", "normalised", "1'234.50"),
        ("Credit 907.20", -907.2, "normalised", "907.20"),
        ("Pages 12", 12, "exact", "12"),
        ("Paid on 3 March 2026.", datetime.date(2026, 3, 3), "normalised", "3 March 2026"),
        ("Paid on 03/04/2026.", "2026-04-03", "normalised", "03/04/2026"),
        ("It costs 5 €", "EUR", "normalised", "€"),
        ("Invoice 1234", 234, "none", ""),
        ("Art. 12345", "1234", "none", ""),
        ("Harrow & Finch", "Lindqvist", "none", ""),
        ("31.03.2026", 31, "none", ""),
    ],
)
def test_a_value_is_found_as_people_write_it(text: str, value: object, how: str, quote: str):
    found = only(text, value)
    assert (found.how, found.quote) == (how, quote)
    assert found.marked == (how == "none")


def test_a_value_stands_next_to_its_name():
    text = "Net 10.00\nOpen 12.00\nTotal 12.00\nBalance 12.00"
    (found,) = evidence_for(read_document(text, "a.txt"), {"total": 12.0})
    assert found.line == 3


def test_values_of_an_item_stand_together():
    text = "Pot 2 x 5.00\nPot 7 x 5.00\nRose 2 x 5.00"
    record = {"lines": [{"article": "Pot", "n": 7, "price": 5}, {"article": "Rose", "n": 2, "price": 5}]}
    found = {one.path: one.line for one in evidence_for(read_document(text, "a.txt"), record)}
    assert found["lines[1].n"] == found["lines[1].article"] == found["lines[1].price"] == 3


def test_a_quote_is_checked():
    text = "Net 10.00\nDue now 10.00"
    right = only(text, 10.0, quotes={"value": "Due now 10.00"})
    assert (right.quoted, right.line) == (True, 2)
    invented = only(text, 10.0, quotes={"value": "Payable: 10.00 at once"})
    assert (invented.quoted, invented.line) == (False, 1)
    besides = only(text, 99.0, quotes={"value": "Due now 10.00"})
    assert besides.marked


@pytest.mark.parametrize("form", ["txt", "pdf"])
def test_right_answers_of_the_sample_have_evidence(form):
    values = missing = 0
    for paper in PAPERS[::10]:
        found = evidence_for(read_document(file_of(paper, form), paper.name), paper.answer)
        values += len(found)
        missing += sum(one.marked for one in found)
        assert [Evidence.from_json(one.to_json()).path for one in found] == [one.path for one in found]
        if form == "pdf":
            assert all(one.boxes for one in found if one.page)
    # A letter does not say in so many words that it is an invoice in every layout; everything else stands there.
    assert missing <= 0.01 * values


def test_evidence_goes_through_json():
    (one,) = evidence_for(
        read_document(file_of(PAPERS[0], "pdf"), "a.pdf"), {"number": PAPERS[0].answer["number"]}
    )
    back = Evidence.from_json(one.to_json())
    assert (back.quote, back.page, len(back.boxes)) == (one.quote, 1, 1)


@settings(max_examples=100, deadline=None)
@given(st.floats(min_value=0, max_value=1e9), st.sampled_from(["en", "de", "fr", "ch"]))
def test_amounts_are_read_in_every_country(amount: float, style: str):
    from sample_data.invoices import _number

    amount = round(amount, 2)
    text = f"Total {_number(amount, style)} EUR"
    assert any(amount in one.readings for one in numbers_in(text))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_searched(text: str):
    for one in [*numbers_in(text), *dates_in(text)]:
        assert 0 <= one.start < one.end <= len(text)
        assert one.readings
    read_numbers(text)
    read_dates(text)
    if text.strip():
        for one in evidence_for(read_document(f"{text} 7", "a.txt"), {"value": text, "n": 7}):
            assert one.end >= one.start
