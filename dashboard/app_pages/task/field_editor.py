"""The form for one side of a step: its fields, one row each, every edit saved at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard.components.guard import guarded, renew, revision
from dashboard.components.layout import callback, card, in_row
from dashboard.state.steps import (
    HELP,
    TYPES,
    Side,
    add_field,
    change_field,
    move_field,
    read_choices,
    readable,
    remove_field,
    rename_field,
    title_of,
    with_type,
)
from dashboard.views.glossary import explain
from dashboard.views.text import escape_markdown
from engine.pipeline.spec import FieldSpec, PipelineSpec

WIDTHS = [3.4, 2.9, 3.5, 1.4]
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


def field_editor(project_id: str, spec: PipelineSpec, at: int, side: Side) -> None:
    """Show a side's fields of one step as a form."""
    step = spec.steps[at]
    fields = step.inputs if side == "inputs" else step.outputs
    title, term, what = TITLES[side]
    with card(f"{side}_card"):
        with in_row(f"{side}_head", side="distribute"):
            st.markdown(f"**{title}**", help=f"{what} {explain(term)}", width="content")
            _add_button(project_id, spec, at, side)
        if not fields:
            own = [f.name for f in step.answers] if side == "outputs" else []
            st.caption(
                f"No field yet: it makes *{escape_markdown(own[0])}*. Add one to give it another name."
                if own
                else f"No field yet. Add one: for example {EXAMPLES[side]}"
            )
            return
        for label, column in zip(("Name", "Type", "Description", ""), st.columns(WIDTHS), strict=True):
            column.caption(label, help=HELP if label == "Type" else None)
        for place in range(len(fields)):
            _row(project_id, at, side, fields, place)
        _wiring(spec, at, side)


def _add_button(project_id: str, spec: PipelineSpec, at: int, side: Side) -> None:
    step = spec.steps[at]
    known = readable(spec, at)
    more = [n for n in known if n not in {f.name for f in (*step.inputs, *step.outputs)} and n.strip()]
    if side == "outputs" or len(spec.steps) == 1 or not more:
        st.button(
            "Add a field",
            icon=":material/add:",
            key=f"add_{side}",
            on_click=callback(_save, project_id, add_field, at, side),
            type="tertiary",
        )
        return
    st.menu_button(
        "Add a field",
        [NEW, *more],
        format_func=lambda n: (
            n
            if n == NEW
            else escape_markdown(f"{n} ({f'made by {known[n]}' if known[n] else 'goes in'})", 60)
        ),
        icon=":material/add:",
        key=f"add_{side}_menu",
        on_click=callback(_add_known, project_id, at, side),
        type="tertiary",
    )


def _row(project_id: str, at: int, side: Side, fields: tuple[FieldSpec, ...], place: int) -> None:
    field = fields[place]
    key = f"{side}_{place}_{revision(project_id)}_{ident(project_id, at)}"
    name, kind, description, tools = st.columns(WIDTHS, vertical_alignment="center")
    where = (project_id, at, side, place)
    _text_box(name, "Name", field.name, f"name_{key}", (*where, "name"), placeholder="message")
    titles = list(TYPES) if title_of(field) in TYPES else [*TYPES, title_of(field)]
    kind.selectbox(
        "Type",
        titles,
        index=titles.index(title_of(field)),
        key=f"type_{key}",
        label_visibility="collapsed",
        on_change=callback(_changed, *where, "type", f"type_{key}"),
    )
    _text_box(
        description,
        "Description",
        field.description,
        f"description_{key}",
        (*where, "description"),
        placeholder="What it is, for the model",
    )
    with tools.container(horizontal=True, gap="xxsmall", horizontal_alignment="right", key=f"tools_{key}"):
        _tool(
            "arrow_upward",
            "Move up",
            f"up_{key}",
            "It is the first one already." if place == 0 else "",
            move_field,
            (*where, -1),
        )
        last = "It is the last one already." if place == len(fields) - 1 else ""
        _tool("arrow_downward", "Move down", f"down_{key}", last, move_field, (*where, 1))
        _tool("delete", "Remove this field", f"remove_{key}", "", remove_field, where)
    if field.choices:
        _, values = st.columns([WIDTHS[0], sum(WIDTHS[1:])])
        values.multiselect(
            "Allowed values",
            list(field.choices),
            default=list(field.choices),
            key=f"choices_{key}_{len(field.choices)}",
            accept_new_options=True,
            on_change=callback(_changed, *where, "choices", f"choices_{key}_{len(field.choices)}"),
            help="The model must answer with exactly one of these. Type a new value and press Enter.",
            placeholder="Type a value and press Enter",
        )


def _wiring(spec: PipelineSpec, at: int, side: Side) -> None:
    """Say where each field comes from or goes to, when there are several steps."""
    if len(spec.steps) == 1:
        return
    step = spec.steps[at]
    if side == "inputs":
        known = readable(spec, at)
        made = [f"{f.name} from {known[f.name]}" for f in step.needs if known.get(f.name)]
        outside = [f.name for f in step.needs if not known.get(f.name)]
        words = [*made, *([f"{', '.join(outside)} from your examples"] if outside else [])]
    else:
        words = []
        for f in step.makes:
            readers = [s.name for s in spec.steps[at + 1 :] if f.name in {g.name for g in s.needs}]
            answers = ["the answer"] if f.name in {g.name for g in spec.outputs} else []
            words.append(f"{f.name} to {' and '.join([*readers, *answers]) or 'nothing yet'}")
    st.caption(f":material/cable: {escape_markdown('; '.join(words))}")


def _text_box(
    column: Any, label: str, value: str, key: str, where: tuple[str, int, Side, int, str], *, placeholder: str
) -> None:
    column.text_input(
        label,
        value,
        key=key,
        label_visibility="collapsed",
        placeholder=placeholder,
        on_change=callback(_changed, *where, key),
    )


def _tool(
    icon: str, label: str, key: str, off: str, change: Callable[..., object], args: tuple[Any, ...]
) -> None:
    project_id, *rest = args
    st.button(
        "",
        icon=f":material/{icon}:",
        key=key,
        help=off or label,
        disabled=bool(off),
        on_click=callback(_save, project_id, change, *rest),
        type="tertiary",
    )


def _save(project_id: str, change: Callable[..., Any], *args: Any) -> None:
    saved = guarded(project_id, lambda draft: change(draft, *args))
    if saved and change in (move_field, remove_field):
        renew(project_id)


def _add_known(project_id: str, at: int, side: Side) -> None:
    picked = st.session_state.get(f"add_{side}_menu")
    name = "" if picked in (None, NEW) else str(picked)
    guarded(project_id, lambda draft: add_field(draft, at, side, name))


def _changed(project_id: str, at: int, side: Side, place: int, what: str, key: str) -> None:
    value = st.session_state[key]
    if what == "name":
        guarded(project_id, lambda draft: rename_field(draft, at, side, place, value.strip()))
        return

    def change(field: FieldSpec) -> FieldSpec:
        if what == "type":
            return with_type(field, value)
        if what == "choices":
            return field.model_copy(update={"choices": read_choices("\n".join(value))})
        return field.model_copy(update={what: value.strip()})

    guarded(project_id, lambda draft: change_field(draft, at, side, place, change))
