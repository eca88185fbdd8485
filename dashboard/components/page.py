"""What a page is about: the project in the address, else the one looked at last."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from dashboard import data
from dashboard.mode import read_only
from dashboard.plain import plain
from dashboard.selection import Selection
from engine.errors import EngineError
from engine.runs.spec import ProjectDraft
from engine.store.rows import ProjectRow

PAGES = {
    name: f"app_pages/{name}.py"
    for name in (
        "home",
        "task",
        "examples",
        "metric",
        "tune",
        "run",
        "results",
        "try_it",
        "export",
        "history",
        "settings",
    )
}


class Current(NamedTuple):
    """The project a page shows, and its draft as stored."""

    project: ProjectRow
    draft: ProjectDraft

    @property
    def id(self) -> str:
        """The project's id."""
        return self.project.id


def current() -> Current | None:
    """Return the page's project and write it into the address; None when there is no project at all."""
    found = data.projects()
    chosen = _chosen(found)
    if chosen is None:
        return None
    st.session_state["project"] = chosen.id
    if st.query_params.get("project") != chosen.id:
        st.query_params["project"] = chosen.id
    return Current(chosen, data.draft_of(chosen))


def go(name: str, **changes: str) -> None:
    """Open another page of the same project."""
    chosen = Selection(project=st.session_state.get("project", "")).with_(**changes)
    st.switch_page(PAGES[name], query_params=chosen.params())


def complain(error: EngineError) -> None:
    """Show an error's sentence; it names the thing and says what to do."""
    with st.container(border=True, key=f"error_{abs(hash(str(error)))}"):
        st.markdown(f":orange[:material/error:] {plain(str(error), 1000)}")


def press(label: str, why_not: str, **options: Any) -> bool:
    """Draw a button that says, once pressed, what is still missing; True when it is pressed and nothing is.

    For what waits for a box to be filled: the browser hands a text over when its box is left, so a disabled
    button would swallow the very click that leaves it.
    """
    pressed = st.button(label, **options)
    if pressed and why_not:
        st.markdown(f":orange[:material/pending:] {plain(why_not)}")
    return pressed and not why_not


def tune_link() -> None:
    """Lead to where a run is started; nobody is led there who may only look."""
    if not read_only():
        st.page_link(PAGES["tune"], label="Choose how to tune", icon=":material/tune:", width="content")


def only_looking() -> None:
    """Say that this page is for changing things, which nobody can here."""
    with st.container(border=True, key="only_looking"):
        st.markdown("**This is a read-only look**")
        st.caption(
            "Nothing can be changed or started here. Results, reports and the history are open to you."
        )
        st.page_link(PAGES["home"], label="Go to Home", icon=":material/home:", width="content")


def _chosen(found: list[ProjectRow]) -> ProjectRow | None:
    by_id = {p.id: p for p in found}
    selection = Selection.from_params(st.query_params)
    wanted = [selection.project]
    if selection.run and not selection.project:
        wanted += [r.project_id for r in data.runs() if r.id == selection.run]
    wanted.append(st.session_state.get("project", ""))
    return next((by_id[i] for i in wanted if i in by_id), found[0] if found else None)
