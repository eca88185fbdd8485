"""The review of a project that was just started: what was recognised, and what was drafted of it."""

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import current, open_page
from dashboard.components.start_box import import_report
from dashboard.components.wizard import no_project, page_line
from dashboard.review.cards import (
    examples_card,
    guessed_lines,
    metric_card,
    problems_card,
    task_card,
)

ui.page_style()
page = current()
if page is None:
    no_project()
else:
    with page_line(page, "review"):
        missing = next((p.step for p in page.draft.problems() if p.step != "tune"), "tune")
        if ui.button("Looks right", "looks_right", type="primary", icon="check"):
            open_page(missing)
    st.caption(
        "Is this what you mean? It was drafted from your text or file. Change here what is wrong, now or later."
    )
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
