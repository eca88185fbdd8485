"""Several models in order: the next is asked when one fails for good, over real HTTP."""

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.errors import ConfigurationError, InvalidRequestError, LMError
from engine.testing import ScriptedLM

REPLY = "[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]"


def model(server, name, **settings):
    settings = {"cache": False, "api_key": "k", "num_retries": 0, **settings}
    return engine.LM(f"openai/{name}", api_base=server.url, **settings)


def test_the_next_model_is_asked_with_its_own_settings():
    with OpenAIServer(answer=REPLY) as server:
        server.fail_with(400, {"error": {"message": "refused by the content filter"}}, times=1)
        lm = engine.FallbackLM(
            [model(server, "first", temperature=0.1), model(server, "second", temperature=0.9, max_tokens=50)]
        )
        with engine.context(lm=lm):
            assert engine.Predict("question -> answer", stop=["x"])(question="?").answer == "yes"
        first, second = server.requests
    assert (first["model"], first["temperature"], first["stop"]) == ("first", 0.1, ["x"])
    assert "max_tokens" not in first
    assert (second["model"], second["temperature"], second["max_tokens"]) == ("second", 0.9, 50)


def test_retries_come_before_the_next_model():
    with OpenAIServer(answer=REPLY) as server:
        server.fail_with(503, headers={"Retry-After": "0"}, times=2)
        lm = engine.FallbackLM([model(server, "first", num_retries=1), model(server, "second")])
        lm("hello")
        assert [r["model"] for r in server.requests] == ["first", "first", "second"]


def test_when_all_fail_every_model_is_named():
    with OpenAIServer(answer=REPLY) as server:
        server.fail_with(400)
        lm = engine.FallbackLM([model(server, "first"), model(server, "second")])
        with pytest.raises(InvalidRequestError) as error:
            lm("hello")
    assert str(error.value).startswith("No model answered. openai/first: ")
    assert "openai/second: " in str(error.value)


def test_a_model_without_a_key_is_passed_over(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    lm = engine.FallbackLM([engine.LM("openai/gpt-4o-mini", cache=False), ScriptedLM(["hello"])])
    assert lm("Hi") == ["hello"]


def test_other_errors_are_not_hidden():
    lm = engine.FallbackLM([ScriptedLM([ValueError("a bug")]), ScriptedLM(["hello"])])
    with pytest.raises(ValueError, match="a bug"):
        lm("Hi")
    with pytest.raises(LMError):
        engine.FallbackLM([ScriptedLM([])])("Hi")
    with pytest.raises(ConfigurationError, match="at least one"):
        engine.FallbackLM([])


def test_usage_is_that_of_the_model_that_answered():
    with OpenAIServer(answer=REPLY) as server, engine.track_usage() as tracker:
        server.fail_with(400, times=1)
        engine.FallbackLM([model(server, "first"), model(server, "second")])("hello")
        assert {name: n["calls"] for name, n in tracker.get_total_tokens().items()} == {"openai/second": 1}


def test_a_program_is_copied_with_its_models():
    lm = engine.FallbackLM([ScriptedLM(["a"])])
    step = engine.Predict("question -> answer")
    step.lm = lm
    assert step.deepcopy().lm is lm
