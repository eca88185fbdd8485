"""Ways to take a run away that several pages offer: the prompt copied, a link to the report."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st

from dashboard.components import ui
from dashboard.components.plot import own_element
from dashboard.components.share import link_rows
from dashboard.services import LINK_DAYS, RunRow, counted, is_this_machine, token_hash
from dashboard.serving.shared import PATH
from dashboard.state import candidates, reading, users
from dashboard.state.session import LINK_TOKEN
from dashboard.state.writing import read_only, writing

_copy = own_element("copy", "<button type='button'></button>")


def copy_button(run: RunRow) -> None:
    """Draw the button that copies a run's prompt; nothing where it has none that is one text."""
    copied = candidates.copied_prompt(run)
    if copied.candidate:
        data = {"text": reading.prompt_text(run, copied.candidate), "label": "Copy the prompt"}
        _copy(data={**data, "done": "Copied"}, key="copy_prompt", width="content")


USUAL_DAYS = 7
PROBLEM = "share_link_problem"


def share_link(run: RunRow) -> None:
    """Offer a link to the report of a run, and to end those that work."""
    if read_only():
        return
    with st.popover("Share a link", icon=":material/link:", key="share_link"):
        st.caption(
            "Anyone who has the link can read the report, the test rows in it included, without signing in, and nothing else. "
            "It ends by itself, at once when you end it here, and when you may not change the project any more."
        )
        days = ui.select(
            "It works for", {d: counted(d, "day") for d in LINK_DAYS}, USUAL_DAYS, key="link_days"
        )
        ui.button("Make a link", "link_make", icon="add_link", on_click=ui.callback(_make, run.id, days))
        ui.problem_line(PROBLEM)
        working = [link for link in reading.links() if link.run_id == run.id]
        token = LINK_TOKEN.get(run.id)
        if token_hash(token) in {link.hash for link in working}:
            st.code(f"{_origin()}{PATH}{token}", language=None, wrap_lines=True)
            st.caption("Copy it now: only a hash of it is kept, so it cannot be shown again.")
            if is_this_machine(urlsplit(_origin()).hostname or ""):
                st.caption("This dashboard can only be reached from this machine, and so can the link.")
        link_rows(working, {run.id: run.title})


def _make(run_id: str, days: int) -> None:
    with ui.problem_kept(PROBLEM), writing(f"shared for {days} days", run_id) as store:
        LINK_TOKEN.set(store.links.make(run_id, days, users.name()), run_id)


def _origin() -> str:
    """Return the address under which the browser reaches the dashboard, without a path."""
    parts = urlsplit(st.context.url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
