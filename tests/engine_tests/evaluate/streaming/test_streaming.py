"""Answers as they are written: real server-sent events, fields found in half a reply, failures in the middle."""

import asyncio
import json
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.run_setup import wait_for
from support.servers.openai_server import OpenAIServer

import engine
from engine.adapters import XMLAdapter
from engine.adapters.xml import escaped
from engine.errors import ConfigurationError, LMError
from engine.evaluate.streaming import (
    StatusMessage,
    StatusMessageProvider,
    StreamListener,
    StreamResponse,
    streamify,
    streaming_response,
)
from engine.evaluate.streaming.fields import ChatReader, JSONReader, XMLReader
from engine.lm.streaming import Chunk
from engine.tools.function import Tool

ANSWER = "The sky is blue, because of [[ light ]].\n\nAnd ## so on."
REPLY = f"[[ ## reasoning ## ]]\nI look up.\n\n[[ ## answer ## ]]\n{ANSWER}\n\n[[ ## completed ## ]]"


def model(server, **settings):
    settings = {"cache": False, "api_key": "k", **settings}
    return engine.LM("openai/test-model", api_base=server.url, **settings)


def collected(stream, lm, **inputs):
    async def run():
        with engine.context(lm=lm):
            return [item async for item in stream(**inputs)]

    return asyncio.run(run())


def text_of(items, field):
    pieces = [i for i in items if isinstance(i, StreamResponse) and i.signature_field_name == field]
    assert [p.is_last_chunk for p in pieces] == [False] * (len(pieces) - 1) + [True]
    return "".join(p.chunk for p in pieces)


def test_raw_pieces_then_the_prediction():
    with OpenAIServer(answer=REPLY) as server:
        items = collected(streamify(engine.ChainOfThought("question -> answer")), model(server), question="?")
        chunks = [i for i in items if isinstance(i, Chunk)]
        assert "".join(c.text for c in chunks) == REPLY
        assert len(chunks) > 10
        assert chunks[-1].finish_reason == "stop"
        assert items[-1].answer == ANSWER
        assert server.requests[0]["stream"] is True
        assert server.requests[0]["stream_options"] == {"include_usage": True}


def test_fields_come_apart_and_end():
    program = engine.ChainOfThought("question -> answer")
    stream = streamify(program, stream_listeners=[StreamListener("reasoning"), StreamListener("answer")])
    with OpenAIServer(answer=REPLY) as server:
        items = collected(stream, model(server), question="?")
    assert text_of(items, "reasoning") == "I look up."
    assert text_of(items, "answer") == ANSWER
    assert {i.predict_name for i in items[:-1]} == {"predict"}
    assert items[-1].answer == ANSWER


def test_json_fields_come_apart():
    program = engine.Predict("question -> answer, tags: list[str], sure: bool")
    listeners = [StreamListener(name) for name in ("answer", "tags", "sure")]
    reply = json.dumps({"answer": ANSWER, "tags": ["a", "b}"], "sure": True}, indent=2)
    with OpenAIServer(answer=reply) as server, engine.context(adapter=engine.JSONAdapter()):
        items = collected(streamify(program, stream_listeners=listeners), model(server), question="?")
    assert text_of(items, "answer") == ANSWER
    assert json.loads(text_of(items, "tags")) == ["a", "b}"]
    assert text_of(items, "sure") == "true"


def test_the_first_piece_comes_before_the_last_is_sent():
    stream = streamify(
        engine.Predict("question -> answer"),
        stream_listeners=[StreamListener("answer")],
        async_streaming=False,
    )
    with OpenAIServer(answer=REPLY) as server, engine.context(lm=model(server)):
        server.hold_after = 10
        items = stream(question="?")
        first = next(items)
        assert not server.served
        server.hold_after = None
        assert len([first, *items]) > 3


