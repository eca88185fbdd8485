"""Two tabs on one project: an edit made on a state that is no longer the stored one waits, and the user chooses.

Every widget of a part has a revision in its key: when the part was changed elsewhere, new keys make the widgets
show what is stored.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage
from dashboard.state import reading
from dashboard.state.editing.drafts import Change, ChangedElsewhereError, Part, edit_seen, state_of
from dashboard.state.session import FIELDS_REVISION, SEEN_STATE, SHOWN_PART, WAITING_EDIT

Edit = Callable[[str], object]
"""Saves an edit; it gets the state of the part as this tab last showed it ("": whatever is stored)."""


def guarded(project_id: str, change: Change, part: Part = "task") -> bool:
    """Save a change of the part as this tab last showed it; return whether it was saved, else keep it for a choice."""
    return guarded_edit(project_id, lambda seen: edit_seen(project_id, change, part, seen), part)


def guarded_update(project_id: str, part: Part, **changes: object) -> bool:
    """Set some fields of a draft that belong to the part, as `guarded` does."""
    return guarded(project_id, lambda draft: draft.model_copy(update=changes), part)


def guarded_edit(project_id: str, edit: Edit, part: Part) -> bool:
    """Make an edit of the part as this tab last showed it; return whether it was saved, else keep it for a choice.

    Raises an EngineError that the edit raises.
    """
    try:
        edit(SEEN_STATE.get(part, project_id) or "")
    except ChangedElsewhereError:
        WAITING_EDIT.set(edit, part, project_id)
        return False
    SEEN_STATE.set(state_of(reading.draft(project_id), part), part, project_id)
    return True


def watch(page: ProjectPage, part: Part) -> bool:
    """Return whether another tab changed the part; let the user choose where both tabs changed it."""
    state = state_of(page.draft, part)
    waiting = WAITING_EDIT.get(part, page.id) is not None
    # From another page this tab may have changed the part itself.
    stayed = SHOWN_PART.get() == part
    SHOWN_PART.set(part)
    before = SEEN_STATE.get(part, page.id) if stayed else None
    SEEN_STATE.set(state, part, page.id)
    changed = before is not None and before != state
    if changed:
        renew(page.id)
        if not waiting:
            st.toast(
                f"The {part} changed in another tab; this page shows what is stored now.",
                icon=":material/sync:",
            )
    if waiting:
        _choice(page.id, part)
    return changed


def renew(project_id: str) -> None:
    """Give the widgets new keys: they keep what was typed under their key, and should show what is stored."""
    FIELDS_REVISION.add_one(project_id)


def widget_key(name: str, project_id: str) -> str:
    """Return the key of a project's widget: another one after each `renew`, so that it shows what is stored."""
    number = FIELDS_REVISION.get(project_id)
    return f"{name}_{project_id}_r{number}" if number else f"{name}_{project_id}"


def revision(project_id: str) -> int:
    """Return the values in the keys of a project's widgets."""
    return FIELDS_REVISION.get(project_id)


def _choice(project_id: str, part: Part) -> None:
    """Let the user choose between this tab's change, not saved yet, and what another tab saved."""
    with ui.card("changed_elsewhere"):
        st.markdown(
            f":orange[:material/sync_problem:] **Another tab changed the {part} while this one was open.** "
            "Your last change is not saved yet."
        )
        with ui.row("changed_elsewhere_choice", "top"):
            ui.button(
                "Keep the other tab's",
                "keep_theirs",
                on_click=ui.callback(_settle, project_id, part, False),
                help="Your last change here is given up.",
            )
            ui.button(
                "Put my change on top",
                "keep_mine",
                type="primary",
                on_click=ui.callback(_settle, project_id, part, True),
                help="The other tab's changes stay; where both changed the same field, yours holds.",
            )


def _settle(project_id: str, part: Part, again: bool) -> None:
    """Forget this tab's change that waits, or make it again on what is stored now."""
    edit = WAITING_EDIT.pop(part, project_id)
    renew(project_id)
    if again and edit is not None:
        edit("")
        SEEN_STATE.set(state_of(reading.draft(project_id), part), part, project_id)


def forget_seen(project_id: str) -> None:
    """Take the examples stored now for what this tab shows: it has changed them itself."""
    SEEN_STATE.pop("examples", project_id)
