"""The project a page is about: the one in the address, else the last one opened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import streamlit as st

from dashboard.state import reading
from dashboard.state.selection import Selection, read_only
from dashboard.views.text import escape_markdown
from engine.errors import EngineError
from engine.runs.spec import ProjectDraft
from engine.store.rows import ProjectRow

STATIC = Path(__file__).parents[1] / "static"


def static_text(*names: str) -> str:
    """Return the text of files in `dashboard/static`, one after the other."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


def page_style() -> None:
    """Add the style sheet of all pages."""
    st.html(STATIC / "page.css")


def page_title(title: str, purpose: str) -> None:
    """Show the head of a page that is no step of the wizard."""
    page_style()
    with st.container(gap="xxsmall", key="page_title"):
        st.title(title, anchor=False)
        st.caption(purpose)


def sample_values(texts: Iterable[str]) -> None:
    """Show a few values from a file, small, two lines each at most; always as text."""
    lines = "".join(f"<span>{escape(text)}</span>" for text in texts)
    st.html(f'<div class="tb-samples">{lines}</div>')


def worked_table(lines: Iterable[tuple[str, str, str, float]]) -> None:
    """Show worked examples; each is (right answer, what the model says, with which option, score)."""
    cells = []
    for expected, answer, option, score in lines:
        kind = "right" if score >= 1 else "wrong" if score <= 0 else ""
        note = f"<em>{escape(option)}</em>" if option else ""
        cells.append(
            f"<tr><td>{escape(expected)}</td><td>{escape(answer)}{note}</td>"
            f'<td><span class="tb-score {kind}">{score:.2f}</span></td></tr>'
        )
    head = "<tr><th>Right answer</th><th>Model says</th><th>Score</th></tr>"
    st.html(f'<table class="tb-table">{head}{"".join(cells)}</table>')


def small_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Show a table of a few lines as text; the first column reads from the left, the others are figures."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    st.html(f'<table class="tb-table tb-figures"><tr>{top}</tr>{body}</table>')


def share_bar(parts: Iterable[tuple[str, int]]) -> None:
    """Show parts of a whole as one bar; each part is (name, size) of train, validation or test."""
    found = list(parts)
    total = sum(size for _, size in found) or 1
    cells = "".join(
        f'<i class="tb-{name}" style="width:{100 * size / total:.2f}%"></i>' for name, size in found
    )
    words = ", ".join(f"{name} {size}" for name, size in found)
    st.html(f'<div class="tb-bar" role="img" aria-label="{escape(words)}">{cells}</div>')


def step_chips(steps: Iterable[tuple[str, str]]) -> None:
    """Show steps as small chips; each is (title, state)."""
    marks = {"complete": ("done", "✓ "), "attention": ("open", "• ")}
    cells = []
    for title, state in steps:
        kind, mark = marks.get(state, ("", ""))
        cells.append(f'<b class="{kind}">{mark}{escape(title)}</b>')
    st.html(f'<div class="tb-steps">{"".join(cells)}</div>')


PAGES = {
    name: f"app_pages/{name}/page.py"
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
    found = reading.projects()
    chosen = _chosen(found)
    if chosen is None:
        return None
    st.session_state["project"] = chosen.id
    if st.query_params.get("project") != chosen.id:
        st.query_params["project"] = chosen.id
    return Current(chosen, reading.draft_of(chosen))


def open_page(name: str, **changes: str) -> None:
    """Open another page of the same project."""
    chosen = Selection(project=st.session_state.get("project", "")).with_(**changes)
    st.switch_page(PAGES[name], query_params=chosen.params())


def show_error(error: EngineError) -> None:
    """Show an error's sentence; it names the thing and says what to do."""
    with st.container(border=True, key=f"error_{abs(hash(str(error)))}"):
        st.markdown(f":orange[:material/error:] {escape_markdown(str(error), 1000)}")


_Arguments = ParamSpec("_Arguments")


def callback(act: Callable[_Arguments, object]) -> Callable[_Arguments, None]:
    """Return a widget's callback that shows an EngineError: a store that is locked, full or read-only, for example.

    Streamlit runs callbacks before the page, where `app.py` catches nothing: an error there would leave an empty page.
    """

    @functools.wraps(act)
    def reporting(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> None:
        try:
            act(*arguments, **named)
        except EngineError as error:
            st.toast(
                f"Your last change was not saved. {escape_markdown(str(error), 1000)}",
                icon=":material/error:",
                duration="infinite",
            )

    return reporting


def press(label: str, why_not: str, **options: Any) -> bool:
    """Draw a button that says, once pressed, what is still missing; True when it is pressed and nothing is.

    For what waits for a box to be filled: the browser hands a text over when its box is left, so a disabled
    button would swallow the very click that leaves it.
    """
    pressed = st.button(label, **options)
    if pressed and why_not:
        st.markdown(f":orange[:material/pending:] {escape_markdown(why_not)}")
    return pressed and not why_not


def tune_link() -> None:
    """Link to the page where a run is started, unless the dashboard is read-only."""
    if not read_only():
        st.page_link(PAGES["tune"], label="Choose how to tune", icon=":material/tune:", width="content")


def read_only_notice() -> None:
    """Say that this page is for changes, which are not possible here."""
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
        wanted += [r.project_id for r in reading.runs() if r.id == selection.run]
    wanted.append(st.session_state.get("project", ""))
    return next((by_id[i] for i in wanted if i in by_id), found[0] if found else None)
