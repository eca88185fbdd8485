"""Records compared field by field: evaluators by name, aligned lists, and what is wrong, missing or invented."""

from __future__ import annotations

import datetime
import pickle
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from engine import Example, context
from engine.basics.value_parsing import numbers_in
from engine.errors import ConfigurationError, UnknownNameError
from engine.lm.choice import ModelChoice
from engine.lm.offline.learner import OfflineLM
from engine.metrics import NumberWithin, TokenF1
from engine.metrics.base import explained, grade
from engine.metrics.comparers import EVALUATORS, make_comparer, parse_comparers, register_evaluator
from engine.metrics.json_fields import JSONMatch, _assigned
from engine.runs.spec import judge_of
from engine.testing import DummyLM

RIGHT = {
    "number": "A-7",
    "total": 10.0,
    "due": None,
    "lines": [{"article": "Pot", "n": 2}, {"article": "Rose", "n": 1}],
}


def statuses(found) -> dict[str, str]:
    return {one.path: one.status for one in found.fields}


def test_wrong_missing_and_invented_are_told_apart():
    got = {"number": "A-8", "due": "2026-01-01", "lines": RIGHT["lines"], "extra": 1}
    found = JSONMatch().compare(RIGHT, got)
    assert statuses(found) == {
        "number": "wrong",
        "total": "missing",
        "due": "invented",
        "lines[0].article": "right",
        "lines[0].n": "right",
        "lines[1].article": "right",
        "lines[1].n": "right",
        "extra": "invented",
    }
    assert found.fields[1][2:4] == (10.0, None)
    assert "due: expected nothing, got '2026-01-01'." in found.feedback
    assert "total: expected 10.0, but it is missing." in found.feedback
    assert pickle.loads(pickle.dumps(found)).fields == found.fields
    assert explained(found, {}, {}).fields == found.fields


def test_an_invented_value_lowers_its_fields_score():
    found = JSONMatch().compare({"total": 1}, {"total": 1, "note": "x"})
    assert found.objective_scores == {"total": 1.0, "note": 0.0}
    metric = JSONMatch(best_match=True)
    found = metric.compare({"lines": [{"n": 1}], "due": None}, {"lines": [{"n": 2}, {"n": 1}], "due": "soon"})
    assert found.objective_scores == {"lines[0].n": 1.0, "due": 0.0, "lines[1].n": 0.0}
    assert JSONMatch(extra_fields_are_wrong=False).compare({"a": 1}, {"a": 1, "b": 2}).objective_scores == {
        "a": 1.0
    }


class Place(BaseModel):
    city_name: str = Field(alias="cityName")


class Person(BaseModel):
    full_name: str = Field(alias="fullName")
    places: list[Place] = []


@pytest.mark.parametrize("by_alias", [False, True])
def test_a_model_compares_with_answers_under_its_fields_names_and_under_its_aliases(by_alias):
    model = Person(fullName="Ann", places=[Place(cityName="Graz")])
    plain = model.model_dump(by_alias=by_alias)
    assert JSONMatch().compare(plain, model).score == 1
    assert JSONMatch().compare(model, plain).score == 1
    row = Example(text="t", who=plain, n=1).with_inputs("text")
    assert JSONMatch(every_output=True, weights="n=2")(row, Example(who=model, n=1)).score == 1


def test_fields_of_several_outputs_are_named_by_output():
    metric = JSONMatch(every_output=True)
    row = Example(text="t", total=1, lines=[{"n": 1}]).with_inputs("text")
    assert statuses(metric(row, Example(total=2, lines=[{"n": 1}]))) == {
        "total": "wrong",
        "lines[0].n": "right",
    }
    heavy = JSONMatch(every_output=True, weights="total=3", evaluators="lines.n=number(tolerance=1)")
    found = heavy(row, Example(total=1, lines=[{"n": 2}]))
    assert (found.score, statuses(found)) == (1.0, {"total": "right", "lines[0].n": "right"})
    assert heavy(row, Example(total=2, lines=[{"n": 2}])).score == 0.25


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_items_are_aligned_in_any_order(order):
    wanted = [{"a": "x", "n": 1}, {"a": "y", "n": 2}, {"a": "z", "n": 3}]
    assert JSONMatch(best_match=True).compare(wanted, [wanted[at] for at in order]).score == 1.0


def test_a_list_scores_its_f1():
    metric = JSONMatch(best_match=True)
    assert metric.compare({"tags": ["a", "b", "c"]}, {"tags": ["c", "a"]}).score == pytest.approx(0.8)
    assert metric.compare({"tags": ["a"]}, {"tags": ["b", "a", "c"]}).score == pytest.approx(0.5)
    found = metric.compare({"lines": RIGHT["lines"]}, {"lines": [{"article": "Rose", "n": 4}]})
    assert statuses(found) == {
        "lines[0].article": "missing",
        "lines[0].n": "missing",
        "lines[1].article": "right",
        "lines[1].n": "wrong",
    }
    assert metric.compare({"tags": []}, {"tags": []}).score == 1.0
    assert statuses(metric.compare({"tags": []}, {"tags": ["a"]})) == {"tags[0]": "invented"}


