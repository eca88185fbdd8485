"""Judges: what they ask, how they count, and that no verdict is true by accident."""

from __future__ import annotations

import pytest

from engine import (
    LM,
    BootstrapFewShot,
    CompleteAndGrounded,
    Evaluate,
    Example,
    LabeledFewShot,
    Predict,
    Prediction,
    Rubric,
    SemanticF1,
    TokenF1,
    WeightedSum,
    context,
    loop,
)
from engine.errors import AdapterParseError, ConfigurationError
from engine.records import Usage
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.search.estimate import estimate
from engine.search.settings import Settings
from engine.testing import ScriptedLM

ROW = Example(question="When?", response="On Monday, by mail.").with_inputs("question")
SAID = Prediction(response="On Monday.")
VERDICT = {"reasoning": "The way is missing.", "recall": "0.5", "precision": "1"}


def test_semantic_f1_is_the_f1_of_what_the_judge_says():
    lm = ScriptedLM([VERDICT, VERDICT, VERDICT])
    with context(lm=lm):
        found = SemanticF1()(ROW, SAID)
        assert found.score == pytest.approx(2 / 3)
        assert "50 %" in found.feedback
        assert "The way is missing." in found.feedback
        # With a trace it is right or wrong by the threshold: never true by accident.
        assert SemanticF1()(ROW, SAID, trace=[]).score == 1.0
        assert not SemanticF1(threshold=0.9)(ROW, SAID, trace=[])
    prompt = lm.requests[0].messages[-1]["content"]
    assert "When?" in prompt
    assert "On Monday, by mail." in prompt


def test_the_decomposed_form_asks_for_statements():
    lm = ScriptedLM([VERDICT | {"expected_statements": "- a", "answer_statements": "- a"}])
    assert SemanticF1(decompositional=True, lm=lm)(ROW, SAID).score == pytest.approx(2 / 3)
    assert "expected_statements" in str(lm.requests[0].messages)


@pytest.mark.parametrize("number", ["412", "-3"])
def test_a_mark_outside_its_scale_is_a_failed_row(number):
    lm = ScriptedLM(
        lambda r: (
            {"reasoning": "r", "recall": number, "precision": "1.0"}
            if "recall" in str(r.messages)
            else {"response": "On Monday."}
        )
    )
    with context(lm=lm):
        found = Evaluate(devset=[ROW], metric=SemanticF1())(Predict("question -> response"))
    assert f"The judge gave {float(number):g} for recall" in found.outcomes[0].error
    rubric = Rubric(criteria="polite", lm=ScriptedLM([{"reasoning": "r", "marks": f"[{number}]"}]))
    with pytest.raises(AdapterParseError, match="for 'polite'; a mark is a number from 0 to 1"):
        rubric(ROW, SAID)


@pytest.mark.parametrize("metric", [Rubric(), SemanticF1(), CompleteAndGrounded()])
def test_the_offline_model_is_no_judge(metric):
    with (
        context(lm=LM("offline/learner")),
        pytest.raises(ConfigurationError, match="the offline stand-in cannot"),
    ):
        metric(ROW, Prediction(response="Hi.", context=["Mail goes out on Monday."]))


def test_complete_and_grounded_asks_twice_and_needs_a_context():
    answers = {
        "completeness": {"reasoning": "All there.", "completeness": "1.0"},
        "groundedness": {"reasoning": "Half invented.", "groundedness": "0.5"},
    }
    lm = ScriptedLM(
        lambda request: answers["groundedness" if "context" in str(request.messages) else "completeness"]
    )
    metric = CompleteAndGrounded(lm=lm)
    found = metric(ROW, Prediction(response="x", context=["Mail goes out on Monday."]))
    assert found.score == pytest.approx(2 / 3)
    assert "Half invented." in found.feedback
    assert len(lm.requests) == 2
    with pytest.raises(ConfigurationError, match="needs a field 'context'"):
        metric(ROW, SAID)


def test_a_rubric_marks_each_criterion():
    lm = ScriptedLM([{"reasoning": "No greeting.", "marks": "[1, 0.5]"}, {"reasoning": "r", "marks": "[1]"}])
    metric = Rubric(criteria=["short", "polite"], lm=lm)
    found = metric(ROW, SAID)
    assert found.score == 0.75
    assert found.feedback == "Not met: 'polite' (50 %). No greeting."
    assert metric(ROW, SAID).score == 0.5, "a criterion without a mark is not met"
    assert "1. short\n2. polite" in lm.requests[0].messages[-1]["content"]


