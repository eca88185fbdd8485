"""Replies as rows of the call cache, and back: JSON text and a few plain columns, nothing that is executed."""

from __future__ import annotations

import time
from typing import Any

import orjson

from engine.lm.base import Choice, Reply
from engine.records import Usage


def row_of(key: str, reply: Reply, payer: str | None) -> tuple[Any, ...]:
    """Return the row that `INSERT` writes for a reply."""
    usage = reply.usage
    return (
        key,
        reply.model,
        _written(reply),
        payer,
        time.time(),
        usage.calls,
        usage.input_tokens,
        usage.output_tokens,
        usage.cost,
    )


def reply_of(key: str, row: tuple[Any, ...]) -> Reply:
    """Return the reply of a row of `SELECT`. Raises ValueError, KeyError or TypeError for one that is damaged."""
    model, text, paid_by, calls, tokens_in, tokens_out, cost = row
    data = orjson.loads(text)
    choices = tuple(
        [
            Choice(
                c["text"],
                c["finish"],
                c.get("reasoning"),
                tuple(c.get("tool_calls", ())),
                c.get("logprobs"),
                tuple(c.get("citations", ())),
            )
            for c in data["choices"]
        ]
    )
    return Reply(
        choices, Usage(calls, 0, tokens_in, tokens_out, cost), model, data["seconds"], True, key, paid_by
    )


def _written(reply: Reply) -> str:
    choices: list[dict[str, Any]] = []
    for choice in reply.choices:
        entry: dict[str, Any] = {"text": choice.text, "finish": choice.finish_reason}
        if choice.reasoning is not None:
            entry["reasoning"] = choice.reasoning
        if choice.tool_calls:
            entry["tool_calls"] = [dict(call) for call in choice.tool_calls]
        if choice.logprobs is not None:
            entry["logprobs"] = choice.logprobs
        if choice.citations:
            entry["citations"] = [dict(citation) for citation in choice.citations]
        choices.append(entry)
    data = {"choices": choices, "seconds": reply.seconds}
    return orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


SELECT = "SELECT model, reply, payer, calls, input_tokens, output_tokens, cost FROM replies WHERE key = ?"
INSERT = (
    "INSERT OR REPLACE INTO replies"
    " (key, model, reply, payer, created_at, calls, input_tokens, output_tokens, cost)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
