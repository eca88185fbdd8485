"""Structures, forms, overlaps, embeddings, sums, sets and code as metrics."""

from __future__ import annotations

import pytest
from support.servers.openai_server import OpenAIServer

from engine import (
    BLEU,
    ROUGE,
    ChrF,
    Correlation,
    EditDistance,
    Embedder,
    EmbeddingSimilarity,
    Evaluate,
    ExactMatch,
    Example,
    JSONMatch,
    MacroF1,
    Predict,
    Prediction,
    PythonMetric,
    TokenF1,
    WeightedSum,
    context,
)
from engine.errors import ConfigurationError, LMError, SandboxError
from engine.testing import DummyLM

ROW = Example(text="Where?", team="shipping", note="soon").with_inputs("text")


def test_json_fields_are_named_and_weighted():
    wanted = {"name": "Tea", "address": {"city": "Bonn", "zip": "53111"}, "tags": ["a", "b"]}
    got = '{"name": "tea", "address": {"city": "Köln", "zip": "53111"}, "tags": ["b", "a"], "more": 1}'
    found = JSONMatch().compare(wanted, got)
    assert found.score == pytest.approx(2 / 6)
    assert "address.city: expected 'Bonn', got 'Köln'." in found.feedback
    assert "more: not expected." in found.feedback
    easy = JSONMatch(any_order=True, extra_fields_are_wrong=False, weights="address.city=0, tags=3")
    assert easy.compare(wanted, got).score == 1.0
    assert JSONMatch().compare(wanted, "{half").feedback.startswith("The answer must be JSON")
    with pytest.raises(ConfigurationError, match="no weight"):
        JSONMatch(weights="price=much")


@pytest.mark.parametrize("metric", [ROUGE(), BLEU(), ChrF(), EditDistance(), EmbeddingSimilarity()])
def test_nearer_texts_score_higher_and_the_feedback_quotes_both(metric):
    wanted = "the parcel arrives on monday"
    near, far = metric.compare(wanted, "the parcel arrives on tuesday"), metric.compare(wanted, "blue cheese")
    assert 1.0 > near.score > far.score >= 0.0
    assert repr(wanted) in near.feedback
    assert metric.compare(["x", wanted], wanted).score == 1.0
    assert metric.compare(wanted, "").score == 0.0
    assert metric.compare(wanted, None).score == 0.0


def test_a_sum_weighs_and_explains():
    row = Prediction(team="billing", note="soon")
    total = WeightedSum((ExactMatch(field="team"), 1), (ExactMatch(field="note"), 3))
    assert total(ROW, row).score == 0.75
    assert total(ROW, row).feedback == "ExactMatch 0.00: Expected 'shipping', got 'billing'."
    assert WeightedSum((lambda e, p: e.team == p.team, 1), (TokenF1(), 1))(ROW, row).score == 0.5
    with pytest.raises(ConfigurationError, match="no metric 'Exact' to add"):
        WeightedSum(parts="Exact=1")
    with pytest.raises(ConfigurationError, match="above 0"):
        WeightedSum((TokenF1(), 0))


def test_python_runs_in_the_sandbox():
    code = "import json\ngot = json.loads(answer)\n{'score': got['n'] / expected, 'feedback': f\"{got['n']} of {expected}\"}"
    found = PythonMetric(code=code).compare(4, '{"n": 2}')
    assert (found.score, found.feedback) == (0.5, "2 of 4")
    assert PythonMetric(code="prediction['note'] == example['note']")(ROW, Prediction(team="x", note="soon"))
    for bad in ("open('/etc/passwd').read()", "1 / 0", "while True:\n    pass\n1"):
        with pytest.raises(SandboxError):
            PythonMetric(code=bad, seconds=0.3).compare(1, 1)
    with pytest.raises(ConfigurationError, match="no Python"):
        PythonMetric(code="if")
    with pytest.raises(ConfigurationError, match="last line"):
        PythonMetric(code="x = 1")


def test_awaited_metrics_are_awaited_by_evaluate():
    rows = [Example(text=str(i), team="a" if i else "b").with_inputs("text") for i in range(4)]
    for metric in (PythonMetric(), EmbeddingSimilarity(), WeightedSum((PythonMetric(), 1))):
        with context(lm=DummyLM([{"team": "a"}] * 4)):
            result = Evaluate(devset=rows, metric=metric)(Predict("text -> team"))
        assert result.score == 75.0
        assert all(outcome.error is None for outcome in result.outcomes)


def test_numbers_of_a_whole_set():
    rows = [Example(text=str(i), team=t).with_inputs("text") for i, t in enumerate(["a", "a", "a", "b"])]
    with context(lm=DummyLM([{"team": "a"}] * 4)):
        assert Evaluate(devset=rows, metric=MacroF1())(Predict("text -> team")).score == 42.86
    assert Correlation(kind="pearson").total([(1, 2), (2, 4), (3, 6)]).score == pytest.approx(1.0)
    assert Correlation().total([(1, 3), (2, 2), (3, 1)]).score == 0.0
    assert Correlation().total([(1, 1), (2, 2), (3, "none")]).score == pytest.approx(2 / 3)
    assert Correlation().total([(1, 1)]).score == 0.0


@pytest.mark.parametrize("name", ["openai/embed", "mistral/mistral-embed"], ids=["itself", "by litellm"])
def test_hosted_embeddings_go_through_the_client(home, name):
    with OpenAIServer(answer=lambda body: "x") as server:
        embed = Embedder(name, batch_size=2, api_base=server.url, api_key="sk-test")
        first = embed(["a", "bb", "ccc"])
        assert first.shape[0] == 3
        assert server.calls == 2
        assert (embed(["a", "bb", "ccc"]) == first).all()
        assert server.calls == 2, "kept in the call cache"
        server.fail_with(500, times=1)
        assert embed("dddd").ndim == 1
        server.fail_with(401, times=1)
        with pytest.raises(LMError):
            embed("eeeee")
    assert (Embedder(lambda texts: [[len(t), 1.0] for t in texts])("abc") == [3.0, 1.0]).all()
