"""Edits that say which state of a part of a draft they were made on, so that two tabs do not overwrite each other.

No Streamlit in here: what a page has seen is passed in.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from dashboard import drafts
from dashboard.drafts import Change
from engine.errors import StoreError
from engine.runs.spec import ProjectDraft

Part = Literal["task", "examples"]
PARTS: dict[Part, set[str]] = {
    "task": {"pipeline"},
    "examples": {"dataset", "mapping", "split", "excluded", "synthetic"},
}


class ChangedElsewhereError(StoreError):
    """An edit was made on a state of the draft that is no longer the stored one; it was not saved."""


def state_of(draft: ProjectDraft, part: Part) -> str:
    """Return what tells two states of a part of a draft apart."""
    return hashlib.sha256(draft.model_dump_json(include=PARTS[part]).encode()).hexdigest()


def edit_seen(project_id: str, change: Change, part: Part, seen: str) -> ProjectDraft:
    """Change a draft whose part is still as it was `seen` ("": whatever it is); return the new one.

    Raises ChangedElsewhereError where another tab has changed the part since; nothing is saved then.
    """

    def checked(draft: ProjectDraft) -> ProjectDraft:
        if seen and state_of(draft, part) != seen:
            raise ChangedElsewhereError("This was changed in another tab or window in the meantime.")
        return change(draft)

    return drafts.edit(project_id, checked)
