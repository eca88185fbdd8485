"""What the home page says to whoever starts, and the words used here in plain ones."""

from __future__ import annotations

import streamlit as st

from dashboard import drafts
from dashboard.components.page import go
from dashboard.glossary import TERMS
from dashboard.plain import plain
from engine.pipeline.templates import SAMPLES
from engine.store.rows import ProjectRow

STEPS = (
    ("play_arrow", "Start the sample", "It is set up, needs no key, and costs nothing."),
    ("monitoring", "Watch it improve", "Every prompt it tries is a dot; it takes about a minute."),
    ("verified", "Read the verdict", "One sentence: is it better, on rows it never saw?"),
)


def first_steps(ready: ProjectRow | None) -> None:
    """Lead through a first run; `ready` is the sample project, None where it was deleted."""
    with st.container(border=True, key="first_steps"):
        st.markdown("**Your first result in three minutes**")
        with st.grid(3, gap="small", min_column_width=220, key="first_steps_grid"):
            for at, (icon, title, what) in enumerate(STEPS, 1):
                with st.container(gap="xxsmall", key=f"first_step_{at}"):
                    st.markdown(f":material/{icon}: **{at}. {title}**")
                    st.caption(what)
        if st.button(
            "Open the sample" if ready else f"Start with: {SAMPLES[0].title}",
            key="first_run",
            type="primary",
            icon=":material/arrow_forward:",
            icon_position="right",
        ):
            go("tune", project=ready.id if ready else drafts.project_from_sample(SAMPLES[0]))


def glossary_list() -> None:
    """Show every term in plain words, folded away."""
    with st.expander(
        "The words used here", icon=":material/menu_book:", key="glossary", on_change="rerun"
    ) as box:
        if not box.open:
            return
        find = st.text_input("Find a word", key="glossary_find", placeholder="For example: validation")
        wanted = find.strip().casefold()
        lines = [
            {"Word": t.name, "In papers and code": t.other, "What it is": t.sentence}
            for t in TERMS
            if wanted in f"{t.name} {t.other} {t.sentence}".casefold()
        ]
        if lines:
            st.dataframe(
                lines, hide_index=True, key="glossary_table", height="content" if len(lines) < 9 else 320
            )
        else:
            st.caption(f"There is no such word here: {plain(find, 60)}.")
