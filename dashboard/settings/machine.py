"""Use of this machine and its data folder: spending, limits, storage, links to reports, and where runs work."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.share import link_rows
from dashboard.components.tables import small_table
from dashboard.services import (
    BACKENDS,
    counted,
    data_home,
    default_cache,
    loaded_parts,
    price,
    usual_runs,
)
from dashboard.settings.users import figures
from dashboard.state import reading, users
from dashboard.state.editing import drafts
from dashboard.state.writing import read_only
from dashboard.text import distinct

MOST = 12


GONE = ("A deleted project", "Outside projects")


def spending_card() -> None:
    """Show every project's calls, tokens and money."""
    names = distinct({p.id: p.name for p in reading.projects(archived=True)})
    totals = reading.read_store(lambda store: store.spend.by("project_id"))
    with ui.card(
        "spending_card",
        "Spent so far",
        "By all runs, also those that were stopped, put away or deleted, and by what pages have asked of models. "
        "Answers that were kept for reuse cost nothing again.",
    ):
        if not totals:
            st.caption("Nothing yet: no model was asked.")
            return
        known = [s.usage.cost for s in totals.values() if s.usage.cost is not None]
        st.metric("In total", price(sum(known) if known else None))
        lines = [(names.get(id_, GONE[id_ == ""]), *figures(total)[1:]) for id_, total in totals.items()]
        small_table(("Project", "Calls", "Tokens", "Money"), lines[:MOST])
        if len(totals) > MOST:
            st.caption(f"And {counted(len(totals) - MOST, 'project')} that spent less.")
        unpriced = sum(s.unpriced for s in totals.values())
        if unpriced:
            st.caption(
                f":orange[:material/help:] {counted(unpriced, 'run')} used a model whose price is not known. "
                "Set it next to the model, for the runs to come."
            )


def storage_card() -> None:
    """Show the call cache and the data folder."""
    answers, size, cost = default_cache().size()
    with ui.card(
        "cache_card", "Answers kept for reuse", explain("answer kept for reuse", "Also after a crash.")
    ):
        with st.grid(3, min_column_width=80, key="cache_figures"):
            st.metric("Answers", f"{answers:,}")
            st.metric("On disk", _bytes(size))
            st.metric("They cost", price(cost))
        if not answers:
            st.caption("The offline model's answers are not kept: it answers again at once, for free.")
        ui.button(
            "Clear them",
            "clear_cache",
            "" if answers else "There is nothing to clear.",
            icon="delete_sweep",
            on_click=ui.callback(_clear_dialog),
        )
    with ui.card("folder_card", "Where everything is kept"):
        st.code(str(data_home()), language=None)
        st.caption(
            "Projects, runs, files and exports, on this machine only. Set TUNEBOARD_HOME to use another folder."
        )


def links_card() -> None:
    """Show the links to reports that work: to an administrator all, to a user their own."""
    links = [link for link in reading.links() if users.is_administrator() or link.made_by == users.name()]
    if links:
        with ui.card("links_card", "Shared reports", "Anyone who has such a link can read the report."):
            link_rows(links, {run.id: run.title for run in reading.runs()})


def backend_card() -> None:
    """Let the user choose where the rows of new runs are answered."""
    chosen = reading.backend()
    with ui.card("backend_card", "Where rows are answered"):
        ui.select(
            "Where rows are answered",
            {backend.name: backend.title for backend in loaded_parts(BACKENDS)},
            chosen.name,
            label_visibility="collapsed",
            **ui.saved("backend_name", drafts.set_backend, "name"),
        )
        if chosen.name == "local":
            return
        st.text_input(
            "Address of the cluster",
            chosen.address,
            help="auto: the cluster that runs on this machine. local: one that is started for each run. Else host:port.",
            **ui.saved("backend_address", drafts.set_backend, "address"),
        )
        st.caption(
            "Models that run on your own machines, searches by embeddings and code in the sandbox get faster. Calls to a "
            "provider do not: one machine waits for many at once. Needs tuneboard[ray]; keys stay on this machine."
        )


@st.dialog("Clear the kept answers?")
def _clear_dialog() -> None:
    answers, _, _ = default_cache().size()
    st.write(
        f"{counted(answers, 'answer')} will be forgotten. Runs that are repeated or resumed will pay again."
    )
    if ui.confirmed("Keep them", "Clear", "clear"):
        drafts.clear_answers()
        st.rerun()


def _bytes(size: int) -> str:
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= limit:
            return f"{size / limit:.3g} {unit}"
    return f"{size} bytes"


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


ALONE = {
    "runs": LIMITS["runs"]._replace(about="Further runs wait for their turn."),
    "requests": LIMITS["requests"],
    "calls": LIMITS["calls"]._replace(title="Calls in a month"),
    "usd": LIMITS["usd"]._replace(title="US dollars in a month"),
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
