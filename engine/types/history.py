"""`History`: the earlier turns of a conversation, as an input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, model_validator

from engine.errors import ConfigurationError
from engine.types.base import Type


class History(Type):
    """Earlier turns, oldest first, each a dict of the signature's fields; shown as turns before the current inputs.

    A signature has one at most, among its inputs.

    >>> len(History(messages=[{"question": "Who wrote it?", "answer": "Ada"}]).messages)
    1
    """

    messages: list[dict[str, Any]]

    def __init__(self, messages: Any = None, **more: Any) -> None:
        super().__init__(**({} if messages is None else {"messages": messages}), **more)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {"messages": list(value)}
        return dict(value) if isinstance(value, Mapping) else value


def history_of(value: Any) -> list[dict[str, Any]]:
    """Return the turns of a History, of its saved form, or of none. Raises ConfigurationError for anything else."""
    if value is None:
        return []
    try:
        return (value if isinstance(value, History) else History.model_validate(value)).messages
    except ValidationError:
        raise ConfigurationError(
            f"A history is a list of dicts of field values, not {type(value).__name__}. Use History(messages=[...])."
        ) from None
