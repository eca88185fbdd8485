"""The form for one side of a step: its fields, one row each, every edit saved at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.tab_conflict import guarded, renew, revision
from dashboard.services import CHOICE, FieldSpec, PipelineSpec, StepSpec, usable_name
from dashboard.state import reading
from dashboard.state.editing.drafts import Change
from dashboard.state.editing.steps import (
    HELP,
    TYPES,
    FieldPath,
    Fields,
    Side,
    add_field,
    change_field,
    change_fields,
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
            _row(project_id, at, side, fields, (place,))
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


def _row(project_id: str, at: int, side: Side, fields: Sequence[FieldSpec], path: FieldPath) -> None:
    """Show one field, and those inside it."""
    *record, place = path
    field, inside = fields[place], " inside" if record else ""
    key = _key(project_id, at, side, path)
    where = (project_id, at, side, path)
    widths = INSIDE_WIDTHS if record else WIDTHS
    name, kind, description, tools = st.columns(widths, gap="xsmall", vertical_alignment="center")
    for column, part, value, example in (
        (name, "name", field.name, "price" if record else "message"),
        (description, "description", field.description, "What it is, for the model"),
    ):
        column.text_input(
            f"{part.capitalize()}{inside}",
            value,
            label_visibility="collapsed",
            placeholder=example,
            **ui.saved(f"{part}_{key}", _change, *where, part),
        )
    titles = [title for title in TYPES if not (record and title in MEDIA)]
    titles += [] if title_of(field) in titles else [title_of(field)]
    kind.selectbox(
        f"Type{inside}",
        titles,
        index=titles.index(title_of(field)),
        label_visibility="collapsed",
        help=None if record else HELP,
        **ui.saved(f"type_{key}", _change, *where, "type"),
    )
    with tools, ui.row(f"tools_{key}", "top", side="right", gap="xxsmall"):
        for icon, word, by, end in () if record else MOVES:
            act = ui.callback(_save, project_id, partial(move_field, at=at, side=side, place=place, by=by))
            why_not = f"It is the {end} one already." if not 0 <= place + by < len(fields) else ""
            ui.icon_button(icon, f"Move {word}", f"{word}_{key}", on_click=act, why_not=why_not)
        act = ui.callback(_save, project_id, lambda draft: remove_field(draft, at, side, path))
        ui.icon_button("delete", "Remove this field", f"remove_{key}", on_click=act)
    if field.choices or field.type == CHOICE:
        _, values = st.columns([widths[0], sum(widths[1:])], gap="xsmall")
        values.multiselect(
            "Allowed values",
            list(field.choices),
            default=list(field.choices),
            accept_new_options=True,
            wrap=True,
            help="The model must answer with exactly one of these. Type a new value and press Enter.",
            placeholder="Type a value and press Enter",
            **ui.saved(f"choices_{key}_{len(field.choices)}", _change, *where, "choices"),
        )
    if field.fields:
        _record_editor(project_id, at, side, field, path)


MOVES = (("arrow_upward", "up", -1, "first"), ("arrow_downward", "down", 1, "last"))
"""Icon, direction, and step of a move, and the place from which it is not possible."""

INSIDE_WIDTHS = [2.6, 3.9, 3.0, 0.7]


def _key(project_id: str, at: int, side: Side, path: FieldPath) -> str:
    return f"{side}_{'-'.join(map(str, path))}_{revision(project_id)}_{ident(project_id, at)}"


def _record_editor(project_id: str, at: int, side: Side, record: FieldSpec, path: FieldPath) -> None:
    """Show the fields inside a record."""
    key = _key(project_id, at, side, path)
    with st.container(border=True, gap="xsmall", key=f"record_{key}"):
        with ui.row(f"record_head_{key}", side="distribute"):
            st.caption(f"Inside {escape_markdown(record.name, 40)}", width="content")

            def add(fields: Fields) -> Fields:
                return (*fields, FieldSpec(name=usable_name("field", [f.name for f in fields])))

            act = ui.callback(_save, project_id, lambda draft: change_fields(draft, at, side, path, add))
            ui.button("Add a field inside", f"add_inside_{key}", icon="add", on_click=act, type="tertiary")
        for place in range(len(record.fields)):
            _row(project_id, at, side, record.fields, (*path, place))


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
    """Return the values that the examples have for a field of a side, where they are few enough to list."""
    draft = reading.draft(project_id)
    fields = getattr(pipeline_of(draft).steps[at], side)
    column = draft.mapping.get(fields[place].name) if place < len(fields) else None
    profiles = reading.profiles(draft.dataset) if draft.dataset is not None else ()
    profile = next((c for c in profiles if c.name == column and c.few), None)
    return tuple(sorted(value for value, _ in profile.top_values)) if profile is not None else ()


def _change(project_id: str, at: int, side: Side, path: FieldPath, part: str, value: str | list[str]) -> None:
    """Save one part of a field as its widget gives it."""
    text = value.strip() if isinstance(value, str) else "\n".join(value)
    if part == "name" and len(path) == 1:
        guarded(project_id, lambda draft: rename_field(draft, at, side, path[0], text))
        return
    values = _values_in_examples(project_id, at, side, path[0]) if part == "type" and len(path) == 1 else ()

    def change(field: FieldSpec) -> FieldSpec:
        if part == "type":
            return with_type(field, text, values)
        if part == "choices":
            choices = read_choices(text)
            return field.model_copy(update={"choices": choices, "type": "str" if choices else CHOICE})
        return field.model_copy(update={part: text})

    guarded(project_id, lambda draft: change_field(draft, at, side, path, change))
