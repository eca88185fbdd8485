"""Marks that tell a provider what of a prompt to keep in its own cache.

Most providers keep long prompts by themselves; some (Claude's) only from one mark to the next. The mark changes the price
of a call and never its answer, so it is put on when a request is sent and is no part of the call cache's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.lm.base import Message

KEEP: Mapping[str, Any] = {"type": "ephemeral"}


def marked(messages: Sequence[Message], mark: Mapping[str, Any]) -> tuple[Message, ...]:
    """Return messages with a mark behind the system message and behind the last turn before the question.

    What stands before these is the same for every row: the instruction and the demonstrations.

    >>> marked(({"role": "system", "content": "Sort."}, {"role": "user", "content": "x"}), KEEP)[0]["content"]
    [{'type': 'text', 'text': 'Sort.', 'cache_control': {'type': 'ephemeral'}}]
    """
    places = {i for i, message in enumerate(messages) if message.get("role") in ("system", "developer")}
    fixed = {max(places)} if places else set()
    asking = [i for i, message in enumerate(messages) if message.get("role") == "user"]
    if asking and asking[-1] > 0:
        fixed.add(asking[-1] - 1)
    return tuple(
        {**message, "content": _marked(message.get("content"), mark)} if i in fixed else message
        for i, message in enumerate(messages)
    )


def _marked(content: Any, mark: Mapping[str, Any]) -> Any:
    if isinstance(content, str):
        # An empty text may carry no mark.
        return (
            [{"type": "text", "text": content, "cache_control": dict(mark)}] if content.strip() else content
        )
    if isinstance(content, list) and content and isinstance(content[-1], Mapping):
        return [*content[:-1], {**content[-1], "cache_control": dict(mark)}]
    return content
