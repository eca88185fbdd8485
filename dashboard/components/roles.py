"""Roles of a table's columns: which are read, which are answered, which are not used."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.page import Current, sample_values
from dashboard.state import reading
from dashboard.views.text import escape_markdown

ROLES = {"input": "Input", "output": "Answer", "ignore": "Not used"}


def role_cards(now: Current, dataset_id: str) -> dict[str, str]:
    """Show a card for each column with some of its values; return column -> role as chosen, or as guessed until then."""
    from engine.dataset import guess_roles

    found = reading.profiles(dataset_id)
    guessed = guess_roles(reading.dataset(dataset_id), found)
    roles: dict[str, str] = {}
    with st.grid(4, min_column_width=240, key="role_cards"):
        for at, column in enumerate(found):
            name = escape_markdown(column.name, 40)
            with ui.card(f"role_card_{at}", name, height="stretch", gap="xsmall"):
                roles[column.name] = ui.choose(
                    f"Role of {name}",
                    list(ROLES),
                    default=str(guessed[column.name]),
                    format_func=lambda r: ROLES[r],
                    key=f"role_{at}_{dataset_id}_{now.id}",
                )
                sample_values(" ".join(sample.split())[:120] for sample in column.samples[:2])
    return roles


def missing_role(roles: dict[str, str]) -> str:
    """Return what is missing for a task to be made of columns with these roles, or "".

    >>> missing_role({"text": "input", "id": "ignore"})
    'Mark at least one column as Answer: it holds what the model should say.'
    """
    if "input" not in roles.values():
        return "Mark at least one column as Input."
    if "output" not in roles.values():
        return "Mark at least one column as Answer: it holds what the model should say."
    return ""
