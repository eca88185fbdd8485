"""The steps of a task: their picture, order and tools to add, import or remove them."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.plot import own_element
from dashboard.components.tab_conflict import guarded, renew, revision
from dashboard.services import EngineError, PipelineSpec, counted, guess_form, import_task, task_form
from dashboard.state.editing.drafts import Change
from dashboard.state.editing.steps import (
    NEW_STEPS,
    NewStep,
    add_step,
    duplicate_step,
    move_step,
    remove_step,
    with_steps,
)
from dashboard.state.session import CHOSEN_STEP
from dashboard.task.field_editor import set_text
from dashboard.task.pipeline_picture import picture
from dashboard.task.task_form import TITLES
from dashboard.text import escape_markdown

HINT = """A prompt, a chat, a Python class or DSPy program, a JSON Schema, a short form, or one sentence. For example:

Sort this mail. Answer with one of: billing, shipping, other.

{{mail}}"""


def _import_form(project_id: str, *, empty: bool) -> None:
    """Offer to start from a text; what it makes is shown before it replaces anything."""
    with st.popover("Start from a text", icon=":material/input:", key="import_task"):
        text = st.text_area(
            "A text", key="import_text", height=190, width=560, placeholder=HINT, label_visibility="collapsed"
        )
        if text.strip():
            _imported_card(text)
        ui.button(
            "Make the task of it" if empty else "Replace the task by it",
            "import_use",
            type="primary",
            on_click=ui.with_value("import_text", _use, project_id),
        )
        if not empty:
            st.caption("The steps as they are now are replaced. Your examples stay.")


def _imported_card(text: str) -> None:
    """Show what a text would make, or why it cannot be read."""
    try:
        imported = import_task(text)
    except EngineError as error:
        ui.show_error(error)
        return
    step = imported.step
    names = [f"{f.name} ({'one of ' + str(len(f.choices)) if f.choices else f.type})" for f in step.outputs]
    st.markdown(
        f":green[:material/check:] Recognised: {task_form(guess_form(text)).title}. {counted(len(step.inputs), 'input')}: "
        f"{escape_markdown(', '.join(f.name for f in step.inputs), 200)}. "
        f"{counted(len(step.outputs), 'answer')}: {escape_markdown(', '.join(names), 400)}."
    )
    for note in imported.notes[:4]:
        st.caption(escape_markdown(note, 300))


def _use(project_id: str, text: str) -> None:
    imported = import_task(text)
    if guarded(project_id, lambda draft: with_steps(draft, [imported.step])):
        CHOSEN_STEP.pop(project_id)
        st.session_state.pop("import_text", None)
        renew(project_id)


_graph = own_element("pipeline", "<div class='pipeline'></div>")


def step_bar(project_id: str, spec: PipelineSpec) -> int:
    """Show the steps and their picture; return the place of the one that is open."""
    steps = len(spec.steps)
    at = _open_step(project_id, steps)
    with ui.card("steps_card"):
        with ui.row("steps_head", side="distribute"):
            st.markdown(
                "**How the task works**", help=f"{explain('task')}  \n{explain('step')}", width="stretch"
            )
            _import_form(project_id, empty=not (spec.inputs or spec.outputs))
            st.menu_button(
                "Add a step",
                list(NEW_STEPS),
                format_func=lambda kind: NEW_STEPS[kind],
                icon=":material/add:",
                key="add_step",
                on_click=ui.with_value("add_step", _add, project_id, at),
            )
        drawn = picture(spec, TITLES)
        picked = _graph(
            key=f"graph_{project_id}",
            data={"picture": drawn.data(), "words": drawn.words(), "chosen": at if steps > 1 else -1},
            on_picked_change=lambda: None,
        ).get("picked")
        if picked is not None and int(picked) != at and int(picked) < steps:
            _show_step(project_id, int(picked))
            st.rerun()
        if steps > 1:
            _tools(project_id, spec, at)
    return at


def _show_step(project_id: str, at: int) -> None:
    CHOSEN_STEP.set(at, project_id)
    st.session_state.pop(f"step_pick_{project_id}", None)
    st.query_params["step"] = str(at + 1)


def _open_step(project_id: str, steps: int) -> int:
    """Return the open step: the one chosen, else the address's, else the first."""
    asked = st.query_params.get("step", "1")
    first = int(asked) - 1 if asked.isdigit() and len(asked) < 4 else 0
    chosen = CHOSEN_STEP.get(project_id)
    at = first if chosen is None else chosen
    return min(max(at, 0), steps - 1)


def _tools(project_id: str, spec: PipelineSpec, at: int) -> None:
    steps, rev = len(spec.steps), revision(project_id)
    with ui.row("step_tools", "bottom"):
        ui.segments(
            "Open step",
            list(range(steps)),
            default=at,
            format_func=lambda i: f"{i + 1}. {escape_markdown(spec.steps[i].name, 24)}",
            **ui.saved(f"step_pick_{project_id}_{at}_{steps}_{rev}", _show_step, project_id),
        )
        st.text_input(
            "Name of the step",
            spec.steps[at].name,
            width=190,
            label_visibility="collapsed",
            **ui.saved(f"step_name_{project_id}_{at}_{rev}", set_text, project_id, at, "name"),
            help="Its name in the picture and in the results.",
        )
        act = ui.callback(_change, project_id, lambda draft: move_step(draft, at, -1), at - 1)
        first = "" if at else "It is the first step already."
        ui.icon_button("arrow_back", "Move it one earlier", "step_up", on_click=act, why_not=first)
        act = ui.callback(_change, project_id, lambda draft: move_step(draft, at, 1), at + 1)
        last = "" if at < steps - 1 else "It is the last step already."
        ui.icon_button("arrow_forward", "Move it one later", "step_down", on_click=act, why_not=last)
        act = ui.callback(_change, project_id, lambda draft: duplicate_step(draft, at), at + 1)
        ui.icon_button("content_copy", "Duplicate this step", "step_copy", on_click=act)
        act = ui.callback(_change, project_id, lambda draft: remove_step(draft, at), max(0, at - 1))
        ui.icon_button("delete", "Remove this step", "step_remove", on_click=act)


def _change(project_id: str, change: Change, then: int) -> None:
    """Save a change of the steps, and open the one at the place `then`."""
    if guarded(project_id, change):
        _show_step(project_id, then)
        renew(project_id)


def _add(project_id: str, at: int, kind: NewStep | None) -> None:
    if kind is not None:
        then = at + 1 if kind == "ask_after" else at
        _change(project_id, lambda draft: add_step(draft, at, kind), then)
