"""Predictions and completions."""

from __future__ import annotations

import copy
import pickle

import pytest

from engine import Completions, Example, Prediction


def test_values_are_attributes_and_items():
    made = Prediction(answer="4", steps=["a"])
    assert (made.answer, made["answer"], made.get("missing", 0), dict(made)) == (
        "4",
        "4",
        0,
        {"answer": "4", "steps": ["a"]},
    )
    made.answer = "5"
    assert made.answer == "5"
    with pytest.raises(AttributeError, match="has no field 'nope'"):
        _ = made.nope


def test_truth_is_the_score_where_there_is_one():
    assert not Prediction(score=0.0, feedback="Wrong.")
    assert Prediction(score=0.2)
    assert Prediction(answer="")
    assert not Prediction()


def test_a_score_makes_it_a_number():
    low, high = Prediction(score=0.25), Prediction(score=0.75)
    assert low < high
    assert high >= 0.75
    assert low < 0.3
    assert sum([low, high]) == 1.0
    assert high / 3 == 0.25
    assert float(low) == 0.25
    with pytest.raises(TypeError, match="'score'"):
        float(Prediction(answer="4"))


def test_completions_by_field_and_by_number():
    made = Prediction.from_completions([{"answer": "a", "why": 1}, {"answer": "b", "why": 2}])
    assert made.answer == "a"
    assert made.completions.answer == ["a", "b"]
    assert [c.why for c in made.completions] == [1, 2]
    assert made.completions[1].answer == "b"
    assert len(Prediction(answer="a").completions) == 1
    assert Prediction.from_completions({"answer": ["x", "y"]}).completions[-1].answer == "y"
    with pytest.raises(ValueError, match="same number"):
        Completions({"a": [1], "b": [1, 2]})


def test_copies_and_pickles():
    made = Prediction.from_completions([{"answer": "a"}, {"answer": "b"}])
    assert copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert Prediction.of({"a": 1}).copy(b=2) == Prediction(a=1, b=2)
    assert isinstance(made, Example)
