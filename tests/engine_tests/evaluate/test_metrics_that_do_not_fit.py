"""A metric of the wrong kind ends an evaluation or a search at once; one that fails on a row is that row's record."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import engine
from engine import Evaluate, Example, Predict, context
from engine.errors import MetricError
from engine.testing import ScriptedLM

ROWS = [Example(question=f"q{i}", answer=f"a{i}").with_inputs("question") for i in range(40)]
PROGRAM = Predict("question -> answer")


def takes_one(prediction: Any) -> bool:
    return prediction is not None


def takes_four(example: Any, prediction: Any, trace: Any, tone: Any) -> bool:
    return bool(example and prediction and trace and tone)


def by_name_only(example: Any, prediction: Any, *, tone: str) -> bool:
    return bool(example and prediction and tone)


UNCALLABLE = {
    "takes_one": takes_one,
    "takes_four": takes_four,
    "by_name_only": by_name_only,
    "ExactMatch": engine.ExactMatch,
    "0.5": 0.5,
}


def returns_nothing(example: Any, prediction: Any) -> None:
    _ = example.answer == prediction.answer


def returns_text(example: Any, prediction: Any, trace: Any = None) -> str:
    return "1.0"


async def returns_a_list(example: Any, prediction: Any) -> list[bool]:
    return [example.answer == prediction.answer]


UNUSABLE = {
    "returns_nothing": (returns_nothing, "returned None"),
    "returns_text": (returns_text, "returned the str '1.0'"),
    "returns_a_list": (returns_a_list, "returned the list [False]"),
    "PythonMetric": (engine.PythonMetric(code="'good'"), "returned the str 'good'"),
}


def counting() -> ScriptedLM:
    return ScriptedLM(lambda _: {"answer": "a"})


@pytest.mark.parametrize("name", UNCALLABLE)
def test_a_metric_that_cannot_be_called_is_an_error_before_any_row(name: str) -> None:
    lm, metric = counting(), UNCALLABLE[name]
    with context(lm=lm), pytest.raises(MetricError, match=rf"{name}.*\(example, prediction, trace=None\)"):
        Evaluate(devset=ROWS, metric=metric)(PROGRAM)  # type: ignore[arg-type]
    with pytest.raises(MetricError, match=name):
        engine.BootstrapFewShot(metric=metric)
    assert lm.requests == []


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_result_that_is_no_number_is_an_error_on_the_first_row_that_is_answered(name: str) -> None:
    metric, returned = UNUSABLE[name]
    lm = counting()
    with context(lm=lm), pytest.raises(MetricError) as caught:
        Evaluate(devset=ROWS, metric=metric, num_threads=2)(PROGRAM)
    assert name in str(caught.value)
    assert returned in str(caught.value)
    assert "a number from 0 to 1, True or False" in str(caught.value)
    assert len(lm.requests) <= 4
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize(
    "optimizer", [engine.BootstrapFewShot, engine.BootstrapFewShotWithRandomSearch, engine.COPRO, engine.GEPA]
)
def test_compile_ends_on_the_first_row_that_is_answered(name: str, optimizer: Any) -> None:
    metric, returned = UNUSABLE[name]
    lm = counting()
    with context(lm=lm), pytest.raises(MetricError, match=name) as caught:
        optimizer(metric, num_threads=2).compile(PROGRAM, trainset=ROWS)
    assert returned.replace("[False]", "") in str(caught.value)
    assert len(lm.requests) <= 6


def test_a_metric_that_fails_or_returns_nothing_on_later_rows_leaves_a_record() -> None:
    def moody(example: Any, prediction: Any) -> float | None:
        if example.question == "q3":
            raise KeyError("mood")
        return None if example.question == "q5" else 1.0

    with context(lm=counting()):
        result = Evaluate(devset=ROWS[:8], metric=moody, num_threads=1)(PROGRAM)
        tuned = engine.LabeledFewShot(metric=moody, k=1, num_threads=1).compile(PROGRAM, trainset=ROWS[:8])
    assert [outcome.row for outcome in result.failures] == [3, 5]
    assert result.failures[0].error == "KeyError: 'mood'"
    assert "moody" in str(result.failures[1].error)
    assert tuned is not None


def test_a_metric_that_raises_on_the_first_row_is_a_record_too() -> None:
    def never(example: Any, prediction: Any) -> float:
        raise TypeError("never() takes nothing")

    with context(lm=counting()):
        result = Evaluate(devset=ROWS[:4], metric=never, num_threads=1)(PROGRAM)
    assert [outcome.error for outcome in result.outcomes] == ["TypeError: never() takes nothing"] * 4


def test_a_trace_without_a_default_and_the_five_arguments_of_gepa_are_taken() -> None:
    seen = []

    def with_trace(example: Any, prediction: Any, trace: Any) -> bool:
        seen.append(trace is not None)
        return True

    def of_gepa(gold: Any, pred: Any, trace: Any, pred_name: Any, pred_trace: Any) -> bool:
        return pred_name is None and pred_trace is None

    with context(lm=counting()):
        assert Evaluate(devset=ROWS[:2], metric=with_trace)(PROGRAM).score == 100
        assert Evaluate(devset=ROWS[:2], metric=of_gepa)(PROGRAM).score == 100
        engine.BootstrapFewShot(with_trace).compile(PROGRAM, trainset=ROWS[:2])
    assert set(seen) == {True, False}
