"""Sharing: the dialog in which its owner shares a project with users, and the list of links to reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import streamlit as st

from dashboard.components import ui
from dashboard.services import OWNER_ONLY, LinkRow, MemberRow, ProjectRow, Role
from dashboard.serving.shared import shared
from dashboard.state import users
from dashboard.state.writing import writing
from dashboard.text import escape_markdown

TITLES: dict[Role, str] = {"viewer": "Viewer", "editor": "Editor", "owner": "Owner"}
ABOUT = (
    "Viewers read its runs, results and exports. Editors change it and start runs too. "
    "Its one owner shares and deletes it: making another user its owner makes you an editor."
)
PROBLEM = "share_problem"


def share_button(project: ProjectRow) -> None:
    """Draw the button that opens the dialog; nothing on a server without users."""
    if users.current() is None:
        return
    if ui.button(
        "Share", f"share_{project.id}", icon="group_add", type="tertiary", help="See who is in this project"
    ):
        st.session_state.pop(PROBLEM, None)
        _share(project)


@st.dialog("Share the project")
def _share(project: ProjectRow) -> None:
    st.text(project.name)
    why_not = "" if users.role(project.id) == "owner" else OWNER_ONLY
    st.caption(why_not or ABOUT)
    members = users.members(project.id)
    if not members:
        st.caption(
            "It was made before there were users: only administrators see it. Sharing it makes you its owner."
        )
    for member in members:
        _member(project.id, member, why_not)
    if not why_not:
        _add(project.id, {member.user for member in members})
    ui.problem_line(PROBLEM)


def _member(project_id: str, member: MemberRow, why_not: str) -> None:
    reason = why_not or ("Make another user the owner first." if member.role == "owner" else "")
    key = f"member_{project_id}_{member.user}"
    with ui.row(f"{key}_row", wrap=False):
        st.text(member.user, width="stretch")
        ui.select(
            f"Role of {member.user}",
            TITLES,
            member.role,
            label_visibility="collapsed",
            disabled=bool(reason),
            help=escape_markdown(reason) or None,
            width=130,
            key=f"{key}_{member.role}",
            on_change=ui.checked_callback(PROBLEM, _set_role, project_id, member),
        )
        ui.icon_button(
            "person_remove",
            f"Take {escape_markdown(member.user)} off this project",
            f"{key}_off",
            on_click=ui.checked_callback(PROBLEM, users.take_off, project_id, member.user),
            why_not=reason,
        )


def _set_role(project_id: str, member: MemberRow) -> None:
    role = st.session_state[f"member_{project_id}_{member.user}_{member.role}"]
    users.share(project_id, member.user, role)


def _add(project_id: str, there: set[str]) -> None:
    with ui.row("share_add", "bottom", wrap=False):
        name = st.selectbox(
            "Add a user",
            [one for one in users.known_names() if one not in there],
            index=None,
            key=f"share_user_{len(there)}",
            placeholder="Name or e-mail",
            accept_new_options=True,
        )
        roles = {role: title for role, title in TITLES.items() if role != "owner"}
        role = ui.select("As", roles, key="share_role", width=130)
        ui.button(
            "Add",
            "share_go",
            "" if name else "Choose a user first.",
            type="primary",
            on_click=ui.checked_callback(PROBLEM, users.share, project_id, str(name).strip(), role),
        )


def link_rows(links: Iterable[LinkRow], titles: Mapping[str, str]) -> None:
    """Show links to reports, each with a button that ends it; `titles` are the runs' by id."""
    for link in links:
        with ui.row(f"link_{link.hash[-12:]}", wrap=False):
            title = escape_markdown(titles.get(link.run_id, "A run that was put away"), 60)
            st.markdown(f"{title} · {escape_markdown(shared(link))}", width="stretch")
            ui.button("End this link", f"end_{link.hash[-12:]}", on_click=ui.callback(_end, link.hash))


def _end(link: str) -> None:
    with writing("ended link", link[:12]) as store:
        store.links.end(link)
