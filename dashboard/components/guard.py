"""Two tabs on one project: an edit made on a state that is no longer the stored one is held back, and the person chooses.

Every widget of a part has a revision in its key: when the part was changed elsewhere, new keys make the widgets
show what is stored.
"""

from __future__ import annotations

import streamlit as st

from dashboard.components.page import Current
from dashboard.state import drafts
from dashboard.state.drafts import Change, ChangedElsewhereError, Part, edit_seen, state_of

NAMES: dict[Part, str] = {"task": "task", "examples": "examples"}


def guarded(project_id: str, change: Change, part: Part = "task") -> bool:
    """Save a change of the part as this tab last showed it; return whether it was saved, else hold it back."""
    seen = str(st.session_state.get(_seen(project_id, part), ""))
    try:
        after = edit_seen(project_id, change, part, seen)
    except ChangedElsewhereError:
        st.session_state[held_key(project_id, part)] = change
        return False
    st.session_state[_seen(project_id, part)] = state_of(after, part)
    return True


def watch(now: Current, part: Part) -> None:
    """Notice what another tab changed, and let the person choose where both changed the same part."""
    state = state_of(now.draft, part)
    held = st.session_state.get(held_key(now.id, part))
    before = st.session_state.get(_seen(now.id, part)) if stayed(part) else None
    st.session_state[_seen(now.id, part)] = state
    if before is not None and before != state:
        renew(now.id)
        if held is None:
            st.toast(
                f"The {NAMES[part]} changed in another tab; this page shows it as it is now.",
                icon=":material/sync:",
            )
    if held is not None:
        choice(now.id, part)


def stayed(part: Part) -> bool:
    """Return whether this tab was on this part's page before: from another page it may have changed the part itself."""
    before = st.session_state.get("part_shown")
    st.session_state["part_shown"] = part
    return before == part


def renew(project_id: str) -> None:
    """Give the widgets new keys: they keep what was typed under their key, and should show what is stored."""
    st.session_state[f"fields_revision_{project_id}"] = revision(project_id) + 1


def revision(project_id: str) -> int:
    """Return what stands in the keys of a project's widgets."""
    return int(st.session_state.get(f"fields_revision_{project_id}", 0))


def choice(project_id: str, part: Part) -> None:
    """Let the person choose between a change of this tab that was held back and what another tab saved."""
    with st.container(border=True, key="changed_elsewhere"):
        st.markdown(
            f":orange[:material/sync_problem:] **Another tab changed the {NAMES[part]} while this one was open.** "
            "Your last change is not saved yet."
        )
        with st.container(horizontal=True, key="changed_elsewhere_choice"):
            st.button(
                "Keep the other tab's",
                key="keep_theirs",
                on_click=_drop,
                args=(project_id, part),
                help="Your last change here is given up.",
            )
            st.button(
                "Put my change on top",
                key="keep_mine",
                type="primary",
                on_click=_apply,
                args=(project_id, part),
                help="The other tab's changes stay; where both changed the same field, yours holds.",
            )


def _drop(project_id: str, part: Part) -> None:
    st.session_state.pop(held_key(project_id, part), None)
    renew(project_id)


def _apply(project_id: str, part: Part) -> None:
    change = st.session_state.pop(held_key(project_id, part), None)
    if change is not None:
        after = drafts.edit(project_id, change)
        st.session_state[_seen(project_id, part)] = state_of(after, part)
    renew(project_id)


def _seen(project_id: str, part: Part) -> str:
    return f"seen_{part}_{project_id}"


def held_key(project_id: str, part: Part) -> str:
    """Return where a change that was held back stands in the session."""
    return f"held_{part}_{project_id}"
