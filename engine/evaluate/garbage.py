"""Keeps Python's cycle collector off what was there before an evaluation.

A thousand rows make enough objects for full collections, and each of those walks through every imported module: tens of
milliseconds in which no row goes on. What rows leave behind themselves is collected as always.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_frozen_by_others: bool | None = None
"""Found out once: to count what is frozen takes as long as there are objects."""


@contextmanager
def older_objects_left_alone() -> Iterator[None]:
    """Leave the objects that are there now out of collections inside the `with` block; the blocks may overlap.

    In a process that had frozen its objects for good before the first block nothing is done: there it is so already.

    >>> import gc
    >>> with older_objects_left_alone():
    ...     gc.get_freeze_count() > 0
    True
    >>> gc.get_freeze_count()
    0
    """
    global _inside, _frozen_by_others
    with _lock:
        if _frozen_by_others is None:
            _frozen_by_others = gc.get_freeze_count() > 0
        _inside += 1
        if _inside == 1 and not _frozen_by_others:
            gc.freeze()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and not _frozen_by_others:
                gc.unfreeze()
