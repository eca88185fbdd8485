"""The budget: calls, tokens, money, minutes. Whatever is reached first ends the run; empty means no limit."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import drafts
from dashboard.components.page import Current
from dashboard.glossary import explain
from engine.search.budget import Budget

LIMITS: tuple[tuple[str, str, str, str], ...] = (
    ("calls", "Calls", "e.g. 500", "A call is one question to the model."),
    (
        "tokens",
        "Tokens",
        "e.g. 300000",
        "A token is a piece of a word, about four letters. Models are paid by it.",
    ),
    ("usd", "US dollars", "e.g. 2.50", "Counted with the provider's list price, where it is known."),
    ("seconds", "Minutes", "e.g. 10", "Working time; a pause does not count."),
)


def budget_form(now: Current) -> None:
    """Show the limits; every change is saved."""
    budget = now.draft.budget
    with st.container(border=True, key="budget_card"):
        st.markdown(
            "**Budget**",
            help=explain("budget", "Limits are hard: the call that would pass one is not made."),
        )
        places = st.columns(4, gap="small")
        for place, (name, title, example, what) in zip(places, LIMITS, strict=True):
            key = f"budget_{name}_{now.id}"
            value: Any = getattr(budget, name)
            if name == "seconds" and value is not None:
                value = value / 60
            whole = name in ("calls", "tokens")
            place.number_input(
                title,
                min_value=1 if whole else 0.01,
                value=value,
                step=(100 if name == "calls" else 10_000) if whole else (0.5 if name == "usd" else 1.0),
                key=key,
                placeholder="No limit",
                help=f"{what} Leave empty for no limit ({example}).",
                on_change=_changed,
                args=(now.id,),
            )
        st.caption(
            "Empty means no limit. Whatever is reached first ends the search; the best prompt so far is kept."
        )


def _changed(project_id: str) -> None:
    values = {name: st.session_state.get(f"budget_{name}_{project_id}") for name, *_ in LIMITS}
    if values["seconds"] is not None:
        values["seconds"] *= 60
    drafts.update(project_id, budget=Budget(**values))
