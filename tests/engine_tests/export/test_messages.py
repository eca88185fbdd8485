"""The exact messages of an exported program: what a run would send, with names where values go."""

import json

from support.run_setup import PIPELINE
from support.servers.openai_server import OpenAIServer

import engine
from engine.export.formats import export_forms
from engine.export.messages import messages_json, messages_text, openai_requests
from engine.export.program import program_file
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import Demo


def content(**changes):
    demos = (Demo({"text": "a lamp", "shelf": "red"}),)
    candidate = build_program(PIPELINE).candidate().with_step("sort", instructions="Sort it.", demos=demos)
    model = {"name": "openai/test-model", "temperature": 0.5, "key_env": "KEY"}
    return program_file(PIPELINE, candidate, model=model, **changes)


def test_the_messages_are_those_that_are_sent():
    with OpenAIServer(answer="[[ ## shelf ## ]]\nred\n\n[[ ## completed ## ]]") as server:
        lm = engine.LM("openai/test-model", api_base=server.url, api_key="k", cache=False, temperature=0.5)
        content().build(lm=lm)(text="a small cup")
        sent = server.requests[0]
    shown = json.loads(openai_requests(content()))["sort"]
    assert shown == json.loads(json.dumps(sent).replace("a small cup", "{text}"))
    assert json.loads(messages_json(content()))["sort"] == shown["messages"]


def test_a_picture_has_its_place_too():
    step = StepSpec(
        inputs=(FieldSpec(name="photo", type="Image"), FieldSpec(name="text")),
        outputs=(FieldSpec(name="tags", type="list[str]"),),
    )
    spec = PipelineSpec(steps=(step,))
    last = json.loads(messages_json(program_file(spec, build_program(spec).candidate())))["answer"][-1]
    assert "[[ ## photo ## ]]\n{photo}\n" in last["content"]
    assert "{text}" in last["content"]


def test_the_text_shows_every_turn_under_its_role():
    text = messages_text(content())
    assert [line for line in text.splitlines() if line.startswith("--- ")] == [
        "--- system ---",
        "--- user ---",
        "--- assistant ---",
        "--- user ---",
    ]
    assert "===== sort =====" in text
    assert "{text}" in text


def test_the_adapter_chosen_lays_them_out():
    turns = json.loads(messages_json(content(adapter="json")))["sort"]
    assert json.loads(turns[2]["content"]) == {"shelf": "red"}


def test_every_export_renders_and_holds_no_key(monkeypatch):
    monkeypatch.setenv("KEY", "sk-secret-value")
    for form in export_forms():
        if form.name == "weights":  # it is of programs with tuned weights only, and has tests of its own
            continue
        made = form.content(content())
        assert made.endswith(b"\n") or form.file_name.endswith(".zip")
        assert b"sk-secret-value" not in made
