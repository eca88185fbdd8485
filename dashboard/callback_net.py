"""The last net under a click: a store that is locked, full or read-only is a sentence, and the page stays.

Streamlit calls what a widget is to do before the page is drawn, where `app.py` catches nothing; what is raised there
leaves an empty page. It has no hook for this, so the one method that calls them is wrapped.
"""

from __future__ import annotations

import functools
from typing import Any

import streamlit as st
from streamlit.runtime.state.session_state import SessionState

from dashboard.views.text import plain
from engine.errors import EngineError

_CALLS = "_call_callbacks"
_WRAPPED = "_says_errors"


def spread() -> None:
    """Let an EngineError of any callback be said on the page, which is then drawn as things are stored."""
    calls = getattr(SessionState, _CALLS, None)
    if calls is None or hasattr(calls, _WRAPPED):
        return

    @functools.wraps(calls)
    def saying(self: SessionState, *arguments: Any, **named: Any) -> None:
        try:
            calls(self, *arguments, **named)
        except EngineError as error:
            st.toast(
                f"Your last change was not saved. {plain(str(error), 1000)}",
                icon=":material/error:",
                duration="infinite",
            )

    setattr(saying, _WRAPPED, True)
    setattr(SessionState, _CALLS, saying)
