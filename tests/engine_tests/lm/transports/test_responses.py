"""Models asked by way of /responses and /completions: requests, replies, streams, failures, usage, cache."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import pydantic
import pytest
from support.peers.dspy_peer import in_dspy
from support.servers.openai_server import OpenAIServer
from support.servers.responses_form import call, message

import engine
from engine import loop
from engine.errors import (
    BadReplyError,
    ContextWindowExceededError,
    InvalidRequestError,
    ProviderFailureError,
    RateLimitedError,
)
from engine.lm import streaming
from engine.lm.calls.cache import Cache

STEP = engine.Predict("question -> answer")
TEXT = "[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]"


@pytest.fixture
def server():
    with OpenAIServer() as server:
        yield server


def model(server: OpenAIServer, kind: str = "responses", **options) -> engine.LM:
    return engine.LM(
        "openai/test-model",
        kind,
        api_base=server.url,
        api_key="sk-test",
        **{"cache": False, "num_retries": 0, **options},
    )


def ask(lm: engine.LM, **params) -> engine.lm.base.Reply:
    return loop.run(lm.complete(lm.request([{"role": "user", "content": "hi"}], **params)))


def test_a_request_has_the_other_form(server: OpenAIServer) -> None:
    lm = model(server, temperature=0.5, max_tokens=9, top_p=0.5, metadata={"a": "b"})
    with engine.context(lm=lm):
        assert STEP(question="q").answer == "ok"
    body = server.requests[-1]
    assert body.keys() == {"model", "input", "temperature", "max_output_tokens", "top_p", "metadata"}
    assert [item["role"] for item in body["input"]] == ["system", "user"]
    with engine.context(lm=model(server, use_developer_role=True, reasoning_effort="low", verbosity="high")):
        STEP(question="q")
    body = server.requests[-1]
    assert body["input"][0]["role"] == "developer"
    assert (body["reasoning"], body["text"]) == ({"effort": "low"}, {"verbosity": "high"})


def test_several_completions_are_asked_for_one_by_one(server: OpenAIServer) -> None:
    with engine.context(lm=model(server)):
        found = engine.Predict("question -> answer", n=3)(question="q")
    assert found.completions.answer == ["ok"] * 3
    assert server.calls == 3
    assert "n" not in server.requests[-1]


def test_reasoning_usage_citations_and_probabilities_are_read(server: OpenAIServer) -> None:
    cited = {
        "type": "url_citation",
        "url": "https://a.example",
        "title": "A",
        "start_index": 0,
        "end_index": 2,
    }
    server.reasoning = "First this, then that."
    server.answer = lambda body: [message("Paris", [cited], [{"token": "Paris", "logprob": -0.1}])]
    lm = model(server, price=(1e-3, 1e-2), logprobs=True)
    reply = ask(lm)
    (choice,) = reply.choices
    assert (choice.text, choice.finish_reason, choice.reasoning) == (
        "Paris",
        "stop",
        "First this, then that.",
    )
    assert choice.citations == (cited,)
    assert choice.logprobs["content"][0]["token"] == "Paris"
    assert server.requests[-1]["include"] == ["message.output_text.logprobs"]
    assert (reply.usage.output_tokens, reply.usage.calls) == (20, 1)  # the 12 of reasoning are among them
    assert reply.usage.cost == pytest.approx(reply.usage.input_tokens * 1e-3 + 20 * 1e-2)
    text = lm("hi")[0]
    assert (text["text"], text["reasoning_content"]) == ("Paris", "First this, then that.")
    assert lm.history[-1]["model_type"] == "responses"


def test_tools_go_there_and_back(server: OpenAIServer) -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"Sunny in {city}"

    server.answer = lambda body: [call("weather", {"city": "Rome"})]
    step = engine.Predict("question, tools: list[engine.Tool] -> calls: engine.ToolCalls")
    lm = model(server, capabilities=["tools"])
    with engine.context(lm=lm, adapter=engine.ChatAdapter(use_native_function_calling=True)):
        found = step(question="How is it?", tools=[engine.Tool(weather)]).calls.tool_calls[0]
    assert (found.name, found.args) == ("weather", {"city": "Rome"})
    (tool,) = server.requests[-1]["tools"]
    assert (tool["type"], tool["name"], tool["strict"]) == ("function", "weather", False)
    assert tool["parameters"]["properties"]["city"]["type"] == "string"
    assert ask(lm).choices[0].finish_reason == "tool_calls"

    server.answer = lambda body: "Take no umbrella."
    asked = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
    }
    turns = [
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
    ]
    choice = {"type": "function", "function": {"name": "weather"}}
    assert lm(messages=turns, tool_choice=choice) == ["Take no umbrella."]
    assert server.requests[-1]["tool_choice"] == {"type": "function", "name": "weather"}
    assert server.requests[-1]["input"][1:] == [
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Rome"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "Sunny"},
    ]


def test_structured_output_is_the_texts_format(server: OpenAIServer) -> None:
    class Answer(pydantic.BaseModel):
        label: Literal["a", "b"]

    server.answer = lambda body: '{"label": "a"}'
    with engine.context(lm=model(server, capabilities=["json_schema"]), adapter=engine.JSONAdapter()):
        assert engine.Predict("text -> label: Literal['a', 'b']")(text="x").label == "a"
    form = server.requests[-1]["text"]["format"]
    assert (form["type"], form["strict"]) == ("json_schema", True)
    assert form["schema"]["properties"]["label"]["enum"] == ["a", "b"]
    model(server)("hi", response_format=Answer)
    assert server.requests[-1]["text"]["format"]["name"] == "Answer"
    model(server)("hi", response_format={"type": "json_object"})
    assert server.requests[-1]["text"] == {"format": {"type": "json_object"}}


def test_images_and_files_are_parts_of_the_input(server: OpenAIServer) -> None:
    picture, file = (
        "data:image/png;base64,aGk=",
        {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
    )
    parts = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": picture, "detail": "low"}},
        {"type": "file", "file": file},
    ]
    model(server)(messages=[{"role": "user", "content": parts}, {"role": "assistant", "content": parts[:1]}])
    assert [item["content"] for item in server.requests[-1]["input"]] == [
        [
            {"type": "input_text", "text": "Look"},
            {"type": "input_image", "image_url": picture, "detail": "low"},
            {"type": "input_file", **file},
        ],
        [{"type": "output_text", "text": "Look"}],
    ]
    with engine.context(lm=model(server)):
        assert (
            engine.Predict("image: engine.Image -> answer")(
                image=engine.Image("https://a.example/x.png")
            ).answer
            == "ok"
        )


class Pieces:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.chunks: list[streaming.Chunk] = []
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1
        self.chunks.clear()

    def feed(self, chunk: streaming.Chunk) -> None:
        self.chunks.append(chunk)


def heard(lm: engine.LM, pieces: Pieces, **params):
    token = streaming.listener.set(pieces)
    try:
        return ask(lm, **params)
    finally:
        streaming.listener.reset(token)


def test_a_stream_brings_reasoning_text_and_the_whole_reply(server: OpenAIServer) -> None:
    server.reasoning = "Think it over first."
    server.answer = lambda body: "Paris is the capital of France."
    pieces = Pieces()
    reply = heard(model(server), pieces)
    assert "".join(chunk.reasoning for chunk in pieces.chunks) == "Think it over first."
    assert "".join(chunk.text for chunk in pieces.chunks) == reply.text == "Paris is the capital of France."
    assert pieces.chunks[-1].finish_reason == "stop"
    assert len(pieces.chunks) > 6
    assert (reply.choices[0].reasoning, reply.usage.output_tokens) == ("Think it over first.", 20)
    assert server.requests[-1]["stream"] is True
    assert "stream_options" not in server.requests[-1]
    server.answer = lambda body: [call("weather", {"city": "Rome"})]
    reply = heard(model(server), Pieces())
    assert reply.choices[0].tool_calls[0]["function"]["name"] == "weather"


def test_a_program_is_streamed(server: OpenAIServer) -> None:
    server.answer = lambda body: TEXT.format("Paris is the capital of France.")
    listener = engine.evaluate.streaming.StreamListener(signature_field_name="answer")
    for kind in ("responses", "text"):
        with engine.context(lm=model(server, kind)):
            found = list(
                engine.streamify(STEP, stream_listeners=[listener], async_streaming=False)(question="q")
            )
        assert found[-1].answer == "Paris is the capital of France."
        assert len(found) > 3
        listener = engine.evaluate.streaming.StreamListener(signature_field_name="answer")


def test_a_stream_that_breaks_or_fails_is_no_answer(server: OpenAIServer) -> None:
    server.answer = lambda body: "A long answer that comes in many pieces."
    server.break_after = 5
    pieces = Pieces()
    with pytest.raises(engine.LMError) as broken:
        heard(model(server, num_retries=3), pieces)
    assert (broken.value.retryable, server.calls) == (False, 1)
    server.break_after = None
    failed = {"status": "failed", "output": [], "error": {"code": "server_error", "message": "It broke."}}
    server.answer = lambda body: failed
    with pytest.raises(ProviderFailureError, match="It broke"):
        heard(model(server), Pieces())
    assert ask_refused(server, "rate_limit_exceeded", RateLimitedError)
    server.streams = False
    server.answer = lambda body: failed
    with pytest.raises(ProviderFailureError, match="It broke"):
        heard(model(server), Pieces())
    server.answer = lambda body: "whole"
    assert heard(model(server), pieces).text == "whole"


def ask_refused(server: OpenAIServer, code: str, kind: type[Exception]) -> bool:
    server.answer = lambda body: {"status": "failed", "output": [], "error": {"code": code, "message": "No."}}
    with pytest.raises(kind):
        ask(model(server))
    return True


def test_cut_off_refused_and_empty_replies(server: OpenAIServer) -> None:
    server.answer = lambda body: {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
    }
    assert ask(model(server)).choices[0].finish_reason == "length"
    refusal = {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "content": [{"type": "refusal", "refusal": "I will not."}],
    }
    server.answer = lambda body: [refusal]
    (choice,) = ask(model(server)).choices
    assert (choice.text, choice.finish_reason) == ("I will not.", "refusal")
    assert heard(model(server), Pieces()).text == "I will not."
    server.answer = lambda body: []
    with pytest.raises(BadReplyError, match="without content"):
        ask(model(server))
    server.answer = lambda body: {"output": None}
    with pytest.raises(BadReplyError):
        ask(model(server))


def test_failures_are_the_right_errors_and_are_tried_again(server: OpenAIServer) -> None:
    server.fail_with(429, headers={"Retry-After": "0"}, times=2)
    assert ask(model(server, num_retries=2)).text == "ok"
    assert server.calls == 3
    server.fail_with(400, {"error": {"message": "Too long.", "code": "context_length_exceeded"}}, times=1)
    with pytest.raises(ContextWindowExceededError):
        ask(model(server))
    with pytest.raises(InvalidRequestError, match="Unknown parameter: 'stop'"):
        ask(model(server), stop=["x"])
    assert ask(model(server, drop_params=True), stop=["x"]).text == "ok"
    server.truncated(times=1)
    with pytest.raises(BadReplyError):
        ask(model(server))
    server.drop(times=1)
    assert ask(model(server, num_retries=1)).text == "ok"


def test_each_kind_of_request_has_its_own_kept_answers(server: OpenAIServer, tmp_path) -> None:
    cache = Cache(tmp_path / "cache.sqlite3")
    for calls, kind in enumerate(("chat", "responses", "text"), 1):
        lm = model(server, kind, cache=cache)
        assert (ask(lm).cached, ask(lm).cached) == (False, True)
        assert server.calls == calls
    server.reasoning = "Thought."
    assert ask(model(server, cache=cache), rollout_id=1).choices[0].reasoning == "Thought."
    assert ask(model(server, cache=cache), rollout_id=1).choices[0].reasoning == "Thought."
    assert server.calls == 4


def test_a_reasoning_model_gets_what_it_takes(server: OpenAIServer) -> None:
    lm = engine.LM("openai/o3-pro", "responses", 0.3, 50, False, api_base=server.url, api_key="k")
    lm("hi")
    assert server.requests[-1] == {
        "model": "o3-pro",
        "input": [{"role": "user", "content": "hi"}],
        "max_output_tokens": 50,
    }


def test_a_text_model_is_asked_to_go_on(server: OpenAIServer) -> None:
    server.answer = lambda body: TEXT.format("ok")
    lm = model(server, "text", max_tokens=9, stop=["x"])
    with engine.context(lm=lm):
        assert STEP(question="q").answer == "ok"
    body = server.requests[-1]
    assert body.keys() == {"model", "prompt", "max_tokens", "stop"}
    assert body["prompt"].endswith("\n\nBEGIN RESPONSE:")
    assert "question" in body["prompt"]
    assert ask(lm, n=2).choices[1].text == TEXT.format("ok")
    pieces = Pieces()
    assert heard(lm, pieces).text == "".join(chunk.text for chunk in pieces.chunks) == TEXT.format("ok")
    assert engine.LM("text-completion-openai/m", api_base=server.url, api_key="k", cache=False)("hi")
    assert server.requests[-1]["model"] == "m"


THROUGH_LITELLM = """
import sys
from engine import LM, LMRateLimitError, loop
from engine.lm import streaming
url, kind = sys.argv[1:]

