"""What is a step's own in a spec: its model, its message layout and who reads it, native function calling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.program_files import save_program
from support.run_setup import spec as run_spec
from support.servers.openai_server import OpenAIServer

from engine import LM, ChainOfThought, JSONAdapter, Predict, ReAct, Tool, TwoStepAdapter, XMLAdapter, context
from engine.errors import MissingKeyError, PipelineError
from engine.export.program import load_program
from engine.lm.choice import ModelChoice
from engine.modules.module import Module
from engine.pipeline.build import build_program
from engine.pipeline.check import spec_problems
from engine.pipeline.importers.program import spec_of
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.prepare import check_keys
from engine.testing import ScriptedLM


def pipeline(inputs: str, outputs: str, **more: Any) -> PipelineSpec:
    sides = [[part.split(": ") for part in side.split("; ")] for side in (inputs, outputs)]
    fields = [tuple(FieldSpec(name=n, type=(*kind, "str")[0]) for n, *kind in side) for side in sides]
    return PipelineSpec(steps=(StepSpec(name="sort", inputs=fields[0], outputs=fields[1], **more),))


def free_then_fields(body: dict[str, Any]) -> str:
    """Free words for the first call; the second one's fields say which model wrote them."""
    if "[[ ## queue ## ]]" not in str(body["messages"]):
        return "This belongs to billing."
    return f"[[ ## queue ## ]]\nread by {body['model']}\n\n[[ ## completed ## ]]"


@pytest.fixture
def server(monkeypatch):
    with OpenAIServer(answer=free_then_fields) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        yield running


def test_a_named_model_reads_the_free_answer_also_after_saving(server, tmp_path: Path):
    # A name of this test's own: a named model is kept for the process, and with it this server's address.
    spec = pipeline("text", "queue", adapter="two_step", extraction_model="openai/small-saved")
    save_program(spec, build_program(spec).candidate(), tmp_path / "program.json")
    for program in (build_program(spec), load_program(tmp_path / "program.json")):
        with context(lm=LM("openai/large", cache=False)):
            assert program(text="an invoice").queue == "read by small-saved"
    assert [body["model"] for body in server.requests] == ["large", "small-saved", "large"], (
        "the second was kept"
    )
    plain = pipeline("text", "queue", adapter="two_step")
    with context(lm=LM("openai/large", cache=False)):
        assert build_program(plain)(text="an invoice").queue == "read by large"


def test_every_model_of_the_steps_needs_its_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    check_keys(run_spec())
    for settings in ({"adapter": "two_step", "extraction_model": "openai/o"}, {"model": "openai/o"}):
        with pytest.raises(MissingKeyError, match="'openai/o' needs an API key"):
            check_keys(run_spec(pipeline=pipeline("text", "queue", **settings)))


def test_a_programs_own_models_are_in_its_spec_and_one_for_all_is_not():
    program = Program(None, whole=False)
    program.sort.lm = LM("openai/gpt-4o-mini")
    spec = spec_of(program)
    assert [s.model for s in spec.steps] == [None, ModelChoice(name="openai/gpt-4o-mini")]
    assert build_program(spec).sort.lm.model == "openai/gpt-4o-mini"
    program.set_lm(LM("openai/gpt-4o", temperature=0.5))
    assert [s.model for s in spec_of(program).steps] == [None, None]
    program.sort.lm = LM(
        "openai/m", api_base="http://127.0.0.1:9", key_env="MY_KEY", temperature=0.2, max_tokens=50
    )
    program.think.set_lm(None)
    spec = spec_of(program)
    own = ModelChoice(
        name="openai/m",
        base_url="http://127.0.0.1:9/v1",
        key_env="MY_KEY",
        temperature=0.2,
        max_tokens=50,
    )
    assert [s.model for s in spec.steps] == [None, own]
    assert spec_of(build_program(spec)) == spec
    program.think.set_lm(LM("openai/gpt-4o", top_p=0.5))
    with pytest.raises(PipelineError, match=r"'openai/gpt-4o' of the step 'think' .* cannot say: top_p"):
        spec_of(program)
    agent = ReAct("text, note -> queue", [])
    agent.react.lm = LM("openai/gpt-4o")
    program.think.set_lm(None)
    program.sort = agent
    with pytest.raises(PipelineError, match="parts of the step 'sort' ask different models"):
        spec_of(program)


