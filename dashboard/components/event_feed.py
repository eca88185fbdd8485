"""What happened in a run, newest first, in plain words. Outside text is shown as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

import streamlit as st

from engine.store.rows import EventRow

_STYLE = """<style>
.feed{font-size:.86rem;line-height:1.45}
.feed div{display:grid;grid-template-columns:5.2em 1fr;gap:.6em;padding:.28em 0;border-bottom:1px solid color-mix(in srgb,currentColor 9%,transparent)}
.feed time{opacity:.6;font-variant-numeric:tabular-nums}
.feed .best{font-weight:600}
.feed .error{color:#dc2626}
</style>"""


def event_feed(events: Sequence[EventRow], *, height: int = 340) -> None:
    """Show the latest events."""
    with st.container(height=height, border=True, key="feed"):
        if not events:
            st.caption("What the search does will be told here, step by step.")
            return
        st.html(_STYLE + f"<div class='feed'>{''.join(_line(e) for e in reversed(events))}</div>")


def _line(event: EventRow) -> str:
    at = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S")
    kind = {"new_best": "best", "error": "error"}.get(event.kind, "")
    return f"<div><time>{at}</time><span class='{kind}'>{escape(event.text)}</span></div>"
