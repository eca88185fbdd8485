"""The projects: a row for each, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape

import streamlit as st

from dashboard.components import ui
from dashboard.components.runs import EVERY, STATES, follow_ends
from dashboard.components.wizard import WizardStep, steps
from dashboard.services import (
    VERDICT_TITLES,
    ConfigurationError,
    EngineError,
    ProjectRow,
    RunRow,
    counted,
    percent,
)
from dashboard.state import reading, users
from dashboard.state.editing import drafts
from dashboard.state.editing.project_file import AttachedFile, attached
from dashboard.state.history import best_scores, curve
from dashboard.state.live.figures import progress, spent
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

MENU = {
    "rename": "Rename",
    "duplicate": "Duplicate the set-up",
    "export": "Save as a file",
    "archive": "Put away",
    "delete": "Delete",
}
SHOWN = 12
FEW = 8
"""Projects that are found without a search."""

HEAD = ("Best by run", "Last verdict", "Spent", "Last touched")
LOOKS = {"good": "✓ ", "bad": "✕ ", "even": ""}


def project_rows(projects: Sequence[ProjectRow], runs: Sequence[RunRow]) -> None:
    """Show a row for each project, the one changed last first; of many, those whose name holds a text."""
    with ui.row("projects_head", side="distribute"):
        st.markdown("##### Projects", width="content")
        find = "" if len(projects) <= FEW else _search()
    shown = [p for p in projects if find.strip().casefold() in p.name.casefold()]
    if not shown:
        st.caption("No project has that in its name.")
        return
    with st.container(key="project_rows", gap=None):
        cells = "".join(f"<span>{title}</span>" for title in HEAD)
        st.html(f'<div class="tb-facts tb-head" aria-hidden="true"><span>Project</span>{cells}</div>')
        for project in shown[:SHOWN]:
            _row(project, [r for r in runs if r.project_id == project.id])
    if len(shown) > SHOWN:
        st.caption(
            f"{counted(len(shown) - SHOWN, 'older project')} can be opened with the switch in the side bar."
        )
    follow_ends(runs)


def _search() -> str:
    return st.text_input(
        "Find a project",
        key="project_find",
        placeholder="Find a project by its name",
        label_visibility="collapsed",
        icon=":material/search:",
        width=280,
    )


def _row(project: ProjectRow, runs: Sequence[RunRow]) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", wrap=False, key=f"project_row_{project.id}"
    ):
        try:
            project_steps = steps(reading.draft_of(project), runs)
        except EngineError as error:
            st.text(project.name, width="content")
            st.caption(ui.mark("pending", str(error)))
            _menu(project)
            return
        target = _target(project_steps, runs)
        if read_only(project.id):
            target = "results" if any(r.result for r in runs) else "run"
        newest = {"run": runs[0].id} if target in ("run", "results") and runs else {}
        ui.link(target, escape_markdown(project.name, 60), "", project=project.id, **newest)
        goes_on = any(r.goes_on for r in runs)
        draw = st.fragment(_facts, run_every=EVERY) if goes_on else _facts
        draw(project, _next_step(project_steps))
        if not read_only(project.id):
            _menu(project)


def _next_step(found: Sequence[WizardStep]) -> str:
    """Return the step that a project waits for and its sentence, as HTML."""
    step = next((s for s in found if s.state == "attention"), found[-1])
    return f"Next: {escape(step.title)}<small>{escape(step.sentence[:200])}</small>"


def _facts(project: ProjectRow, following: str) -> None:
    """Draw what a project came to: the best score by run, the last verdict, money, and when it was last touched.

    `following` is said of a project without a run, as HTML.
    """
    runs = reading.runs(project.id)
    scores = best_scores(runs)
    touched = max(project.updated_at, *(r.finished_at or r.created_at for r in runs), 0.0)
    owner = "" if users.current() is None else f"<small>{escape(_owner(project.id))}</small>"
    cells = (
        curve(scores) if scores else "",
        _outcome(runs) or following,
        _spent(runs),
        datetime.fromtimestamp(touched).astimezone().strftime("%d %b, %H:%M") + owner,
    )
    st.html(f'<div class="tb-facts">{"".join(f"<span>{cell}</span>" for cell in cells)}</div>')


def _spent(runs: Sequence[RunRow]) -> str:
    """Return what runs have cost as HTML: the column's title is repeated where a phone has no columns."""
    amount, said, _ = spent(runs).partition(" spent")
    return f"{escape(amount)}<u>{said}</u>" if runs else ""


