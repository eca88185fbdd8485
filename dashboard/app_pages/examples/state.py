"""State shared by the parts of the examples page: saving an edit as this tab saw the rows, undoing, rows in sight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.components.guard import forget_seen, guarded_edit, renew
from dashboard.components.layout import callback
from dashboard.components.page import Current
from dashboard.state import examples, reading
from dashboard.state.selection import read_only
from dashboard.views.text import escape_markdown
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.dataset import Dataset


Edit = Callable[["Dataset", str], Any]
"""An edit of the rows: it gets the table as it is now, and the state of the examples as this tab last showed them."""


def edit_rows(project_id: str, change: Edit) -> bool:
    """Make an edit; return whether it was saved. Raises an EngineError that the edit raises."""

    def edit(seen: str) -> None:
        change(reading.dataset(reading.draft(project_id).dataset or ""), seen)

    return guarded_edit(project_id, edit, "examples")


def show_rows(project_id: str, rows: Sequence[int]) -> None:
    """Show these rows in the grid."""
    st.session_state[f"grid_rows_{project_id}"] = tuple(rows)
    st.session_state["example_tabs"] = "Rows"


def wanted_rows(project_id: str) -> tuple[int, ...]:
    """Return the rows that were asked to be shown in the grid; none: all of them."""
    return tuple(st.session_state.get(f"grid_rows_{project_id}", ()))


def forget_rows(project_id: str) -> None:
    """Show all rows in the grid again."""
    st.session_state.pop(f"grid_rows_{project_id}", None)


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
        help=f"Take back: {escape_markdown(what, 120)}" if what else "Nothing was changed yet.",
        on_click=callback(_undo, now.id),
    )


def _undo(project_id: str) -> None:
    try:
        examples.undo(project_id)
    except EngineError as error:
        st.session_state[f"grid_problem_{project_id}"] = str(error)
    forget_seen(project_id, "examples")
    forget_rows(project_id)
    renew(project_id)
