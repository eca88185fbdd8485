"""Whether this dashboard may change anything. A read-only one shows runs and results, for people who only look.

`tuneboard --read-only` sets the environment variable; every door to the store and to processes asks here.
"""

from __future__ import annotations

import os

from engine.errors import StoreError
from engine.store.store import Store

ENVIRONMENT_VARIABLE = "TUNEBOARD_READ_ONLY"
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
    return Store.open()
