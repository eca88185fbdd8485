"""A model by its name alone: the judges' and a step's second one. Its address and key are its provider's."""

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

    return LM(name)
