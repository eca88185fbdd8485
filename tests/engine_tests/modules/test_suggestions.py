"""What a program suggests and its answers do not follow: optimizers see it in scores, feedback and examples."""

from __future__ import annotations

from typing import Any

from engine import (
    GEPA,
    Assert,
    BestOfN,
    BootstrapFewShot,
    BootstrapFewShotWithRandomSearch,
    Evaluate,
    Example,
    Grade,
    Module,
    Predict,
    Prediction,
    Suggest,
    context,
)
from engine.testing import ScriptedLM, asked

ROWS = [Example(question=f"{i}?", answer="yes").with_inputs("question") for i in range(8)]
WISH = "Answer in lower case."


class Polite(Module):
    """One step whose answer should be in lower case."""

    def __init__(self, condition: Any = Suggest) -> None:
        self.say = Predict("question -> answer")
        self.condition = condition

    def forward(self, question: str) -> Prediction:
        said = self.say(question=question)
        self.condition(said.answer == said.answer.lower(), WISH)
        return said


def right(example: Example, prediction: Prediction) -> Grade:
    return Grade(float(prediction.answer.lower() == example.answer), "Correct.")


def loud(rows: range) -> ScriptedLM:
    """A model that shouts in these rows whatever it is told."""
    return ScriptedLM(
        lambda request: {"answer": "YES" if int(asked(request)[0]["question"].strip("?")) in rows else "yes"}
    )


def evaluated(program: Module, lm: Any, metric: Any = right) -> Any:
    with context(lm=lm):
        return Evaluate(devset=ROWS, metric=metric)(program)


def test_each_suggestion_not_followed_takes_a_fifth_of_the_score_and_is_told() -> None:
    found = evaluated(Polite(), loud(range(4)))
    assert [outcome.score for outcome in found.outcomes] == [0.8] * 4 + [1.0] * 4
    assert found.outcomes[0].feedback == f"Correct. A suggestion was not followed: {WISH}"
    assert found.outcomes[0].unmet == (WISH,)
    assert found.outcomes[7].unmet == ()
    assert found.score == 90.0


def test_a_plain_metrics_score_is_lowered_too_and_a_message_counts_once() -> None:
    class Twice(Polite):
        def forward(self, question: str) -> Prediction:
            said = super().forward(question)
            Suggest(said.answer.islower(), WISH)
            Suggest(said.answer.islower(), "Do not shout.")
            return said

    found = evaluated(Twice(), loud(range(8)), lambda example, prediction: True)
    assert found.score == 64.0


def test_a_followed_suggestion_costs_calls_and_no_score() -> None:
    lm = ScriptedLM(lambda request: {"answer": "yes" if "hint_" in asked(request)[0] else "YES"})
    found = evaluated(Polite(), lm)
    assert found.score == 100.0
    assert len(lm.requests) == 16
    assert {outcome.usage.calls for outcome in found.outcomes} == {2}


def test_a_run_that_does_not_follow_a_suggestion_becomes_no_example() -> None:
    with context(lm=loud(range(4))):
        optimizer = BootstrapFewShot(metric=right, max_bootstrapped_demos=3, max_labeled_demos=0)
        tuned = optimizer.compile(Polite(), trainset=ROWS)
    assert [demo.answer for demo in tuned.say.demos] == ["yes"] * 3


def test_a_search_prefers_the_prompt_whose_answers_follow_the_suggestions() -> None:
    def answer(request: Any) -> dict[str, str]:
        # Right either way, but it only keeps to lower case once it is shown how.
        return {"answer": "yes" if len(request.messages) > 2 else "YES"}

    with context(lm=ScriptedLM(answer)):
        optimizer = BootstrapFewShotWithRandomSearch(
            metric=right, num_candidate_programs=2, max_bootstrapped_demos=1, max_labeled_demos=2
        )
        tuned = optimizer.compile(Polite(), trainset=ROWS[:4], valset=ROWS[4:])
    assert tuned.say.demos
    assert evaluated(tuned, ScriptedLM(answer)).score == 100.0
    assert evaluated(Polite(), ScriptedLM(answer)).score == 80.0


def test_what_was_not_followed_reaches_the_model_that_rewrites() -> None:
    read: list[str] = []

    def answer(request: Any) -> dict[str, Any]:
        inputs, outputs = asked(request)
        if "answer" in outputs and "question" in inputs:
            told = "lower case" in str(request.messages[0]["content"])
            return {"answer": "yes" if told else "YES"}
        read.append(str(request.messages[-1]["content"]))
        return dict.fromkeys(outputs, "Answer the question in lower case.")

    with context(lm=ScriptedLM(answer)):
        tuned = GEPA(metric=right, max_metric_calls=60).compile(Polite(), trainset=ROWS[:4], valset=ROWS[4:])
    assert any(f"A suggestion was not followed: {WISH}" in text for text in read)
    assert "lower case" in tuned.say.signature.instructions


def test_an_assert_that_fails_is_a_row_with_its_error_and_no_score() -> None:
    found = evaluated(Polite(Assert), loud(range(2)))
    assert found.score == 75.0
    assert [outcome.error for outcome in found.failures] == [f"A required condition was not met: {WISH}"] * 2


def test_only_the_chosen_try_counts() -> None:
    def quiet(args: Any, prediction: Prediction) -> float:
        return float(prediction.answer.islower())

    lm = ScriptedLM(lambda request: {"answer": "yes" if (request.rollout_id or 0) >= 1 else "YES"})
    found = evaluated(BestOfN(Polite(), N=3, reward_fn=quiet, threshold=1.0), lm)
    assert found.score == 100.0
    assert found.outcomes[0].unmet == ()
    never = evaluated(BestOfN(Polite(), N=2, reward_fn=quiet, threshold=1.0), loud(range(8)))
    assert never.score == 80.0
