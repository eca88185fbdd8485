"""Marks for the provider's prompt cache: where they stand, who gets them, and what they must not change."""

from __future__ import annotations

import pytest
from support.servers.openai_server import OpenAIServer

from engine import Example, Predict, context
from engine.lm.calls.cache import Cache
from engine.lm.client import KEEP, LM, marked
from engine.lm.exchange import Price, usage_of


def ask(server, **settings):
    lm = LM("openai/test-model", api_base=server.url, api_key="k", **{"cache": False, **settings})
    step = Predict("text -> label")
    step.demos = [Example(text="a", label="b")]
    with context(lm=lm):
        step(text="new")
    return server.requests[-1]["messages"]


def marks(messages):
    return [i for i, m in enumerate(messages) if "cache_control" in str(m["content"])]


def test_the_instruction_and_the_examples_are_marked_and_never_the_question():
    with OpenAIServer() as server:
        messages = ask(server, prompt_cache={"ttl": "1h"}, capabilities=("cache_marks",))
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert marks(messages) == [0, 2]
    assert messages[0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


@pytest.mark.parametrize("settings", [{}, {"prompt_cache": True}, {"capabilities": ("cache_marks",)}])
def test_nobody_else_gets_marks(settings):
    with OpenAIServer() as server:
        assert marks(ask(server, **settings)) == []


def test_marks_change_no_cache_key(tmp_path):
    cache = Cache(tmp_path / "c.db")
    with OpenAIServer() as server:
        ask(server, cache=cache)
        ask(server, cache=cache, prompt_cache=True, capabilities=("cache_marks",))
        assert server.calls == 1


def test_messages_with_parts_and_without_text():
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]
    made = marked(
        [
            {"role": "system", "content": parts},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "q"},
        ],
        KEEP,
    )
    assert made[0]["content"][1]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in parts[1]
    assert made[1]["content"] == ""
    assert marked([{"role": "user", "content": "q"}], KEEP) == ({"role": "user", "content": "q"},)


def test_what_is_written_to_and_read_from_the_providers_cache_has_its_price():
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 60},
        "cache_creation_input_tokens": 30,
    }
    found = usage_of(usage, Price(1.0, 5.0, 0.1, cache_write=1.25))
    assert found is not None
    assert found.cost == pytest.approx(10 * 1 + 60 * 0.1 + 30 * 1.25 + 10 * 5)
