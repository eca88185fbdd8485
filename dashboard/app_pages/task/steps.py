"""The steps of a task: their picture, order and tools to add, import or remove them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.app_pages.task.task_form import TITLES
from dashboard.components.guard import guarded, renew, revision
from dashboard.components.layout import callback, card, choose, in_row, show_error, static_text
from dashboard.state.steps import (
    NEW_STEPS,
    add_step,
    change_step,
    duplicate_step,
    move_step,
    remove_step,
    with_steps,
)
from dashboard.views.glossary import explain
from dashboard.views.pipeline_picture import Picture, picture
from dashboard.views.text import count, escape_markdown
from engine.errors import EngineError
from engine.pipeline.importers.task import Form, Imported, guess_form, import_task
from engine.pipeline.spec import PipelineSpec
from engine.runs.spec import ProjectDraft

FORMS: dict[Form, str] = {
    "signature": "Short form",
    "class": "Python class",
    "schema": "JSON Schema",
    "prompt": "A prompt I have",
}
HINTS: dict[Form, str] = {
    "signature": "question, context: list[str] -> answer: str",
    "class": "class Order(BaseModel):\n    item: str = Field(description='What was ordered')\n    count: int",
    "schema": '{"properties": {"item": {"type": "string"}, "count": {"type": "integer"}}}',
    "prompt": "Sort this mail. Answer with one of: billing, shipping, other.\n\n{{mail}}",
}
WHAT: dict[Form, str] = {
    "signature": "Inputs, an arrow, answers, as in DSPy. Types are optional.",
    "class": "The source of a Pydantic model, a dataclass or a DSPy signature. It is read, never run.",
    "schema": "Its properties become the answers. A tool's or a response format's schema is fine too.",
    "prompt": "Places such as {{mail}} or {mail} become inputs; the rest becomes the instruction.",
}


def task_import(project_id: str, *, empty: bool) -> None:
    """Offer to start from a text; what it makes is shown before it replaces anything."""
    with st.popover("Start from…", icon=":material/input:", key="import_task"):
        form = choose(
            "Start from",
            list(FORMS),
            default="prompt",
            format_func=lambda name: FORMS[name],
            key="import_form",
        )
        chosen: Form = form or "prompt"
        st.caption(WHAT[chosen])
        text = st.text_area(
            FORMS[chosen],
            key=f"import_text_{chosen}",
            height=190,
            width=560,
            placeholder=HINTS[chosen],
            label_visibility="collapsed",
        )
        found = _read(text, chosen)
        if found is not None:
            _imported_card(found)
        st.button(
            "Make the task of it" if empty else "Replace the task by it",
            key="import_use",
            type="primary",
            on_click=callback(_use, project_id, chosen),
        )
        if not empty:
            st.caption("The steps as they are now are replaced. Your examples stay.")


def _read(text: str, form: Form) -> Imported | None:
    if not text.strip():
        return None
    try:
        return import_task(text, form)
    except EngineError as error:
        show_error(error)
        guess = guess_form(text)
        if guess != form:
            st.caption(f"It looks more like: {FORMS[guess]}.")
        return None


def _imported_card(found: Imported) -> None:
    step = found.step
    names = [f"{f.name} ({'one of ' + str(len(f.choices)) if f.choices else f.type})" for f in step.outputs]
    st.markdown(
        f":green[:material/check:] {count(len(step.inputs), 'input')}: "
        f"{escape_markdown(', '.join(f.name for f in step.inputs), 200)}. "
        f"{count(len(step.outputs), 'answer')}: {escape_markdown(', '.join(names), 400)}."
    )
    for note in found.notes[:4]:
        st.caption(escape_markdown(note, 300))


def _use(project_id: str, form: Form) -> None:
    # The box is read again: its text may have come together with the click.
    try:
        found = import_task(st.session_state.get(f"import_text_{form}", ""), form)
    except EngineError as error:
        st.toast(escape_markdown(str(error)), icon=":material/error:")
        return
    if guarded(project_id, lambda draft: with_steps(draft, [found.step])):
        st.session_state.pop(f"step_at_{project_id}", None)
        for name in FORMS:
            st.session_state.pop(f"import_text_{name}", None)
        renew(project_id)


_element = st.components.v2.component(
    "tuneboard_pipeline",
    html="<div class='pipeline'></div>",
    css=static_text("pipeline.css"),
    js=static_text("pipeline.js"),
    isolate_styles=False,
)


def pipeline_graph(drawn: Picture, chosen: int, *, key: str) -> int | None:
    """Draw a task's steps; return the place of the step that was pressed, or None."""
    result = _element(
        key=key,
        data={"picture": drawn.data(), "words": drawn.words(), "chosen": chosen},
        on_picked_change=lambda: None,
    )
    picked = result.get("picked")
    return None if picked is None else int(picked)


