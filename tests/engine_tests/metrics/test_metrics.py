"""Metrics: every worked example, fields, feedback, and what a metric may return."""

from __future__ import annotations

import contextlib
import enum
import io
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.peers.dspy_peer import in_dspy

import engine
from engine import (
    EM,
    F1,
    Contains,
    ExactMatch,
    Example,
    Grade,
    NumberWithin,
    Prediction,
    TokenF1,
    answer_exact_match,
    answer_passage_match,
    normalize_text,
)
from engine.errors import ConfigurationError
from engine.metrics import grade
from engine.metrics.base import usable_metric
from engine.metrics.matching import number_in
from engine.registry import METRICS

ROW = Example(text="Where is it?", team="shipping", urgent="no").with_inputs("text")


class Team(enum.Enum):
    shipping = "shipping"


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_every_metric_explains_itself_and_its_worked_examples_hold(metric):
    assert metric.title
    assert metric.plain.endswith(".")
    assert metric.pros
    assert metric.cons
    assert len(metric.examples) >= 2
    for case in metric.examples if metric.calls == 0 else ():  # a judge's are told, not computed
        found = metric(**case.options).compare(case.expected, case.answer)
        assert found.score == pytest.approx(case.score, abs=0.005)
        assert found.feedback == "Correct." if found.score == 1 else len(found.feedback) > 8


@pytest.mark.parametrize("metric", [m for m in METRICS if not m.awaits], ids=lambda m: m.name)
@settings(deadline=None)  # the first call loads a package
@given(
    expected=st.text() | st.integers() | st.booleans() | st.lists(st.text()),
    answer=st.text() | st.none() | st.lists(st.text()),
)
def test_scores_run_from_0_to_1_whatever_comes(metric, expected, answer):
    try:
        found = metric().compare(expected, answer)
    except ConfigurationError:
        assert metric.name in ("NumberWithin", "Regex")
        return
    assert 0.0 <= found.score <= 1.0


def test_every_labelled_output_is_graded_unless_a_field_is_named():
    made = Prediction(reasoning="r", urgent="yes", team="shipping")
    assert ExactMatch()(ROW, made) == Grade(0.5)
    assert ExactMatch()(ROW, made).feedback == "1 of 2 outputs is right. urgent: Expected 'no', got 'yes'."
    assert ExactMatch(every_output=False)(ROW, made).score == 1.0
    assert TokenF1()(ROW, made).score == 1.0
    assert TokenF1(every_output=True)(ROW, made).score == 0.5
    assert ExactMatch(field="urgent")(ROW, made).score == 0.0
    assert ExactMatch()(ROW, Prediction(team="shipping", note="not in the data")).score == 1.0


def test_missing_fields_are_named():
    with pytest.raises(ConfigurationError, match="examples have no field 'colour'"):
        ExactMatch(field="colour")(ROW, Prediction(team="x"))
    with pytest.raises(ConfigurationError, match="answer has no field 'urgent'"):
        ExactMatch(field="urgent")(ROW, Prediction(team="x"))
    with pytest.raises(ConfigurationError, match="examples have no field 'note'"):
        ExactMatch()(ROW, Prediction(note="x"))
    with pytest.raises(ConfigurationError, match="no field 'urgent'"):
        ExactMatch(field="urgent")(ROW, Prediction())


def test_options_are_checked():
    with pytest.raises(ConfigurationError, match="NumberWithin: tolerance"):
        NumberWithin(tolerance=-1)
    with pytest.raises(ConfigurationError, match="ExactMatch: fuzzy"):
        ExactMatch(fuzzy=True)
    assert repr(NumberWithin(tolerance=2)) == "NumberWithin(tolerance=2.0)"


@pytest.mark.parametrize(
    ("expected", "answer", "score"),
    [
        ("Yes", "yes.", 1),
        ("A", "a", 1),
        ("A", "the", 0),
        ("-5", "5", 0),
        ("3.5", "35", 0),
        (5, "5", 1),
        (True, "true", 1),
        (True, 1, 1),
        ("shipping", Team.shipping, 1),
        (["Paris", "Paris, France"], "paris, france", 1),
        (["a", "b"], ["A", "b"], 1),
        (["a", "b"], ["b", "a"], 0),
        ({"x": "Y"}, {"x": "y"}, 1),
        ({"x": 1}, {"x": 1, "y": 2}, 0),
        ("", "", 1),
        ("x", None, 0),
        (None, None, 1),
        ("café", "cafe\u0301", 1),
    ],
)
def test_exact_match(expected, answer, score):
    assert ExactMatch().compare(expected, answer).score == score


