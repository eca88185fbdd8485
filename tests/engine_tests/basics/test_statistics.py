"""Intervals that hold: against the papers' formulas and tables, and by simulation."""

import math
import random

import pytest

from engine.basics.statistics import mean_interval, paired_interval, student_quantile


def test_agresti_min_against_the_formula_of_the_paper():
    n11, n12, n21, n22 = 794, 150, 86, 570  # first right and second wrong: 150; the other way round: 86
    differences = [0.0] * (n11 + n22) + [-1.0] * n12 + [1.0] * n21
    n, b, c = n11 + n12 + n21 + n22 + 2, n21 + 0.5, n12 + 0.5
    centre = (b - c) / n
    half = 1.959964 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    assert paired_interval(differences, binary=True) == pytest.approx(
        (centre - half, centre + half), abs=1e-9
    )


@pytest.mark.parametrize(("n", "p", "q"), [(12, 0.15, 0.15), (30, 0.3, 0.1), (60, 0.05, 0.02)])
def test_the_interval_covers_as_often_as_it_says(n, p, q):
    rng = random.Random(5)
    runs, hits = 2000, 0
    for _ in range(runs):
        low, high = paired_interval(rng.choices([1.0, -1.0, 0.0], [p, q, 1 - p - q], k=n), binary=True)
        hits += low <= p - q <= high
    assert hits / runs > 0.935


def test_no_disagreement_at_all_is_no_certainty():
    low, high = paired_interval([0.0] * 20, binary=True)
    assert low < -0.05
    assert high > 0.05


@pytest.mark.parametrize(
    ("freedom", "known"),
    [(1, 12.706), (3, 3.182), (4, 2.776), (5, 2.571), (8, 2.306), (20, 2.086), (100, 1.984)],
)
def test_students_quantiles_are_those_of_the_tables(freedom, known):
    assert student_quantile(0.975, freedom) == pytest.approx(known, abs=1e-3)


def test_graded_differences_have_students_wider_interval():
    differences = [0.2, -0.1, 0.3, 0.05, 0.1]
    narrow = paired_interval(differences, binary=True)
    wide = paired_interval(differences, binary=False)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_a_mean_of_right_and_wrong_stays_inside_0_and_1():
    assert mean_interval([1] * 10)[1] == pytest.approx(0.7225, abs=0.001)
    assert mean_interval([1] * 10).high == 1.0
    assert mean_interval([0.5])[:3] == (0.5, 0.0, 1.0)
    assert mean_interval([])[:4] == (0.0, 0.0, 1.0, 0)
    assert mean_interval([0.3, 0.3])[:3] == pytest.approx((0.3, 0.3, 0.3))
