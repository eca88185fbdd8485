"""A judge's grades against a person's."""

from __future__ import annotations

import pytest

from engine.basics.statistics import agreement


def graded(pairs):
    return agreement({i: a for i, (a, _) in enumerate(pairs)}, {i: b for i, (_, b) in enumerate(pairs)})


def test_kappa_is_that_of_the_textbook_table():
    """Cohen's 2 x 2: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no gives kappa 0.4."""
    found = graded([(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15)
    assert found.kappa == pytest.approx(0.4)
    assert found.same == pytest.approx(0.7)
    assert (len(found.kinder), len(found.stricter)) == (10, 5)
    assert "mostly kinder" in found.sentence


def test_a_near_miss_counts_half():
    near = graded([(1, 0.5), (1, 1), (0, 0), (0, 0)])
    far = graded([(1, 0), (1, 1), (0, 0), (0, 0)])
    assert near.kappa > far.kappa


def test_only_rows_that_both_graded_count():
    found = agreement({1: 1, 2: 0, 9: 1}, {1: 1, 2: 0, 7: 0})
    assert (found.rows, found.kappa) == (2, 1.0)


@pytest.mark.parametrize(
    ("pairs", "word"),
    [
        ([(1, 0), (0, 1)] * 10, "no better than chance"),
        ([(1, 1), (0, 0)] * 10, "almost perfect"),
        ([(1, 1)] * 5, "not known"),
        ([], "not known"),
    ],
)
def test_agreement_has_a_word(pairs, word):
    assert graded(pairs).word == word


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([], "Grade some answers first"),
        ([(1, 1)] * 20, "All grades are alike"),
        ([(1, 1), (0, 0)] * 3, "Grade some more"),
        ([(1, 1), (0, 0)] * 10, "can stand in for you"),
        ([(1, 0), (0, 1)] * 10, "Do not tune with this judge"),
    ],
)
def test_the_sentence_says_what_to_do(pairs, said):
    assert said in graded(pairs).sentence