def test_usage_is_counted_and_an_answer_from_the_cache_has_no_pieces(tmp_path):
    from engine.lm.calls.cache import Cache

    stream = streamify(engine.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
    with OpenAIServer(answer=REPLY) as server:
        lm = model(server, cache=Cache(tmp_path / "c.sqlite3"))
        first = collected(stream, lm, question="?")
        again = collected(stream, lm, question="?")
        assert server.calls == 1
    assert len(first) > 3
    assert [type(i).__name__ for i in again] == ["Prediction"]
    assert lm.history[0].usage.input_tokens > 0
    assert lm.history[1].cached


def test_a_server_that_does_not_stream_answers_all_the_same():
    stream = streamify(engine.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
    with OpenAIServer(answer=REPLY) as server:
        server.streams = False
        assert text_of(collected(stream, model(server), question="?"), "answer") == ANSWER
        server.fail_with(400, {"error": {"message": "stream_options is not supported"}}, times=1)
        assert collected(stream, model(server), question="?")[-1].answer == ANSWER


def test_a_stream_that_breaks_is_not_begun_again_once_something_was_shown():
    stream = streamify(engine.Predict("question -> answer"))
    with OpenAIServer(answer=REPLY) as server:
        server.break_after = 4
        with pytest.raises(LMError):
            collected(stream, model(server, num_retries=3), question="?")
        assert server.calls == 1


def test_a_failure_before_anything_was_shown_is_tried_again():
    stream = streamify(engine.Predict("question -> answer"))
    with OpenAIServer(answer=REPLY) as server:
        server.fail_with(503, times=1, headers={"Retry-After": "0"})
        assert collected(stream, model(server), question="?")[-1].answer == ANSWER
        assert server.calls == 2


def test_what_a_repaired_reply_says_comes_with_the_prediction():
    replies = iter(
        [
            "[[ ## answer ## ]]\nmany\n\n[[ ## completed ## ]]",
            "[[ ## answer ## ]]\n7\n\n[[ ## completed ## ]]",
        ]
    )
    stream = streamify(engine.Predict("question -> answer: int"), stream_listeners=[StreamListener("answer")])
    with OpenAIServer(answer=lambda body: next(replies)) as server:
        items = collected(stream, model(server), question="?")
    assert text_of(items, "answer") == "many"
    assert items[-1].answer == 7


def test_an_abandoned_stream_stops_the_program():
    with OpenAIServer(answer=REPLY) as server, engine.context(lm=model(server)):
        server.hold_after = 10

        async def run():
            items = streamify(engine.Predict("question -> answer"))(question="?")
            await anext(items)
            await items.aclose()
            wait_for(lambda: server.active == 0)  # the connection was closed: nothing else ends this request

        asyncio.run(run())
        assert not server.served


class Nested(engine.Module):
    def __init__(self):
        super().__init__()
        self.draft = engine.Predict("question -> answer")
        self.polish = engine.Predict("answer -> final")

    def forward(self, question):
        draft = self.draft(question=question)
        return self.polish(answer=draft.answer)


def test_steps_of_a_plain_program_are_listened_to_by_path():
    program = Nested()
    stream = streamify(program, stream_listeners=[StreamListener("final"), StreamListener("answer")])

    def answer(body):
        name = "final" if "`final`" in body["messages"][0]["content"] else "answer"
        return f"[[ ## {name} ## ]]\n{name} text\n\n[[ ## completed ## ]]"

    with OpenAIServer(answer=answer) as server:
        items = collected(stream, model(server), question="?")
    assert text_of(items, "answer") == "answer text"
    assert text_of(items, "final") == "final text"
    assert {i.predict_name for i in items[:-1]} == {"draft", "polish"}


def test_listeners_that_fit_no_step_or_several_are_refused():
    with pytest.raises(ConfigurationError, match="No step"):
        streamify(engine.Predict("question -> answer"), stream_listeners=[StreamListener("other")])
    program = Nested()
    program.polish = engine.Predict("text -> answer")
    with pytest.raises(ConfigurationError, match="draft, polish"):
        streamify(program, stream_listeners=[StreamListener("answer")])
    streamify(program, stream_listeners=[StreamListener("answer", predict=program.polish)])
    streamify(program, stream_listeners=[StreamListener("answer", predict_name="draft")])


class Telling(StatusMessageProvider):
    def lm_start_status_message(self, instance, inputs):
        return f"Asking {instance.model}"

    def module_end_status_message(self, outputs):
        return f"Done: {outputs.answer}"


class WithTool(engine.Module):
    def __init__(self):
        super().__init__()
        self.tool = Tool(lambda x: x + 1, name="add")
        self.step = engine.Predict("question -> answer")

    async def aforward(self, question):
        await self.tool.acall(x=1)
        return await self.step.acall(question=question)


def test_status_messages_tell_of_tools_and_of_what_is_asked_for():
    with OpenAIServer(answer="[[ ## answer ## ]]\nyes") as server:
        items = collected(
            streamify(
                WithTool(), status_message_provider=Telling(), stream_listeners=[StreamListener("answer")]
            ),
            model(server),
            question="?",
        )
    said = [i.message for i in items if isinstance(i, StatusMessage)]
    assert said[:3] == ["Calling the tool add ...", "The tool is done.", "Asking openai/test-model"]
    assert said[3:] == ["Done: yes", "Done: yes"]


def test_server_sent_events_of_a_program():
    async def run(stream):
        return [line async for line in streaming_response(stream(question="?"))]

    with OpenAIServer(answer="[[ ## answer ## ]]\nyes") as server, engine.context(lm=model(server)):
        lines = asyncio.run(
            run(streamify(engine.Predict("question -> answer"), stream_listeners=[StreamListener("answer")]))
        )
    assert lines[-1] == "data: [DONE]\n\n"
    assert json.loads(lines[-2][6:]) == {"prediction": {"answer": "yes"}}
    assert json.loads(lines[0][6:])["signature_field_name"] == "answer"


def test_the_offline_model_streams_too():
    lm = engine.LM("offline/learner", cache=False)
    stream = streamify(engine.Predict("question -> answer"), stream_listeners=[StreamListener("answer")])
    items = collected(stream, lm, question="Is the sky blue today?")
    assert text_of(items, "answer") == items[-1].answer


def read(reader, text, cuts):
    got, ended, start = [], False, 0
    for cut in [*sorted(c % (len(text) + 1) for c in cuts), len(text)]:
        piece, last = reader.feed(text[start:cut])
        assert not (ended and (piece or last))
        ended, start = ended or last, cut
        got.append(piece)
    piece, last = reader.end()
    got.append(piece)
    assert ended or last
    return "".join(got)


CUTS = st.lists(st.integers(0, 500), max_size=20)
TEXT = st.text(alphabet='ab [#]\n"\\{}<>/é🙂', max_size=40)


@given(TEXT, CUTS)
def test_any_text_in_any_pieces_json(value, cuts):
    for ascii_only in (True, False):
        reply = json.dumps({"other": {"answer": "x"}, "answer": value, "z": 1}, ensure_ascii=ascii_only)
        assert read(JSONReader("answer"), reply, cuts) == value


@given(TEXT, CUTS)
def test_any_text_in_any_pieces_chat(value, cuts):
    value = value.replace("[[", "").strip()
    reply = f"Sure.\n[[ ## other ## ]]\nx\n\n[[ ## answer ## ]]\n{value}\n\n[[ ## completed ## ]]"
    assert read(ChatReader("answer"), reply, cuts) == value


@given(TEXT, CUTS)
def test_any_text_in_any_pieces_xml(value, cuts):
    value = value.replace("</", "").strip()
    for text, written in (
        (value, value),
        (value, escaped(value)),
        (f"{value}&amp;", escaped(f"{value}&amp;")),
    ):
        reply = f"<other>\nx\n</other>\n<answer>\n{written}\n</answer>"
        assert XMLAdapter().parse(engine.Signature("q -> answer"), reply) == {"answer": text}
        assert read(XMLReader("answer"), reply, cuts) == text


def test_providers_of_litellms_stream_too_and_one_that_does_not_end_is_given_up():
    code = """
    import json, sys
    import engine
    from engine.lm.transports.litellm_gateway import LiteLLMTransport

    def stream(address):
        lm = engine.LM("anthropic/claude-sonnet-4-5", api_base=address, api_key="k", cache=False, num_retries=0)
        predict = engine.Predict("question -> answer")
        listeners = [engine.StreamListener("answer")]
        with engine.context(lm=lm):
            streamed = engine.streamify(predict, stream_listeners=listeners, async_streaming=False)
            return lm, list(streamed(question="?"))

    lm, (*pieces, prediction) = stream(sys.argv[1])
    assert prediction.answer == "".join(p.chunk for p in pieces), pieces
    usage = lm.history[-1].usage
    print(json.dumps([len(pieces), prediction.answer, usage.input_tokens, usage.cost]))
    LiteLLMTransport.longest = 200
    try:
        stream(sys.argv[2])
    except engine.errors.LMError as error:
        print(error)
    """
    texts = (f"[[ ## answer ## ]]\n{ANSWER * times}\n\n[[ ## completed ## ]]" for times in (1, 50))
    with OpenAIServer(answer=next(texts)) as short, OpenAIServer(answer=next(texts)) as endless:
        addresses = (server.url.removesuffix("/v1") for server in (short, endless))
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *addresses],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    figures, error = done.stdout.splitlines()[-2:]
    count, answer, tokens, cost = json.loads(figures)
    assert count > 3
    assert answer == ANSWER
    assert tokens > 0
    assert cost > 0
    assert "it was not read to its end" in error
