"""Tool calls, thoughts and citations: by the model's own means where it has them, else as text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.servers.openai_server import OpenAIServer

from engine import (
    ChatAdapter,
    Citations,
    Document,
    History,
    JSONAdapter,
    Predict,
    Reasoning,
    Signature,
    StreamListener,
    Tool,
    ToolCallResults,
    ToolCalls,
    TwoStepAdapter,
    XMLAdapter,
    context,
    streamify,
)
from engine.errors import AdapterParseError, ConfigurationError, InvalidRequestError
from engine.lm.calls.cache import Cache
from engine.lm.client import LM
from engine.lm.fallback import FallbackLM
from engine.records import json_value
from engine.testing import ScriptedLM


def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return f"{city}: {days}"


AGENT = Signature("question, tools: list[Tool] -> calls: ToolCalls, note: str | None", "Use the tools.")
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Ulm", "days": 2}'},
}


def message(content: Any = None, **more: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **more},
        "finish_reason": "stop",
    }
    return {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


def model(server: OpenAIServer, *capabilities: str, **settings: Any) -> LM:
    settings = {"cache": False, "num_retries": 0, **settings}
    return LM("openai/test-model", api_base=server.url, api_key="k", capabilities=capabilities, **settings)


def ask(server: OpenAIServer, lm: LM, adapter: Any, program: Any = None) -> Any:
    with context(lm=lm, adapter=adapter):
        return (program or Predict(AGENT))(question="Will it rain in Ulm?", tools=[Tool(weather)])


@pytest.mark.parametrize(
    "adapter",
    [
        JSONAdapter(),
        ChatAdapter(use_native_function_calling=True, parallel_tool_calls=False),
        XMLAdapter(use_native_function_calling=True),
        TwoStepAdapter(use_native_function_calling=True),
    ],
    ids=lambda a: a.name,
)
def test_tools_go_by_the_models_own_tool_calls(adapter):
    with OpenAIServer(lambda body: message(tool_calls=[CALL])) as server:
        answer = ask(server, model(server, "tools"), adapter)
        (body,) = server.requests
    assert answer.calls[0].name == "weather"
    assert answer.calls[0].args == {"city": "Ulm", "days": 2}
    assert answer.calls[0].id == "c1"
    assert answer.note is None
    assert list(answer) == ["calls", "note"]
    function = body["tools"][0]["function"]
    assert (function["name"], function["description"]) == ("weather", "Tell the weather of a city.")
    assert function["parameters"]["required"] == ["city"]
    assert "weather" not in str(body["messages"])
    assert "`calls`" not in str(body["messages"])
    assert answer.calls.execute([Tool(weather)])[0].value == "Ulm: 2"
    native = adapter.parallel_tool_calls is not None
    assert (body.get("tool_choice"), body.get("parallel_tool_calls")) == (
        ("auto", False) if native else (None, None)
    )


@pytest.mark.parametrize(
    ("adapter", "capabilities"),
    [
        (ChatAdapter(), ("tools",)),
        (JSONAdapter(use_native_function_calling=False), ("tools",)),
        (JSONAdapter(), ()),
    ],
)
def test_else_tools_are_text(adapter, capabilities):
    written = {"calls": ToolCalls.from_dict_list([CALL]), "note": "n"}
    with OpenAIServer(lambda body: adapter.answer(AGENT, written)) as server:
        answer = ask(server, model(server, *capabilities), adapter)
        (body,) = server.requests
    assert answer.calls[0].args == {"city": "Ulm", "days": 2}
    assert answer.note == "n"
    assert "tools" not in body
    assert "`weather`: Tell the weather of a city." in body["messages"][-1]["content"]
    assert "must be JSON {" in body["messages"][0]["content"]


def test_text_beside_tool_calls_is_read_and_no_calls_is_an_empty_list():
    replies = [
        message('{"note": "Looking."}', tool_calls=[CALL]),
        message("Let me look.", tool_calls=[CALL]),
        message('{"note": "No need."}'),
    ]
    with OpenAIServer(lambda body: replies.pop(0)) as server:
        lm = model(server, "tools", "json_schema")
        found = [ask(server, lm, JSONAdapter()) for _ in range(3)]
        schema = server.requests[0]["response_format"]["json_schema"]["schema"]
    assert [(len(a.calls), a.note) for a in found] == [(1, "Looking."), (1, None), (0, "No need.")]
    assert list(schema["properties"]) == ["note"]


def test_tool_calls_alone_ask_for_no_text():
    only = Predict(Signature("question, tools: list[Tool] -> calls: ToolCalls"))
    with OpenAIServer(lambda body: message(tool_calls=[CALL])) as server:
        answer = ask(server, model(server, "tools", "json_schema"), JSONAdapter(), only)
        (body,) = server.requests
    assert len(answer.calls) == 1
    assert "output fields" not in str(body["messages"])
    assert "response_format" not in body


def test_arguments_that_are_no_json_are_sent_back_with_the_error():
    broken = {**CALL, "function": {"name": "weather", "arguments": '{"city": "Ul'}}
    replies = [message(tool_calls=[broken]), message(tool_calls=[CALL])]
    with OpenAIServer(lambda body: replies.pop(0)) as server:
        assert ask(server, model(server, "tools"), JSONAdapter()).calls[0].args["city"] == "Ulm"
        assert "the arguments of 'weather' are no JSON" in server.requests[1]["messages"][-1]["content"]
    with (
        OpenAIServer(lambda body: message(tool_calls=[broken])) as server,
        pytest.raises(AdapterParseError, match="'calls': the arguments of 'weather' are no JSON"),
    ):
        ask(server, model(server, "tools"), JSONAdapter())


def test_tool_calls_come_out_of_the_cache_and_of_a_stream(tmp_path):
    with OpenAIServer(lambda body: message(tool_calls=[CALL])) as server:
        lm = model(server, "tools", cache=Cache(tmp_path / "c.db"))
        assert ask(server, lm, JSONAdapter()).calls == ask(server, lm, JSONAdapter()).calls
        assert server.calls == 1
        streamed = streamify(Predict(AGENT), async_streaming=False)
        with context(lm=model(server, "tools"), adapter=JSONAdapter()):
            *_, last = streamed(question="?", tools=[Tool(weather)])
        assert last.calls[0].args["days"] == 2


LOOP = Signature("history: History, question, tools: list[Tool] -> calls: ToolCalls, answer: str | None")


def turn(identity: str | None = "c1") -> dict[str, Any]:
    calls = ToolCalls.from_dict_list([CALL])
    result = {"call_id": identity, "name": "weather", "value": {"rain": True}}
    return {"question": "Rain?", "calls": calls, "results": ToolCallResults.model_validate([result])}


@pytest.mark.parametrize("saved", [False, True])
def test_earlier_tool_calls_are_the_models_own_turns(saved):
    earlier = History(messages=[turn()])
    if saved:
        earlier = orjson.loads(orjson.dumps(json_value(earlier)))
    with OpenAIServer(lambda body: message('{"answer": "Yes."}')) as server:
        with context(lm=model(server, "tools"), adapter=JSONAdapter()):
            found = Predict(LOOP)(history=earlier, question="So?", tools=[weather])
        (body,) = server.requests
    assert (found.answer, len(found.calls)) == ("Yes.", 0)
    _, asked, called, told, now = body["messages"]
    assert (asked["role"], called["role"], told["role"], now["role"]) == ("user", "assistant", "tool", "user")
    assert called["tool_calls"][0]["id"] == told["tool_call_id"] == "c1"
    assert orjson.loads(called["tool_calls"][0]["function"]["arguments"]) == {"city": "Ulm", "days": 2}
    assert orjson.loads(told["content"]) == {"rain": True}


def test_results_that_answer_no_call_are_text_and_so_are_calls_of_other_models():
    with OpenAIServer(lambda body: message('{"answer": "Yes.", "calls": []}')) as server:
        for capabilities, identity in ((("tools",), "other"), ((), "c1")):
            with context(lm=model(server, *capabilities), adapter=JSONAdapter()):
                Predict(LOOP)(history=History(messages=[turn(identity)]), question="So?", tools=[weather])
        native, text = server.requests
    assert [m["role"] for m in native["messages"]] == ["system", "user", "assistant", "user", "user"]
    assert "weather" in native["messages"][2]["content"]
    assert native["messages"][3]["content"] == 'weather: {"rain":true}'
    assert [m["role"] for m in text["messages"]] == ["system", "user", "assistant", "user", "user"]
    assert text["messages"][3]["content"] == 'weather: {"rain":true}'
    assert '"calls"' in text["messages"][2]["content"]


THINK = Signature("question -> thoughts: Reasoning, answer: int", custom_types={"Reasoning": Reasoning})


def test_a_reasoning_models_thoughts_fill_the_field():
    reply = message("[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]", reasoning_content="Two and two.")
    with OpenAIServer(lambda body: reply) as server:
        with context(lm=model(server, "reasoning")):
            answer = Predict(THINK)(question="2 + 2?")
            Predict(THINK, reasoning_effort="high")(question="2 + 2?")
        with context(lm=model(server, "reasoning", reasoning_effort="medium")):
            Predict(THINK)(question="2 + 2?")
        first, second, third = server.requests
    assert isinstance(answer.thoughts, Reasoning)
    assert (answer.thoughts, answer.answer) == ("Two and two.", 4)
    assert list(answer) == ["thoughts", "answer"]
    assert "thoughts" not in str(first["messages"])
    assert [b["reasoning_effort"] for b in (first, second, third)] == ["low", "high", "medium"]


def test_thoughts_are_text_where_the_model_has_none_of_its_own():
    for lm in (ScriptedLM([{"thoughts": "Two and two.", "answer": 4}] * 2),):
        with context(lm=lm):
            assert Predict(THINK)(question="2 + 2?").thoughts == "Two and two."
        assert "`thoughts`" in lm.requests[0].messages[0]["content"]
    with OpenAIServer(lambda body: "[[ ## thoughts ## ]]\nt\n[[ ## answer ## ]]\n4") as server:
        with context(lm=model(server, "reasoning"), adapter=ChatAdapter(native_response_types=())):
            assert Predict(THINK)(question="2 + 2?").thoughts == "t"
        with context(lm=model(server, "reasoning")):
            assert Predict(THINK, reasoning_effort="none")(question="2 + 2?").thoughts == "t"
        assert "reasoning_effort" not in server.requests[0]


def test_thoughts_that_come_beside_the_text_unasked_are_taken():
    reply = message("[[ ## answer ## ]]\n4", reasoning_content="Two and two.")
    with OpenAIServer(lambda body: reply) as server, context(lm=model(server)):
        answer = Predict(THINK)(question="2 + 2?")
        assert (answer.thoughts, answer.answer, server.calls) == ("Two and two.", 4, 1)
    bad = message("[[ ## answer ## ]]\nfour", reasoning_content="Two and two.")
    with (
        OpenAIServer(lambda body: bad) as server,
        context(lm=model(server)),
        pytest.raises(AdapterParseError, match="'answer'"),
    ):
        Predict(THINK)(question="2 + 2?")


CITE = Signature(
    "documents: list[Document], question -> answer, sources: Citations",
    custom_types={"Document": Document, "Citations": Citations},
)
CITED = {
    "type": "char_location",
    "cited_text": "five days",
    "document_index": 0,
    "document_title": "Refunds",
    "start_char_index": 13,
    "end_char_index": 22,
}
DOCUMENTS = [Document(data="Refunds take five days.", title="Refunds"), Document("Mail goes on Monday.")]


def test_citations_are_the_providers_own_where_it_cites():
    text = "[[ ## answer ## ]]\nFive days.\n\n[[ ## completed ## ]]"
    reply = message(
        text, provider_specific_fields={"citations": [[{**CITED, "supported_text": "Five days."}], None]}
    )
    with OpenAIServer(lambda body: reply) as server, context(lm=model(server, "citations")):
        answer = Predict(CITE)(documents=DOCUMENTS, question="How long?")
        (body,) = server.requests
    assert answer.answer == "Five days."
    assert answer.sources[0].supported_text == "Five days."
    parts = [p for p in body["messages"][-1]["content"] if p["type"] == "document"]
    assert parts[0]["source"] == {
        "type": "text",
        "media_type": "text/plain",
        "data": "Refunds take five days.",
    }
    assert parts[0]["title"] == "Refunds"
    assert [p["citations"] for p in parts] == [{"enabled": True}] * 2
    assert "sources" not in str(body["messages"])


def test_else_citations_are_text():
    written = ChatAdapter().answer(CITE, {"answer": "Five days.", "sources": [CITED]})
    with OpenAIServer(written) as server, context(lm=model(server)):
        answer = Predict(CITE)(documents=DOCUMENTS, question="How long?")
        (body,) = server.requests
    assert answer.sources[0].cited_text == "five days"
    assert "[1] «Refunds»\nRefunds take five days." in body["messages"][-1]["content"]
    assert "copied word for word" in body["messages"][0]["content"]


def test_citations_of_claude_through_litellm():
    # In a process of its own: litellm must not be loaded where other tests look whether it was.
    code = """
    import json, sys
    import test_native as here

    lm = here.LM("anthropic/claude-sonnet-4-5", api_base=sys.argv[1], cache=False, num_retries=0, prompt_cache=True)
    with here.context(lm=lm):
        answer = here.Predict(here.CITE)(documents=here.DOCUMENTS, question="How long?")
    cost = lm.history[-1].usage.cost
    print(json.dumps([sorted(lm.capabilities), answer.sources[0].start_char_index, cost]))
    """
    text = "[[ ## answer ## ]]\nFive days.\n\n[[ ## completed ## ]]"
    whole = {
        "id": "msg_local",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": text, "citations": [CITED]}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 1000,
            "cache_read_input_tokens": 100,
        },
    }
    with OpenAIServer(lambda body: whole) as server:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), server.url.removesuffix("/v1")],
            env={
                **os.environ,
                "ANTHROPIC_API_KEY": "k",
                "PYTHONPATH": os.pathsep.join(["tests", "tests/engine_tests/adapters"]),
            },
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        (body,) = server.requests
        assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
        kinds = [part["type"] for part in body["messages"][0]["content"]]
        assert kinds.count("document") == 2
    capabilities, start, cost = json.loads(done.stdout.splitlines()[-1])
    assert {"citations", "tools", "reasoning", "cache_marks"} <= set(capabilities)
    assert start == 13
    # 10 tokens at 3 dollars a million, 1,000 written at 3.75, 100 read at 0.30, 5 out at 15.
    assert cost == pytest.approx((10 * 3 + 1000 * 3.75 + 100 * 0.3 + 5 * 15) / 1e6)


def test_models_in_a_row_are_asked_natively_only_if_all_can():
    with OpenAIServer(lambda body: message(tool_calls=[CALL])) as server:
        can, cannot = model(server, "tools", "reasoning", "citations"), model(server)
        assert FallbackLM([can, can]).supports_function_calling
        for name in ("supports_function_calling", "supports_reasoning", "supports_citations"):
            assert not getattr(FallbackLM([can, cannot]), name)


def test_thoughts_are_streamed_as_their_field():
    text = "[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]"
    with OpenAIServer(lambda body: message(text, reasoning_content="Two and two.")) as server:
        listeners = [StreamListener("thoughts"), StreamListener("answer")]
        streamed = streamify(Predict(THINK), stream_listeners=listeners, async_streaming=False)
        with context(lm=model(server, "reasoning")):
            *pieces, last = streamed(question="2 + 2?")
    assert last.thoughts == "Two and two."
    said = {}
    for piece in pieces:
        said[piece.signature_field_name] = said.get(piece.signature_field_name, "") + piece.chunk
    assert said == {"thoughts": "Two and two.", "answer": "4"}
    assert [p.signature_field_name for p in pieces if p.is_last_chunk] == ["thoughts", "answer"]


def test_an_endpoint_that_refuses_a_schema_is_asked_without_from_then_on():
    refusal = {"error": {"message": "Unknown parameter: 'response_format.json_schema'."}}
    with OpenAIServer('{"answer": 4}') as server:
        lm = model(server, "json_schema")
        server.fail_with(400, refusal, times=1)
        with context(lm=lm, adapter=JSONAdapter()):
            assert [Predict("q -> answer: int")(q="x").answer for _ in range(2)] == [4, 4]
        assert ["response_format" in body for body in server.requests] == [True, False, False]
        server.fail_with(400, {"error": {"message": "Unknown parameter: 'stop'."}}, times=1)
        with (
            context(lm=model(server, "json_schema"), adapter=JSONAdapter()),
            pytest.raises(InvalidRequestError, match="stop"),
        ):
            Predict("q -> answer: int")(q="x")


def test_a_capability_there_is_not():
    with pytest.raises(ConfigurationError, match=r"no capability 'vision'.*json_schema, tools"):
        LM("openai/x", capabilities=("vision",))
    assert orjson.dumps(LM("openai/x", capabilities=("tools",)).copy().dump_state())
    assert LM("openai/x", capabilities=("tools",)).copy(temperature=1.0).supports_function_calling
