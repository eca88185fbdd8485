"""One small line that says what to do next, until it is no longer wanted."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import data, drafts
from dashboard.components.page import PAGES
from dashboard.gallery import Hint, next_hint
from dashboard.mode import read_only
from dashboard.plain import plain
from dashboard.wizard import Step, next_step

SETTING = "coach_off"
NAMES = {
    "task": "Task",
    "examples": "Examples",
    "metric": "Metric",
    "tune": "Tune",
    "run": "Run",
    "results": "Results",
    "try_it": "Try it",
}


def coach(found: Sequence[Step], here: str, project_id: str) -> None:
    """Say what to do next in a project; nothing when that is switched off or done."""
    if read_only():
        return
    hint = next_hint(found)
    if hint is None or data.setting(SETTING, False) or (hint.page, here) == ("results", "export"):
        return
    if hint.page == here == "results":
        hint = Hint("try the best prompt on an input of your own.", "try_it")
    after = next_step(found, here) if any(s.name == here for s in found) else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="coach"):
        st.markdown(f":blue[:material/lightbulb:] **Next:** {plain(hint.sentence, 200)}", width="content")
        # The page's own button leads to the next step: one way there is enough.
        if hint.page != here and (after is None or after.name != hint.page or here == "tune"):
            st.page_link(
                PAGES[hint.page],
                label=f"Go to {NAMES[hint.page]}",
                icon=":material/arrow_forward:",
                query_params={"project": project_id},
                width="content",
            )
        st.button(
            "",
            key="coach_off",
            icon=":material/close:",
            type="tertiary",
            help="Show no more hints. They can be switched on again on the home page.",
            on_click=drafts.set_setting,
            args=(SETTING, True),
        )


def coach_switch() -> None:
    """Offer the hints again where they were switched off."""
    if not read_only() and data.setting(SETTING, False):
        st.button(
            "Show hints again",
            key="coach_on",
            icon=":material/lightbulb:",
            type="tertiary",
            on_click=drafts.set_setting,
            args=(SETTING, False),
        )