def step_bar(project_id: str, spec: PipelineSpec) -> int:
    """Show the steps and their picture; return the place of the one that is open."""
    count = len(spec.steps)
    at = _open(project_id, count)
    with card("steps_card"):
        with in_row("steps_head", side="distribute"):
            st.markdown(
                "**How the task works**", help=f"{explain('task')}  \n{explain('step')}", width="stretch"
            )
            task_import(project_id, empty=not (spec.inputs or spec.outputs))
            st.menu_button(
                "Add a step",
                list(NEW_STEPS),
                format_func=lambda kind: NEW_STEPS[kind],
                icon=":material/add:",
                key="add_step",
                on_click=callback(_add, project_id, at),
            )
        picked = pipeline_graph(picture(spec, TITLES), at if count > 1 else -1, key=f"graph_{project_id}")
        if picked is not None and picked != at and picked < count:
            open_step(project_id, picked)
            st.rerun()
        if count > 1:
            _tools(project_id, spec, at)
    return at


def open_step(project_id: str, at: int) -> None:
    """Make a step the one that is open."""
    st.session_state[f"step_at_{project_id}"] = at
    st.session_state.pop(f"step_pick_{project_id}", None)
    st.query_params["step"] = str(at + 1)


def _open(project_id: str, count: int) -> int:
    """Return the open step: the one chosen, else the address's, else the first."""
    asked = st.query_params.get("step", "1")
    first = int(asked) - 1 if asked.isdigit() and len(asked) < 4 else 0
    at = int(st.session_state.get(f"step_at_{project_id}", first))
    return min(max(at, 0), count - 1)


def _tools(project_id: str, spec: PipelineSpec, at: int) -> None:
    count, step = len(spec.steps), spec.steps[at]
    with in_row("step_tools", "bottom"):
        choose(
            "Open step",
            list(range(count)),
            default=at,
            format_func=lambda i: f"{i + 1}. {escape_markdown(spec.steps[i].name, 24)}",
            key=f"step_pick_{project_id}_{at}_{count}_{revision(project_id)}",
            on_change=callback(
                _picked, project_id, f"step_pick_{project_id}_{at}_{count}_{revision(project_id)}"
            ),
        )
        key = f"step_name_{project_id}_{at}_{revision(project_id)}"
        st.text_input(
            "Name of the step",
            step.name,
            key=key,
            width=190,
            label_visibility="collapsed",
            on_change=callback(_rename, project_id, at, key),
            help="Its name in the picture and in the results.",
        )
        first, last = at == 0, at == count - 1
        _tool(
            "arrow_back",
            "step_up",
            "Move it one earlier",
            "It is the first step already." if first else "",
            _move,
            (project_id, at, -1),
        )
        _tool(
            "arrow_forward",
            "step_down",
            "Move it one later",
            "It is the last step already." if last else "",
            _move,
            (project_id, at, 1),
        )
        _tool("content_copy", "step_copy", "Duplicate this step", "", _copy, (project_id, at))
        _tool("delete", "step_remove", "Remove this step", "", _remove, (project_id, at))


def _tool(
    icon: str, key: str, label: str, off: str, act: Callable[..., None], args: tuple[object, ...]
) -> None:
    st.button(
        "",
        icon=f":material/{icon}:",
        key=key,
        help=off or label,
        disabled=bool(off),
        on_click=callback(act, *args),
        type="tertiary",
    )


def _picked(project_id: str, key: str) -> None:
    open_step(project_id, int(st.session_state[key]))


def _add(project_id: str, at: int) -> None:
    kind = st.session_state.get("add_step")
    if kind is None:
        return
    if guarded(project_id, lambda draft: add_step(draft, at, kind)):
        open_step(project_id, at + 1 if kind == "ask_after" else at)
        renew(project_id)


def _copy(project_id: str, at: int) -> None:
    if guarded(project_id, lambda draft: duplicate_step(draft, at)):
        open_step(project_id, at + 1)
        renew(project_id)


def _remove(project_id: str, at: int) -> None:
    if guarded(project_id, lambda draft: remove_step(draft, at)):
        open_step(project_id, max(0, at - 1))
        renew(project_id)


def _move(project_id: str, at: int, by: int) -> None:
    if guarded(project_id, lambda draft: move_step(draft, at, by)):
        open_step(project_id, at + by)
        renew(project_id)


def _rename(project_id: str, at: int, key: str) -> None:
    name = st.session_state[key].strip()

    def change(draft: ProjectDraft) -> ProjectDraft:
        return change_step(draft, at, lambda s: s.model_copy(update={"name": name}))

    guarded(project_id, change)
