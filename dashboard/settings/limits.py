"""Limits of the data folder for all its users: runs at once, requests at once to an endpoint, and use in a month."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.services import usual_runs
from dashboard.state import reading, users
from dashboard.state.editing import drafts
from dashboard.state.writing import read_only


class Limit(NamedTuple):
    """A limit's title, the widget's step, and its explanation. The step's type is the value's."""

    title: str
    step: float
    about: str


LIMITS: dict[str, Limit] = {
    "runs": Limit("Runs at once", 1, "Further runs wait for their turn. Users take turns."),
    "runs_per_user": Limit("Runs at once of a user", 1, "A user's further runs wait until one of them ends."),
    "requests": Limit(
        "Requests at once to a model's endpoint",
        1,
        "By all runs and the playground together. Lower it where an endpoint refuses requests or gets slow.",
    ),
    "calls": Limit(
        "Calls of a user in a month", 100, "A run that may pass it does not start; one that reaches it ends."
    ),
    "usd": Limit(
        "US dollars of a user in a month",
        1.0,
        "At list prices, by runs. A run that may pass it does not start; one that reaches it ends.",
    ),
}


ALONE: dict[str, Limit] = {
    "runs": Limit("Runs at once", 1, "Further runs wait for their turn."),
    "requests": LIMITS["requests"],
    "calls": Limit("Calls in a month", LIMITS["calls"].step, LIMITS["calls"].about),
    "usd": Limit("US dollars in a month", LIMITS["usd"].step, LIMITS["usd"].about),
}
"""The limits in the words of a server without users, where a user's own number of runs is that of all."""


def limits_card() -> None:
    """Let an administrator set each limit; an empty field is none, or for runs at once the usual number."""
    now, fixed = reading.limits(), read_only("") or not users.is_administrator()
    alone = users.current() is None
    about = "For all projects together." if alone else "They hold for everyone who uses this data folder."
    with ui.card("limits_card", "Limits", about):
        for name, limit in (ALONE if alone else LIMITS).items():
            value, key = getattr(now, name), f"limit_{name}"
            # Only a field that begins empty can be emptied.
            st.session_state.setdefault(key, None if value is None else type(limit.step)(value))
            st.number_input(
                limit.title,
                min_value=type(limit.step)(1),
                value=None,
                step=limit.step,
                placeholder=f"One for each core ({usual_runs()})" if name == "runs" else "No limit",
                help=limit.about,
                disabled=fixed,
                **ui.saved(key, drafts.set_limit, name),
            )