@pytest.mark.parametrize(("wanted", "sent"), [(True, True), (None, False), (False, False)])
def test_native_function_calling_is_a_steps_choice(wanted: bool | None, sent: bool):
    spec = pipeline(
        "text; tools: list[Tool]", "calls: ToolCalls", adapter="chat", use_native_function_calling=wanted
    )

    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    def answer(body: dict[str, Any]) -> Any:
        if "tools" not in body:
            call = '{"tool_calls": [{"name": "weather", "args": {"city": "Ulm"}}]}'
            return f"[[ ## calls ## ]]\n{call}\n\n[[ ## completed ## ]]"
        function = {"name": "weather", "arguments": '{"city": "Ulm"}'}
        call = {"id": "c1", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}

    with OpenAIServer(answer=answer) as server:
        lm = LM("openai/test-model", api_base=server.url, api_key="k", cache=False, capabilities=["tools"])
        with context(lm=lm):
            calls = build_program(spec)(text="Rain?", tools=[Tool(weather)]).calls
        assert ("tools" in server.requests[0]) is sent
    assert [(call.name, call.args) for call in calls] == [("weather", {"city": "Ulm"})]


class Program(Module):
    def __init__(self, adapter: Any, *, whole: bool = True):
        super().__init__()
        self.think = ChainOfThought("text -> note")
        self.sort = Predict("text, note -> queue")
        self.think.predict.adapter = adapter
        if whole:
            self.sort.adapter = XMLAdapter()

    def forward(self, text):
        return self.sort(text=text, note=self.think(text=text).note)


def test_a_programs_layouts_are_in_its_spec_and_back():
    adapter = TwoStepAdapter(LM("openai/gpt-4o-mini"), use_native_function_calling=True)
    spec = spec_of(Program(adapter))
    found = [(s.adapter, s.extraction_model, s.use_native_function_calling) for s in spec.steps]
    assert found == [("two_step", ModelChoice(name="openai/gpt-4o-mini"), True), ("xml", None, None)]
    made = build_program(spec)
    assert made.think.predict.adapter.options() == adapter.options()
    assert made.think.predict.adapter.extraction_model.model == "openai/gpt-4o-mini"
    assert spec_of(made) == spec
    assert PipelineSpec.model_validate_json(spec.model_dump_json()) == spec
    assert [s.adapter for s in spec_of(Program(None, whole=False)).steps] == [None, None]


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        (
            XMLAdapter(retries=3),
            "'think' has a message layout with a setting that a spec cannot say: retries",
        ),
        (TwoStepAdapter(LM("openai/gpt-4o-mini", num_retries=1)), "cannot say: num_retries"),
        (
            type("Mine", (JSONAdapter,), {})(),
            "'think' has its own message layout in a part of it, or a",
        ),
    ],
)
def test_what_a_spec_cannot_say_of_a_layout_is_told(adapter: Any, words: str):
    with pytest.raises(PipelineError) as caught:
        spec_of(Program(adapter))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adapter": "json", "extraction_model": "openai/x"}, "Only the two_step layout has a second model"),
        ({"extraction_model": "openai/x"}, "here 'openai/x'. Choose that layout"),
        ({"use_native_function_calling": True}, "Choose the layout as well"),
        (
            {"strategy": "retrieve", "model": "openai/x", "options": {"corpus": {"passages": ["a"]}}},
            "A retrieve step asks no model. Take 'openai/x' out",
        ),
    ],
)
def test_settings_without_their_layout_are_one_sentence(settings: dict[str, Any], words: str):
    spec = pipeline("text", "queue", **settings)
    assert any(words in sentence for sentence in spec_problems(spec))
    with pytest.raises(PipelineError):
        build_program(spec)


def test_the_estimate_and_a_scripted_model_know_both_calls():
    spec = pipeline("text", "queue", adapter="two_step", extraction_model="offline/learner")
    program = build_program(spec)
    assert program.calls_a_row == 2
    lm = ScriptedLM(["queue: billing"])
    with context(lm=lm):
        assert program(text="an invoice").queue == "billing"
    assert len(lm.requests) == 1
