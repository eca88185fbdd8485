"""What callers are told when an answer fails: one sentence, never a traceback. It knows errors only."""

from __future__ import annotations

import logging

from engine.errors import EngineError

TOO_SLOW = "The answer took too long."

_log = logging.getLogger(__name__)


def sentence(error: Exception) -> str:
    """Return an error as callers may read it; one that is not the engine's own is only told in the service's log.

    >>> sentence(TimeoutError())
    'The answer took too long.'
    """
    if isinstance(error, EngineError):
        return str(error)
    if isinstance(error, TimeoutError):
        return TOO_SLOW
    _log.error("The program failed.", exc_info=error)
    return "The program failed. The service's own log says why."
