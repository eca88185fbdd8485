"""A model by its name alone: a judge's, a step's own. Its address and its key are its provider's."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.lm.base import BaseLM


@lru_cache(maxsize=32)
def named_lm(name: str) -> BaseLM:
    """Return the model of a name, the same one every time, so that its limits and its connection are shared.

    Raises ConfigurationError for no name.

    >>> named_lm("offline/learner") is named_lm("offline/learner")
    True
    """
    from engine.lm.client import LM  # brings the network in

    # The offline model is quick, free and always answers the same: keeping its answers would only fill the disk.
    return LM(name, cache=not name.startswith("offline/"))
