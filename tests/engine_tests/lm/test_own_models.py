"""Models of one's own, written as DSPy's are, and what DSPy's scripts read off a model and its history."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace as Plain
from typing import Any

import pytest
from openai_server import OpenAIServer

import engine
from engine.errors import ConfigurationError
from engine.testing import DummyLM

TEXT = "[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]"
STEP = engine.Predict("question -> answer")


def response(text: str) -> Any:
    message = Plain(content=TEXT.format(text), role="assistant")
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return Plain(choices=[Plain(message=message, finish_reason="stop")], usage=usage, model="mine-2")


class Forward(engine.BaseLM):
    def forward(self, prompt=None, messages=None, **params):
        assert prompt is None
        assert messages[-1]["role"] == "user"
        return response(f"plain {params.get('temperature')}")


class Awaited(engine.BaseLM):
    async def aforward(self, prompt=None, messages=None, **params):
        await asyncio.sleep(0)
        return response("awaited")


class Called(engine.BaseLM):
    def __call__(self, prompt=None, messages=None, **params):
        return [TEXT.format("called")]


class OnTop(engine.LM):
    """A subclass of LM that does something before and after."""

    def forward(self, prompt=None, messages=None, **params):
        found = super().forward(prompt=prompt, messages=messages, **params)
        self.seen = (found.usage.total_tokens, found["choices"][0].message.content)
        return found


@pytest.mark.parametrize(
    ("lm", "answer"),
    [
        (Forward(model="mine", temperature=0.25), "plain 0.25"),
        (Awaited("mine", "chat", 0.0, 100, True), "awaited"),
        (Called("mine"), "called"),
    ],
)
def test_a_model_may_answer_as_dspys_do(lm: engine.BaseLM, answer: str) -> None:
    with engine.context(lm=lm), engine.track_usage() as used:
        assert STEP(question="q").answer == answer
        assert asyncio.run(STEP.acall(question="q")).answer == answer
        assert lm("hi") == [TEXT.format(answer)]
    name = "mine" if isinstance(lm, Called) else "mine-2"
    assert used.get_total_tokens()[name]["calls"] == (2 if name == "mine" else 3)
    if name == "mine-2":
        assert used.get_total_tokens()[name]["prompt_tokens"] == 15
        assert [call["usage"]["total_tokens"] for call in lm.history] == [7, 7, 7]


def test_a_model_on_top_of_lm_keeps_its_cache_and_history(tmp_path) -> None:
    from engine.lm.cache import Cache

    with OpenAIServer() as server:
        lm = OnTop("openai/test-model", api_base=server.url, api_key="sk-test", cache=Cache(tmp_path / "c"))
        with engine.context(lm=lm):
            assert STEP(question="q").answer == STEP(question="q").answer == "ok"
        assert server.calls == 1
    assert lm.seen[0] == 0
    assert "ok" in lm.seen[1]
    assert [call.cached for call in lm.history] == [False, True]


def test_what_dspys_scripts_read_off_a_model() -> None:
    with OpenAIServer() as server:
        lm = engine.LM(
            "openai/test-model", api_base=server.url, api_key="sk-test", cache=False, temperature=0.5
        )
        lm("hello")
        entry = lm.history[-1]
    assert {"prompt", "messages", "kwargs", "response", "outputs", "usage", "cost", "uuid", "model"} <= set(
        entry
    )
    assert entry["usage"]["prompt_tokens"] > 0
    assert entry["messages"][0]["content"] == "hello"
    assert entry.get("response_model") == "test-model"
    assert entry["model_type"] == "chat"
    assert dict(entry)["outputs"] == ["ok"]
    assert lm.kwargs == {"temperature": 0.5}
    assert lm.model_type == "chat"
    assert lm.cache is False


def test_what_is_no_model_says_what_to_define() -> None:
    class Nothing(engine.BaseLM):
        pass

    class Odd(engine.BaseLM):
        def forward(self, prompt=None, messages=None, **params):
            return "only a text"

    with pytest.raises(ConfigurationError, match="Nothing cannot answer: define complete"):
        Nothing("n")("hi")
    with pytest.raises(
        ConfigurationError, match=r"Odd\.forward returned a str that is no response: return one with"
    ):
        Odd("o")("hi")


def test_a_history_is_a_bounded_list_that_can_be_sliced_and_copied() -> None:
    lm = DummyLM([{"answer": str(i)} for i in range(9)])
    with engine.context(max_history_size=4):
        for i in range(9):
            lm(f"hello {i}")
    assert isinstance(lm.history, list)
    assert [entry["prompt"] for entry in lm.history[-3:]] == ["hello 6", "hello 7", "hello 8"]
    assert len(lm.history) == 4
    entry = lm.history[-1]
    assert entry["prompt"] == "hello 8"
    assert type(entry.copy()) is dict
    assert list(entry.keys()) == list(entry.copy())
    assert lm.history.copy()[0] is lm.history[0]


def test_a_dummys_calls_are_in_the_histories_and_a_used_up_one_answers_as_dspys(capsys) -> None:
    lm = DummyLM([{"answer": "one"}])
    with engine.context(lm=lm):
        assert STEP(question="q").answer == "one"
        assert STEP(question="q").answer == "No more responses"
        engine.inspect_history(2)
    assert "No more responses" in capsys.readouterr().out
    messages, outputs = lm.get_convo(-2)
    assert messages[-1]["role"] == "user"
    assert outputs == [TEXT.format("one")]
    assert lm.history[-1]["kwargs"] == lm.kwargs
