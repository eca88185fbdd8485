"""Typed outputs everywhere: whatever module answers, its outputs have the types of the signature."""

from __future__ import annotations

import enum
from datetime import date
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from engine import (
    RLM,
    BestOfN,
    ChainOfThought,
    CodeAct,
    Evaluate,
    Example,
    InputField,
    Module,
    MultiChainComparison,
    OutputField,
    Parallel,
    Predict,
    ProgramOfThought,
    ReAct,
    Refine,
    Signature,
    context,
    majority,
)
from engine.errors import AdapterParseError
from engine.testing import ScriptedLM, asked


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Item(BaseModel):
    name: str
    count: int = 1


class Order(Signature):
    """Read an order."""

    text: str = InputField()
    goods: list[Item] = OutputField()
    size: Size = OutputField()
    team: Literal["sales", "stock"] = OutputField()
    due: date | None = OutputField()
    total: float = OutputField(ge=0)


GOOD: dict[str, Any] = {
    "goods": [{"name": "tea", "count": 2}],
    "size": "large",
    "team": "stock",
    "due": "2026-01-31",
    "total": 7.5,
}


def model(request: Any) -> dict[str, Any]:
    """Fills whatever a module asks for on its way, and the order's fields with JSON."""
    _, outputs = asked(request)
    way = {
        "next_thought": "Done.",
        "next_tool_name": "finish",
        "next_tool_args": {},
        "generated_code": "7.5",
        "finished": True,
        "code": f"SUBMIT({GOOD!r})",
        "reasoning": "r",
        "rationale": "r",
        "discussion": "d",
        "advice": {},
    }
    return {name: GOOD.get(name, way.get(name)) for name in outputs}


def accept(args: Any, prediction: Any) -> float:
    return float(prediction.total == 7.5)


TRIES = [{"reasoning": "a", **GOOD}] * 3
PROGRAMS: list[tuple[Module, dict[str, Any]]] = [
    (Predict(Order), {}),
    (ChainOfThought(Order), {}),
    (ReAct(Order, tools=[]), {}),
    (ProgramOfThought(Order), {}),
    (CodeAct(Order, tools=[]), {}),
    (RLM(Order), {}),
    (BestOfN(Predict(Order), 2, accept, 1.0), {}),
    (Refine(ChainOfThought(Order), 2, accept, 1.0), {}),
    (MultiChainComparison(Order), {"completions": TRIES}),
]


@pytest.mark.parametrize(("program", "more"), PROGRAMS, ids=lambda value: type(value).__name__)
def test_outputs_come_in_their_types(program: Module, more: dict[str, Any]) -> None:
    with context(lm=ScriptedLM(model)):
        made = program(text="Two teas, please.", **more)
    assert made.goods == [Item(name="tea", count=2)]
    assert made.size is Size.LARGE
    assert made.team == "stock"
    assert made.due == date(2026, 1, 31)
    assert isinstance(made.total, float)


@pytest.mark.parametrize(
    ("program", "more"),
    [pair for pair in PROGRAMS if type(pair[0]) in (Predict, ChainOfThought, ReAct, MultiChainComparison)],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_another_type_fails_the_call(program: Module, more: dict[str, Any]) -> None:
    def wrong(request: Any) -> dict[str, Any]:
        found = model(request)
        return {**found, "team": "nobody"} if "team" in found else found

    with context(lm=ScriptedLM(wrong)), pytest.raises(AdapterParseError, match="team"):
        program(text="Two teas, please.", **more)


def test_votes_and_parallel_answers_keep_their_types() -> None:
    with context(lm=ScriptedLM(model)):
        answers = Parallel()([(Predict(Order), {"text": str(i)}) for i in range(3)])
    assert majority(answers, field="size").size is Size.LARGE
    assert {answer.due for answer in answers} == {date(2026, 1, 31)}


def test_typed_answers_are_records_in_an_evaluation() -> None:
    rows = [Example(text="x", team="stock").with_inputs("text")]
    with context(lm=ScriptedLM(model)):
        found = Evaluate(devset=rows, metric=lambda row, made: row.team == made.team)(Predict(Order))
    assert found.score == 100.0
    assert found.outcomes[0].prediction["goods"] == [{"name": "tea", "count": 2}]
    assert found.outcomes[0].prediction["due"] == "2026-01-31"
