"""The review of a project that was just started: what was recognised, and what was drafted of it."""

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import current, open_page
from dashboard.components.start_box import import_report
from dashboard.components.wizard import no_project, project_bar
from dashboard.review.cards import (
    examples_card,
    guessed_lines,
    metric_card,
    problems_card,
    task_card,
)
from dashboard.state import reading

ui.page_style()
page = current()
if page is None:
    no_project()
else:
    project_bar(page, reading.runs(page.id))
    with ui.row("page_head", "bottom"):
        with st.container(gap="xxsmall", key="page_title"):
            st.title("Is this what you mean?", anchor=False)
            st.caption(
                "Drafted from what you brought. Change what is wrong here or on its page, now or later."
            )
        missing = next((p.step for p in page.draft.problems() if p.step != "tune"), "tune")
        if ui.button("Looks right", "looks_right", type="primary", icon="check"):
            open_page(missing)
    guessed_lines(page)
    import_report(page)
    problems = st.container()
    task, rest = st.columns([3, 2], gap="medium")
    with task:
        task_card(page)
    with rest:
        metric_card(page)
        examples_card(page)
    with problems:  # filled last: looking 100,000 rows over takes seconds
        problems_card(page)
