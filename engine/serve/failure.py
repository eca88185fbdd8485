"""What callers are told when an answer fails: one sentence, never a traceback. It knows errors only."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, Field

from engine.errors import EngineError

TOO_SLOW = "The answer took too long."

_log = logging.getLogger(__name__)


class Failure(BaseModel):
    """What comes in place of an answer."""

    error: str = Field(description="What is wrong and what to do, in one sentence.")
    kind: str | None = Field(None, description="The error's name, where the program or its model failed.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in {
        401: "The service's token is missing or wrong.",
        413: "The request is too big.",
        422: "The request does not fit the program's inputs.",
        500: "The program failed.",
        502: "The model failed, or its answer could not be read.",
        503: "The service is not set up to answer.",
        504: "The answer took too long.",
    }.items()
}
"""Every failure a caller can meet, as the OpenAPI page shows it."""


def wrong_request(problems: Collection[Mapping[str, Any]], inputs: Collection[str]) -> str:
    """Return what is wrong with a request in one sentence; `problems` are pydantic's.

    >>> wrong_request([{"type": "extra_forbidden", "loc": ("body", "colour"), "msg": ""}], ["copy", "count"])
    "The request is wrong. It has a field 'colour', which the program does not take. Its inputs: copy, count."
    """
    told = [_told(one, inputs) for one in problems]
    return f"The request is wrong. {' '.join(told)}"


def _told(problem: Mapping[str, Any], inputs: Collection[str]) -> str:
    kind, message = problem["type"], str(problem["msg"])
    where = ".".join(str(part) for part in problem["loc"] if part != "body")
    names = ", ".join(inputs)
    if kind == "json_invalid":
        reason = problem.get("ctx", {}).get("error", message)
        return f"It is no JSON: {reason} at character {where}."
    if not where:
        return f"It must be one JSON object with the inputs: {names}."
    if kind == "missing":
        return f"The field {where!r} is missing."
    if kind == "extra_forbidden":
        return f"It has a field {where!r}, which the program does not take. Its inputs: {names}."
    return f"The field {where!r} does not fit: {message[:1].lower()}{message[1:]}."


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
