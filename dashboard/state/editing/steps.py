"""Field types in plain words, and how a field is written down for them. No Streamlit in here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeVar

from engine.pipeline.check import usable_name
from engine.pipeline.spec import CHOICE, RECORD, FieldSpec, PipelineSpec, StepOptions, StepSpec
from engine.runs.spec import ProjectDraft
from engine.signature.grammar import read_field_type

TYPES: dict[str, str] = {
    "Text": "str",
    "Text, or empty": "Optional[str]",
    "Whole number": "int",
    "Number": "float",
    "Yes or no": "bool",
    "One of a list": CHOICE,
    "List of texts": "list[str]",
    "List of numbers": "list[float]",
    "Names and values": "dict[str, str]",
    "Record": RECORD,
    "List of records": f"list[{RECORD}]",
    "Image": "Image",
    "Sound": "Audio",
    "PDF": "PDF",
    "File": "File",
    "Program code": "Code",
}
"""A user's choice -> the type as a signature writes it ("choice": the field's `choices`)."""

RECORDS = {title: TYPES[title] for title in ("Record", "List of records")}
"""Types of a field that has fields inside."""

MAY_BE_EMPTY = ", or empty"
"""Ending of the title of a type whose cells may be empty."""

HELP = (
    "Text: any words. Text, or empty: rows without it are used too. Whole number: 3. Number: 3.5. Yes or no: true or false. One of a list: exactly one "
    "of the values you allow. List: several values. Names and values: a small record such as size: large. Record: several fields, "
    "which you name below it; List of records: several of them, such as the lines of an invoice. Image, PDF and File: uploaded, a path on this machine, a web address or "
    "a data URI. Sound: a path or a data URI. Program code: source text."
)


def title_of(field: FieldSpec) -> str:
    """Return a field's type in plain words; a type that has none is shown as it is written.

    >>> title_of(FieldSpec(name="queue", choices=("a", "b"))), title_of(FieldSpec(name="n", type="Optional[int]"))
    ('One of a list', 'Whole number, or empty')
    """
    if field.choices or field.type == CHOICE:
        return "One of a list"
    record = field.type.removeprefix("Optional[").removesuffix(
        "]" if field.type.startswith("Optional[") else ""
    )
    if record in RECORDS.values():
        title = next(t for t, written in RECORDS.items() if written == record)
        return title if record == field.type else title + MAY_BE_EMPTY
    titles = {read_field_type(written): title for title, written in TYPES.items() if title not in RECORDS}
    field_type = field.parsed_type
    if field_type.problem:
        return field.type
    same = {kind.annotation: title for kind, title in titles.items() if not kind.problem}
    return same.get(field_type.annotation) or (
        same[field_type.plain] + MAY_BE_EMPTY if field_type.plain in same else field.type
    )


def with_type(field: FieldSpec, title: str, values: tuple[str, ...] = ()) -> FieldSpec:
    """Return a field with the type that the user chose; only "One of a list" has allowed values: its own, else `values`.

    >>> with_type(FieldSpec(name="n"), "Whole number, or empty").type
    'Optional[int]'
    >>> with_type(FieldSpec(name="queue"), "One of a list", ("billing", "other")).choices
    ('billing', 'other')
    """
    if title == "One of a list":
        choices = field.choices or values
        kind = "str" if choices else CHOICE
        return field.model_copy(update={"type": kind, "choices": choices, "fields": ()})
    inner = TYPES.get(title.removesuffix(MAY_BE_EMPTY))
    optional = f"Optional[{inner}]" if inner and title.endswith(MAY_BE_EMPTY) else title
    inside = field.fields or (FieldSpec(name="name"),)
    fields = inside if title.removesuffix(MAY_BE_EMPTY) in RECORDS or (field.fields and inner is None) else ()
    return field.model_copy(update={"type": TYPES.get(title, optional), "choices": (), "fields": fields})


def read_choices(text: str) -> tuple[str, ...]:
    """Return the allowed values in a text: one a line, or separated by commas; no value twice.

    >>> read_choices("billing, shipping\\nother, billing")
    ('billing', 'shipping', 'other')
    """
    return tuple(dict.fromkeys(part.strip() for part in re.split(r"[,\n;]", text) if part.strip()))


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
    """Return a draft's task; an empty one before it has any."""
    return draft.pipeline or PipelineSpec()


def with_steps(draft: ProjectDraft, steps: Iterable[StepSpec]) -> ProjectDraft:
    """Return the draft with these steps; it is left as it is where there would be none."""
    new_steps = tuple(steps)
    return draft.model_copy(update={"pipeline": PipelineSpec(steps=new_steps)}) if new_steps else draft


def change_step(draft: ProjectDraft, at: int, change: Callable[[StepSpec], StepSpec]) -> ProjectDraft:
    """Return the draft with one step changed."""
    steps = list(pipeline_of(draft).steps)
    if at >= len(steps):
        return draft
    steps[at] = change(steps[at])
    return with_steps(draft, steps)


