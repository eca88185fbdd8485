"""The form for one side of a step: its fields, one row each, every edit saved at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.tab_conflict import guarded, renew, revision
from dashboard.services import CHOICE, FieldSpec, PipelineSpec, StepSpec, usable_name
from dashboard.state import reading
from dashboard.state.editing.drafts import Change
from dashboard.state.editing.steps import (
    HELP,
    TYPES,
    Inside,
    Side,
    add_field,
    change_field,
    change_inside,
    change_step,
    move_field,
    pipeline_of,
    read_choices,
    readable,
    remove_field,
    rename_field,
    title_of,
    with_type,
)
from dashboard.text import escape_markdown

MEDIA = ("Image", "Sound", "PDF", "File", "Program code")
"""Types that no field of a record has."""

WIDTHS = [2.6, 3.8, 3.0, 1.4]
NEW = "A new field"
TITLES = {
    "inputs": (
        "What goes in",
        "input",
        "Each name is a column of your examples, or what an earlier step makes.",
    ),
    "outputs": ("What comes out", "output", "What this step has to answer."),
}
EXAMPLES = {"inputs": "*message*.", "outputs": "*answer*."}


def ident(project_id: str, at: int) -> str:
    """Return what the keys of a step's widgets end in."""
    return project_id if at == 0 else f"{project_id}_{at}"


def save_step(project_id: str, at: int, change: Callable[[StepSpec], StepSpec]) -> bool:
    """Save a change of a step; return whether it was saved."""
    return guarded(project_id, lambda draft: change_step(draft, at, change))


def set_parts(project_id: str, at: int, **parts: object) -> bool:
    """Save some parts of a step; return whether they were saved."""
    return save_step(project_id, at, lambda step: step.model_copy(update=parts))


def set_text(project_id: str, at: int, part: str, text: str) -> None:
    """Save a part of a step that is a text."""
    set_parts(project_id, at, **{part: text.strip()})


def set_options(project_id: str, at: int, **options: object) -> bool:
    """Save some of a step's options; return whether they were saved."""
    return save_step(
        project_id,
        at,
        lambda step: step.model_copy(update={"options": step.options.model_copy(update=options)}),
    )


def set_option(project_id: str, at: int, name: str, value: object) -> None:
    """Save an option of a step as its widget gives it."""
    if isinstance(value, str):
        value = value.strip()
    set_options(project_id, at, **{name: tuple(value) if isinstance(value, list) else value})


def field_editor(project_id: str, spec: PipelineSpec, at: int, side: Side) -> None:
    """Show a side's fields of one step as a form."""
    step = spec.steps[at]
    fields = step.inputs if side == "inputs" else step.outputs
    title, term, what = TITLES[side]
    with ui.card(f"{side}_card"):
        with ui.row(f"{side}_head", side="distribute"):
            st.markdown(f"**{title}**", help=f"{what} {explain(term)}", width="content")
            _add_button(project_id, spec, at, side)
        if not fields:
            answers = [f.name for f in step.answers] if side == "outputs" else []
            st.caption(
                f"No field yet: it makes *{escape_markdown(answers[0])}*. Add one to give it another name."
                if answers
                else f"No field yet. Add one: for example {EXAMPLES[side]}"
            )
            return
        with st.container(key=f"{side}_columns"):
            for label, column in zip(
                ("Name", "Type", "Description", ""), st.columns(WIDTHS, gap="xsmall"), strict=True
            ):
                column.caption(label, help=HELP if label == "Type" else None)
        for place in range(len(fields)):
            _row(project_id, at, side, fields, place)
        if len(spec.steps) > 1:
            st.caption(f":material/cable: {escape_markdown('; '.join(_wiring(spec, at, side)))}")


def _add_button(project_id: str, spec: PipelineSpec, at: int, side: Side) -> None:
    step = spec.steps[at]
    known = readable(spec, at)
    more = [n for n in known if n not in {f.name for f in (*step.inputs, *step.outputs)} and n.strip()]
    if side == "outputs" or len(spec.steps) == 1 or not more:
        ui.button(
            "Add a field",
            f"add_{side}",
            icon="add",
            on_click=ui.callback(guarded, project_id, lambda draft: add_field(draft, at, side)),
            type="tertiary",
        )
        return

    def option_name(name: str) -> str:
        if name == NEW:
            return name
        return escape_markdown(f"{name} ({f'made by {known[name]}' if known[name] else 'goes in'})", 60)

    st.menu_button(
        "Add a field",
        [NEW, *more],
        format_func=option_name,
        icon=":material/add:",
        key=f"add_{side}_menu",
        on_click=ui.with_value(f"add_{side}_menu", _add_known, project_id, at, side),
        type="tertiary",
    )