def test_feedback_is_in_words():
    assert ExactMatch().compare("billing", "shipping").feedback == "Expected 'billing', got 'shipping'."
    assert ExactMatch().compare(["a", "b"], "c").feedback == "Expected 'a' or 'b', got 'c'."
    assert NumberWithin().compare(4, "It is 5").feedback == "Expected 4, got 'It is 5', 1 too high."
    assert NumberWithin().compare(4, "many").feedback == "Expected 4, but 'many' holds no number."
    assert "should mention 'art'" in Contains().compare("art", "start").feedback
    assert len(ExactMatch().compare("x" * 5000, "y").feedback) < 200


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,250.50", 1250.5),
        ("6 x 7 = 42 apples", 42),
        ("-3", -3),
        ("\u22123", -3),
        ("1e3", 1000),
        (".5", 0.5),
        ("none", None),
        (math.inf, None),
        (True, 1),
    ],
)
def test_numbers_are_found(text, number):
    assert number_in(text) == number


def test_a_number_must_be_expected():
    with pytest.raises(ConfigurationError, match="'many' is not a number"):
        NumberWithin().compare("many", "5")
    assert NumberWithin(tolerance=0.1, relative=True).compare("200", "219").score == 1
    assert NumberWithin(tolerance=0.1).compare(0.3, 0.1 + 0.2).score == 1


def test_dspys_functions():
    row = Example(answer=["Paris", "The City of Light"])
    assert answer_exact_match(row, Prediction(answer="paris!"))
    assert not answer_exact_match(row, Prediction(answer="Paris in France"))
    assert answer_exact_match(row, Prediction(answer="Paris in France"), frac=0.5)
    assert answer_passage_match(row, Prediction(context=["Nothing.", "We saw the city of light."]))
    assert not answer_passage_match(Example(answer="art"), Prediction(context="the start"))
    assert EM("A cat", ["dog", "the Cat."])
    assert F1("", [""]) == 0
    assert normalize_text("The  Quick, brown fox!") == "quick brown fox"


@pytest.mark.parametrize(
    ("returned", "score"),
    [
        (True, 1.0),
        (0, 0.0),
        (0.25, 0.25),
        (Prediction(score=0.5, feedback="F."), 0.5),
        (Grade(0.75, "G."), 0.75),
        (math.nan, 0.0),
    ],
)
def test_whatever_a_metric_returns_is_a_grade(returned, score):
    made = grade(lambda row, answer: returned, ROW, Prediction())
    assert made.score == score
    if score in (0.5, 0.75):
        assert made.feedback in ("F.", "G.")


@pytest.mark.parametrize("returned", [None, "good", [1], Prediction(answer="x")])
def test_what_is_no_number_is_refused(returned):
    with pytest.raises(ConfigurationError, match="must return a number"):
        grade(lambda row, answer, trace=None: returned, ROW, Prediction())


def test_a_trace_is_passed_on_only_when_there_is_one():
    assert grade(lambda row, answer: 1, ROW, Prediction())
    assert grade(lambda row, answer, trace: trace == ["t"], ROW, Prediction(), ["t"])


ARITHMETIC = [
    "int(m)",
    "float(m)",
    "round(m * 0.75, 2)",
    "0.5 * m + 0.5 * f",
    "1 - m",
    "m - 0.25",
    "m ** 2",
    "-m",
    "abs(m)",
    "m == True",
    "m >= 1.0",
    "bool(m)",
    "not m",
    "f'{m:.2f}'",
    "round(m)",
    "sum([m, m])",
    "float(max(m, 0.5))",
    "json.loads(json.dumps(m)) == 1",
    "isinstance(m, (int, float))",
    "m and True",
]


def test_what_a_metric_returns_counts_as_a_number_as_in_dspy(tmp_path):
    code = f"""
import json
row, answer = dspy.Example(answer="Paris"), dspy.Prediction(answer="paris")
m, f = exact(row, answer), 0.5
print(json.dumps([float(value) if not isinstance(value, str) else value for value in ({", ".join(ARITHMETIC)},)]))
"""
    scope = {"dspy": engine, "exact": engine.answer_exact_match}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, scope)
    there = in_dspy(f"import dspy\nfrom dspy.evaluate import answer_exact_match as exact\n{code}", tmp_path)
    assert json.loads(out.getvalue()) == json.loads(there)


def test_a_grade_is_not_changed():
    grade = engine.Grade(0.5, "Half.", {"style": 0.5})
    with pytest.raises(AttributeError, match="A grade is not changed"):
        grade.feedback = "All."
    assert (grade.score, grade.feedback, grade.objective_scores) == (0.5, "Half.", {"style": 0.5})
    assert repr(grade) == "Grade(score=0.5, feedback='Half.')"
    assert {grade, 0.5} == {0.5}


def test_a_metric_of_five_arguments_can_be_made_usable_more_than_once():
    def metric(gold, pred, trace, pred_name, pred_trace):
        return float(gold == pred)

    assert usable_metric(usable_metric(metric))("a", "a") == 1.0
