"""How many calls a program may take, and that estimates and reserves go by it without doing anything for real."""

from __future__ import annotations

from typing import Any

import pytest

from engine import (
    RLM,
    BestOfN,
    ChainOfThought,
    CodeAct,
    ExactMatch,
    Example,
    LabeledFewShot,
    Module,
    MultiChainComparison,
    Parallel,
    Predict,
    ProgramOfThought,
    ReAct,
    Refine,
    Retrieve,
)
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepOptions, StepSpec
from engine.search.estimate import estimate
from engine.search.settings import Settings
from engine.testing import ScriptedLM

ASK = "question -> answer"
ROWS = {i: Example(question=f"{i}?", answer="x").with_inputs("question") for i in range(12)}


def good(args: Any, prediction: Any) -> float:
    return 1.0


class Rated(Module):
    """A reward that asks a model itself."""

    def __init__(self) -> None:
        self.judge = Predict("question, answer -> score: float")

    async def aforward(self, args: Any, prediction: Any) -> float:
        return float((await self.judge.acall(**args, answer=prediction.answer)).score)


class Two(Module):
    def __init__(self) -> None:
        self.agent = ReAct(ASK, tools=[], max_iters=5)
        self.steps = [Predict(ASK), {"more": ChainOfThought(ASK)}]
        self.find = Retrieve()


@pytest.mark.parametrize(
    ("program", "least", "most"),
    [
        (Predict(ASK), 1, 1),
        (ChainOfThought(ASK), 1, 1),
        (MultiChainComparison(ASK), 1, 1),
        (Retrieve(), 0, 0),
        (Parallel(), 0, 0),
        (ReAct(ASK, tools=[], max_iters=20), 2, 21),
        (CodeAct(ASK, tools=[], max_iters=5), 2, 6),
        (ProgramOfThought(ASK, max_iters=3), 2, 4),
        (RLM(ASK, max_iters=4, max_llm_calls=10), 1, 15),
        (BestOfN(ChainOfThought(ASK), 3, good, 1.0), 1, 3),
        (BestOfN(Predict(ASK), 3, Rated(), 1.0), 2, 6),
        (Refine(Predict(ASK), 3, good, 1.0), 1, 5),
        (Two(), 4, 8),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Module) else str(value),
)
def test_every_module_says_how_many_calls_it_may_make(program: Module, least: int, most: int) -> None:
    assert program.call_range == (least, most)
    assert least <= program.calls_a_row <= most


def settings(program: Module, **more: Any) -> Settings:
    return Settings(
        program, ExactMatch(), ROWS, tuple(range(6)), tuple(range(6, 12)), lm=ScriptedLM([]), **more
    )


def estimated(program: Module) -> Any:
    return estimate(LabeledFewShot(k=1).search, settings(program), test_rows=(0, 1)).calls


def test_an_estimate_has_the_range_that_the_program_has() -> None:
    one = estimated(Predict(ASK))  # one call a row
    assert one.low == one.high
    for program in (
        ReAct(ASK, tools=[], max_iters=9),
        ProgramOfThought(ASK),
        Refine(Predict(ASK), 3, good, 2.0),
    ):
        calls, span = estimated(program), program.call_range
        assert calls.low == one.low * span.least
        assert calls.high == one.high * span.most
        assert calls.low < calls.typical < calls.high


def test_an_estimate_calls_no_tool_and_no_model() -> None:
    called: list[Any] = []

    def erase(**anything: Any) -> str:
        called.append(anything)
        return "erased"

    lm = ScriptedLM([])
    for program in (
        ReAct(ASK, tools=[erase]),
        CodeAct(ASK, tools=[erase]),
        RLM(ASK, tools=[erase], sub_lm=lm),
    ):
        assert estimated(program).low > 0
    assert estimated(BestOfN(Predict(ASK), 2, lambda args, p: float(lm("rate it")[0]), 1.0)).low > 0
    assert called == []
    assert lm.requests == []


def test_planning_with_calls_goes_by_what_is_usual() -> None:
    assert settings(ReAct(ASK, tools=[], max_iters=20)).calls_a_row == 8
    assert settings(Predict(ASK)).calls_a_row == 1


def test_a_pipelines_range_is_that_of_its_steps() -> None:
    draft = StepSpec(name="draft", inputs=(FieldSpec(name="question"),), outputs=(FieldSpec(name="plan"),))
    work = StepSpec(
        name="work",
        strategy="react",
        inputs=(FieldSpec(name="plan"),),
        outputs=(FieldSpec(name="answer"),),
        options=StepOptions(tools=("calculator",), max_iters=4),
    )
    assert build_program(PipelineSpec(steps=(draft, work))).call_range == (3, 6)
