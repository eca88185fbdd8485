"""What happens when a reply cannot be read: one retry with the error, then JSON, then an error. Every call is counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.adapters import ChatAdapter, JSONAdapter
from engine.errors import AdapterParseError, ProviderFailureError
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.signature import Signature

SUM = Signature("a, b -> total: int", "Add.")
GOOD = "[[ ## total ## ]]\n3\n\n[[ ## completed ## ]]"


class Scripted(BaseLM):
    """Answers from a list; keeps the requests."""

    def __init__(self, *replies: Any, schema: bool = False) -> None:
        super().__init__("scripted")
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.schema = schema

    @property
    def supports_response_format(self) -> bool:
        return self.schema

    async def complete(self, request: Request) -> Reply:
        self.requests.append(request)
        answer = self.replies.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Reply):
            return answer
        texts = answer if isinstance(answer, list) else [answer]
        return Reply(tuple(Choice(t) for t in texts))


def ask(lm: Scripted, adapter: Any = None, **params: Any) -> list[dict[str, Any]]:
    async def call(lm: BaseLM, request: Request) -> Reply:
        return await lm.complete(request)

    adapter = adapter or ChatAdapter()
    return asyncio.run(adapter.acall(call, lm, params, SUM, [], {"a": "1", "b": "2"}, rollout_id=7))


def test_a_good_reply_costs_one_call() -> None:
    lm = Scripted(GOOD)
    assert ask(lm, temperature=0.5) == [{"total": 3}]
    assert lm.requests[0].params == {"temperature": 0.5}
    assert lm.requests[0].rollout_id == 7


def test_an_unreadable_reply_is_sent_back_with_the_error() -> None:
    lm = Scripted("[[ ## total ## ]]\nthree", GOOD)
    assert ask(lm) == [{"total": 3}]
    repair = lm.requests[1].messages
    assert repair[:-2] == lm.requests[0].messages
    assert repair[-2] == {"role": "assistant", "content": "[[ ## total ## ]]\nthree"}
    assert "'total' must be a single whole number, but is 'three'" in repair[-1]["content"]


def test_then_json_is_asked_for() -> None:
    lm = Scripted("nonsense", "nonsense {braces}", '{"total": 3}', schema=True)
    assert ask(lm) == [{"total": 3}]
    assert len(lm.requests) == 3
    assert "response_format" not in lm.requests[1].params
    assert lm.requests[2].params["response_format"]["type"] == "json_schema"


def test_then_it_is_an_error_that_names_the_field() -> None:
    lm = Scripted("x", "y", '{"total": "many"}')
    with pytest.raises(AdapterParseError, match="'total' must be a single whole number"):
        ask(lm)
    assert len(lm.requests) == 3


def test_the_fallback_can_be_switched_off() -> None:
    lm = Scripted("x", "y")
    with pytest.raises(AdapterParseError):
        ask(lm, ChatAdapter(use_json_adapter_fallback=False))
    assert len(lm.requests) == 2


def test_json_retries_once_with_the_error() -> None:
    lm = Scripted("no", '{"total": 3}')
    assert ask(lm, JSONAdapter()) == [{"total": 3}]
    assert "no JSON object" in lm.requests[1].messages[-1]["content"]


def test_completions_that_can_be_read_are_kept() -> None:
    lm = Scripted([GOOD, "x", GOOD.replace("3", "4")])
    assert ask(lm, n=3) == [{"total": 3}, {"total": 4}]


def test_a_retry_asks_for_one_completion() -> None:
    lm = Scripted(["x", "y"], GOOD)
    assert ask(lm, n=2) == [{"total": 3}]
    assert "n" not in lm.requests[1].params


def test_a_reply_cut_off_says_what_to_raise() -> None:
    cut = Reply((Choice("[[ ## total ## ]]\n", finish_reason="length"),))
    with pytest.raises(AdapterParseError, match="max_tokens"):
        ask(Scripted(cut, cut), ChatAdapter(use_json_adapter_fallback=False))


def test_failures_of_the_model_are_not_repaired() -> None:
    lm = Scripted(ProviderFailureError("down"))
    with pytest.raises(ProviderFailureError):
        ask(lm)
    assert len(lm.requests) == 1
