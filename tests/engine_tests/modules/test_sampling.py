"""BestOfN, Refine, MultiChainComparison, Parallel, KNN, majority, Assert and Suggest against a scripted model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.slow_model import SlowModel

from engine import (
    KNN,
    Assert,
    BestOfN,
    Completions,
    Example,
    Module,
    MultiChainComparison,
    Parallel,
    Predict,
    Prediction,
    Refine,
    Suggest,
    context,
    majority,
)
from engine.errors import BudgetExhaustedError, ConfigurationError, ConstraintError, RunError
from engine.modules.assertions import Attempt
from engine.modules.best_of_n import sampled
from engine.search.budget import Budget, Ledger
from engine.testing import ScriptedLM, asked


def length(args: dict[str, Any], prediction: Any) -> float:
    return len(prediction.answer) / 10


def answers(*texts: Any) -> ScriptedLM:
    return ScriptedLM([text if isinstance(text, Exception | dict) else {"answer": text} for text in texts])


def test_best_of_n_keeps_the_best_and_samples_afresh() -> None:
    lm = answers("aa", "aaaa", "a")
    trace: list[Any] = []
    program = BestOfN(Predict("question -> answer"), 3, length, threshold=1.0)
    with context(lm=lm, trace=trace):
        assert program(question="?").answer == "aaaa"
    assert [(r.rollout_id, r.params["temperature"]) for r in lm.requests] == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert [(step is program.module, made.answer) for step, _, made in trace] == [(True, "aaaa")]


def test_best_of_n_stops_at_the_threshold() -> None:
    with context(lm=(lm := answers("a" * 10, "b"))):
        BestOfN(Predict("question -> answer"), 2, length, threshold=1.0)(question="?")
    assert len(lm.requests) == 1


def test_failures_are_counted_for_each_call_anew() -> None:
    program = BestOfN(Predict("question -> answer"), 3, length, threshold=1.0, fail_count=1)
    for _ in range(3):
        with context(lm=answers(RuntimeError("one"), "aa", "a")):
            assert program(question="?").answer == "aa"
    with (
        context(lm=answers(RuntimeError("one"), RuntimeError("two"), "a")),
        pytest.raises(RuntimeError, match="two"),
    ):
        program(question="?")
    with (
        context(lm=answers(*(RuntimeError(str(i)) for i in range(3)))),
        pytest.raises(RuntimeError, match="2"),
    ):
        BestOfN(Predict("question -> answer"), 3, length, threshold=1.0)(question="?")


def test_a_spent_budget_ends_the_tries() -> None:
    lm = answers("a", BudgetExhaustedError("Spent."), "a")
    with context(lm=lm), pytest.raises(BudgetExhaustedError):
        BestOfN(Predict("question -> answer"), 3, length, threshold=1.0)(question="?")


def test_a_reward_may_be_async_or_a_module() -> None:
    async def rate(args: Any, prediction: Any) -> float:
        await asyncio.sleep(0)
        return 1.0

    class Judge(Module):
        def __init__(self) -> None:
            self.rate = Predict("answer -> score: float")

        async def aforward(self, args: Any, prediction: Any) -> float:
            return (await self.rate.acall(answer=prediction.answer)).score

    with context(lm=answers("a")):
        assert BestOfN(Predict("question -> answer"), 2, rate, 1.0)(question="?").answer == "a"
    program = BestOfN(Predict("question -> answer"), 2, Judge(), 0.5)
    assert [path for path, _ in program.named_predictors()] == ["module", "reward_fn.rate"]
    with context(lm=answers("a", {"score": 0.1}, "b", {"score": 0.9})):
        assert program(question="?").answer == "b"
    with pytest.raises(ConfigurationError):
        BestOfN(Predict("question -> answer"), 0, rate, 1.0)


def test_samples_inside_samples_and_of_a_search_differ() -> None:
    lm = ScriptedLM(lambda _: "x")

    async def both(outer: int, inner: int) -> None:
        with context(middleware=(sampled(inner), Ledger(Budget()).gate(rollout=outer))):
            await lm.send(lm.request([{"role": "user", "content": "?"}]))

    for outer in (0, 1, 2):
        for inner in (0, 1):
            asyncio.run(both(outer, inner))
    assert len({request.rollout_id for request in lm.requests}) == 6


def test_refine_gives_each_step_its_own_advice() -> None:
    class Two(Module):
        def __init__(self) -> None:
            self.draft = Predict("question -> draft")
            self.finish = Predict("draft -> answer")

        async def aforward(self, question: str) -> Prediction:
            draft = (await self.draft.acall(question=question)).draft
            return await self.finish.acall(draft=draft)

    advice = {"discussion": "d", "advice": {"draft": "N/A", "finish": "Longer!", "other": "?"}}
    lm = answers({"draft": "d"}, "a", advice, {"draft": "d"}, "a" * 10)
    program = Refine(Two(), 2, length, threshold=1.0)
    with context(lm=lm):
        assert program(question="?").answer == "a" * 10
    asked_last = [asked(request)[0] for request in lm.requests[3:]]
    assert asked_last == [{"question": "?"}, {"draft": "d", "hint_": "Longer!"}]
    assert "return len(prediction.answer)" in lm.requests[2].messages[-1]["content"]
    assert "hint_" not in program.module.finish.signature.fields
    assert [path for path, _ in program.named_predictors()] == ["module.draft", "module.finish"]


def test_multi_chain_comparison_wants_its_number_of_attempts() -> None:
    compare = MultiChainComparison("question -> answer", M=2)
    lm = answers({"rationale": "r", "answer": "4"})
    with context(lm=lm):
        result = compare(Completions({"answer": ["4", "5"]}), question="2 + 2?")
        with pytest.raises(ConfigurationError, match="made for 2 attempts and got 1"):
            compare([{"answer": "4"}], question="?")
    assert (result.rationale, result.answer) == ("r", "4")
    assert asked(lm.requests[0])[0]["reasoning_attempt_2"] == "answer: 5"
    assert lm.requests[0].params["temperature"] == 0.7


def shouted(request: Any) -> str:
    text = asked(request)[0]["question"]
    if text == "bad":
        raise RuntimeError("no")
    return f"[[ ## answer ## ]]\n{text}!"


def test_parallel_keeps_the_order_and_the_limit() -> None:
    lm, ask = SlowModel(shouted, 10), Predict("question -> answer")
    rows = [Example(question=str(i), answer="").with_inputs("question") for i in range(20)]
    with context(lm=lm):
        found = Parallel(num_threads=10)([(ask, row) for row in rows])
    assert [p.answer for p in found] == [f"{i}!" for i in range(20)]
    assert lm.most == 10


def test_parallel_returns_failures_and_loses_no_answer() -> None:
    ask = Predict("question -> answer")
    pairs = [(ask, {"question": "a"}), (ask, {"question": "bad"}), (ask, {"question": "b"})]
    with context(lm=SlowModel(shouted)):
        found, failed, errors = Parallel(return_failed_examples=True)(pairs)
        assert [p and p.answer for p in found] == ["a!", None, "b!"]
        assert (failed, [str(e) for e in errors]) == ([{"question": "bad"}], ["no"])
        with pytest.raises(RunError, match="Stopped after 1 failed") as raised:
            Parallel(num_threads=1, max_errors=1)(pairs)
    assert raised.value.answers[0].answer == "a!"


def test_majority_counts_normalised_values() -> None:
    assert (
        majority(Completions({"why": ["x", "y", "z"], "answer": ["A dog", "cat", "dog!"]})).answer == "A dog"
    )
    assert majority([{"n": 1}, {"n": 2}], field="n").n == 1
    assert majority([{"a": ""}, {"a": "x"}]).a == "x"
    assert majority([{"tags": ["a"]}, {"tags": ["b"]}, {"tags": ["b"]}]).tags == ["b"]
    assert majority(Prediction.from_completions([{"a": "x"}, {"a": "y"}, {"a": "Y"}])).a == "y"
    with pytest.raises(ValueError, match="no completions"):
        majority([])


def test_knn_with_vectors_of_ones_own() -> None:
    rows = [Example(n=str(i), label=i).with_inputs("n") for i in range(5)]

    async def vectorize(texts: list[str]) -> list[list[float]]:
        numbers = [float(text.split(": ")[1]) for text in texts]
        return [[1.0, -((n - 3) ** 2)] if len(texts) > 1 else [0.0, 1.0] for n in numbers]

    assert [row.label for row in KNN(2, rows, vectorize)(n="0")] == [3, 2]
    assert KNN(1, rows)(n="4")[0].label == 4


class Brief(Module):
    """Two steps; the second must be brief."""

    def __init__(self, check: Any) -> None:
        self.plan = Predict("question -> plan")
        self.write = Predict("plan -> answer")
        self.check = check

    def forward(self, question: str) -> Prediction:
        plan = self.plan(question=question).plan
        answer = self.write(plan=plan)
        self.check(len(answer.answer) < 5, "Under five letters.")
        return answer


PLAN = {"plan": "p"}


def test_a_broken_condition_asks_the_step_again_with_the_message() -> None:
    lm = answers(PLAN, "too long", PLAN, "ok")
    trace: list[Any] = []
    with context(lm=lm, trace=trace):
        assert Brief(Assert)(question="?").answer == "ok"
    hint = asked(lm.requests[3])[0]["hint_"]
    assert "too long" in hint
    assert "Under five letters." in hint
    assert "hint_" not in asked(lm.requests[2])[0]
    assert [made.toDict() for _, _, made in trace] == [PLAN, {"answer": "ok"}]
    assert all("hint_" not in inputs for _, inputs, _ in trace)


def test_an_assert_fails_after_two_retries_and_a_suggest_is_noted() -> None:
    script = [PLAN, "too long"] * 3
    lm = answers(*script)
    with context(lm=lm), pytest.raises(ConstraintError, match="not met: Under five letters"):
        Brief(Assert)(question="?")
    assert len(lm.requests) == 6
    attempt = Attempt()
    with context(lm=answers(*script), attempt=attempt):
        assert Brief(Suggest)(question="?").answer == "too long"
    assert attempt.unmet == ["Under five letters."]


def test_conditions_in_async_programs_and_on_a_chosen_step() -> None:
    class Chosen(Module):
        def __init__(self) -> None:
            self.plan = Predict("question -> plan")
            self.write = Predict("plan -> answer")

        async def aforward(self, question: str) -> Prediction:
            plan = await self.plan.acall(question=question)
            answer = await self.write.acall(plan=plan.plan)
            Assert(plan.plan == "good", "Plan well.", target_module=self.plan)
            return answer

    lm = answers(PLAN, "a", {"plan": "good"}, "b")
    with context(lm=lm):
        assert Chosen()(question="?").answer == "b"
    assert "hint_" in asked(lm.requests[2])[0]
    assert "hint_" not in asked(lm.requests[3])[0]


def test_conditions_without_a_step_to_ask() -> None:
    with pytest.raises(ConstraintError):
        Assert(False, "No.")
    assert Suggest(False, "No.") is False

    class Early(Module):
        def forward(self, x: int) -> int:
            Assert(x > 0, "x must be positive.")
            return x

    assert Early()(x=1) == 1
    with pytest.raises(ConstraintError, match="x must be positive"):
        Early()(x=0)
