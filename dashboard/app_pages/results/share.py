"""Links that show the report of a run to others: made and ended here, answered by the server (`dashboard.serving.shared`)."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

import streamlit as st

from dashboard.components import ui
from dashboard.serving.shared import PATH
from dashboard.state import reading
from dashboard.state.writing import read_only, writing
from engine.store.links import DAYS
from engine.store.rows import RunRow
from engine.text import counted

USUAL_DAYS = 7
PROBLEM = "share_link_problem"


def share_link(run: RunRow) -> None:
    """Offer a link to the report of a run, and to end those that work."""
    if read_only():
        return
    with st.popover("Share a link", icon=":material/link:", key="share_link"):
        st.caption(
            "Anyone who has the link can read the report, the test rows in it included, without signing in, and nothing else. "
            "It ends by itself, or at once when you end it here."
        )
        days = ui.pick("It works for", {d: counted(d, "day") for d in DAYS}, USUAL_DAYS, key="link_days")
        ui.button("Make a link", "link_make", icon="add_link", on_click=ui.callback(_make, run.id, days))
        ui.problem_line(PROBLEM)
        if token := st.session_state.get(_key(run.id)):
            st.code(f"{_origin()}{PATH}{token}", language=None, wrap_lines=True)
            st.caption("Copy it now: only a hash of it is kept, so it cannot be shown again.")
            if urlsplit(_origin()).hostname in ("127.0.0.1", "localhost"):
                st.caption("This dashboard can only be reached from this machine, and so can the link.")
        if working := reading.links(run.id):
            last = datetime.fromtimestamp(max(link.ends_at for link in working)).astimezone()
            st.caption(
                f"{counted(len(working), 'link')} to this report: the last ends on {last.strftime('%d %b %Y, %H:%M')}."
            )
            ui.button("End all links now", "link_end", icon="link_off", on_click=ui.callback(_end, run.id))


def _make(run_id: str, days: int) -> None:
    with ui.problem_kept(PROBLEM), writing(f"shared for {days} days", run_id) as store:
        st.session_state[_key(run_id)] = store.links.make(run_id, days)


def _end(run_id: str) -> None:
    with ui.problem_kept(PROBLEM), writing("ended all links", run_id) as store:
        store.links.end(run_id)
        st.session_state.pop(_key(run_id), None)


def _key(run_id: str) -> str:
    return f"shared_link_{run_id}"


def _origin() -> str:
    """Return the address under which the browser reaches the dashboard, without a path."""
    parts = urlsplit(st.context.url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
