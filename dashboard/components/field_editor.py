"""The form for one side of a task: its fields, one row each, every edit saved at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

from dashboard import drafts
from dashboard.field_types import HELP, TYPES, field_name, read_choices, title_of, with_type
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.spec import ProjectDraft

Side = Literal["inputs", "outputs"]
Fields = tuple[FieldSpec, ...]
WIDTHS = [2.8, 3, 4.2, 1]

TITLES = {
    "inputs": ("What goes in", "The columns the model gets to read for each row."),
    "outputs": ("What comes out", "What the model has to answer. Your examples hold the right answers."),
}


def edit_step(project_id: str, change: Callable[[StepSpec], StepSpec], at: int = 0) -> None:
    """Change one step of a project's task in the store."""

    def changed(draft: ProjectDraft) -> ProjectDraft:
        steps = list((draft.pipeline or PipelineSpec()).steps)
        steps[at] = change(steps[at])
        return draft.model_copy(update={"pipeline": PipelineSpec(steps=tuple(steps))})

    drafts.edit(project_id, changed)


def field_editor(project_id: str, side: Side, fields: Fields) -> None:
    """Show a side's fields as a form."""
    title, what = TITLES[side]
    with st.container(border=True, key=f"{side}_card"):
        with st.container(
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
            key=f"{side}_head",
        ):
            st.markdown(f"**{title}**", help=what, width="content")
            st.button(
                "Add a field",
                icon=":material/add:",
                key=f"add_{side}",
                on_click=_add,
                args=(project_id, side),
                type="tertiary",
                width="content",
            )
        if not fields:
            st.caption(
                "No field yet. Add one: for example " + ("*message*." if side == "inputs" else "*answer*.")
            )
            return
        for label, column in zip(
            ("Name", "Type", "Description", ""), st.columns(WIDTHS, gap="small"), strict=True
        ):
            column.caption(label, help=HELP if label == "Type" else None)
        for at in range(len(fields)):
            _row(project_id, side, fields, at)


def _row(project_id: str, side: Side, fields: Fields, at: int) -> None:
    field = fields[at]
    key = f"{side}_{at}_{_revision(project_id)}_{project_id}"
    name, kind, description, tools = st.columns(WIDTHS, gap="small", vertical_alignment="center")
    _text(name, "Name", field.name, f"name_{key}", (project_id, side, at, "name"), placeholder="message")
    titles = list(TYPES) if title_of(field) in TYPES else [*TYPES, title_of(field)]
    kind.selectbox(
        "Type",
        titles,
        index=titles.index(title_of(field)),
        key=f"type_{key}",
        label_visibility="collapsed",
        on_change=_changed,
        args=(project_id, side, at, "type", f"type_{key}"),
    )
    _text(
        description,
        "Description",
        field.description,
        f"description_{key}",
        (project_id, side, at, "description"),
        placeholder="What it is, for the model",
    )
    with tools.container(horizontal=True, gap="xxsmall", horizontal_alignment="right", key=f"tools_{key}"):
        _tool("arrow_upward", "Move up", f"up_{key}", at == 0, _move, (project_id, side, at, -1))
        _tool("delete", "Remove this field", f"remove_{key}", False, _remove, (project_id, side, at))
    if field.choices:
        _, values = st.columns([WIDTHS[0], sum(WIDTHS[1:])], gap="small")
        values.multiselect(
            "Allowed values",
            list(field.choices),
            default=list(field.choices),
            key=f"choices_{key}_{len(field.choices)}",
            accept_new_options=True,
            on_change=_changed,
            args=(project_id, side, at, "choices", f"choices_{key}_{len(field.choices)}"),
            help="The model must answer with exactly one of these. Type a new value and press Enter.",
            placeholder="Type a value and press Enter",
        )


def _text(
    column: Any, label: str, value: str, key: str, where: tuple[str, Side, int, str], *, placeholder: str
) -> None:
    column.text_input(
        label,
        value,
        key=key,
        label_visibility="collapsed",
        placeholder=placeholder,
        on_change=_changed,
        args=(*where, key),
    )


def _tool(
    icon: str, label: str, key: str, off: bool, act: Callable[..., None], args: tuple[Any, ...]
) -> None:
    st.button(
        "",
        icon=f":material/{icon}:",
        key=key,
        help="It is the first one already." if off else label,
        disabled=off,
        on_click=act,
        args=args,
        type="tertiary",
    )


def _changed(project_id: str, side: Side, at: int, what: str, key: str) -> None:
    value = st.session_state[key]
    if what == "name":
        _rename(project_id, side, at, value.strip())
        return

    def change(step: StepSpec) -> StepSpec:
        fields = list(getattr(step, side))
        if at >= len(fields):
            return step
        if what == "type":
            fields[at] = with_type(fields[at], value)
        elif what == "choices":
            fields[at] = fields[at].model_copy(update={"choices": read_choices("\n".join(value))})
        else:
            fields[at] = fields[at].model_copy(update={what: value.strip()})
        return step.model_copy(update={side: tuple(fields)})

    edit_step(project_id, change)


def _rename(project_id: str, side: Side, at: int, name: str) -> None:
    """Give a field another name; its column and the metric's choice of it go along."""

    def changed(draft: ProjectDraft) -> ProjectDraft:
        steps = list((draft.pipeline or PipelineSpec()).steps)
        fields = list(getattr(steps[0], side))
        if at >= len(fields):
            return draft
        before = fields[at].name
        fields[at] = fields[at].model_copy(update={"name": name})
        steps[0] = steps[0].model_copy(update={side: tuple(fields)})
        mapping = {name if field == before else field: column for field, column in draft.mapping.items()}
        metric = draft.metric
        if metric is not None and metric.options.get("field") == before:
            metric = metric.model_copy(update={"options": {**metric.options, "field": name}})
        pipeline = PipelineSpec(steps=tuple(steps))
        return draft.model_copy(update={"pipeline": pipeline, "mapping": mapping, "metric": metric})

    drafts.edit(project_id, changed)


def _add(project_id: str, side: Side) -> None:
    def change(step: StepSpec) -> StepSpec:
        taken = tuple(f.name for f in (*step.inputs, *step.outputs))
        name = field_name("text" if side == "inputs" else "answer", taken)
        return step.model_copy(update={side: (*getattr(step, side), FieldSpec(name=name))})

    edit_step(project_id, change)


def _remove(project_id: str, side: Side, at: int) -> None:
    def change(step: StepSpec) -> StepSpec:
        fields = getattr(step, side)
        return step.model_copy(update={side: (*fields[:at], *fields[at + 1 :])})

    edit_step(project_id, change)
    _renew(project_id)


def _move(project_id: str, side: Side, at: int, by: int) -> None:
    def change(step: StepSpec) -> StepSpec:
        fields = list(getattr(step, side))
        fields[at], fields[at + by] = fields[at + by], fields[at]
        return step.model_copy(update={side: tuple(fields)})

    edit_step(project_id, change)
    _renew(project_id)


def _revision(project_id: str) -> int:
    return int(st.session_state.get(f"fields_revision_{project_id}", 0))


def _renew(project_id: str) -> None:
    # Widgets keep what was typed under their key: after rows moved, new keys take the stored values.
    st.session_state[f"fields_revision_{project_id}"] = _revision(project_id) + 1