def _outcome(runs: Sequence[RunRow]) -> str:
    """Return the state of a run that goes on or failed, else the last verdict, as HTML; "" before the first run."""
    if not runs:
        return ""
    word, result = STATES[runs[0].state][0], next((r.result for r in runs if r.result), None)
    if runs[0].state == "queued":
        return escape(runs[0].phase or word)
    if runs[0].goes_on:
        share = progress(runs[0])
        return f'{word}, {percent(share, 0)} <i class="tb-share"><i style="width:{100 * share:.0f}%"></i></i>'
    if result is None or runs[0].state in ("failed", "lost"):
        return escape(word)
    verdict = result.shown.verdict
    title, look = VERDICT_TITLES[verdict.kind]
    scores = (
        f"<b>{percent(verdict.baseline, 0)} → {percent(verdict.best, 0)}</b> "
        if verdict.kind != "not_tested"
        else ""
    )
    return f'{scores}<em class="{look}">{LOOKS[look]}{escape(title)}</em>'


def _owner(project_id: str) -> str:
    """Return whose project it is, in words."""
    owner = next((m.user for m in users.members(project_id) if m.role == "owner"), "")
    if not owner:
        return "The administrators'"
    return "Yours" if owner == users.name() else f"{owner}'s"


def _target(found: Sequence[WizardStep], runs: Sequence[RunRow]) -> str:
    open_step = next((s for s in found[:4] if s.state != "complete"), None)
    if open_step is not None:
        return open_step.name
    if not runs:
        return "tune"
    return "results" if runs[0].result else "run"


def _menu(project: ProjectRow) -> None:
    acts: dict[str, Callable[[], object]] = {
        "rename": lambda: _rename(project),
        "duplicate": lambda: drafts.duplicate_project(project),
        "export": lambda: save_as_file(project),
        "archive": lambda: _archive(project),
        "delete": lambda: _delete(project),
    }
    picked = st.menu_button(
        "",
        [act for act in MENU if act != "delete" or users.role(project.id) == "owner"],
        format_func=lambda name: MENU[name],
        icon=":material/more_vert:",
        key=f"menu_{project.id}",
        type="tertiary",
        help="Rename, duplicate, save as a file, put away or delete",
    )
    if picked is not None:
        acts[picked]()
    if picked in ("duplicate", "archive"):
        st.rerun()


def _archive(project: ProjectRow) -> None:
    drafts.set_archived(project.id)
    st.toast("Put away. It is at the end of the projects, and can be taken back.", icon=":material/archive:")


def archived_projects(projects: Sequence[ProjectRow]) -> None:
    """Show the projects that were put away, with the way back."""
    if not projects:
        return
    with st.expander(f"Put away ({len(projects)})", icon=":material/archive:", key="archived_projects"):
        for project in projects:
            with ui.row(f"archived_{project.id}"):
                st.text(project.name, width="stretch")
                ui.button(
                    "Take back",
                    f"take_back_{project.id}",
                    icon="unarchive",
                    on_click=ui.callback(drafts.set_archived, project.id, False),
                )


@st.dialog("Save the project as a file")
def save_as_file(project: ProjectRow) -> None:
    """Offer a project as one file, and say what is not in it."""
    st.text(project.name)
    st.caption(
        "Its task, metric, settings and examples in one file, to keep or to open on another machine. "
        "Pictures and PDFs uploaded for its rows are in it; runs and keys are not."
    )
    with ui.errors_shown():
        content = reading.project_file(project, _files(project))
        ui.download("Download project.json", content, "project.json", "project_download", primary=True)


def _files(project: ProjectRow) -> Sequence[AttachedFile]:
    """Return the files that go into a project's file, and say which do not."""
    draft = reading.draft_of(project)
    if draft.dataset is None:
        return ()
    try:
        files, stay = attached(draft, reading.dataset(draft.dataset))
    except ConfigurationError as error:
        st.caption(
            f":orange[:material/warning:] {escape_markdown(str(error))} The file below is without them."
        )
        return ()
    if stay:
        st.caption(
            f":orange[:material/warning:] {counted(stay, 'cell names', 'cells name')} a file by where it lies on this "
            "machine: these files stay here. Upload them instead to take them along."
        )
    if files:
        st.caption(f":material/attach_file: {counted(len(files), 'picture or file', 'pictures and files')}.")
    return files


@st.dialog("Rename the project")
def _rename(project: ProjectRow) -> None:
    name = st.text_input("Name", project.name, key="rename_name", max_chars=100)
    why_not = "" if name.strip() else "Give it a name."
    if ui.button("Save", "rename_save", why_not, type="primary"):
        drafts.rename_project(project.id, name)
        st.rerun()


@st.dialog("Delete the project?")
def _delete(project: ProjectRow) -> None:
    st.text(project.name)
    st.caption("Its runs and their results are deleted with it. Files of examples stay.")
    if ui.confirmed("Keep it", "Delete", "delete"):
        drafts.delete_project(project.id)
        st.rerun()