def test_a_rubric_that_is_not_shown_the_expected_answer_judges_rows_without_one():
    row, answer = Example(question="When?").with_inputs("question"), Prediction(response="On Monday.")
    lm = ScriptedLM([{"reasoning": "", "marks": "[1]"}])
    assert Rubric(criteria="polite", show_expected=False, lm=lm)(row, answer) == 1
    assert "(not shown)" in str(lm.requests[0].messages)
    with pytest.raises(ConfigurationError, match="no field 'response'"):
        Rubric(criteria="polite", lm=lm)(row, answer)


def test_a_judge_without_a_model_says_so():
    with context(lm=None), pytest.raises(ConfigurationError, match="needs a model to judge"):
        SemanticF1()(ROW, SAID)


def test_a_judges_calls_count_for_the_row_and_stand_in_no_trace():
    lm = ScriptedLM(lambda r: VERDICT if "recall" in str(r.messages) else {"response": "On Monday."})
    steps: list = []
    with context(lm=lm, trace=steps):
        result = Evaluate(devset=[ROW, ROW], metric=WeightedSum((SemanticF1(), 1)))(
            Predict("question -> response")
        )
    assert result.score == pytest.approx(66.67)
    assert [outcome.usage.calls for outcome in result.outcomes] == [2, 2]


def test_the_budget_counts_a_judges_calls():
    lm = ScriptedLM(lambda r: VERDICT if "recall" in str(r.messages) else {"response": "On Monday."})
    rows = {i: Example(question=str(i), response="x").with_inputs("question") for i in range(8)}
    program = Predict("question -> response")

    def search(problem):
        from engine.search.contract import Score

        yield [Score(problem.seed, problem.validation)]

    settings = Settings(
        program=program,
        metric=SemanticF1(),
        rows=rows,
        train=(0, 1),
        validation=(2, 3, 4, 5, 6, 7),
        lm=lm,
        budget=Budget(calls=5),
        payer="t",
    )
    result = loop.run(Driver(settings, _Notes()).search(search))
    assert result.usage.calls <= 5
    assert len(lm.requests) <= 5
    assert isinstance(result.usage, Usage)


def test_the_estimate_counts_a_judges_calls():
    lm = ScriptedLM(lambda r: VERDICT if "recall" in str(r.messages) else {"response": "On Monday."})
    rows = {i: Example(question=str(i), response="x").with_inputs("question") for i in range(12)}

    def calls(metric):
        settings = Settings(
            program=Predict("question -> response"),
            metric=metric,
            rows=rows,
            train=(0, 1),
            validation=(2, 3, 4, 5),
            lm=lm,
        )
        search = LabeledFewShot(k=1).search
        return estimate(search, settings, baseline_rows=settings.validation, test_rows=(6, 7)).calls

    plain, judged = calls(TokenF1()), calls(CompleteAndGrounded())
    assert judged.high == 3 * plain.high
    assert judged.low == 3 * plain.low


def test_only_what_a_judge_calls_right_becomes_an_example():
    def answer(request):
        asked = str(request.messages[-1]["content"])
        if "recall" not in str(request.messages[0]["content"]):
            return {"response": "On Monday."}
        share = "1.0" if "odd" in asked else "0.4"
        return {"reasoning": "r", "recall": share, "precision": share}

    rows = [
        Example(question=f"{i} {'odd' if i % 2 else 'even'}", response="x").with_inputs("question")
        for i in range(6)
    ]
    with context(lm=ScriptedLM(answer)):
        made = BootstrapFewShot(SemanticF1(), max_labeled_demos=0).compile(
            Predict("question -> response"), trainset=rows
        )
    assert made.demos
    assert all("odd" in demo["question"] for demo in made.demos)


def test_a_judge_may_be_named():
    assert SemanticF1(judge="offline/learner").options.judge == "offline/learner"
    assert SemanticF1(lm=LM("offline/learner")).lm is not None


class _Notes:
    def record(self, event):
        pass