def _row(project_id: str, at: int, side: Side, fields: tuple[FieldSpec, ...], place: int) -> None:
    field = fields[place]
    key = f"{side}_{place}_{revision(project_id)}_{ident(project_id, at)}"
    where = (project_id, at, side, place)
    name, kind, description, tools = st.columns(WIDTHS, gap="xsmall", vertical_alignment="center")
    for column, part, value, example in (
        (name, "name", field.name, "message"),
        (description, "description", field.description, "What it is, for the model"),
    ):
        column.text_input(
            part.capitalize(),
            value,
            label_visibility="collapsed",
            placeholder=example,
            **ui.saved(f"{part}_{key}", _change, *where, part),
        )
    titles = list(TYPES) if title_of(field) in TYPES else [*TYPES, title_of(field)]
    kind.selectbox(
        "Type",
        titles,
        index=titles.index(title_of(field)),
        label_visibility="collapsed",
        help=HELP,
        **ui.saved(f"type_{key}", _change, *where, "type"),
    )
    moves = (
        ("arrow_upward", "up", "Move up", -1, place == 0, "It is the first one already."),
        ("arrow_downward", "down", "Move down", 1, place == len(fields) - 1, "It is the last one already."),
    )
    with tools, ui.row(f"tools_{key}", "top", side="right", gap="xxsmall"):
        for icon, word, title, by, at_end, why_not in moves:
            act = ui.callback(_save, project_id, partial(move_field, at=at, side=side, place=place, by=by))
            ui.icon_button(icon, title, f"{word}_{key}", on_click=act, why_not=why_not if at_end else "")
        act = ui.callback(_save, project_id, lambda draft: remove_field(draft, at, side, place))
        ui.icon_button("delete", "Remove this field", f"remove_{key}", on_click=act)
    if field.choices or field.type == CHOICE:
        _, values = st.columns([WIDTHS[0], sum(WIDTHS[1:])], gap="xsmall")
        saved = ui.saved(f"choices_{key}_{len(field.choices)}", _change, *where, "choices")
        _allowed_values(values, field, saved)
    if field.fields:
        _record_editor(project_id, at, side, field, (place,))


def _allowed_values(box: DeltaGenerator, field: FieldSpec, saved: Mapping[str, Any]) -> None:
    """Show the values that a field may have; `saved` is how a change is saved."""
    box.multiselect(
        "Allowed values",
        list(field.choices),
        default=list(field.choices),
        accept_new_options=True,
        wrap=True,
        **saved,
        help="The model must answer with exactly one of these. Type a new value and press Enter.",
        placeholder="Type a value and press Enter",
    )


INSIDE_WIDTHS = [2.6, 3.9, 3.0, 0.7]


def _record_editor(project_id: str, at: int, side: Side, record: FieldSpec, inside: Inside) -> None:
    """Show the fields inside a record, and inside those."""
    end = f"{side}_{'_'.join(map(str, inside))}_{revision(project_id)}_{ident(project_id, at)}"
    with st.container(border=True, gap="xsmall", key=f"record_{end}"):
        with ui.row(f"record_head_{end}", side="distribute"):
            st.caption(f"Inside {escape_markdown(record.name, 40)}", width="content")

            def add(fields: tuple[FieldSpec, ...]) -> tuple[FieldSpec, ...]:
                return (*fields, FieldSpec(name=usable_name("field", [f.name for f in fields])))

            act = ui.callback(_save, project_id, lambda draft: change_inside(draft, at, side, inside, add))
            ui.button("Add a field inside", f"add_inside_{end}", icon="add", on_click=act, type="tertiary")
        for place, field in enumerate(record.fields):
            _inner_row(project_id, at, side, field, (*inside, place))


