"""One run of the history: its verdict, a note, the mark "in use", and what can be done with it."""

from __future__ import annotations

import streamlit as st

from dashboard import data, drafts, history
from dashboard.components.page import PAGES, go
from dashboard.components.run_header import state_badge
from dashboard.components.verdict_card import verdict_card
from dashboard.mode import read_only
from dashboard.plain import plain
from engine.errors import EngineError
from engine.store.rows import RunRow


def run_card(run: RunRow, project: str | None) -> None:
    """Show a run. `project` is its project's name, None when that was deleted."""
    with st.container(border=True, key="run_card"):
        with st.container(horizontal=True, vertical_alignment="center", key="run_card_head"):
            st.markdown(f"**{plain(run.title, 120)}**", width="content")
            state_badge(run)
            if run.in_use:
                st.badge("In use", icon=":material/verified:", color="green", width="content")
        if run.result:
            verdict_card(run.result["verdict"])
        elif run.message:
            st.caption(plain(run.message))
        if read_only():
            if run.note:
                st.caption("Note")
                st.text(run.note)
            _actions(run, project)
            return
        left, right = st.columns([3, 2], gap="medium", vertical_alignment="bottom")
        left.text_input(
            "Note",
            run.note,
            key=f"note_{run.id}",
            placeholder="What you want to remember about this run",
            max_chars=500,
            on_change=_note,
            args=(run.id,),
        )
        with right:
            st.toggle(
                "This program is in use",
                run.in_use,
                key=f"in_use_{run.id}_{run.in_use}",
                disabled=not run.result,
                help="Marks the run whose program you use; it takes the mark from the project's other runs."
                if run.result
                else "Only a run with a result can be in use.",
                on_change=_use,
                args=(run.id, not run.in_use),
            )
        _actions(run, project)


def _actions(run: RunRow, project: str | None) -> None:
    with st.container(horizontal=True, gap="small", key="run_card_actions"):
        if run.result:
            _link("results", "Results", ":material/leaderboard:", run)
            _link("try_it", "Try it", ":material/science:", run)
            _link("export", "Export", ":material/ios_share:", run)
        else:
            _link("run", "Open", ":material/monitoring:", run)
        if read_only():
            return
        again = st.button(
            "Use these settings again",
            key="settings_again",
            icon=":material/content_copy:",
            disabled=project is None,
            help="Puts this run's task, data, metric, model and optimizer into the project's set-up, to change and run again."
            if project is not None
            else "Its project was deleted.",
        )
    if again:
        _again(run)


def _link(page: str, label: str, icon: str, run: RunRow) -> None:
    address = {"project": run.project_id, "run": run.id}
    st.page_link(PAGES[page], label=label, icon=icon, query_params=address, width="content")


@st.dialog("Use these settings again?")
def _again(run: RunRow) -> None:
    st.text(run.title)
    st.caption(
        "The project's set-up as it stands now is replaced by this run's. Runs and their results stay as they are."
    )
    with st.container(horizontal=True, horizontal_alignment="right", key="again_actions"):
        if st.button("Leave it", key="again_no"):
            st.rerun()
        if st.button("Replace and edit", key="again_yes", type="primary"):
            try:
                draft = history.draft_from(data.run_spec(run))
                drafts.edit(run.project_id, lambda _: draft)
            except (EngineError, ValueError) as error:
                st.caption(plain(str(error)))
                return
            go("tune", project=run.project_id)


def _note(run_id: str) -> None:
    drafts.set_note(run_id, str(st.session_state[f"note_{run_id}"]))


def _use(run_id: str, in_use: bool) -> None:
    drafts.set_in_use(run_id, in_use)
