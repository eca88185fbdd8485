"""Changing a task's steps and fields, as pure functions of a draft. No Streamlit in here.

A change keeps the wiring: a field that is renamed is renamed wherever it is read, and its column and the
metric's choice of it go along. A place that is not there (any more) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeVar

from engine.pipeline.check import usable_name
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepOptions, StepSpec
from engine.runs.spec import ProjectDraft

_Item = TypeVar("_Item", FieldSpec, StepSpec)
Side = Literal["inputs", "outputs"]
NewStep = Literal["ask_before", "ask_after", "retrieve", "tool"]

NEW_STEPS: dict[NewStep, str] = {
    "ask_before": "Ask the model before this step",
    "ask_after": "Ask the model after this step",
    "retrieve": "Search a corpus before this step",
    "tool": "Call a tool before this step",
}


def pipeline_of(draft: ProjectDraft) -> PipelineSpec:
    """Return a draft's task; an empty one where there is none yet."""
    return draft.pipeline or PipelineSpec()


def with_steps(draft: ProjectDraft, steps: Iterable[StepSpec]) -> ProjectDraft:
    """Return the draft with these steps; it is left as it is where there would be none."""
    made = tuple(steps)
    return draft.model_copy(update={"pipeline": PipelineSpec(steps=made)}) if made else draft


def change_step(draft: ProjectDraft, at: int, change: Callable[[StepSpec], StepSpec]) -> ProjectDraft:
    """Return the draft with one step changed."""
    steps = list(pipeline_of(draft).steps)
    if at >= len(steps):
        return draft
    steps[at] = change(steps[at])
    return with_steps(draft, steps)


def add_step(draft: ProjectDraft, at: int, kind: NewStep) -> ProjectDraft:
    """Return the draft with a new step beside the one at a place, wired to it.

    >>> from engine.pipeline.importing import import_task
    >>> draft = with_steps(ProjectDraft(), [import_task("question -> answer").step])
    >>> [(s.name, [f.name for f in s.inputs]) for s in add_step(draft, 0, "retrieve").pipeline.steps]
    [('search', ['question']), ('solve', ['question', 'passages'])]
    """
    steps = list(pipeline_of(draft).steps)
    at = min(at, len(steps) - 1)
    beside = steps[at]
    fields = _field_names(steps)
    names = [s.name for s in steps]
    if kind == "ask_after":
        read = tuple(f.model_copy(update={"description": f.description}) for f in beside.makes)
        first = tuple(f for f in beside.inputs[:1] if f.name not in {g.name for g in read})
        made = FieldSpec(name=usable_name(f"final_{read[-1].name if read else 'answer'}", fields))
        if read:
            made = read[-1].model_copy(update={"name": made.name})
        new = StepSpec(name=usable_name("check", [*names, *fields]), inputs=(*first, *read), outputs=(made,))
        return with_steps(draft, [*steps[: at + 1], new, *steps[at + 1 :]])
    read = tuple(beside.needs[:1]) or (FieldSpec(name="text"),)
    if kind == "retrieve":
        made = FieldSpec(name=usable_name("passages", fields), type="list[str]")
        new = StepSpec(
            name=usable_name("search", [*names, *fields]), strategy="retrieve", inputs=read, outputs=(made,)
        )
    elif kind == "tool":
        made = FieldSpec(name=usable_name("result", fields))
        new = StepSpec(
            name=usable_name("look_up", [*names, *fields]),
            strategy="tool",
            options=StepOptions(tools=("calculator",)),
            inputs=(FieldSpec(name=usable_name("expression", [])),),
            outputs=(made,),
        )
    else:
        made = FieldSpec(name=usable_name("notes", fields))
        new = StepSpec(name=usable_name("prepare", [*names, *fields]), inputs=beside.needs, outputs=(made,))
    steps[at] = beside.model_copy(update={"inputs": (*beside.inputs, made)})
    return with_steps(draft, [*steps[:at], new, *steps[at:]])


def remove_step(draft: ProjectDraft, at: int) -> ProjectDraft:
    """Return the draft without a step; what only it made is no longer read by the others."""
    steps = list(pipeline_of(draft).steps)
    if at >= len(steps) or len(steps) < 2:
        return draft
    gone = steps.pop(at)
    made = {f.name for f in gone.makes} - {f.name for s in steps for f in s.makes}
    kept = [s.model_copy(update={"inputs": tuple(f for f in s.inputs if f.name not in made)}) for s in steps]
    return with_steps(draft, kept)


def move_step(draft: ProjectDraft, at: int, by: int) -> ProjectDraft:
    """Return the draft with a step one place earlier (-1) or later (1)."""
    return with_steps(draft, _moved(pipeline_of(draft).steps, at, by))


