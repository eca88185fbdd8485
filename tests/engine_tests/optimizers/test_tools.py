"""Optimizers that rewrite instructions also rewrite what a program says of its tools."""

import pytest

from engine import GEPA, loop
from engine.modules.react import ReAct
from engine.optimizers.avatar import AvatarOptimizer
from engine.optimizers.copro import COPRO
from engine.search.driver import Driver
from engine.testing import ScriptedLM, asked
from engine.testing.contract import toy_rows, toy_settings

LABELS = ("red", "green", "blue")
KNOWN = {row.text.split()[0]: row.label for row in toy_rows(12).values()}


def lookup(word: str) -> str:
    """Finds things."""
    return KNOWN[word]


def answer(request):
    """An agent that uses its tool only where the tool's description says for what."""
    inputs, outputs = asked(request)
    system = str(request.messages[0]["content"])
    if "proposed_description" in outputs or "proposed_instructions" in outputs:
        about_tool = "lookup" in inputs.get("text_wanted", "")
        return {outputs[-1]: "Finds the label of a word." if about_tool else "Answer from what was found."}
    word = inputs["text"].split()[0]
    found = KNOWN[word] if KNOWN[word] in inputs.get("trajectory", "") else ""
    if "next_tool_name" in outputs:
        use = not found and "label of a word" in system
        return {
            "next_thought": "Look.",
            "next_tool_name": "lookup" if use else "finish",
            "next_tool_args": {"word": word} if use else {},
        }
    return {"reasoning": "So it is.", "label": found or "red"}


@pytest.mark.parametrize(
    "optimizer",
    [
        AvatarOptimizer(max_iters=2, at_once=2),
        GEPA(max_metric_calls=150, component_selector="all"),
        COPRO(breadth=2, depth=2),
    ],
    ids=["AvatarOptimizer", "GEPA", "COPRO"],
)
def test_a_better_description_of_a_tool_is_found_and_kept(optimizer):
    settings = toy_settings(ScriptedLM(answer), program=ReAct("text -> label", [lookup], max_iters=3))
    result = loop.run(Driver(settings).search(optimizer.search))
    assert result.best.steps["react"].tool_descriptions["lookup"] == "Finds the label of a word."
    assert result.score == 1.0


def test_descriptions_of_fields_are_rewritten_when_asked_for():
    def taught(request):
        inputs, outputs = asked(request)
        if "proposed_description" in outputs or "proposed_instructions" in outputs:
            about = "field label" in inputs.get("text_wanted", "")
            return {outputs[-1]: "Green for leaves." if about else "Answer."}
        leaf = "Green for leaves." in str(request.messages[0]["content"])
        return {"label": "green" if leaf and inputs["text"].startswith("leaf") else "red"}

    for optimizer in (
        GEPA(max_metric_calls=300, tune_fields=True, component_selector="all"),
        AvatarOptimizer(max_iters=2, at_once=2, tune_fields=True),
        COPRO(breadth=2, depth=2, tune_fields=True),
    ):
        result = loop.run(Driver(toy_settings(ScriptedLM(taught))).search(optimizer.search))
        assert result.best.steps["self"].field_descriptions["label"] == "Green for leaves."
