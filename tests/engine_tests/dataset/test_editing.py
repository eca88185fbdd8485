"""An edited table reads back as it was meant, whatever is in it, and rows are followed to their new places."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset import read_dataset
from engine.dataset.table import csv_bytes, edited, safe_csv
from engine.errors import DatasetError

PLAIN = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20)
TEXT = st.one_of(
    PLAIN, st.sampled_from(['"', "a,b", "a\nb", "a\r\nb", ";", "\t", "=cmd|' /C calc'!A0", "שלום", "x;y|z"])
)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=3, max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back(rows):
    content = csv_bytes({"first": [a for a, _ in rows], "second, too": [b for _, b in rows]})
    data = read_dataset(content, "x.csv")
    assert [tuple(r.values()) for r in data.rows()] == rows


def test_one_column_comes_back():
    values = ["a;b", "c,d", 'e"f', "g\nh"]
    assert read_dataset(csv_bytes({"text": values}), "x.csv").values("text") == values


def test_a_workbook_is_edited_into_a_csv_file():
    import openpyxl

    book = openpyxl.Workbook()
    for line in (("q", "a"), ("one", 1), ("two", 2)):
        book.active.append(line)
    out = io.BytesIO()
    book.save(out)
    data = read_dataset(out.getvalue(), "sums.xlsx")
    made = edited(data, cells={(1, "a"): "2.0"})
    assert made.name == "sums.csv"
    assert read_dataset(made.content, made.name).values("a") == ["1", "2.0"]


def test_a_row_blanked_altogether_is_gone_and_the_others_are_followed():
    data = read_dataset(b"q,a\n1,x\n2,y\n3,z\n", "x.csv")
    made = edited(data, cells={(0, "q"): "", (0, "a"): ""}, added=[{"q": "", "a": ""}, {"q": "4", "a": "w"}])
    assert (made.rows, made.added) == ({1: 0, 2: 1}, (2,))
    assert read_dataset(made.content, made.name).values("q") == ["2", "3", "4"]


def test_columns_that_are_needed_are_made_blank_and_filled():
    data = read_dataset(b"q,a\n1,x\n2,y\n", "x.csv")
    made = edited(data, cells={(1, "b"): "z"}, added=[{"q": "3", "b": "w"}], columns=["a", "b"])
    read = read_dataset(made.content, made.name)
    assert read.columns == ("q", "a", "b")
    assert (read.values("a"), read.values("b")) == (["x", "y", ""], ["", "z", "w"])


def test_what_is_not_there_is_a_sentence():
    data = read_dataset(b"q,a\n1,x\n", "x.csv")
    for wrong, words in (
        ({"cells": {(5, "q"): "x"}}, "no row 6"),
        ({"cells": {(0, "nope"): "x"}}, "no column"),
        ({"dropped": [0]}, "at least one"),
        ({"added": [{}] * 20_000}, "too many"),
    ):
        with pytest.raises(DatasetError, match=words):
            edited(data, **wrong)


def test_formulas_are_made_harmless_for_spreadsheets():
    data = read_dataset(csv_bytes({"a": ["=1+1", "@x", "-3", "plain"]}), "x.csv")
    assert read_dataset(safe_csv(data), "x.csv").values("a") == ["'=1+1", "'@x", "-3", "plain"]


def test_control_characters_do_not_make_the_file_unreadable():
    data = read_dataset(b'[{"a": "x\\u0001y"}, {"a": "z"}]', "x.json")
    made = edited(data, cells={(1, "a"): "\x02" * 200 + "w"})
    assert read_dataset(made.content, made.name).values("a") == ["xy", "w"]
