"""The rights of the page's user to change something, and the store opened for it. It knows nothing of Streamlit."""

from __future__ import annotations

import os
from contextlib import suppress

from dashboard.state import users
from engine.basics.home import READ_ONLY_VARIABLE
from engine.errors import AccessError, RunError, StoreError
from engine.runs.trust import ADDRESSES, address_refusal, addresses_in, endpoint_refusal
from engine.store.store import Store

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


def writing(action: str = "", about: str = "") -> Store:
    """Open the store to write what the page's user may to it. Raises StoreError where nothing may be changed.

    What the user has no right to change raises AccessError when it is written. The audit log gets `action`, done to `about`.
    """
    check()
    store = users.opened(users.current(), read_only=False, wait=WAIT)
    store.noted = (action, about) if action else None
    return store


def note(action: str, about: str) -> None:
    """Add what changes nothing in the store to the audit log, where that can be written."""
    with suppress(StoreError), writing(action, about):
        pass


def check_endpoints(store: Store, value: object, added: object = None) -> None:
    """Raise AccessError where something would be sent for this page's user to where an administrator's models do not lead.

    It is the one door for all that leaves: runs, the child process of every page, and what is saved in a draft. `added` are
    the endpoints that are allowed instead of the models of the Settings page; without them it is sent now. Raises RunError
    then where it would go to an address that only a file from elsewhere has named.
    """
    noted = store.settings.get(ADDRESSES, []) if added is None else []
    for address in addresses_in(value):
        if reason := address_refusal(address, noted):
            raise RunError(reason)
    if users.is_administrator():
        return
    if reason := endpoint_refusal(value, store.settings.get("models", []) if added is None else added):
        raise AccessError(reason)
