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
_ours = False


@contextmanager
def older_objects_left_alone() -> Iterator[None]:
    """Leave the objects that are there now out of collections inside the `with` block; the blocks may overlap.

    A process that has frozen its objects for good keeps them frozen.

    >>> import gc
    >>> with older_objects_left_alone():
    ...     gc.get_freeze_count() > 0
    True
    >>> gc.get_freeze_count()
    0
    """
    global _inside, _ours
    with _lock:
        _inside += 1
        if _inside == 1 and gc.get_freeze_count() == 0:
            gc.freeze()
            _ours = True
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _ours:
                gc.unfreeze()
                _ours = False
