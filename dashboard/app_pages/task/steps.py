"""The picture of a task's steps, drawn in the browser as SVG: every text is set as text, colours are the theme's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard.app_pages.task.task_form import TITLES
from dashboard.app_pages.task.task_import import task_import
from dashboard.components.guard import guarded, renew, revision
from dashboard.components.page import callback, static_text
from dashboard.state.steps import (
    NEW_STEPS,
    add_step,
    change_step,
    duplicate_step,
    move_step,
    remove_step,
)
from dashboard.views.glossary import explain
from dashboard.views.pipeline_picture import Picture, picture
from dashboard.views.text import escape_markdown
from engine.pipeline.spec import PipelineSpec
from engine.runs.spec import ProjectDraft

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
    with st.container(border=True, key="steps_card"):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="steps_head"
        ):
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
                on_click=callback(_add),
                args=(project_id, at),
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
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="step_tools"):
        st.segmented_control(
            "Open step",
            list(range(count)),
            default=at,
            format_func=lambda i: f"{i + 1}. {escape_markdown(spec.steps[i].name, 24)}",
            key=f"step_pick_{project_id}_{at}_{count}_{revision(project_id)}",
            required=True,
            label_visibility="collapsed",
            on_change=callback(_picked),
            args=(project_id, f"step_pick_{project_id}_{at}_{count}_{revision(project_id)}"),
        )
        key = f"step_name_{project_id}_{at}_{revision(project_id)}"
        st.text_input(
            "Name of the step",
            step.name,
            key=key,
            width=190,
            label_visibility="collapsed",
            on_change=callback(_rename),
            args=(project_id, at, key),
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


def _tool(icon: str, key: str, label: str, off: str, act: Callable[..., None], args: tuple[Any, ...]) -> None:
    st.button(
        "",
        icon=f":material/{icon}:",
        key=key,
        help=off or label,
        disabled=bool(off),
        on_click=callback(act),
        args=args,
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
