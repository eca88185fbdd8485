"""The users of the server, for its administrators: how each signs in, and what their runs have used."""

from __future__ import annotations

import json
from datetime import datetime

import streamlit as st

from dashboard.components import ui
from dashboard.components.tables import data_table, small_table
from dashboard.state import users
from engine.records import Usage
from engine.store.rows import UserSpend
from engine.text import counted, price, short

BEFORE = "Before there were users"


def users_card() -> None:
    """Show each user's runs, calls, tokens and money; nothing on a server without users."""
    if users.current() is None:
        return
    start = datetime.now().astimezone().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    every = {one.user: one for one in users.spend()}
    month = {one.user: one for one in users.spend(start.timestamp())}
    names = list(dict.fromkeys([*users.known_names(), *every]))
    with ui.card(
        "users_card",
        "Users",
        "Runs that a user has started, and what they have used: this month, and in all below it. "
        "`tuneboard users add NAME` adds a user, `tuneboard users remove NAME` ends all access at once.",
    ):
        small_table(
            ("User", "Runs", "Calls", "Tokens", "Money"),
            [(name or BEFORE, *_figures(month.get(name))) for name in names],
            [f"in all: {_words(every.get(name))}" for name in names],
        )
        st.caption(f"This month, since {start:%d %B}.")


def audit_card() -> None:
    """Show what users have done, and offer it as a file."""
    with ui.card("audit_card", "Audit log", "What was done, the newest first. Nothing is taken out."):
        words = st.text_input("Filter", key="audit_words", placeholder="A user, an action, a name or an id")
        with users.opened(users.current()) as store:
            entries = store.audit(words)
        data_table(entries, "audit_table", {name: name.title() for name in entries[0]} if entries else None)
        lines = "".join(f"{json.dumps(entry)}\n" for entry in entries)
        ui.download("Download audit.jsonl", lines, "audit.jsonl", "audit_download")


def _figures(spent: UserSpend | None) -> tuple[str, str, str, str]:
    usage = spent.usage if spent else Usage()
    tokens = usage.input_tokens + usage.output_tokens
    return (
        f"{spent.runs if spent else 0:,}",
        f"{usage.calls:,}",
        short(tokens),
        price(usage.cost if spent else 0.0),
    )


def _words(spent: UserSpend | None) -> str:
    _, calls, tokens, money = _figures(spent)
    return f"{counted(spent.runs if spent else 0, 'run')}, {calls} calls, {tokens} tokens, {money}"
