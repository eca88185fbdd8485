"""A conversation with two prompts at once: each answers every message and remembers its own answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from dashboard.comparison import as_text
from dashboard.components.page import complain
from dashboard.components.try_it.try_answers import attempts_view
from dashboard.components.try_it.try_stream import stream_attempts
from dashboard.plain import plain
from dashboard.trying import Talk, Trial, missing, turns_of
from engine.errors import EngineError
from engine.runs.trying import Attempt

Turn = tuple[dict[str, Any], tuple[Attempt, ...]]


def chat_view(
    trial: Trial, talk: Talk, chosen: list[str], others: Callable[[], Mapping[str, Any]], reason: str
) -> None:
    """Show the conversation and the box for the next message. `others` draws the inputs that are no message."""
    key = f"try_chat_{trial.run}_{'_'.join(chosen)}"
    turns: list[Turn] = st.session_state.setdefault(key, [])
    names = {p.id: p.name for p in trial.prompts}
    with st.container(horizontal=True, vertical_alignment="center", key="chat_bar"):
        st.caption(
            "Each prompt remembers its own answers."
            if talk.history
            else "This task has no input for earlier turns, so every message is answered by itself."
        )
        if turns and st.button("Start anew", key="chat_anew", icon=":material/restart_alt:", type="tertiary"):
            st.session_state[key] = []
            st.rerun()
    given = dict(others())
    for number, (inputs, attempts) in enumerate(turns):
        with st.chat_message("user"):
            st.text(as_text(inputs.get(talk.message, "")))
        attempts_view(attempts, names, trial.pipeline.outputs, {}, key=f"turn{number}_")
    fields = [f for f in trial.pipeline.inputs if f.name != talk.message]
    reason = reason or missing(fields, given)
    with st.container(key="chat_box"):  # in the page, not pinned below it
        said = st.chat_input(plain(reason) or "Write a message", key=f"{key}_box", disabled=bool(reason))
    if not said:
        return
    inputs = {**given, talk.message: said}
    own = {p: {talk.history: turns_of(turns, p, talk.history)} for p in chosen} if talk.history else {}
    with st.chat_message("user"):
        st.text(said)
    try:
        found = stream_attempts(trial.request(chosen, inputs, {}, own), chosen, names)
    except EngineError as error:
        complain(error)
        return
    st.session_state[key] = [*turns, (inputs, found)]
    st.rerun()
