"""The offer to tune on a sample of many rows, with the price of the sample and of all rows."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage
from dashboard.components.tab_conflict import guarded
from dashboard.services import EngineError, ProjectDraft, price
from dashboard.state.editing import examples
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown


def sample_offer(page: ProjectPage) -> None:
    """Offer a sample where there are more rows than a search needs, or say which one is used; nothing for fewer rows."""
    rows = examples.rows_to_use(page.draft)
    sample = page.draft.split.sample
    if sample is None and rows < examples.MANY_ROWS:
        return
    with ui.card("sample_card"):
        if sample is not None and sample < rows:
            st.markdown(
                f":material/filter_alt: **{sample:,} of {rows:,} rows are used**, drawn by chance with the seed. "
                f"The other {rows - sample:,} stay in the table and are not used."
            )
            if not read_only():
                ui.button(
                    f"Use all {rows:,} rows", "sample_none", on_click=ui.callback(_set_sample, page.id, None)
                )
            return
        try:
            small, whole = (
                examples.plan_price(page.draft, examples.SAMPLE),
                examples.plan_price(page.draft, None),
            )
        except EngineError:
            return
        st.markdown(
            f":material/filter_alt: **{rows:,} rows are more than a search needs.** A sample of {examples.SAMPLE}, "
            f"with every answer in its share, takes {_words(small)}; all rows take {_words(whole)} "
            "(the Balanced plan)."
        )
        st.caption("Drawn by chance with the seed. The other rows stay in the table and are not used.")
        if not read_only():
            ui.button(
                f"Use a sample of {examples.SAMPLE}",
                "sample_some",
                type="primary",
                on_click=ui.callback(_set_sample, page.id, examples.SAMPLE),
            )


def _words(takes: tuple[int, float | None]) -> str:
    calls, usd = takes
    return f"up to {calls:,} calls ({escape_markdown(price(usd, 'about '))})"


def _set_sample(project_id: str, sample: int | None) -> None:
    def change(draft: ProjectDraft) -> ProjectDraft:
        return draft.model_copy(update={"split": draft.split.model_copy(update={"sample": sample})})

    guarded(project_id, change, "examples")
