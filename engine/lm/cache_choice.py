"""Which cache answers are kept in, for scripts that choose one for the whole process: `configure_cache`.

Without a choice it is the one in the data folder; a model may have one of its own (`LM(cache=...)`). The dashboard and
runs never choose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.lm.base import Reply
from engine.lm.cache import Cache


class NoCache(Cache):
    """Keeps nothing: every call is made. Equal ones under way at once are still made once.

    >>> nothing = NoCache(None)
    >>> nothing.put("k", Reply(()))
    >>> nothing.get("k") is None
    True
    """

    def get(self, key: str) -> Reply | None:  # noqa: ARG002 - a cache's argument
        """Return None: nothing is kept."""
        return None

    def put(self, key: str, reply: Reply, payer: str | None = None) -> None:
        """Keep nothing."""


def configure_cache(
    enable_disk_cache: bool = True,
    enable_memory_cache: bool = True,
    disk_cache_dir: str | Path | None = None,
    **_options: Any,
) -> None:
    """Choose where every model of this process keeps its answers, other than those with a cache of their own.

    On disk they lie in `disk_cache_dir`, or in the data folder; without the disk they live as long as the process; without
    both nothing is kept. DSPy's further options (sizes, pickling) are taken and have no effect: nothing is ever pickled.

    >>> configure_cache(enable_disk_cache=False)
    >>> chosen_cache().path is None
    True
    >>> configure_cache()
    >>> chosen_cache() is None
    True
    """
    global _chosen
    if enable_disk_cache:
        _chosen = Cache(Path(disk_cache_dir) / "cache.sqlite3") if disk_cache_dir is not None else None
    else:
        _chosen = Cache(None) if enable_memory_cache else NoCache(None)


def chosen_cache() -> Cache | None:
    """Return the cache that was chosen for the process, or None for the one in the data folder."""
    return _chosen


_chosen: Cache | None = None
