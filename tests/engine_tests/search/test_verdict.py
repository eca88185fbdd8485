"""The verdict: intervals that hold, and one sentence for each case."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Evaluation, Outcome
from engine.search.judging.verdict import MIN_ROWS, SHOWN, WORSE_ROWS, smallest_gain, verdict


def evaluation(name, scores, errors=()):
    return Evaluation(
        name, tuple(Outcome(i, s, error="x" if i in errors else None) for i, s in enumerate(scores))
    )


def test_better():
    v = verdict(evaluation("a", [0] * 30 + [1] * 30), evaluation("b", [1] * 20 + [0] * 10 + [1] * 30))
    assert v.kind == "better"
    assert v.sentence == (
        "Better: 83 % of test rows right against 50 % before, a gain of 33 points (95 % interval 20 to 44, 60 rows)."
    )
    assert (v.won, v.lost, v.rows) == (20, 0, 60)


@pytest.mark.parametrize(
    ("before", "after"), [(0.4249, 0.8151), (0.2349, 0.5851), (0.5, 0.505), (0.8151, 0.4249)]
)
def test_the_figures_of_a_sentence_add_up(before, after):
    sentence = verdict(evaluation("a", [before] * 60), evaluation("b", [after] * 60)).sentence
    new, old, change = (int(n) for n in re.findall(r"(\d+)(?= out of| before| points?)", sentence)[:3])
    assert abs(new - old) == change


@pytest.mark.parametrize(
    ("before", "after", "kind", "beginning"),
    [
        (
            [1] * 40,
            [0] * 20 + [1] * 20,
            "worse",
            "Worse: 50 % of test rows right against 100 % before, a loss of 50 points (95 % interval \u2212",
        ),
        (
            [0, 1] * 30,
            [1, 0] * 3 + [0, 1] * 27,
            "too_close",
            "Too close to call: 50 % of test rows right against 50 % before, a difference of 0 points",
        ),
        (
            [0.2, 0.4] * 30,
            [0.7, 0.8] * 30,
            "better",
            "Better: a score of 75 out of 100 on the test rows against 30 before, a gain of 45 points",
        ),
        (
            [0, 1] * 10,
            None,
            "unchanged",
            "No better prompt was found: the starting prompt is kept (50 % of test rows right, 20 rows).",
        ),
    ],
    ids=["worse", "too close", "graded", "the starting prompt"],
)
def test_each_kind_has_its_sentence(before, after, kind, beginning):
    start = evaluation("a", before)
    v = verdict(start, start if after is None else evaluation("b", after))
    assert v.kind == kind
    assert v.sentence.startswith(beginning)


@pytest.mark.parametrize("n", [1, 7])
def test_few_rows_decide_nothing(n):
    v = verdict(evaluation("a", [0] * n), evaluation("b", [1] * n))
    assert v.kind == "not_enough"
    assert v.sentence.startswith("Not enough rows to tell")


def test_no_rows():
    assert (
        verdict(evaluation("a", []), evaluation("b", [])).sentence
        == "Not enough rows: no test row was scored."
    )


def test_failed_rows_are_named():
    v = verdict(evaluation("a", [1] * 20), evaluation("b", [1] * 18 + [0, 0], errors=(18, 19)))
    assert v.failed == 2
    assert v.sentence.endswith("2 rows failed with an error and count as 0.")


def test_only_shared_rows_are_compared():
    v = verdict(evaluation("a", [0] * 20), evaluation("b", [1] * 12))
    assert v.rows == 12


SCORES = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), max_size=90)
INTERVAL = re.compile(r"95 % interval (\u2212?\d+) to (\u2212?\d+)")


def whole(text):
    return int(text.replace("\u2212", "-"))


@given(SCORES, st.integers(1, 40))
def test_better_and_worse_are_said_exactly_where_the_printed_interval_excludes_no_change(scores, times):
    pairs = scores * times
    v = verdict(evaluation("a", [a for a, _ in pairs]), evaluation("b", [b for _, b in pairs]))
    assert v.won + v.lost + sum(a == b for a, b in pairs) == v.rows == len(pairs)
    if v.rows < MIN_ROWS:
        assert v.kind == "not_enough"
        return
    low, high = (whole(bound) for bound in INTERVAL.search(v.sentence).groups())
    assert (v.kind == "better", v.kind == "worse") == (low > 0, high < 0)
    before = int(re.search(r"against (\d+)", v.sentence)[1])
    after = int(re.search(r"(\d+)(?: % of| out of)", v.sentence)[1])
    gain = whole(re.search(r"(?:gain|loss|difference) of \+?(\u2212?\d+)", v.sentence)[1])
    assert (-gain if v.kind == "worse" else gain) == after - before
    assert low <= after - before <= high


def test_a_gain_whose_interval_prints_as_beginning_at_0_is_not_called_sure():
    scores = [(0.0, 1.0)] * 22 + [(1.0, 0.0)] * 11 + [(1.0, 1.0)] * 7
    v = verdict(evaluation("a", [a for a, _ in scores]), evaluation("b", [b for _, b in scores]))
    assert 0 < v.low < 0.005, "the interval itself begins above 0"
    assert v.kind not in ("better", "worse")
    assert "(95 % interval 0 to 52, 40 rows)" in v.sentence


def share_called_better(rows, gain, worse, tests=300):
    """Return in which share of drawn tests the verdict is that a true gain is one."""
    rng = random.Random(rows)
    won, lost = gain + worse, worse
    better = 0
    for _ in range(tests):
        pairs = rng.choices([(0, 1), (1, 0), (1, 1)], [won, lost, 1 - won - lost], k=rows)
        before, after = zip(*pairs, strict=True)
        better += verdict(evaluation("a", before), evaluation("b", after)).kind == "better"
    return better / tests


@pytest.mark.parametrize("rows", [12, 36, 120])
@pytest.mark.parametrize("worse", [0.02, WORSE_ROWS, 0.1])
def test_the_smallest_gain_that_shows_is_called_better_as_often_as_promised_and_half_of_it_is_not(
    rows, worse
):
    gain = smallest_gain(rows, worse)
    assert share_called_better(rows, gain, worse) == pytest.approx(SHOWN, abs=0.1)
    assert share_called_better(rows, gain / 2, worse) < 0.5
    assert share_called_better(rows, 0.0, worse) < 0.05


def test_more_rows_show_smaller_gains_and_too_few_show_none():
    gains = [smallest_gain(rows) for rows in range(MIN_ROWS, 400)]
    assert gains == sorted(gains, reverse=True)
    assert smallest_gain(36, 0.02) < smallest_gain(36, 0.1)
    assert smallest_gain(MIN_ROWS - 1) is None
    assert smallest_gain(MIN_ROWS, 0.3) is None
