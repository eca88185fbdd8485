"""Several prompts over the same rows: lines, filters, spreads; and the messages of one row."""

from __future__ import annotations

import pytest
from support.run_setup import PIPELINE

from dashboard.results.comparison import (
    causes,
    compared_rows,
    counts,
    filtered,
    spread,
    spread_figure,
    table,
)
from dashboard.state.candidates import trials_by_split
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import Outcome, TraceStep, Usage, value_text
from engine.runs.results.report import step_calls
from engine.store.rows import TrialRow


def said(row, score, answer="a", error=None):
    return Outcome(row, score, {"team": answer}, error=error)


FIRST = [said(1, 0.0, "x"), said(2, 1.0, "b"), said(3, 1.0, "c"), said(4, 0.0, "y"), said(9, 1.0)]
SECOND = [said(1, 1.0, "a"), said(2, 0.0, "z"), said(3, 1.0, "c"), said(4, 0.0, "w")]
THIRD = [said(1, 0.0, "x"), said(2, 1.0, "b"), said(3, 1.0, "c"), said(4, 0.0, "", "It broke.")]


def test_rows_that_all_were_scored_on_are_lined_up():
    found = compared_rows([FIRST, SECOND, THIRD], ["team"])
    assert [line.row for line in found] == [1, 2, 3, 4]
    assert [line.mark for line in found] == ["better", "worse", "same", "same"]
    assert [line.differs for line in found] == [True, True, False, True]
    assert compared_rows([], ["team"]) == ()


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ("All rows", [1, 2, 3, 4]),
        ("Only differences", [1, 2, 4]),
        ("Improved", [1]),
        ("Regressed", [2]),
        ("Unchanged", [3, 4]),
        ("Still wrong", [4]),
        ("Failed", [4]),
    ],
)
def test_a_filter_lets_through(which, rows):
    found = compared_rows([FIRST, SECOND, THIRD], ["team"])
    assert [line.row for line in filtered(found, which)] == rows
    assert counts(found)[which] == len(rows)


def test_reasoning_is_no_answer():
    one, other = (Outcome(1, 1.0, {"reasoning": why, "team": "a"}) for why in ("Because.", "So."))
    (line,) = compared_rows([[one], [other]], ["team"])
    assert not line.differs


def test_a_row_that_one_later_prompt_fixed_and_another_broke_is_mixed():
    (line,) = compared_rows([[said(1, 0.5)], [said(1, 1.0)], [said(1, 0.0)]], ["team"])
    assert line.mark == "mixed"


def test_cells_carry_a_mark_beside_the_answer():
    (line, *_) = table(
        compared_rows([FIRST, SECOND], ["team"]),
        {1: {"text": "hello", "team": "a"}},
        ["team"],
        ["Start", "Best"],
    )
    assert line == {
        "Row": 1,
        "Change": ["better"],
        "Expected": "a",
        "Start": "✗ x",
        "Best": "✓ a",
        "text": "hello",
    }


def test_several_outputs_stand_in_one_cell():
    outcome = Outcome(0, 0.5, {"a": "x", "b": ["y", "z"]})
    (line,) = table(compared_rows([[outcome]], ["a", "b"]), {}, ["a", "b"], ["Start"])
    assert line["Start"] == "50 % a: x · b: y, z"


def test_of_several_outputs_those_that_are_wrong_are_shown():
    outcome = Outcome(0, 0.5, {"a": "x", "b": "y"})
    (line,) = table(compared_rows([[outcome]], ["a", "b"]), {0: {"a": "x", "b": "z"}}, ["a", "b"], ["Start"])
    assert (line["Expected"], line["Start"]) == ("a: x · b: z", "50 % b: y")


def test_spreads_are_drawn_in_shares():
    found = [spread(FIRST), spread(THIRD)]
    assert found[0] == {"Right": 3, "A half or more": 0, "Under a half": 0, "Wrong": 2, "Failed": 0}
    assert found[1]["Failed"] == 1
    traces = spread_figure(["Start", "Third"], found)["traces"]
    assert {t["name"] for t in traces} == {"Right", "Wrong", "Failed"}
    assert traces[0]["x"] == [60.0, 50.0]


def test_wrong_rows_are_grouped_by_cause():
    before = [Outcome(i, 0.0) for i in range(5)]
    after = [
        Outcome(0, 0.0, {"team": "x"}),
        Outcome(1, 0.0, {"team": "x"}),
        Outcome(2, 0.0, error="The model did not answer within 120 seconds."),
        Outcome(3, 1.0, {"team": "y"}),
        Outcome(4, 0.5, {"team": "long " * 20}, "Half of the words are missing."),
    ]
    rows = {i: {"team": "y"} for i in range(5)}
    assert causes(compared_rows([before, after], ["team"]), rows, ["team"]) == [
        ("y taken for x", (0, 1)),
        ("Half of the words are missing.", (4,)),
        ("failed: The model did not answer within 120", (2,)),
    ]


def test_short_lists_are_one_line_and_passages_one_below_the_other():
    assert value_text(["red", "blue"]) == "red, blue"
    assert value_text(["red", "x" * 61]) == f"1. red\n2. {'x' * 61}"
    assert value_text(["x" * 61]) == "x" * 61


def test_only_whole_trials_count():
    def trial(number, of, split, rows, state="finished"):
        return TrialRow(number, of, split, "", 0.5, rows, rows, state, 0, 1, Usage(), 1.0)

    found = trials_by_split(
        [
            trial(0, "a", "validation", 40),
            trial(1, "b", "validation", 5),
            trial(2, "b", "test", 40),
            trial(3, "a", "validation", 40),
            trial(4, "c", "validation", 40, "stopped"),
        ]
    )
    assert {c: {s: t.number for s, t in by.items()} for c, by in found.items()} == {
        "a": {"validation": 3},
        "b": {"test": 2},
    }


def test_messages_are_written_from_the_answer_where_no_trace_was_kept():
    two = PipelineSpec(
        steps=(
            StepSpec(name="read", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="topic"),)),
            StepSpec(
                name="sort",
                inputs=(FieldSpec(name="text"), FieldSpec(name="topic")),
                outputs=(FieldSpec(name="team"),),
            ),
        )
    )
    start = build_program(two).candidate()
    outcome = Outcome(0, 1.0, {"topic": "a parcel", "team": "shipping"})
    (read, _), (_, messages) = step_calls(two, start, {"text": "Where is it?"}, outcome)
    assert (read.path, read.outputs) == ("read", {"topic": "a parcel"})
    assert "a parcel" in messages[-1]["content"]
    assert "Where is it?" in messages[-1]["content"]


def test_messages_are_written_from_the_trace():
    start = build_program(PIPELINE).candidate().with_step("sort", instructions="Sort well.")
    outcome = Outcome(0, 1.0, {}, trace=(TraceStep("sort", {"text": "a lamp"}, {"shelf": "red"}),))
    ((_, messages),) = step_calls(PIPELINE, start, {}, outcome)
    assert "Sort well." in messages[0]["content"]
    assert "a lamp" in messages[-1]["content"]
