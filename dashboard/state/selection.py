"""The selection of a page: one frozen value that is written into its address.

Every view is a link: `Selection.from_params(address)` and `selection.params()` are each other's inverse.
It knows nothing of Streamlit; `dashboard.components.page` connects it to the browser.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from dashboard.state import users
from engine.errors import StoreError
from engine.home import READ_ONLY_VARIABLE
from engine.store.store import Store

LONGEST = 120


@dataclass(frozen=True, slots=True)
class Selection:
    """The project, the run, and what of the run is shown; "" means: nothing chosen.

    `left` and `right` are candidate ids to compare, `rows` a filter's name, `row` a row's number.

    >>> chosen = Selection.from_params({"project": "a1", "run": "b2", "theme": "dark"})
    >>> chosen.run, chosen.params()
    ('b2', {'project': 'a1', 'run': 'b2'})
    """

    project: str = ""
    run: str = ""
    left: str = ""
    right: str = ""
    rows: str = ""
    row: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> Selection:
        """Read an address's parameters. What is unknown, no text or absurdly long is left out."""
        known = {f.name for f in fields(cls)}
        return cls(
            **{k: v for k, v in params.items() if k in known and isinstance(v, str) and len(v) <= LONGEST}
        )

    def params(self) -> dict[str, str]:
        """Return the parameters for an address: only what is chosen."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}

    def with_(self, **changes: str) -> Selection:
        """Return a copy with some choices changed."""
        return replace(self, **changes)


WAIT = 5.0
"""Seconds that a click waits for another program to let go of the database."""
SENTENCE = "This is a read-only look: nothing can be changed or started here."


def read_only(project_id: str | None = None) -> bool:
    """Return whether nothing may be changed in a project: the page's own without an id, that of new ones with "".

    That is so in a read-only dashboard, and for viewers of the project.
    """
    whole = os.environ.get(READ_ONLY_VARIABLE, "") not in ("", "0")
    return whole or (project_id != "" and users.only_views(project_id))


def check() -> None:
    """Raise StoreError where nothing may be changed at all."""
    if read_only(""):
        raise StoreError(SENTENCE)


def writing() -> Store:
    """Open the store to write what the page's user may to it. Raises StoreError where nothing may be changed.

    What the user has no right to change raises AccessError when it is written.
    """
    check()
    return users.opened(users.current(), read_only=False, wait=WAIT)
