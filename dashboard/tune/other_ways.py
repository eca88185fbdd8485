"""One line for all that is rarely used: it opens what it names."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage
from dashboard.tune.compare_models import compare_models, compares
from dashboard.tune.freeze_form import freeze_form
from dashboard.tune.optimizer import budget_form, optimizer_cards, optimizer_options
from dashboard.tune.small_model import small_model, trains


def all_optimizers(page: ProjectPage) -> None:
    """Show every way of tuning with its options, the limits, and the parts of the prompt that stay."""
    with st.container(key="expert"):
        optimizer_cards(page)
        optimizer_options(page)
        budget_form(page)
        freeze_form(page)


WAYS: dict[str, tuple[str, Callable[[ProjectPage], None]]] = {
    "small model": (":material/model_training:", small_model),
    "several models": (":material/balance:", compare_models),
    "all optimizers": (":material/tune:", all_optimizers),
}
"""Name -> its icon, what draws it."""


def other_ways(page: ProjectPage) -> None:
    """Show the line, and what is open of it: at first what the project uses."""
    used = {"small model": trains(page.draft), "several models": compares(page.draft)}
    with ui.row("other_ways", gap="xsmall"):
        st.caption("Other ways:", width="content")
        opened = st.pills(
            "Other ways",
            list(WAYS),
            selection_mode="multi",
            default=[way for way, is_used in used.items() if is_used],
            format_func=lambda way: f"{WAYS[way][0]} {way}",
            key=f"other_ways_{page.id}",
            label_visibility="collapsed",
        )
    for way, (_, draw) in WAYS.items():
        if way in opened:
            draw(page)
