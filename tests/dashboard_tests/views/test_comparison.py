import pytest

from dashboard.views.comparison import as_text, chosen, confusion, counts, pair_rows
from engine.records import Outcome

ROWS = {i: {"text": f"t{i}", "label": "a"} for i in range(5)}
BEFORE = [
    Outcome(0, 0.0, {"label": "b"}),
    Outcome(1, 1.0, {"label": "a"}),
    Outcome(2, 0.0, {"label": "b"}),
    Outcome(3, 0.0, error="The model did not answer."),
    Outcome(9, 1.0, {"label": "a"}),
]
AFTER = [
    Outcome(1, 0.0, {"label": "b"}),
    Outcome(0, 1.0, {"label": "a"}),
    Outcome(2, 0.0, {"label": "c"}),
    Outcome(3, 1.0, {"label": "a"}),
]
PAIRS = pair_rows(BEFORE, AFTER)


def test_short_lists_are_one_line_and_passages_one_below_the_other():
    assert as_text(["red", "blue"]) == "red, blue"
    assert as_text(["red", "x" * 61]) == f"1. red\n2. {'x' * 61}"
    assert as_text(["x" * 61]) == "x" * 61


def test_rows_are_paired_by_id_in_order():
    assert [p.row for p in PAIRS] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ("All rows", [0, 1, 2, 3]),
        ("Only differences", [0, 1, 2, 3]),
        ("Better", [0, 3]),
        ("Worse", [1]),
        ("Still wrong", [2]),
        ("Failed", [3]),
    ],
)
def test_filters(which, rows):
    assert [p.row for p in chosen(PAIRS, which)] == rows
    assert counts(PAIRS)[which] == len(rows)


def test_mistakes_are_counted():
    assert confusion(PAIRS, ROWS, "label") == [("a", "b", 1), ("a", "c", 1)]
