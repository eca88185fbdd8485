"""Memory given back to the system after a large file was read: what Arrow and C's allocator keep for later use."""

from __future__ import annotations

import ctypes
import gc
import sys

LARGE = 8_000_000
"""Bytes of a file after which it pays: it takes some 50 ms."""

_TRIM_THRESHOLD = -1  # glibc's number of the setting
_KEPT = 1_000_000


def keep_little() -> None:
    """Have C's allocator keep at most 1 MB at the end of each of its heaps, of which threads share up to eight a core.

    Left alone, glibc keeps twice the largest block that was ever freed, 41 MB after a table of 10 MB, and
    `release_memory` gives it back in the main thread's heap only. Call it before large blocks are made.
    """
    _allocator("mallopt", _TRIM_THRESHOLD, _KEPT)


def release_memory() -> None:
    """Give unused memory back to the system. Memory that is still in use stays.

    Measured on a table of 60 MB: profiling leaves 190 MB in Arrow's pool, of which it uses none any more.
    """
    gc.collect()
    if "pyarrow" in sys.modules:
        import pyarrow as pa

        pa.default_memory_pool().release_unused()
    _allocator("malloc_trim", 0)


def _allocator(function: str, *values: int) -> None:
    """Call a function of glibc's allocator; other C libraries have none like it."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), function):
        getattr(ctypes.CDLL(None), function)(*values)
