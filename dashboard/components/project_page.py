"""The project a page is about: the one in the address, else the last one opened."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from html import escape
from typing import NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.services import NO_CHANGE, NotFoundError, ProjectDraft, ProjectRow
from dashboard.state import reading
from dashboard.state.session import PROJECT
from dashboard.state.writing import read_only


def sample_values(texts: Iterable[str]) -> None:
    """Show a few values from a file, small, two lines each at most; always as text."""
    lines = "".join(f"<span>{escape(text)}</span>" for text in texts)
    st.html(f'<div class="tb-samples">{lines}</div>')


def share_bar(parts: Iterable[tuple[str, int]]) -> None:
    """Show parts of a whole as one bar; each part is (name, size) of train, validation or test."""
    sized_parts = list(parts)
    total = sum(size for _, size in sized_parts) or 1
    cells = "".join(
        f'<i class="tb-{name}" style="width:{100 * size / total:.2f}%"></i>' for name, size in sized_parts
    )
    words = ", ".join(f"{name} {size}" for name, size in sized_parts)
    st.html(f'<div class="tb-bar" role="img" aria-label="{escape(words)}">{cells}</div>')


class ProjectPage(NamedTuple):
    """The project a page shows, and its draft as stored."""

    project: ProjectRow
    draft: ProjectDraft

    @property
    def id(self) -> str:
        """The project's id."""
        return self.project.id

    @property
    def outputs(self) -> list[str]:
        """The names of the task's answers."""
        return [f.name for f in self.draft.pipeline.outputs] if self.draft.pipeline else []


def chosen_project() -> ProjectPage | None:
    """Return the project in the address, or that of the run there, else the one opened last; None without any."""
    projects = reading.projects()
    by_id = {p.id: p for p in projects}
    asked, run_id = (st.query_params.get(name, "") for name in ("project", "run"))
    wanted = [asked]
    if run_id and not asked:
        with suppress(NotFoundError):
            wanted.append(reading.run(run_id).project_id)
    wanted.append(PROJECT.get())
    chosen = next((by_id[i] for i in wanted if i in by_id), projects[0] if projects else None)
    return ProjectPage(chosen, reading.draft_of(chosen)) if chosen else None


def current() -> ProjectPage | None:
    """Return the page's project and write it into the address; None when there is no project at all."""
    page = chosen_project()
    if page is not None:
        PROJECT.set(page.id)
        if st.query_params.get("project") != page.id:
            st.query_params["project"] = page.id
    return page


def open_page(name: str, **changes: str) -> None:
    """Open another page of the same project."""
    st.switch_page(ui.page_path(name), query_params={"project": PROJECT.get(), **changes})


def tune_link() -> None:
    """Link to the page where a run is started, unless the dashboard is read-only."""
    if not read_only():
        ui.link("tune", "Choose how to tune", "tune")


def read_only_notice() -> None:
    """Say that this page is for changes, which are not possible here."""
    what = "Nothing can be changed or started here. Results, reports and the history are open to you."
    title = "This is a read-only look"
    if not read_only(""):
        title, what = "You are a viewer of this project", f"{NO_CHANGE} {what.partition('. ')[2]}"
    with ui.nothing_here("only_looking", title, what):
        ui.link("home", "Go to Home", "home")