def add_step(draft: ProjectDraft, at: int, kind: NewStep) -> ProjectDraft:
    """Return the draft with a new step next to the one at a place, wired to it."""
    steps = list(pipeline_of(draft).steps)
    at = min(at, len(steps) - 1)
    neighbour = steps[at]
    fields = _field_names(steps)
    names = [s.name for s in steps]
    if kind == "ask_after":
        read = tuple(neighbour.makes)
        first = tuple(f for f in neighbour.inputs[:1] if f.name not in {g.name for g in read})
        new_field = FieldSpec(name=usable_name(f"final_{read[-1].name if read else 'answer'}", fields))
        if read:
            new_field = read[-1].model_copy(update={"name": new_field.name})
        new = StepSpec(
            name=usable_name("check", [*names, *fields]), inputs=(*first, *read), outputs=(new_field,)
        )
        return with_steps(draft, [*steps[: at + 1], new, *steps[at + 1 :]])
    read = tuple(neighbour.needs[:1]) or (FieldSpec(name="text"),)
    calculator = StepOptions(tools=("calculator",))
    expression = (FieldSpec(name="expression"),)
    field, name, new = {
        "retrieve": ("passages", "search", StepSpec(strategy="retrieve", inputs=read)),
        "tool": ("result", "look_up", StepSpec(strategy="tool", options=calculator, inputs=expression)),
        "ask_before": ("notes", "prepare", StepSpec(inputs=neighbour.needs)),
    }[kind]
    new_field = FieldSpec(name=usable_name(field, fields), type="list[str]" if kind == "retrieve" else "str")
    new = new.model_copy(update={"name": usable_name(name, [*names, *fields]), "outputs": (new_field,)})
    steps[at] = neighbour.model_copy(update={"inputs": (*neighbour.inputs, new_field)})
    return with_steps(draft, [*steps[:at], new, *steps[at:]])


def remove_step(draft: ProjectDraft, at: int) -> ProjectDraft:
    """Return the draft without a step; what only it made is no longer read by the others."""
    steps = list(pipeline_of(draft).steps)
    if at >= len(steps) or len(steps) < 2:
        return draft
    gone = steps.pop(at)
    lost_fields = {f.name for f in gone.makes} - {f.name for s in steps for f in s.makes}
    remaining = [
        s.model_copy(update={"inputs": tuple(f for f in s.inputs if f.name not in lost_fields)})
        for s in steps
    ]
    return with_steps(draft, remaining)


def move_step(draft: ProjectDraft, at: int, by: int) -> ProjectDraft:
    """Return the draft with a step one place earlier (-1) or later (1)."""
    return with_steps(draft, _moved(pipeline_of(draft).steps, at, by))


def duplicate_step(draft: ProjectDraft, at: int) -> ProjectDraft:
    """Return the draft with a copy of a step after it; the copy's outputs get new names."""
    steps = list(pipeline_of(draft).steps)
    if at >= len(steps):
        return draft
    names_in_use = _field_names(steps)
    outputs = []
    for f in steps[at].answers:
        outputs.append(f.model_copy(update={"name": usable_name(f.name, names_in_use)}))
        names_in_use.append(outputs[-1].name)
    name = usable_name(steps[at].name, [*(s.name for s in steps), *names_in_use])
    copy = steps[at].model_copy(update={"name": name, "outputs": tuple(outputs)})
    return with_steps(draft, [*steps[: at + 1], copy, *steps[at + 1 :]])


def add_field(draft: ProjectDraft, at: int, side: Side, name: str = "") -> ProjectDraft:
    """Return the draft with one more field: a new one, or one of that name as the other steps know it."""
    steps = pipeline_of(draft).steps
    known = {f.name: f for s in steps for f in (*s.needs, *s.makes)}

    def change(step: StepSpec) -> StepSpec:
        names_in_use = [f.name for f in (*step.inputs, *step.outputs)]
        fresh = FieldSpec(name=usable_name("text" if side == "inputs" else "answer", [*names_in_use, *known]))
        field = known.get(name, fresh)
        return step.model_copy(update={side: (*getattr(step, side), field)})

    return change_step(draft, at, change)


FieldPath = Sequence[int]
"""A field's place among those of its side; for one inside a record the record's path, then the place inside it."""

Fields = tuple[FieldSpec, ...]


def change_fields(
    draft: ProjectDraft, at: int, side: Side, record: FieldPath, change: Callable[[Fields], Fields]
) -> ProjectDraft:
    """Return the draft with the fields inside a record changed, those of the whole side for an empty path."""

    def changed(fields: Fields, path: FieldPath) -> Fields:
        if not path:
            return change(fields)
        return tuple(
            f.model_copy(update={"fields": changed(f.fields, path[1:])}) if i == path[0] else f
            for i, f in enumerate(fields)
        )

    return change_step(
        draft, at, lambda step: step.model_copy(update={side: changed(tuple(getattr(step, side)), record)})
    )


def remove_field(draft: ProjectDraft, at: int, side: Side, path: FieldPath) -> ProjectDraft:
    """Return the draft without a field of a step."""
    *record, place = path
    return change_fields(draft, at, side, record, lambda fields: (*fields[:place], *fields[place + 1 :]))


def move_field(draft: ProjectDraft, at: int, side: Side, place: int, by: int) -> ProjectDraft:
    """Return the draft with a field one place up (-1) or down (1)."""
    return change_fields(draft, at, side, (), lambda fields: _moved(fields, place, by))


def change_field(
    draft: ProjectDraft, at: int, side: Side, path: FieldPath, change: Callable[[FieldSpec], FieldSpec]
) -> ProjectDraft:
    """Return the draft with a field changed, other than by its name."""
    *record, place = path
    return change_fields(
        draft,
        at,
        side,
        record,
        lambda fields: tuple(change(f) if i == place else f for i, f in enumerate(fields)),
    )


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
    names = [f.name for f in (*step.inputs, *step.outputs)]
    draft = change_field(draft, at, side, (place,), lambda f: f.model_copy(update={"name": name}))
    elsewhere = _field_names([s for i, s in enumerate(steps) if i != at])
    if names.count(before) > 1 or name in elsewhere or name in names:
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
    origins = {f.name: "" for f in spec.inputs}
    for step in spec.steps[:at]:
        origins |= {f.name: step.name for f in step.makes}
    return origins


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
    moved, to = list(items), at + by
    if 0 <= at < len(moved) and 0 <= to < len(moved):
        moved[at], moved[to] = moved[to], moved[at]
    return tuple(moved)
