"""Agents as what they are for the rest of the engine: evaluated at once, tuned, saved and loaded."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine import BootstrapFewShot, CodeAct, Evaluate, Example, ReAct, context
from engine.testing import ScriptedLM, asked

ROWS = [Example(question=f"{i} + {i}?", answer=2 * i).with_inputs("question") for i in range(40)]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def model(request: Any) -> Any:
    """Answer as a model would that knows how to use `add`."""
    inputs, outputs = asked(request)
    if "answer" in outputs:
        found = re.findall(r"(?:Observation|Code output): (\d+)", inputs["trajectory"])
        return {"reasoning": "It was added.", "answer": int(found[0])}
    a, b = re.findall(r"\d+", inputs["question"])
    if "generated_code" in outputs:
        return {"generated_code": f"print(add({a}, {b}))", "finished": True}
    if "Observation" in inputs["trajectory"]:
        return {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}}
    return {"next_thought": "Add.", "next_tool_name": "add", "next_tool_args": {"a": int(a), "b": int(b)}}


def right(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


@pytest.mark.parametrize(("kind", "step"), [(ReAct, "react"), (CodeAct, "codeact")])
def test_an_agent_learns_from_its_own_right_runs(kind: Any, step: str, tmp_path: Any) -> None:
    with context(lm=ScriptedLM(model)):
        tuned = BootstrapFewShot(metric=right).compile(
            kind("question -> answer: int", [add]), trainset=ROWS[:8]
        )
        demos = dict(tuned.named_predictors())[step].demos
        assert any(demo.get("augmented") for demo in demos)
        assert Evaluate(devset=ROWS, metric=right, num_threads=32)(tuned).score == 100.0
        tuned.save(tmp_path / "agent.json")
        again = kind("question -> answer: int", [add])
        again.load(tmp_path / "agent.json")
        assert again.candidate().steps == tuned.candidate().steps
        assert again(question="3 + 4?").answer == 7