class Pieces(list):
    def begin(self): pass
    def feed(self, chunk): self.append(chunk.text)

lm = LM("openai/test-model", kind, 0.5, 20, False, None, 0, api_base=url, api_key="sk-test", engine="litellm")
question = lm.request([{"role": "user", "content": "hi"}])
print(loop.run(lm.complete(question)).text)
pieces = Pieces()
streaming.listener.set(pieces)
reply = loop.run(lm.complete(question))
print(reply.text, "".join(pieces), reply.usage.input_tokens > 0)
try:
    loop.run(lm.complete(question))
except LMRateLimitError:
    print("limited")
"""


@pytest.mark.parametrize("kind", ["chat", "responses", "text"])
def test_litellm_takes_the_same_ways(kind: str, server: OpenAIServer) -> None:
    def answer(body: dict) -> str:
        if server.calls == 2:
            server.fail_with(429)
        return "Paris."

    server.answer = answer
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", THROUGH_LITELLM, server.url, kind],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    streamed = "" if kind == "text" else "Paris."
    assert done.stdout.splitlines() == ["Paris.", f"Paris. {streamed} True", "limited"]
    limit = "max_output_tokens" if kind == "responses" else "max_tokens"
    assert (server.requests[0]["model"], server.requests[0][limit]) == ("test-model", 20)


SHARED = """
lm = library.LM("openai/test-model", model_type="responses", api_base=url, api_key="sk-test", cache=False, max_tokens=9,
                temperature=0.5, reasoning_effort="low", engine="lm15")
tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
parts = [{"type": "text", "text": "Look"}, image]
found = [lm("hi", tools=[tool]), lm(messages=[{"role": "user", "content": parts}])]
with library.context(lm=lm):
    found.append(library.Predict("question -> answer")(question="q").answer)
"""


def test_dspy_sends_and_reads_the_same(server: OpenAIServer, tmp_path) -> None:
    server.reasoning = "Because."
    server.answer = lambda body: TEXT.format("ok")
    ours = {"library": engine, "url": server.url}
    exec(SHARED, ours)
    sent = [plain(body) for body in server.requests[:2]]
    server.forget()
    head = f"import dspy as library\nurl = {server.url!r}\n"
    assert in_dspy(head + SHARED + "\nprint(found)", tmp_path) == str(ours["found"])
    assert [plain(body) for body in server.requests[:2]] == sent


def plain(body: dict) -> dict:
    """A body in which a lone text is a text, and what is usual is left out."""
    for item in body["input"]:
        content = item["content"]
        if isinstance(content, list) and [part["type"] for part in content] == ["input_text"]:
            item["content"] = content[0]["text"]
    tools = [{k: v for k, v in tool.items() if k != "strict"} for tool in body.pop("tools", ())]
    return {k: v for k, v in body.items() if k != "stream"} | {"tools": tools}