@pytest.mark.parametrize("best_match", [False, True])
def test_a_record_or_list_left_empty_is_missing_and_no_extra_field(best_match):
    metric = JSONMatch(best_match=best_match)
    who = {"city": "Rome", "street": "Via"}
    found = metric.compare({"n": 1, "who": who}, {"n": 1, "who": None})
    assert statuses(found) == {"n": "right", "who.city": "missing", "who.street": "missing"}
    assert found.score == pytest.approx(1 / 3)
    assert "not expected" not in found.feedback
    assert statuses(metric.compare({"tags": ["a"]}, {"tags": []})) == {"tags[0]": "missing"}


def test_ways_to_leave_a_field_of_a_record_empty_are_one():
    assert JSONMatch(best_match=True).compare({"n": 1, "note": None}, {"n": 1, "note": ""}).score == 1.0


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5), min_size=n, max_size=n)
    )
)
def test_the_assignment_is_the_best_there_is(cost):
    rows = range(len(cost))
    found = sum(cost[row][column] for row, column in _assigned([[float(c) for c in row] for row in cost]))
    assert found == min(
        sum(cost[row][order[row]] for row in rows) for order in permutations(range(5), len(cost))
    )


@pytest.mark.parametrize(
    ("evaluator", "expected", "got", "score"),
    [
        ("exact", "Tea", "tea", 0.0),
        ("string_check", "Tea ", "Tea", 1.0),
        (
            {"type": "exact", "config": {"case_sensitive": False, "strip_whitespace": False}},
            "Tea",
            "tea",
            1.0,
        ),
        ("normalised", "Tea!", "tea", 1.0),
        ("levenshtein", "kitten", "mitten", 5 / 6),
        ({"type": "levenshtein", "config": {"threshold": 0.9}}, "kitten", "mitten", 0.0),
        ("text_similarity", "late parcel", "late parcel", 1.0),
        ({"type": "number", "config": {"tolerance": 0.1, "relative": True}}, 100, "110,00", 1.0),
        ("number", 100, "a hundred", 0.0),
        ("date", datetime.date(2026, 3, 31), "31 March 2026", 1.0),
        ("date", "2026-03-31", "2026-03-30", 0.0),
        ("currency", "12,50 €", "EUR 12.50", 1.0),
        ("currency", "12,50 €", "USD 12.50", 0.0),
        (
            {
                "type": "python_code",
                "function": lambda extracted, expected, input_data=None, field_path=None: field_path == "v",
            },
            1,
            2,
            1.0,
        ),
        ({"type": "python_code", "config": {"code": "0.5 if answer > expected else 0"}}, 1, 2, 0.5),
        ({"type": "predefined_score", "config": {"scores": [25]}}, 1, 2, 0.25),
        ({"type": "label_model_grader", "config": {"allowed_labels": ["a", "b"]}}, "a", "b", 0.0),
        (lambda extracted, expected: 7, 1, 2, 1.0),
    ],
)
def test_evaluators_by_name(evaluator, expected, got, score):
    metric = JSONMatch(evaluators={"v": evaluator})
    found = metric(Example(q="?", r={"v": expected}).with_inputs("q"), Example(r={"v": got}))
    assert found.score == pytest.approx(score)


def test_a_judge_marks_one_field_and_never_the_stand_in():
    metric = JSONMatch(evaluators={"note": "score_judge"}, field="r")
    row = Example(q="?", r={"note": "late", "n": 1}).with_inputs("q")
    lm = DummyLM([{"reasoning": "Nearly.", "marks": "[0.5]"}])
    with context(lm=lm):
        found = metric(row, Example(r={"note": "delayed", "n": 1}))
    assert (found.score, metric.calls, metric.awaits) == (0.75, 1, True)
    assert found.objective_scores == {"note": 0.5, "n": 1.0}
    with context(lm=OfflineLM()), pytest.raises(ConfigurationError, match="stand-in cannot"):
        metric(row, Example(r={"note": "delayed", "n": 1}))


def test_a_run_knows_the_judge_of_a_field():
    named = JSONMatch(evaluators="note=score_judge(judge='openai/gpt-4o'), n=number")
    assert judge_of(named, ModelChoice(name="offline/learner")).name == "openai/gpt-4o"
    assert judge_of(JSONMatch(evaluators="note=score_judge"), ModelChoice(name="openai/m")).name == "openai/m"
    assert judge_of(JSONMatch(evaluators="n=number"), ModelChoice(name="openai/m")) is None


def test_a_judge_of_a_label_is_asked_for_unknown_labels_only():
    lm = DummyLM([{"reasoning": "The same.", "marks": "[1]"}])
    metric = JSONMatch(
        evaluators={"v": {"type": "label_model_grader", "config": {"allowed_labels": ["a"], "lm": lm}}}
    )
    assert metric.compare({"v": "alpha"}, {"v": "a"}).score == 0.5


