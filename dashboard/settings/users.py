"""The users of the server, for its administrators: how each signs in, and what their runs have used."""

from __future__ import annotations

import json
import time

import streamlit as st

from dashboard.components import ui
from dashboard.components.tables import data_table, small_table
from dashboard.services import Spent, counted, month_of, price, short
from dashboard.state import users

BEFORE = "Before there were users"


def users_card() -> None:
    """Show each user's runs, calls, tokens and money; nothing on a server without users."""
    if users.current() is None:
        return
    now = time.time()
    every, month = users.spend(), users.spend(month_of(now))
    names = list(dict.fromkeys([*users.known_names(), *every]))
    with ui.card(
        "users_card",
        "Users",
        "Runs that a user has started or gone on with, and what these and the user's requests outside runs have used: this month, "
        "and in all below it. What is put away or deleted stays counted. "
        "`tuneboard users add NAME` adds a user, `tuneboard users remove NAME` ends all access at once.",
    ):
        small_table(
            ("User", "Runs", "Calls", "Tokens", "Money"),
            [(name or BEFORE, *figures(month.get(name, Spent()))) for name in names],
            [f"in all: {_words(every.get(name, Spent()))}" for name in names],
        )
        st.caption(f"{time.strftime('%B %Y', time.gmtime(now))}, in UTC.")


def figures(spent: Spent) -> tuple[str, str, str, str]:
    """Return how many runs, calls and tokens something took, and the money, as texts."""
    usage = spent.usage
    money = price(usage.cost if usage.calls else 0.0)
    return f"{spent.runs:,}", f"{usage.calls:,}", short(usage.tokens), money


def audit_card() -> None:
    """Show what users have done, and offer it as a file."""
    with ui.card("audit_card", "Audit log", "What was done, the newest first. Nothing is taken out."):
        words = st.text_input("Filter", key="audit_words", placeholder="A user, an action, a name or an id")
        with users.opened(users.current()) as store:
            entries = store.audit(words)
        data_table(entries, "audit_table", {name: name.title() for name in entries[0]} if entries else None)
        lines = "".join(f"{json.dumps(entry)}\n" for entry in entries)
        ui.download("Download audit.jsonl", lines, "audit.jsonl", "audit_download")


def _words(spent: Spent) -> str:
    _, calls, tokens, money = figures(spent)
    return f"{counted(spent.runs, 'run')}, {calls} calls, {tokens} tokens, {money}"
