"""Models of one's own, written as DSPy's are, and what DSPy's scripts read off a model and its history."""

from __future__ import annotations

import asyncio
import copy
import io
from types import SimpleNamespace as Plain
from typing import Any

import pytest
from support.peers.dspy_peer import in_dspy
from support.servers.openai_server import OpenAIServer

import engine
from engine import runtime
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
    from engine.lm.calls.cache import Cache

    with OpenAIServer() as server:
        lm = OnTop("openai/test-model", api_base=server.url, api_key="sk-test", cache=Cache(tmp_path / "c"))
        with engine.context(lm=lm):
            assert STEP(question="q").answer == STEP(question="q").answer == "ok"
        assert server.calls == 1
    assert lm.seen[0] == 0
    assert "ok" in lm.seen[1]
    assert [call.cached for call in lm.history] == [False, True]


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
    both = engine.FallbackLM([lm])
    assert copy.deepcopy(both).lms[0] is not lm


class Holder(engine.Module):
    """Holds models, also inside other values."""

    def __init__(self, lm: engine.BaseLM) -> None:
        super().__init__()
        self.step = engine.Predict("question -> answer")
        self.step.lm = lm
        self.pair, self.by_name, self.adapter = (lm,), {"a": [lm]}, engine.TwoStepAdapter(lm)


@pytest.mark.parametrize("fallback", [False, True])
def test_what_a_model_is_in_does_not_decide_whether_it_is_copied(fallback: bool) -> None:
    lm: Any = engine.LM("openai/m")
    lm = engine.FallbackLM([lm]) if fallback else lm
    program = Holder(lm)
    for held in (copy.deepcopy((lm,))[0], copy.deepcopy([lm])[0], copy.deepcopy({"a": (lm,)})["a"][0]):
        assert (type(held), held is lm) == (type(lm), False)
    pair, listed = copy.deepcopy((lm, [lm]))
    assert pair is listed[0]
    made, other = copy.deepcopy([program, lm])
    assert other is not lm
    assert made.step.lm is made.pair[0] is made.by_name["a"][0] is lm
    assert made.adapter.extraction_model is lm


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


SAME_AS_DSPY = """
import copy
lm = library.LM("openai/test-model", "chat", 0.5, 100, api_base=url, api_key="sk-test")
step = library.Predict("question -> answer")
found = []
with library.context(lm=lm):
    for usage in (True, False):  # the second answer is the cache's
        with library.track_usage() as used:
            step(question="q")
        total = used.get_total_tokens()
        found.append([sorted(total), bool(total) and total["openai/test-model"]["total_tokens"] > 0])
lm("hello")
entry = lm.history[-1]
found.append([entry["prompt"], entry["outputs"], entry["model_type"], entry["kwargs"].get("temperature", 0.5)])
found.append([type(lm.history[-2:]).__name__, len(lm.history[-2:]), sorted(entry.keys() & {"prompt", "usage", "cost", "uuid"})])
found.append([entry["usage"]["prompt_tokens"] > 0, dict(entry)["outputs"], entry["response_model"],
              lm.kwargs["temperature"], lm.model_type, "response" in entry])
found.append([len(step.history), step.history[-1]["outputs"]])
other = copy.deepcopy(lm)
other.kwargs["temperature"] = 0.9
found.append([lm.kwargs["temperature"], lm.copy(temperature=0.1).kwargs["temperature"], lm.copy().history])

library.settings.num_threads = 3
library.configure(my_key=5, async_max_workers=2)
with library.context(my_key=6):
    found.append(library.settings.my_key)
settings = library.settings
found.append([settings.num_threads, settings.my_key, settings["async_max_workers"], settings.get("nothing", 7),
              settings.copy()["my_key"], settings.config["num_threads"], "my_key" in settings, settings.disable_history,
              settings.provide_traceback, settings.send_stream])

class Own(library.BaseLM):
    def forward(self, prompt=None, messages=None, **kwargs):
        return lm.forward(prompt=prompt, messages=messages)

own = Own("own", "chat", 0.0, 1000, True)
found.append([own.model, own.cache, own.kwargs, own.copy(rollout_id=1).kwargs["rollout_id"], own.supports_response_schema])
found.append([own.dump_state()["model"], Own.load_state(own.dump_state()).kwargs])

dummy = DummyLM([{"answer": "one"}])
with library.context(lm=dummy):
    found.append([step(question="q").answer, step(question="q").answer, len(dummy.history), len(dummy.get_convo(0))])

class Heard(library.utils.BaseCallback if hasattr(library, "utils") else library.BaseCallback):
    def on_module_start(self, call_id, instance, inputs):
        found.append(["module", inputs["kwargs"]])
    def on_lm_start(self, call_id, instance, inputs):
        found.append(["lm", inputs["prompt"], inputs["messages"][0]["role"], inputs["kwargs"]])

with library.context(lm=DummyLM([{"answer": "one"}]), callbacks=[Heard()]):
    step(question="q")
"""


def test_histories_settings_usage_and_dummies_are_as_in_dspy(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "ours"))
    default = runtime._default
    with OpenAIServer(answer=TEXT.format("ok")) as server:
        try:
            ours = {"library": engine, "DummyLM": DummyLM, "url": server.url}
            exec(SAME_AS_DSPY, ours)
            assert ours["entry"]["messages"][0]["content"] == "hello"
        finally:
            runtime._default = default
        head = f"import dspy as library\nfrom dspy.utils import DummyLM\nurl = {server.url!r}\n"
        assert in_dspy(head + SAME_AS_DSPY + "\nprint(found)", tmp_path) == str(ours["found"])
