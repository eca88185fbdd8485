"""Changing steps keeps the wiring; the picture shows what the spec says; both on plain data."""

from __future__ import annotations

import pytest

from dashboard.state.editing import steps as edits
from dashboard.task.pipeline_picture import picture
from engine.pipeline.check import spec_problems
from engine.pipeline.importers.task import import_task
from engine.pipeline.spec import Condition, CorpusSpec, Each, FieldSpec, PipelineSpec, StepSpec
from engine.runs.spec import Named, ProjectDraft


def draft(text="message, plan -> queue: Literal['a', 'b']"):
    step = import_task(text).step
    return ProjectDraft(
        pipeline=PipelineSpec(steps=(step,)),
        mapping={"message": "Message", "plan": "Plan", "queue": "Queue"},
        metric=Named(name="ExactMatch", options={"field": "queue"}),
    )


def names(found):
    return [s.name for s in found.pipeline.steps]


def with_corpus(found):
    return edits.change_step(
        found,
        0,
        lambda s: s.model_copy(
            update={"options": s.options.model_copy(update={"corpus": CorpusSpec(passages=("x",))})}
        ),
    )


@pytest.mark.parametrize("kind", list(edits.NEW_STEPS))
def test_a_new_step_is_wired_and_the_task_still_works(kind):
    found = edits.add_step(draft(), 0, kind)
    if kind == "retrieve":
        found = with_corpus(found)
    assert len(found.pipeline.steps) == 2
    assert spec_problems(found.pipeline) == []
    assert {"message", "plan"} <= {f.name for f in found.pipeline.inputs}


def test_steps_are_moved_copied_and_removed():
    found = edits.add_step(edits.add_step(draft(), 0, "ask_before"), 1, "ask_after")
    assert names(found) == ["prepare", "answer", "check"]
    assert names(edits.move_step(found, 0, 1)) == ["answer", "prepare", "check"]
    assert names(edits.move_step(found, 0, -1)) == names(found)
    copied = edits.duplicate_step(found, 0)
    assert names(copied) == ["prepare", "prepare_2", "answer", "check"]
    assert copied.pipeline.steps[1].outputs[0].name == "notes_2"
    removed = edits.remove_step(found, 0)
    assert names(removed) == ["answer", "check"]
    assert "notes" not in {f.name for f in removed.pipeline.steps[0].inputs}
    assert names(edits.remove_step(draft(), 0)) == ["answer"]


def test_a_renamed_field_is_renamed_wherever_it_is_read():
    found = edits.add_step(draft(), 0, "ask_after")
    found = edits.change_step(
        found, 1, lambda s: s.model_copy(update={"when": Condition(field="queue", values=("a",))})
    )
    renamed = edits.rename_field(found, 0, "outputs", 0, "team")
    assert [f.name for f in renamed.pipeline.steps[1].inputs] == ["message", "team"]
    assert renamed.pipeline.steps[1].when.field == "team"
    assert renamed.mapping["team"] == "Queue"
    assert renamed.metric.options["field"] == "team"


def test_a_field_that_gets_a_known_name_is_wired_to_it():
    found = edits.add_step(draft(), 0, "ask_before")
    wired = edits.rename_field(found, 1, "inputs", 1, "notes")
    assert [f.name for f in wired.pipeline.steps[0].inputs] == ["message", "plan"]
    assert wired.mapping["plan"] == "Plan"


def test_places_that_are_gone_change_nothing():
    found = draft()
    for changed in (
        edits.change_step(found, 7, lambda s: s),
        edits.remove_step(found, 7),
        edits.move_step(found, 7, 1),
        edits.duplicate_step(found, 7),
        edits.rename_field(found, 0, "inputs", 9, "x"),
        edits.remove_field(found, 0, "inputs", (9,)),
        edits.move_field(found, 0, "inputs", 0, -1),
    ):
        assert changed.pipeline == found.pipeline


def test_the_picture_has_a_line_for_every_wire_and_lanes_around_boxes():
    found = with_corpus(edits.add_step(edits.add_step(draft(), 0, "retrieve"), 1, "ask_after"))
    drawn = picture(found.pipeline, {"predict": "Answer directly"})
    assert {b.id for b in drawn.boxes} == {"in", "side0", "step0", "step1", "step2", "out"}
    wires = {(a.source, a.target): a for a in drawn.lines}
    assert wires[("in", "step0")].label == "message"
    assert wires[("step0", "step1")].label == "passages"
    assert wires[("in", "step1")].label == "2 fields"
    assert wires[("in", "step1")].lane > 0
    assert wires[("step2", "out")].lane == 0
    assert all(b.x + drawn.box <= drawn.width and b.y + b.height <= drawn.bottom for b in drawn.boxes)
    for a in drawn.boxes:
        for b in drawn.boxes:
            apart = a.x != b.x or a.y + a.height <= b.y or b.y + b.height <= a.y
            assert a is b or apart, (a.id, b.id)


def test_the_picture_says_when_and_how_often_a_step_runs():
    found = edits.add_step(draft("texts: list[str] -> queue"), 0, "ask_after")
    found = edits.change_step(
        found,
        1,
        lambda s: s.model_copy(
            update={
                "when": Condition(field="queue", values=("a",)),
                "each": Each(field="texts", item="texts"),
            }
        ),
    )
    lines = next(b.lines for b in picture(found.pipeline, {}).boxes if b.id == "step1")
    assert "if queue is a" in lines
    assert "for each texts of texts" in lines


@pytest.mark.parametrize("spec", [PipelineSpec(), PipelineSpec(steps=(import_task("a -> b").step,) * 9)])
def test_any_task_can_be_drawn(spec):
    drawn = picture(spec, {})
    assert drawn.width > 0
    assert drawn.data()["boxes"]


def test_fields_inside_records_are_edited_by_their_place():
    line = edits.with_type(FieldSpec(name="lines"), "List of records")
    step = StepSpec(inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="total"), line))
    tax = edits.with_type(FieldSpec(name="tax"), "Record, or empty")
    start = ProjectDraft(pipeline=PipelineSpec(steps=(step,)))

    def deeper(fields):
        return (*fields, tax)

    changed = edits.change_fields(start, 0, "outputs", (1,), deeper)
    changed = edits.change_fields(
        changed, 0, "outputs", (1, 1), lambda fields: (*fields, FieldSpec(name="rate"))
    )
    lines = changed.pipeline.outputs[1]
    assert (edits.title_of(lines), [f.name for f in lines.fields]) == ("List of records", ["name", "tax"])
    assert (edits.title_of(lines.fields[1]), lines.fields[1].type) == ("Record, or empty", "Optional[record]")
    assert [f.name for f in lines.fields[1].fields] == ["name", "rate"]
    assert spec_problems(changed.pipeline) == []
    assert edits.with_type(lines, "Text").fields == ()
