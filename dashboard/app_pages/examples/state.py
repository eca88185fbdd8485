"""What the parts of the examples page share: saving an edit as this tab saw the rows, undoing, and which rows are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.components.guard import choice, held_key, stayed
from dashboard.components.page import Current
from dashboard.state import examples, reading
from dashboard.state.drafts import ChangedElsewhereError, state_of
from dashboard.state.selection import read_only
from dashboard.views.text import plain
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.dataset import Dataset


Edit = Callable[["Dataset", str], Any]
"""An edit of the rows: it gets the table as it is now, and the state of the examples as this tab last showed them."""


def edit_rows(project_id: str, change: Edit) -> bool:
    """Do an edit; return whether it was saved. Raises an EngineError that the edit raises."""
    key = f"seen_examples_{project_id}"
    try:
        change(_table(project_id), str(st.session_state.get(key, "")))
    except ChangedElsewhereError:
        st.session_state[f"examples_refused_{project_id}"] = change
        return False
    project = next((p for p in reading.projects(archived=True) if p.id == project_id), None)
    if project is not None:
        st.session_state[key] = state_of(reading.draft_of(project), "examples")
    return True


def renew_grid(project_id: str) -> None:
    """Let the grid start anew with what is stored."""
    key = f"grid_revision_{project_id}"
    st.session_state[key] = st.session_state.get(key, 0) + 1


def show_rows(project_id: str, rows: Sequence[int]) -> None:
    """Show these rows in the grid."""
    st.session_state[f"grid_rows_{project_id}"] = tuple(rows)
    st.session_state["example_tabs"] = "Rows"


def wanted_rows(project_id: str) -> tuple[int, ...]:
    """Return the rows that were asked to be shown in the grid; none: all of them."""
    return tuple(st.session_state.get(f"grid_rows_{project_id}", ()))


def watch_examples(now: Current) -> None:
    """Notice what another tab changed in the examples; where an edit was refused, let the person choose."""
    key, refused = f"seen_examples_{now.id}", f"examples_refused_{now.id}"
    state = state_of(now.draft, "examples")
    before = st.session_state.get(key) if stayed("examples") else None
    st.session_state[key] = state
    if before is not None and before != state:
        renew_grid(now.id)
        st.session_state.pop(f"grid_rows_{now.id}", None)
        if refused not in st.session_state:
            st.toast(
                "The examples changed in another tab; this page shows them as they are now.",
                icon=":material/sync:",
            )
    if held_key(now.id, "examples") in st.session_state:
        choice(now.id, "examples")
    elif refused in st.session_state:
        with st.container(border=True, key="changed_elsewhere"):
            st.markdown(
                ":orange[:material/sync_problem:] **Another tab changed the examples while this one was open.** "
                "Your last change was not saved, so that nothing is overwritten."
            )
            with st.container(horizontal=True, key="changed_elsewhere_choice"):
                st.button("Keep the other tab's", key="keep_theirs", on_click=_drop, args=(now.id,))
                st.button(
                    "Make my change on top", key="keep_mine", type="primary", on_click=_again, args=(now.id,)
                )


def undo_button(now: Current) -> None:
    """Offer to take the latest edit of the rows back."""
    if read_only():
        return
    history = reading.setting(examples.key_of(now.id), [])
    what = str(history[-1]["what"]) if history else ""
    st.button(
        "Undo",
        key="undo_examples",
        icon=":material/undo:",
        disabled=not what,
        help=f"Take back: {plain(what, 120)}" if what else "Nothing was changed yet.",
        on_click=_undo,
        args=(now.id,),
    )


def _undo(project_id: str) -> None:
    try:
        examples.undo(project_id)
    except EngineError as error:
        st.session_state[f"grid_problem_{project_id}"] = str(error)
    st.session_state.pop(f"seen_examples_{project_id}", None)
    st.session_state.pop(f"grid_rows_{project_id}", None)
    renew_grid(project_id)


def _table(project_id: str) -> Dataset:
    project = next(p for p in reading.projects(archived=True) if p.id == project_id)
    return reading.dataset(reading.draft_of(project).dataset or "")


def _drop(project_id: str) -> None:
    st.session_state.pop(f"examples_refused_{project_id}", None)
    renew_grid(project_id)


def _again(project_id: str) -> None:
    change = st.session_state.pop(f"examples_refused_{project_id}", None)
    if change is None:
        return
    try:
        change(_table(project_id), "")
    except EngineError as error:
        st.session_state[f"grid_problem_{project_id}"] = str(error)
    st.session_state.pop(f"seen_examples_{project_id}", None)
    renew_grid(project_id)