def duplicate_step(draft: ProjectDraft, at: int) -> ProjectDraft:
    """Return the draft with a copy of a step after it; the copy's outputs have names of their own."""
    steps = list(pipeline_of(draft).steps)
    if at >= len(steps):
        return draft
    taken = _field_names(steps)
    outputs = []
    for f in steps[at].answers:
        outputs.append(f.model_copy(update={"name": usable_name(f.name, taken)}))
        taken.append(outputs[-1].name)
    name = usable_name(steps[at].name, [*(s.name for s in steps), *taken])
    copy = steps[at].model_copy(update={"name": name, "outputs": tuple(outputs)})
    return with_steps(draft, [*steps[: at + 1], copy, *steps[at + 1 :]])


def add_field(draft: ProjectDraft, at: int, side: Side, name: str = "") -> ProjectDraft:
    """Return the draft with one more field: a new one, or one of that name as the other steps know it."""
    steps = pipeline_of(draft).steps
    known = {f.name: f for s in steps for f in (*s.needs, *s.makes)}

    def change(step: StepSpec) -> StepSpec:
        taken = [f.name for f in (*step.inputs, *step.outputs)]
        fresh = FieldSpec(name=usable_name("text" if side == "inputs" else "answer", [*taken, *known]))
        field = known.get(name, fresh)
        return step.model_copy(update={side: (*getattr(step, side), field)})

    return change_step(draft, at, change)


def remove_field(draft: ProjectDraft, at: int, side: Side, place: int) -> ProjectDraft:
    """Return the draft without a field of a step."""

    def change(step: StepSpec) -> StepSpec:
        fields = getattr(step, side)
        return step.model_copy(update={side: (*fields[:place], *fields[place + 1 :])})

    return change_step(draft, at, change)


def move_field(draft: ProjectDraft, at: int, side: Side, place: int, by: int) -> ProjectDraft:
    """Return the draft with a field one place up (-1) or down (1)."""
    return change_step(
        draft, at, lambda step: step.model_copy(update={side: _moved(getattr(step, side), place, by)})
    )


def change_field(
    draft: ProjectDraft, at: int, side: Side, place: int, change: Callable[[FieldSpec], FieldSpec]
) -> ProjectDraft:
    """Return the draft with a field changed, other than by its name."""

    def changed(step: StepSpec) -> StepSpec:
        fields = list(getattr(step, side))
        if place >= len(fields):
            return step
        fields[place] = change(fields[place])
        return step.model_copy(update={side: tuple(fields)})

    return change_step(draft, at, changed)


def rename_field(draft: ProjectDraft, at: int, side: Side, place: int, name: str) -> ProjectDraft:
    """Return the draft with a field renamed, here and wherever else it is read; its column goes along.

    A field whose name is in its step twice is renamed in its place alone; so is one that gets the name of another
    field of the task: that wires it to that field.
    """
    steps = list(pipeline_of(draft).steps)
    if at >= len(steps) or place >= len(getattr(steps[at], side)):
        return draft
    step = steps[at]
    before = getattr(step, side)[place].name
    own = [f.name for f in (*step.inputs, *step.outputs)]
    draft = change_field(draft, at, side, place, lambda f: f.model_copy(update={"name": name}))
    elsewhere = _field_names([s for i, s in enumerate(steps) if i != at])
    if own.count(before) > 1 or name in elsewhere or name in own:
        return draft
    steps = list(pipeline_of(draft).steps)
    if before.strip():
        steps = [_renamed(s, before, name) for s in steps]
    mapping = {name if field == before else field: column for field, column in draft.mapping.items()}
    metric = draft.metric
    if metric is not None and metric.options.get("field") == before:
        metric = metric.model_copy(update={"options": {**metric.options, "field": name}})
    return with_steps(draft.model_copy(update={"mapping": mapping, "metric": metric}), steps)


def readable(spec: PipelineSpec, at: int) -> dict[str, str]:
    """Return what a step could read: field -> who makes it ("" for an input of the whole task)."""
    found = {f.name: "" for f in spec.inputs}
    for step in spec.steps[:at]:
        found |= {f.name: step.name for f in step.makes}
    return found


def _renamed(step: StepSpec, before: str, name: str) -> StepSpec:
    def fields(side: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
        return tuple(f.model_copy(update={"name": name}) if f.name == before else f for f in side)

    when, each = step.when, step.each
    if when is not None and when.field == before:
        when = when.model_copy(update={"field": name})
    if each is not None:
        each = each.model_copy(update={k: name for k in ("field", "item") if getattr(each, k) == before})
    return step.model_copy(
        update={"inputs": fields(step.inputs), "outputs": fields(step.outputs), "when": when, "each": each}
    )


def _field_names(steps: Sequence[StepSpec]) -> list[str]:
    return [f.name for s in steps for f in (*s.needs, *s.inputs, *s.makes)]


def _moved(items: Sequence[_Item], at: int, by: int) -> tuple[_Item, ...]:
    found, to = list(items), at + by
    if 0 <= at < len(found) and 0 <= to < len(found):
        found[at], found[to] = found[to], found[at]
    return tuple(found)
