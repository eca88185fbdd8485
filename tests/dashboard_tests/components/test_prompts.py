"""What a task sends for one row, and how often it asks."""

from __future__ import annotations

import pytest

from dashboard.state.messages import calls_a_row, messages
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec


def task(strategy: str = "predict", adapter: str | None = None) -> PipelineSpec:
    fields = {"inputs": (FieldSpec(name="question"),), "outputs": (FieldSpec(name="answer"),)}
    return PipelineSpec(steps=(StepSpec(name="reply", strategy=strategy, adapter=adapter, **fields),))


@pytest.mark.parametrize(("strategy", "adapter", "calls"), [("predict", None, 1), ("predict", "two_step", 2)])
def test_the_calls_of_a_row_are_counted_by_the_steps_own_layout(strategy: str, adapter: str, calls: int):
    assert calls_a_row(task(strategy, adapter)) == calls
    assert calls_a_row(task(strategy), adapter=adapter or "chat") == calls


def test_what_tries_several_times_asks_several_times():
    assert calls_a_row(task("best_of_n")) > 1


def test_unknown_values_are_named():
    ((_, turns),) = messages(task(), {})
    assert "«question»" in turns[-1]["content"]