def _inner_row(project_id: str, at: int, side: Side, field: FieldSpec, inside: Inside) -> None:
    """Show one field of a record."""
    key = f"{side}_{'_'.join(map(str, inside))}_{revision(project_id)}_{ident(project_id, at)}"
    where = (project_id, at, side, inside)
    name, kind, description, tools = st.columns(INSIDE_WIDTHS, gap="xsmall", vertical_alignment="center")
    for column, part, value in ((name, "name", field.name), (description, "description", field.description)):
        column.text_input(
            f"{part.capitalize()} inside",
            value,
            label_visibility="collapsed",
            placeholder="price" if part == "name" else "What it is, for the model",
            **ui.saved(f"inner_{part}_{key}", _change_inner, *where, part),
        )
    titles = [t for t in TYPES if t not in MEDIA]
    titles += [] if title_of(field) in titles else [title_of(field)]
    kind.selectbox(
        "Type inside",
        titles,
        index=titles.index(title_of(field)),
        label_visibility="collapsed",
        **ui.saved(f"inner_type_{key}", _change_inner, *where, "type"),
    )
    around, place = inside[:-1], inside[-1]

    def remove(fields: tuple[FieldSpec, ...]) -> tuple[FieldSpec, ...]:
        return (*fields[:place], *fields[place + 1 :])

    with tools:
        act = ui.callback(_save, project_id, lambda draft: change_inside(draft, at, side, around, remove))
        ui.icon_button("delete", "Remove this field", f"inner_remove_{key}", on_click=act)
    if field.choices or field.type == CHOICE:
        saved = ui.saved(f"inner_choices_{key}_{len(field.choices)}", _change_inner, *where, "choices")
        _allowed_values(st.container(), field, saved)
    if field.fields:
        _record_editor(project_id, at, side, field, inside)


def _change_inner(
    project_id: str, at: int, side: Side, inside: Inside, part: str, value: str | list[str]
) -> None:
    """Save one part of a field of a record as its widget gives it."""
    text = value.strip() if isinstance(value, str) else "\n".join(value)
    around, place = inside[:-1], inside[-1]

    def change(fields: tuple[FieldSpec, ...]) -> tuple[FieldSpec, ...]:
        return tuple(_with_part(f, part, text) if i == place else f for i, f in enumerate(fields))

    guarded(project_id, lambda draft: change_inside(draft, at, side, around, change))


def _wiring(spec: PipelineSpec, at: int, side: Side) -> list[str]:
    """Return where each field comes from or goes to."""
    step = spec.steps[at]
    if side == "inputs":
        known = readable(spec, at)
        wired = [f"{f.name} from {known[f.name]}" for f in step.needs if known.get(f.name)]
        outside = [f.name for f in step.needs if not known.get(f.name)]
        return [*wired, *([f"{', '.join(outside)} from your examples"] if outside else [])]
    words = []
    for f in step.makes:
        readers = [s.name for s in spec.steps[at + 1 :] if f.name in {g.name for g in s.needs}]
        answers = ["the answer"] if f.name in {g.name for g in spec.outputs} else []
        words.append(f"{f.name} to {' and '.join([*readers, *answers]) or 'nothing yet'}")
    return words


def _save(project_id: str, change: Change) -> None:
    """Save a change that gives rows another place."""
    if guarded(project_id, change):
        renew(project_id)


def _add_known(project_id: str, at: int, side: Side, picked: str | None) -> None:
    name = "" if picked in (None, NEW) else str(picked)
    guarded(project_id, lambda draft: add_field(draft, at, side, name))


def _values_in_examples(project_id: str, at: int, side: Side, place: int) -> tuple[str, ...]:
    """Return the values that the examples have for a field, where they are few enough to list."""
    draft = reading.draft(project_id)
    fields = getattr(pipeline_of(draft).steps[at], side)
    column = draft.mapping.get(fields[place].name) if place < len(fields) else None
    if draft.dataset is None or column is None:
        return ()
    profile = next((c for c in reading.profiles(draft.dataset) if c.name == column), None)
    return (
        tuple(sorted(value for value, _ in profile.top_values)) if profile is not None and profile.few else ()
    )


def _change(project_id: str, at: int, side: Side, place: int, part: str, value: str | list[str]) -> None:
    """Save one part of a field as its widget gives it."""
    text = value.strip() if isinstance(value, str) else "\n".join(value)
    if part == "name":
        guarded(project_id, lambda draft: rename_field(draft, at, side, place, text))
        return

    values = _values_in_examples(project_id, at, side, place) if part == "type" else ()
    guarded(
        project_id,
        lambda draft: change_field(draft, at, side, place, lambda f: _with_part(f, part, text, values)),
    )


def _with_part(field: FieldSpec, part: str, text: str, values: tuple[str, ...] = ()) -> FieldSpec:
    if part == "type":
        return with_type(field, text, values)
    if part == "choices":
        choices = read_choices(text)
        return field.model_copy(update={"choices": choices, "type": "str" if choices else CHOICE})
    return field.model_copy(update={part: text})
