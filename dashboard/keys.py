"""API keys on their way from a person to a run: the page's memory, the keyring, the environment.

A key typed into a page lives in this session's memory until the tab is closed, unless the person puts it
into the system's keyring. It is never written to the store, a log or an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from dashboard.models import is_offline, key_variable, title_of
from engine.lm.catalog import find_provider
from engine.lm.keys import find_key
from engine.runs.spec import ModelChoice

_MEMORY = "page_keys"


class KeyState(NamedTuple):
    """Whether a model's key is there, and in one sentence where."""

    ok: bool
    sentence: str


def remember(variable: str, key: str) -> None:
    """Keep a key in this session's memory; an empty one forgets it."""
    kept = dict(st.session_state.get(_MEMORY, {}))
    if key.strip():
        kept[variable] = key.strip()
    else:
        kept.pop(variable, None)
    st.session_state[_MEMORY] = kept


def remembered(variable: str) -> str:
    """Return a key of this session's memory, or ""."""
    return str(st.session_state.get(_MEMORY, {}).get(variable, ""))


def for_process() -> dict[str, str]:
    """Return every key of this session's memory, for a run's environment: variable -> key."""
    return dict(st.session_state.get(_MEMORY, {}))


def lacking(models: Sequence[ModelChoice]) -> str:
    """Return which of the models lacks its key, in a sentence; "" where none does. The first needs no name: it is the one seen."""
    for choice in models:
        state = key_state(choice)
        if not state.ok:
            return state.sentence if choice == models[0] else f"{title_of(choice)}: {state.sentence}"
    return ""


def key_state(choice: ModelChoice) -> KeyState:
    """Return whether a model's key is there, and where."""
    variable = key_variable(choice)
    if not variable and not choice.base_url and not is_offline(choice) and find_provider(choice.name) is None:
        return KeyState(True, "Key: whatever this provider's own variable holds in the environment.")
    if is_offline(choice) or not variable:
        return KeyState(True, "No key needed.")
    if remembered(variable):
        return KeyState(True, "Key: in this page's memory, until it is loaded anew or closed.")
    found = find_key(choice.name, choice.key_env)
    if found.key is not None:
        return KeyState(True, f"Key: from the {found.where}.")
    return KeyState(False, f"No key yet. Give one on the Settings page, or set {variable} and start again.")
