"""Models of one's own, written as DSPy's are, and what DSPy's scripts read off a model and its history."""

from __future__ import annotations

import asyncio
import copy
import io
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
    total = used.get_total_tokens()["mine"]
    assert total["calls"] == (2 if isinstance(lm, Called) else 3)
    if not isinstance(lm, Called):
        assert total["prompt_tokens"] == 15
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


def test_a_model_of_ones_own_is_copied_saved_and_loaded() -> None:
    class Own(Forward):
        extra = "shared"

    lm = Own("mine", "chat", 0.5, 100, False)
    lm("hi")
    other = lm.copy(temperature=None, rollout_id=3, extra="own")
    assert (other.params, other.history, other.extra) == (
        {"max_tokens": 100, "rollout_id": 3, "extra": "own"},
        [],
        "shared",
    )
    other.kwargs["max_tokens"] = 7
    assert (lm.kwargs["max_tokens"], len(lm.history), lm.cache) == (100, 1, False)
    again = Own.load_state({**lm.dump_state(), "_dspy_lm_class": "x.Own"})
    assert (type(again), again.model, again.params, again.cache) == (Own, "mine", lm.params, False)
    assert DummyLM([{"answer": "1"}]).copy()("hi") == [TEXT.format("1")]


def test_a_deep_copy_of_a_model_is_its_own_and_a_programs_is_shared() -> None:
    lm = engine.LM("openai/m", temperature=0.5)
    other = copy.deepcopy(lm)
    other.kwargs["temperature"] = 0.9
    assert lm.kwargs == {"temperature": 0.5}
    step = engine.Predict("question -> answer")
    step.lm = lm
    assert copy.deepcopy(step).lm is lm
    assert copy.deepcopy([step, lm])[1] is lm
    both = engine.FallbackLM([lm])
    assert copy.deepcopy(both).lms[0] is not lm


def test_a_model_says_what_it_takes_by_dspys_names() -> None:
    class Schema(Forward):
        supports_response_schema = True

        def forward(self, prompt=None, messages=None, **params):
            self.asked = params
            return {"choices": [{"message": {"content": '{"answer": "yes"}'}}]}

    lm = Schema("mine")
    with engine.context(lm=lm, adapter=engine.JSONAdapter()):
        assert STEP(question="q").answer == "yes"
    assert lm.asked["response_format"]["type"] == "json_schema"
    assert {"response_format", "temperature"} <= lm.supported_params
    assert "tools" not in lm.supported_params
    assert "tools" in engine.LM("openai/gpt-4o-mini").supported_params


def test_probabilities_are_on_the_prediction() -> None:
    found = {"content": [{"token": "ok", "logprob": -0.1}]}
    message = {"role": "assistant", "content": TEXT.format("ok")}
    reply = {"choices": [{"message": message, "finish_reason": "stop", "logprobs": found}], "model": "m"}
    with OpenAIServer(answer=lambda body: reply) as server:
        lm = engine.LM("openai/m", api_base=server.url, api_key="k", cache=False, logprobs=True)
        with engine.context(lm=lm):
            assert STEP(question="q").logprobs == found
        assert server.requests[-1]["logprobs"] is True


def test_an_error_says_what_it_knows_of_the_provider() -> None:
    body = {"error": {"message": "Slow down.", "code": "tokens"}}
    with OpenAIServer() as server:
        server.fail_with(429, body, headers={"x-request-id": "req_7"})
        lm = engine.LM("openai/m", api_base=server.url, api_key="k", cache=False, num_retries=0)
        with pytest.raises(engine.LMError) as caught:
            lm("hi")
    error = caught.value
    assert (error.code, error.provider, error.provider_code, error.request_id) == (
        "rate_limit",
        "openai",
        "tokens",
        "req_7",
    )
    assert (error.status, error.model) == (429, "openai/m")
    assert "Slow down." in error.message


def test_a_program_and_its_steps_know_their_calls() -> None:
    class Two(engine.Module):
        def __init__(self):
            self.first = engine.Predict("question -> answer")
            self.second = engine.ChainOfThought("question -> answer")

        def forward(self, question):
            return self.second(question=self.first(question=question).answer)

    program, other = Two(), Two()
    lm = DummyLM([{"reasoning": "r", "answer": str(i)} for i in range(30)])
    with engine.context(lm=lm):
        assert program.history == []
        program(question="a")
        asyncio.run(other.acall(question="b"))
        program.batch([engine.Example(question=str(i)).with_inputs("question") for i in range(4)])
    assert (len(program.history), len(program.first.history), len(program.second.predict.history)) == (
        10,
        5,
        5,
    )
    assert (len(other.history), len(other.second.history)) == (2, 1)
    assert program.history[-1] in lm.history
    assert program.first.history[0]["messages"][-1]["content"].startswith("[[ ## question ## ]]\na")
    shown = io.StringIO()
    other.inspect_history(9, file=shown)
    assert shown.getvalue().count("=== dummy") == 2
    program.history = "its own"
    assert program.history == "its own"
    assert copy.deepcopy(other).history == []
