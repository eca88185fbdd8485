"""Projects on the home page: how far each is, its last run, and the way into it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from dashboard import data, drafts
from dashboard.components.page import PAGES
from dashboard.components.run_header import STATES
from dashboard.plain import count, plain
from dashboard.wizard import steps
from engine.errors import EngineError
from engine.store.rows import ProjectRow, RunRow


def project_cards(projects: Sequence[ProjectRow], runs: Sequence[RunRow]) -> None:
    """Show a card for each project, the one changed last first."""
    with st.grid(3, gap="small", min_column_width=300, key="project_cards"):
        for project in projects[:12]:
            with st.container(border=True, height="stretch", gap="small", key=f"project_{project.id}"):
                _card(project, [r for r in runs if r.project_id == project.id])


def _card(project: ProjectRow, runs: Sequence[RunRow]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"project_head_{project.id}"):
        st.markdown(f"**{plain(project.name, 60)}**")
        _menu(project)
    try:
        found = steps(data.draft_of(project), runs)
    except EngineError as error:
        st.caption(f":orange[:material/pending:] {plain(str(error))}")
        return
    done = sum(s.state == "complete" for s in found[:4])
    where = next((s for s in found if s.state == "attention"), found[-1])
    st.progress(done / 4, text=f"Set-up: {done} of 4 steps done")
    if runs:
        word, colour, icon = STATES[runs[0].state]
        st.caption(f":{colour}[{icon} {word}] · {count(len(runs), 'run')} · {_when(runs[0].created_at)}")
    else:
        st.caption(plain(where.sentence, 140))
    target = where.name if done < 4 else "results" if found[5].state == "complete" else "run" if runs else "tune"
    st.page_link(
        PAGES[target],
        label=f"Open at {target.capitalize()}",
        icon=":material/arrow_forward:",
        query_params={"project": project.id},
        width="content",
    )


def _menu(project: ProjectRow) -> None:
    with st.popover("", icon=":material/more_vert:", key=f"menu_{project.id}", width="content", type="tertiary"):
        name = st.text_input("Name", project.name, key=f"rename_{project.id}")
        if name.strip() and name != project.name:
            drafts.rename_project(project.id, name)
            st.rerun()
        st.button(
            "Duplicate the set-up",
            key=f"duplicate_{project.id}",
            icon=":material/content_copy:",
            on_click=drafts.duplicate_project,
            args=(project,),
            width="stretch",
        )
        st.button(
            "Delete",
            key=f"delete_{project.id}",
            icon=":material/delete:",
            on_click=_confirm,
            args=(project,),
            width="stretch",
        )


def _confirm(project: ProjectRow) -> None:
    @st.dialog(f"Delete “{plain(project.name, 60)}”?")
    def ask() -> None:
        st.write("Its runs and their results are deleted with it. Files of examples stay.")
        with st.container(horizontal=True, horizontal_alignment="right", key="delete_actions"):
            if st.button("Keep it", key="delete_no"):
                st.rerun()
            if st.button("Delete", key="delete_yes", type="primary"):
                drafts.delete_project(project.id)
                st.rerun()

    ask()


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%d %b, %H:%M")
