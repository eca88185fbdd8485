"""What happens when a reply cannot be read: one retry with the error, then JSON, then an error. Every call is counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.servers.openai_server import OpenAIServer

from engine import Evaluate, ExactMatch, Example, Predict, context
from engine.adapters import ADAPTERS, Adapter, ChatAdapter, JSONAdapter, TwoStepAdapter, XMLAdapter
from engine.errors import AdapterParseError, ProviderFailureError
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.lm.client import LM
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
    return asyncio.run(adapter.ask(call, lm, params, SUM, [], {"a": "1", "b": "2"}, rollout_id=7))


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


SORT = Signature("text -> label: Literal['bug', 'wish'], stars: int", "Sort.")
HALF = {
    "chat": "[[ ## label ## ]]\nbug\n\n[[ ## sta",
    "json": '{"label": "bug", "sta',
    "xml": "<label>bug</label><sta",
    "two_step": "[[ ## label ## ]]\nbug\n\n[[ ## sta",
}
BAD = {
    "empty": (" ", "empty"),
    "refusal": ("I'm sorry, but I can't help with that.", "no"),
    "half": (None, "'stars'"),
    "enum": (
        {"label": "question", "stars": 3},
        "'label' must be exactly one of: bug; wish, but is 'question'",
    ),
    "huge": ({"label": "bug", "stars": "7" * 100_000}, "'stars' must be a single whole number, but is '777"),
}


def laid_out(adapter: Adapter, reply: Any) -> str:
    """What a model writes in an adapter's layout; a two-step answer is read from the second call's."""
    if isinstance(reply, dict):
        name = "chat" if adapter.name == "two_step" else adapter.name
        return next(a for a in ADAPTERS if a.name == name)().answer(SORT, reply)
    return HALF["json" if adapter.name == "baml" else adapter.name] if reply is None else str(reply)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("adapter", [a() for a in ADAPTERS], ids=lambda a: a.name)
def test_a_bad_reply_is_that_rows_named_error_and_the_rest_goes_on(adapter: Adapter, kind: str) -> None:
    reply, words = BAD[kind]
    text = laid_out(adapter, reply)
    good = laid_out(adapter, {"label": "bug", "stars": 3})

    def answer(body: dict[str, Any]) -> str:
        return text if "ROW-BAD" in str(body["messages"]) else good

    def free(body: dict[str, Any]) -> str:
        asked = str(body["messages"])
        extracting = "free_answer" in asked
        if kind != "empty" and not extracting and "JSON object" not in asked:
            return "ROW-BAD" if "ROW-BAD" in asked else "It is a bug, with three stars."
        return answer(body)

    rows = [
        Example(text=t, label="bug", stars=3).with_inputs("text") for t in ("one", "ROW-BAD", "two", "three")
    ]
    with OpenAIServer(answer=free if adapter.name == "two_step" else answer) as server:
        lm = LM("openai/test-model", api_base=server.url, api_key="k", cache=False, num_retries=0)
        with context(lm=lm, adapter=adapter):
            result = Evaluate(devset=rows, metric=ExactMatch(field="label"))(Predict(SORT))
        bad = result.outcomes[1]
        assert [o.score for o in result.outcomes] == [1.0, 0.0, 1.0, 1.0]
        assert bad.error is not None
        assert words in bad.error
        assert len(bad.error) < 1000
        assert "Asked" in bad.error
        usual = 2 if adapter.name == "two_step" else 1
        assert [o.usage.calls for o in result.outcomes if o is not bad] == [usual] * 3
        assert bad.usage.calls == server.calls - 3 * usual
        assert 2 <= bad.usage.calls <= 4
    # What is sent back with the error is cut, so that one bad reply does not cost a fortune.
    assert max(len(str(m["content"])) for body in server.requests for m in body["messages"]) < 120_000


@pytest.mark.parametrize("adapter", [XMLAdapter(), ChatAdapter()], ids=lambda a: a.name)
def test_the_error_then_json_for_every_text_layout(adapter: Adapter) -> None:
    lm = Scripted("nonsense", "more", '{"total": 3}')
    assert ask(lm, adapter) == [{"total": 3}]
    assert "The reply has no 'total'" in lm.requests[1].messages[-1]["content"]
    assert "JSON object" in lm.requests[2].messages[-1]["content"]


def test_the_last_error_says_how_often_was_asked() -> None:
    with pytest.raises(AdapterParseError, match="Asked 3 times, the last time for JSON"):
        ask(Scripted("x", "y", "z"), XMLAdapter())
    with pytest.raises(AdapterParseError, match=r"Asked 2 times\."):
        ask(Scripted("x", "y"), JSONAdapter())
    with pytest.raises(AdapterParseError, match="Asked 2 times, the last time for JSON"):
        ask(Scripted("free", "z"), TwoStepAdapter(Scripted("x", "y")))


def test_an_empty_reply_is_sent_back_as_something() -> None:
    lm = Scripted("", GOOD)
    assert ask(lm) == [{"total": 3}]
    assert lm.requests[1].messages[-2]["content"].strip()


def test_a_long_reply_is_cut_when_it_is_sent_back() -> None:
    lm = Scripted("9" * 100_000, GOOD)
    assert ask(lm) == [{"total": 3}]
    sent = lm.requests[1].messages[-2]["content"]
    assert len(sent) < 9000
    assert "characters left out" in sent


@pytest.mark.parametrize("reason", ["refusal", "content_filter"])
def test_a_refusal_is_called_one(reason: str) -> None:
    refused = Reply((Choice("I cannot help with that.", finish_reason=reason),))
    with pytest.raises(AdapterParseError, match="The model refused to answer"):
        ask(Scripted(refused, refused), JSONAdapter())
