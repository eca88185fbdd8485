"""One input answered by a few prompts: in process, and through the process that answers a request on its input."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.run_setup import PIPELINE, answer, server_model
from support.servers.openai_server import OpenAIServer

from engine import loop
from engine.errors import MissingKeyError, RunError
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.child.playground import PlaygroundRequest, answer_input
from engine.runs.child.process import answer_request
from engine.runs.child.request import ChildRequest
from engine.runs.spec import ModelChoice, Named


def request(**changes):
    start = build_program(PIPELINE).candidate()
    other = start.with_step("sort", instructions="Say on which shelf it belongs, quickly.")
    values = {
        "pipeline": PIPELINE,
        "candidates": {"start": start.as_dict(), "best": other.as_dict()},
        "inputs": {"text": "a small lamp number 1"},
    }
    return PlaygroundRequest(**{**values, **changes})


def in_envelope(asked):
    return ChildRequest(task="playground", content=asked.model_dump(mode="json")).model_dump_json().encode()


def test_every_prompt_answers_with_its_messages_and_what_they_took():
    first, second = loop.run(answer_input(request()))
    assert (first.name, second.name) == ("start", "best")
    assert first.answer["shelf"] in ("red", "green", "blue")
    (call,) = second.calls
    assert "quickly" in call.messages[0]["content"]
    assert call.answer
    assert second.tokens > 50
    assert second.cost == 0
    assert first.score is None


def test_a_prompt_that_another_model_answers_asks_it_at_its_address():
    with OpenAIServer(answer) as own, OpenAIServer(answer) as elsewhere:
        start = build_program(PIPELINE).candidate()
        moved = start.with_step("sort", weights="openai/middle")
        asked = request(
            candidates={"start": start.as_dict(), "moved": moved.as_dict()},
            model=server_model(own.url),
            models=(ModelChoice(name="openai/middle", base_url=elsewhere.url),),
        )
        first, second = loop.run(answer_input(asked))
    assert (first.error, second.error) == ("", "")
    assert [body["model"] for body in own.requests] == ["test-model"]
    assert [body["model"] for body in elsewhere.requests] == ["middle"]


def test_the_key_of_a_model_that_a_prompt_names_is_needed_by_that_prompt_alone(monkeypatch):
    monkeypatch.delenv("MIDDLES_KEY", raising=False)
    start = build_program(PIPELINE).candidate()
    moved = start.with_step("sort", weights="openai/middle")
    locked = (ModelChoice(name="openai/middle", base_url="http://127.0.0.1:9/v1", key_env="MIDDLES_KEY"),)
    loop.run(answer_input(request(candidates={"start": start.as_dict()}, models=locked)))
    with pytest.raises(MissingKeyError, match="MIDDLES_KEY"):
        loop.run(answer_input(request(candidates={"moved": moved.as_dict()}, models=locked)))


def test_a_right_answer_is_scored():
    found = loop.run(answer_input(request(expected={"shelf": "red"}, metric=Named(name="ExactMatch"))))
    assert {a.score for a in found} <= {0.0, 1.0}
    assert all((a.score == 1) == (a.answer["shelf"] == "red") for a in found)


def test_an_endpoint_is_asked_once_for_each_prompt_and_its_failure_is_told():
    with OpenAIServer(answer=answer) as server:
        first, _second = loop.run(answer_input(request(model=server_model(server.url))))
        assert first.answer["shelf"] in ("red", "green", "blue")
        assert len(server.requests) == 2
        again = loop.run(answer_input(request(model=server_model(server.url))))
        assert all(a.cached for a in again)
        server.fail_with(400, {"error": {"message": "no such model"}}, times=2)
        failed = loop.run(
            answer_input(request(inputs={"text": "another lamp"}, model=server_model(server.url)))
        )
    assert all(a.error for a in failed)
    assert failed[0].calls[0].error


@pytest.mark.parametrize("inputs", [{}, {"text": ""}])
def test_a_missing_value_is_one_sentence(inputs):
    with pytest.raises(RunError, match="Give a value for 'text'"):
        loop.run(answer_input(request(inputs=inputs)))


def test_a_missing_key_is_one_sentence(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    asked = request(model=ModelChoice(name="openai/gpt-5-mini"))
    assert "needs an API key" in answer_request(in_envelope(asked)).problem


def test_the_process_answers_json_and_never_loads_litellm():
    code = "import sys; from engine.runs.child.process import main; main(); assert 'litellm' not in sys.modules, 'litellm loaded'"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=in_envelope(request()),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [a["name"] for a in json.loads(done.stdout.splitlines()[-1])["content"]] == ["start", "best"]


def test_answers_are_told_piece_by_piece_as_they_are_written():
    pieces = []
    with OpenAIServer(answer=answer) as server:
        found = loop.run(answer_input(request(model=server_model(server.url)), pieces.append))
    assert {p.name for p in pieces} == {"start", "best"}
    for attempt in found:
        said = [p for p in pieces if p.name == attempt.name]
        assert "".join(p.text for p in said) == attempt.answer["shelf"]
        assert {(p.step, p.field) for p in said} == {("sort", "shelf")}


def test_the_process_writes_pieces_as_lines_before_the_attempts():
    with OpenAIServer(answer=answer) as server:
        asked = request(model=server_model(server.url), stream=True)
        done = subprocess.run(
            [sys.executable, "-m", "engine.runs.child.process"],
            input=in_envelope(asked),
            capture_output=True,
            check=False,
        )
    *lines, last = [json.loads(line) for line in done.stdout.splitlines()]
    pieces = [line for line in lines if not line["usage"]]
    assert [line["usage"]["calls"] for line in lines if line["usage"]] == [1, 2, 2]
    assert last["final"]
    assert len(last["content"]) == 2
    assert pieces
    assert all(set(p["content"]) == {"name", "step", "field", "text"} for p in pieces)


def test_every_prompt_has_a_conversation_of_its_own():
    talk = PipelineSpec(
        steps=(
            StepSpec(
                name="chat",
                inputs=(FieldSpec(name="history", type="History"), FieldSpec(name="question")),
                outputs=(FieldSpec(name="answer"),),
            ),
        )
    )
    start = build_program(talk).candidate().as_dict()
    asked = PlaygroundRequest(
        pipeline=talk,
        candidates={"a": start, "b": start},
        inputs={"question": "And then?"},
        own_inputs={"b": {"history": [{"question": "Who wrote it?", "answer": "Ada"}]}},
    )
    first, second = loop.run(answer_input(asked))
    assert not first.error
    assert len(second.calls[0].messages) == len(first.calls[0].messages) + 2
    assert "Ada" in str(second.calls[0].messages)
    assert second.steps[0].inputs["question"] == "And then?"
