"""Whether this dashboard may change anything. A read-only one shows runs and results, for people who only look.

`tuneboard --read-only` sets the environment variable; every door to the store and to processes asks here.
"""

from __future__ import annotations

import os

from engine.errors import StoreError
from engine.home import data_home
from engine.store.store import FILE_NAME, Store

ENVIRONMENT_VARIABLE = "TUNEBOARD_READ_ONLY"
WAIT = 5.0
"""Seconds that a click waits for another program to let go of the database."""
SENTENCE = "This is a read-only look: nothing can be changed or started here."


def read_only() -> bool:
    """Return whether nothing may be changed."""
    return os.environ.get(ENVIRONMENT_VARIABLE, "") not in ("", "0")


def check() -> None:
    """Raise StoreError where nothing may be changed."""
    if read_only():
        raise StoreError(SENTENCE)


def writing() -> Store:
    """Open the store to write to it. Raises StoreError where nothing may be changed."""
    check()
    return Store(data_home() / FILE_NAME, busy_seconds=WAIT)
