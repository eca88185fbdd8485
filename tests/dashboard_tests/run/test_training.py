"""The chart of a training, and the comparison of a tuned model with its teacher."""

from __future__ import annotations

from dataclasses import replace

from support.results import result_of
from support.run_setup import spec

from dashboard.results.models import comparison_sentence, tuned_lines
from dashboard.state.live.training import PROGRESS, curves, training_chart
from engine.search.result import PromptFigures, TeacherFigures
from engine.store.rows import EventRow


def progress(at: int, **data: object) -> EventRow:
    return EventRow(at, float(at), PROGRESS, "", {"training": 1, "label": "sort", "steps": 10, **data})


EVENTS = [
    progress(1, step=0, message="The training file is uploaded."),
    progress(2, step=2, loss=1.5),
    progress(3, step=2, loss=1.4),
    progress(4, step=5, loss=0.5, score=None),
    progress(5, step=5, score=0.75),
    progress(6, training=2, step=1, reward=0.25),
]


def test_curves_hold_the_latest_value_of_each_step():
    first, second = curves(EVENTS)
    assert first.losses == ((2, 1.4), (5, 0.5))
    assert first.scores == ((5, 75.0),)
    assert (first.step, first.steps) == (5, 10)
    assert second.rewards == ((1, 0.25),)


def test_the_chart_is_of_the_latest_training_and_read_out():
    found = training_chart(EVENTS[:5])
    assert found["label"] == "sort: step 5 of 10, loss 0.500, validation score 75 %"
    loss, score = found["figure"]["traces"]
    assert (loss["y"], score["y"], score["yaxis"]) == ([1.4, 0.5], [75.0], "y2")
    assert training_chart(EVENTS)["figure"]["traces"][0]["name"] == "Reward (left)"
    assert training_chart([])["figure"] is None


def test_small_is_set_against_itself_before_and_its_teacher():
    figures = {"likely": (0.5, 1.02), "seconds_per_row": 0.2}
    result = result_of(
        tuned_models=("tuned/small-1",),
        best=PromptFigures(test=0.8, cost_per_row=0.0001, **figures),
        baseline=PromptFigures(test=0.4, cost_per_row=0.0001, **figures),
        teacher=TeacherFigures(test=0.9, cost_per_row=0.02, model="openai/large", **figures),
    )
    tuned, before, teacher = tuned_lines(result, spec("d"))
    assert (tuned.note, *tuned.cells[1:3]) == ("tuned/small-1", "80 %", "50 % to 100 %")
    assert (before.name, before.note) == ("Small model, before", "offline/learner")
    assert (teacher.note, teacher.cells[3]) == ("openai/large", "$20.00")
    assert "less than 1 %" in comparison_sentence(result.best, result.teacher)
    assert comparison_sentence(result.best, None) == ""
    assert tuned_lines(replace(result, tuned_models=()), spec("d")) == []
    unknown = tuned_lines(replace(result, teacher=TeacherFigures(model="x")), spec("d"))[2]
    assert unknown.cells[1:4] == ("not known", "not known", "price not known")
