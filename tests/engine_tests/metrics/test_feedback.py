"""Feedback: whatever a metric says, it says in words from which a model, or a person, can learn what was wrong."""

from __future__ import annotations

import pytest

import engine
from engine import (
    Contains,
    ExactMatch,
    Example,
    NumberWithin,
    Prediction,
    TokenF1,
    answer_exact_match,
    answer_passage_match,
)
from engine.registry import get_metric

LESSONS = [
    # metric, expected, answer, what an LM must be able to read in the feedback
    (
        ExactMatch(),
        "billing",
        "It is billing",
        ("'billing'", "'It is billing'", "alone, without other words"),
    ),
    (Contains(), ["refund", "three days"], "You get a refund.", ("should mention 'three days'", "You get")),
    (TokenF1(), "red silk scarf", "a red hat", ("lacks: 'silk', 'scarf'", "too much: 'hat'", "40 %")),
    (NumberWithin(tolerance=2), 42, "about 50", ("Expected 42", "8 too high where 2 off is allowed")),
    (NumberWithin(), 42, "40", ("2 too low",)),
    (get_metric("EditDistance")(), "Berlin", "Berlim", ("'Berlin'", "1 letter differs")),
    (get_metric("Regex")(pattern=r"QM-\d{4}"), None, "1234", ("should contain the form", "QM-", "'1234'")),
    (
        get_metric("JSONMatch")(),
        {"a": 1, "b": 2},
        {"a": 1, "c": 3},
        ("b: expected 2, but it is missing", "c: not expected"),
    ),
    (
        get_metric("EmbeddingSimilarity")(),
        "a red scarf",
        "a blue hat",
        ("lacks: 'red', 'scarf'", "% similar"),
    ),
    (get_metric("ROUGE")(), "the parcel came late", "the parcel came", ("lacks: 'late'", "% overlap")),
    (get_metric("BLEU")(), "the cat sat on the mat", "the cat sat", ("lacks: 'on', 'mat'",)),
    (get_metric("ChrF")(), "colour", "color", ("'colour'", "'color'")),
    (
        get_metric("WeightedSum")(),
        "red scarf",
        "a red hat",
        ("ExactMatch 0.00: Expected 'red scarf'", "TokenF1 0.50"),
    ),
    (get_metric("PythonMetric")(), "abc", "abd", ("Expected 'abc', got 'abd'.",)),
]


@pytest.mark.parametrize(("metric", "expected", "answer", "told"), LESSONS, ids=lambda v: type(v).__name__)
def test_feedback_says_in_words_what_was_wrong(metric, expected, answer, told):
    found = metric.compare(expected, answer)
    assert found.score < 1
    for words in told:
        assert words in found.feedback


def test_a_plain_functions_number_gets_words_from_the_labels():
    rows = [Example(q=str(i), a="4", b="x").with_inputs("q") for i in range(3)]

    class Answers(engine.Module):
        def forward(self, q):
            return Prediction(a="4" if q == "0" else "5", b="x" if q != "2" else "y")

    def metric(example, prediction, trace=None):
        return (example.a == prediction.a) / 2 + (example.b == prediction.b) / 2

    told = [o.feedback for o in engine.Evaluate(devset=rows, metric=metric)(Answers()).outcomes]
    assert told == [
        "Correct.",
        "It scored 0.50 of 1. Expected '4', got '5'.",
        "a: expected '4', got '5'. b: expected 'x', got 'y'.",
    ]
    no_labels = engine.Evaluate(devset=rows, metric=lambda e, p: False)(Answers()).outcomes[0]
    assert no_labels.feedback == "The metric calls this wrong."


def test_dspys_metrics_say_why():
    row = Example(answer="Paris")
    found = answer_exact_match(row, Prediction(answer="Lyon"))
    assert (found == False, found.feedback) == (True, "Expected 'Paris', got 'Lyon'.")  # noqa: E712 - counts as False
    assert answer_exact_match(row, Prediction(answer="paris")).feedback == "Correct."
    found = answer_passage_match(row, Prediction(context=["a", "b"]))
    assert not found
    assert found.feedback == "None of the 2 passages found holds 'Paris': search for something else."
