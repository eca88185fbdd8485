"""`LM(engine=...)`: requests go to the user's own object, and to no other endpoint."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.errors import ConfigurationError, LMError
from engine.lm15 import Message, Response, TextPart, ThinkingPart, ToolCallPart, Usage

pytestmark = pytest.mark.usefixtures("home")

ANSWER = "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]"


class Own:
    """All that DSPy asks of an engine: one method."""

    def __init__(self, answer: str = ANSWER) -> None:
        self.answer = answer
        self.asked: list[object] = []

    def complete(self, request):
        self.asked.append(request)
        return Response(
            id=None,
            model="mine",
            message=Message.assistant(self.answer),
            finish_reason="stop",
            usage=Usage(input_tokens=3, output_tokens=2),
        )


class OwnAsync(Own):
    async def complete(self, request):
        return super().complete(request)


def ask(lm: engine.LM, adapter=None) -> str:
    with engine.context(lm=lm, adapter=adapter):
        return engine.Predict("question -> answer")(question="Capital of France?").answer


@pytest.mark.parametrize("adapter", [engine.ChatAdapter(), engine.JSONAdapter()])
@pytest.mark.parametrize("kind", ["engine", "async_engine"])
def test_an_engine_of_ones_own_is_asked_and_no_provider(kind, adapter, monkeypatch) -> None:
    with OpenAIServer(ANSWER) as provider:
        monkeypatch.setenv("OPENAI_API_BASE", provider.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-provider")
        answer = ANSWER if type(adapter) is engine.ChatAdapter else '{"answer": "Paris"}'
        own, other = Own(answer), OwnAsync(answer)
        lm = engine.LM(
            model="openai/gpt-4o-mini",
            engine=own,
            async_engine=other if kind == "async_engine" else None,
            temperature=0.5,
            seed=3,
        )
        assert ask(lm, adapter) == "Paris"
        assert ask(lm.copy(temperature=0.7), adapter) == "Paris"
        assert ask(copy.deepcopy(lm).copy(rollout_id=3), adapter) == "Paris"
        assert not provider.requests
    asked, silent = (own, other) if kind == "engine" else (other, own)
    assert (len(asked.asked), len(silent.asked)) == (3, 0)
    request = asked.asked[0]
    assert (request.model, request.config.temperature, request.config.seed) == ("openai/gpt-4o-mini", 0.5, 3)
    assert "`answer`" in request.system
    assert [m.role for m in request.messages] == ["user"]
    assert "Capital of France?" in request.messages[0].text
    assert request.config.extensions is None


def test_a_call_is_cached_counted_and_in_the_history() -> None:
    own = Own()
    lm = engine.LM("mine", engine=own)
    with engine.context(lm=lm), engine.track_usage() as usage:
        step = engine.Predict("question -> answer")
        step(question="a")
        step(question="a")
    assert len(own.asked) == 1
    assert usage.get_total_tokens()["mine"]["total_tokens"] == 5
    assert len(lm.history) == 2
    assert [len(lm("b", n=3)), len(own.asked)] == [3, 4]


def test_reasoning_pictures_and_calls_of_tools_come_through() -> None:
    class Thinks(Own):
        def complete(self, request):
            self.asked.append(request)
            parts = [ThinkingPart("Hm."), TextPart("Yes."), ToolCallPart("1", "look", {"at": 2})]
            return Response(None, "mine", Message.assistant(parts), "tool_call", Usage())

    own = Thinks()
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "See:"}, picture]}]
    (found,) = engine.LM("mine", engine=own)(messages=messages, cache=False)
    assert (found["text"], found["reasoning_content"]) == ("Yes.", "Hm.")
    assert found["tool_calls"][0]["function"]["name"] == "look"
    assert own.asked[0].messages[0].parts == (TextPart("See:"), picture)


def test_what_an_engine_raises_is_the_error() -> None:
    class Broken:
        def complete(self, request):
            raise OSError("no weights")

    with pytest.raises(LMError, match=r"Broken, the engine of 'mine', failed: OSError\('no weights'\)"):
        engine.LM("mine", engine=Broken())("hi")


def test_no_other_endpoint_is_asked_instead(tmp_path: Path) -> None:
    own = Own()
    refused = {
        "engine is 'auto', 'litellm', or an object with complete": {"engine": object()},
        "with complete.Request. -> Response, not <object": {"engine": own, "async_engine": object()},
        "async_engine goes with engine=": {"async_engine": own},
        "api_key is of a connection that the engine has itself": {"engine": own, "api_key": "sk-1"},
        "provider trains models": {"provider": object()},
    }
    for match, arguments in refused.items():
        with pytest.raises(ConfigurationError, match=match):
            engine.LM("openai/m", **arguments)
    lm = engine.LM("openai/m", engine=own)
    program = engine.Predict("question -> answer")
    program.lm = lm
    for save in (lambda: program.save(tmp_path / "p.json"), lm.dump_state, lambda: pickle.dumps(lm)):
        with pytest.raises(ConfigurationError, match="engine of your own, which cannot be saved"):
            save()
    assert lm.copy(engine="auto").route.host == "api.openai.com"
