"""The projects: starting one, their cards and what can be done with each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import open_page, step_chips
from dashboard.components.runs import STATES
from dashboard.components.wizard import WizardStep, steps
from dashboard.services import ConfigurationError, EngineError, ProjectRow, RunRow, counted, percent
from dashboard.state import reading, users
from dashboard.state.editing import drafts
from dashboard.state.editing.project_file import AttachedFile, attached
from dashboard.state.history import best_scores, curve
from dashboard.state.live.figures import spent
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
FEW = 6
"""Projects that are found without a search."""


def project_cards(projects: Sequence[ProjectRow], runs: Sequence[RunRow]) -> None:
    """Show a card for each project, the one changed last first; of many, those whose name holds a text."""
    if len(projects) > FEW:
        find = st.text_input(
            "Find a project",
            key="project_find",
            placeholder="Find a project by its name",
            label_visibility="collapsed",
            icon=":material/search:",
        )
        projects = [p for p in projects if find.strip().casefold() in p.name.casefold()]
        if not projects:
            st.caption("No project has that in its name.")
    with st.grid(3, min_column_width=270, key="project_cards"):
        for at, project in enumerate(projects[:SHOWN]):
            with ui.tile(f"project_{project.id}"):
                _card(project, [r for r in runs if r.project_id == project.id], first=at == 0)
    if len(projects) > SHOWN:
        st.caption(
            f"{counted(len(projects) - SHOWN, 'older project')} can be opened with the switch in the side bar."
        )


def _card(project: ProjectRow, runs: Sequence[RunRow], *, first: bool) -> None:
    with st.container(gap="xsmall", key=f"project_body_{project.id}"):
        with ui.row(f"project_head_{project.id}", side="distribute", wrap=False):
            st.markdown(f"**{escape_markdown(project.name, 60)}**", width="stretch")
            if not read_only(project.id):
                _menu(project)
        try:
            project_steps = steps(reading.draft_of(project), runs)
        except EngineError as error:
            st.caption(ui.mark("pending", str(error)))
            return
        step_chips((s.title, s.state) for s in project_steps[:4])
        scores = best_scores(runs)
        if scores:
            with ui.row(f"project_score_{project.id}", wrap=False):
                start = f" on the test rows, {percent(scores[0], 0)} at the start"
                st.markdown(f"**{percent(scores[-1], 0)}**{start}", width="content")
                st.html(curve(scores), width="content")
        st.caption(_words(project_steps, runs))
        if users.current() is not None:
            st.caption(f":material/person: {escape_markdown(_owner(project.id))}")
    target = _target(project_steps, runs)
    if read_only(project.id):
        target = "results" if any(r.result for r in runs) else "run"
    if ui.button(
        f"{'Look at' if read_only(project.id) else 'Continue'}: {target.capitalize()}",
        f"open_{project.id}",
        type="primary" if first else "secondary",
        icon="arrow_forward",
        icon_position="right",
    ):
        newest = {"run": runs[0].id} if target in ("run", "results") and runs else {}
        open_page(target, project=project.id, **newest)


def _owner(project_id: str) -> str:
    """Return whose project it is, in words."""
    owner = next((m.user for m in users.members(project_id) if m.role == "owner"), "")
    if not owner:
        return "The administrators'"
    return "Yours" if owner == users.name() else f"{owner}'s"


def _words(found: Sequence[WizardStep], runs: Sequence[RunRow]) -> str:
    if runs:
        word, colour, icon = STATES[runs[0].state]
        at = datetime.fromtimestamp(runs[0].created_at).astimezone().strftime("%d %b, %H:%M")
        return f":{colour}[{icon} {word}] · {counted(len(runs), 'run')}, the last on {at} · {spent(runs)}"
    where = next((s for s in found if s.state == "attention"), found[-1])
    return escape_markdown(where.sentence, 140)


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