class Initial:
    """An evaluator as DSPydantic's users write it."""

    def __init__(self, config):
        self.letters = config.get("letters", 1)

    def evaluate(self, extracted, expected, input_data=None, field_path=None):
        return float(extracted[: self.letters] == expected[: self.letters])


def test_ones_own_evaluators():
    register_evaluator("initial_of", Initial)
    metric = JSONMatch(evaluators="name=initial_of(letters=2)")
    assert metric.compare({"name": "Anna"}, {"name": "Andy"}).score == 1.0
    assert make_comparer({"class": Initial, "config": {"letters": 3}}).compare("Anna", "Andy") == 0.0
    assert make_comparer(Initial({})).compare("Anna", "Andy") == 1.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("total=numbr", "There is no evaluator 'numbr'"),
        ("total=number(tolerance=-1)", "tolerance"),
        ("total=number(", "is not understood"),
        ("total=number(field='sum')", "takes no 'field'"),
        ("v=levenshtein(treshold=1)", "cannot be made with"),
        ("total is a number", "is not understood"),
        ("v=label_model_grader", "allowed_labels"),
        ("v=python_code", "needs a function"),
        ("v=number(tolerance=open('x'))", "is not understood"),
    ],
)
def test_what_is_no_evaluator_is_one_sentence(given: str, said: str):
    with pytest.raises(ConfigurationError, match=said):
        JSONMatch(evaluators=given)


def test_a_fields_evaluator_is_any_metric_and_a_stored_form_of_one_loads():
    stored = JSONMatch(
        evaluators={"name": {"type": "levenshtein", "config": {"threshold": 0.5}}, "n": "number"}
    )
    assert stored.options.evaluators == "name=levenshtein(threshold=0.5), n=number"
    again = JSONMatch(**stored.options.model_dump())
    assert again.compare({"name": "kitten", "n": 5}, {"name": "mitten", "n": "5 EUR"}) == pytest.approx(
        11 / 12
    )
    words = JSONMatch(evaluators={"name": TokenF1(), "n": NumberWithin(tolerance=1)})
    assert words.compare({"name": "red silk scarf", "n": 5}, {"name": "a red scarf", "n": 6}).score == 0.9


def test_further_refusals():
    with pytest.raises(UnknownNameError):
        make_comparer("nothing")
    with pytest.raises(ConfigurationError, match="is no evaluator"):
        make_comparer(7)
    with pytest.raises(ConfigurationError, match="must be a class"):
        register_evaluator("odd", 7)
    with pytest.raises(ConfigurationError, match="must return a number"):
        JSONMatch(evaluators={"v": lambda a, b: "good"}).compare({"v": 1}, {"v": 2})
    with pytest.raises(ConfigurationError, match="all of them are used"):
        JSONMatch(evaluators={"default": "predefined_score"}).compare({"v": 1}, {"v": 2})


def test_every_name_of_the_guide_is_known():
    required = {"label_model_grader": {"allowed_labels": ["a"]}, "python_code": {"code": "1"}}
    for name in EVALUATORS:
        assert make_comparer({"type": name, "config": required.get(name, {})}).awaits in (True, False)
    assert parse_comparers("a.b=date\nc=exact") == {
        "a.b": {"type": "date", "config": {}},
        "c": {"type": "exact", "config": {}},
    }
    assert (
        grade(JSONMatch(evaluators="a=date"), {"a": {"a": "1.2.2026"}}, {"a": {"a": "2026-02-01"}}).score
        == 1.0
    )


@pytest.mark.parametrize(
    ("expected", "written"),
    [
        (100_000, "1e5"), (12.5, "1.25E1"), (0.002, "2e-3"), (-1234.5, "1.234,50-"), (-1234.5, "1,234.50- EUR"),
        (-12, "12-"), (-12, "12 \u2212"), (0.5, ".5"), (5, "5,-"), (-5, "(5.00)"),
    ],
)  # fmt: skip
def test_numbers_as_they_are_written(expected, written):
    assert make_comparer("number").compare(expected, written) == 1
    assert make_comparer("currency").compare(expected, written) == 1
    assert make_comparer("number").compare(expected + 1, written) == 0


def test_a_dash_after_a_number_is_no_minus_where_something_follows():
    assert make_comparer("number").compare(-5, "5-10") == 0
    assert make_comparer("number").compare(-5, "5-fold") == 0
    assert [n.readings for n in numbers_in("pages 5-10, credit 7,50-\n")] == [(5.0,), (10.0,), (-7.5,)]


@pytest.mark.parametrize(
    "written", ["31-Mar-2026", "31-Mar-26", "31MAR2026", "20260331", "2026 March 31", "31/Mar/2026", "31. M\u00e4rz 2026"]
)  # fmt: skip
def test_dates_as_they_are_written(written):
    assert make_comparer("date").compare("2026-03-31", written) == 1
    assert make_comparer("date").compare("2026-03-30", written) == 0
