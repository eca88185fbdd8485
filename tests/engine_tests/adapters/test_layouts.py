"""Tags, free answers, and a layout of its own for one step: in a program, in a saved file and in a pipeline."""

from __future__ import annotations

import dataclasses
import json
from typing import Literal, TypedDict

import orjson
import pytest
from pydantic import BaseModel, Field
from support.program_files import save_program

from engine import (
    BAMLAdapter,
    ChainOfThought,
    ChatAdapter,
    Code,
    ExactMatch,
    Example,
    History,
    InputField,
    JSONAdapter,
    Module,
    OutputField,
    Predict,
    Signature,
    TwoStepAdapter,
    XMLAdapter,
    context,
    track_usage,
)
from engine.adapters import ADAPTERS, get_adapter
from engine.errors import AdapterParseError, ProgramFileError, UnknownNameError
from engine.export.messages import step_messages
from engine.export.program import load_program, program_file
from engine.lm.client import LM
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.search.estimate import with_stand_ins
from engine.search.settings import Settings
from engine.testing import ScriptedLM


class Person(BaseModel):
    name: str = Field(description="as written")
    age: int = Field(ge=0)
    nick: str | None = None


class Place(TypedDict):
    town: str
    rooms: list[int]


@dataclasses.dataclass
class Point:
    x: float
    y: float


PEOPLE = Signature(
    "text -> people: list[Person], place: Place, at: Point, pair: tuple[int, str], scores: dict[str, float]",
    custom_types={"Person": Person, "Place": Place, "Point": Point},
)
TAGGED = """Here you are:
<people>
  <item><name>Ann & Bob <i>Ltd</i></name><age>3</age></item>
  <item>
    <name>
      C < D
    </name>
    <age> 1200 </age><nick>null</nick>
  </item>
</people>
<place><town>Ulm</town><rooms><item>1</item></rooms></place>
<at><x>1.5</x><y>2</y></at>
<pair><item>7</item><item>8</item></pair>
<scores><entry key="a b">0.5</entry><c>1</c></scores>"""


def test_tags_inside_tags_are_read_by_the_types():
    assert XMLAdapter().parse(PEOPLE, TAGGED) == {
        "people": [
            Person(name="Ann & Bob <i>Ltd</i>", age=3),
            Person(name="C < D", age=1200),
        ],
        "place": {"town": "Ulm", "rooms": [1]},
        "at": Point(1.5, 2.0),
        "pair": (7, "8"),
        "scores": {"a b": 0.5, "c": 1.0},
    }


def test_the_prompt_shows_the_tags_inside():
    system = XMLAdapter().format_system_message(PEOPLE)
    assert (
        "<item>\n  <name>{str, as written}</name>\n  <age>{a single whole number, at least 0}</age>" in system
    )
    assert "<rooms>\n  <item>{a single whole number}</item>" in system
    assert '<entry key="{name}">{a single number}</entry>' in system
    assert "JSON" not in system


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("<a>x</a><b>2</b>", {"a": "x", "b": 2}),
        ("<a>see <b>9</b></a>\n<b>2</b>", {"a": "see <b>9</b>", "b": 2}),
        ("<a>one</a><a>two</a><b>2</b>", {"a": "one", "b": 2}),
        ("<a>open <b>2</b>", {"a": "open", "b": 2}),
        ("<a>&lt;p&gt; &#233; &unknown;</a><b> 2 </b>", {"a": "<p> é &unknown;", "b": 2}),
        ("<a/><b>2</b>", {"a": "", "b": 2}),
        ('<a class="x">x</a><b>2', {"a": "x", "b": 2}),
        ('{"a": "x", "b": 2}', {"a": "x", "b": 2}),
    ],
)
def test_tags_are_read_leniently(text, values):
    assert XMLAdapter().parse(Signature("q -> a, b: int"), text) == values


def test_tags_resolve_nothing():
    bomb = '<!DOCTYPE a [<!ENTITY x "boom">]><words><item>&x;</item></words>'
    assert XMLAdapter().parse(Signature("q -> words: list[str]"), bomb) == {"words": ["&x;"]}


def test_an_unreadable_tag_names_its_rule():
    with pytest.raises(AdapterParseError, match="'people' item 1 breaks its rule at age"):
        XMLAdapter().parse(
            Signature("q -> people: list[Person]", custom_types={"Person": Person}),
            "<people><item><name>A</name><age>-1</age></item></people>",
        )


def test_markdown_and_json_between_tags_are_read_too():
    signature = Signature("q -> words: list[str], code: Code", custom_types={"Code": Code})
    for words in ("- a\n- b", '["a", "b"]', "<item>a</item><item>b</item>"):
        found = XMLAdapter().parse(
            signature, f"<words>{words}</words><code>```python\nif a < b: pass\n```</code>"
        )
        assert found["words"] == ["a", "b"]
        assert found["code"].code == "if a < b: pass"


@pytest.mark.parametrize("adapter", [XMLAdapter(), TwoStepAdapter()])
def test_demonstrations_and_earlier_turns_in_the_layout(adapter):
    signature = Signature("history: History, q -> a, n: int", custom_types={"History": History})
    demo = Example(q="one", a="x < y", n=1)
    messages = adapter.format(
        signature, [demo], {"q": "now", "history": History(messages=[{"q": "before", "a": "yes", "n": 2}])}
    )
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    shown = "x &lt; y" if adapter.name == "xml" else "x < y"
    assert shown in messages[2]["content"]
    assert "before" in messages[3]["content"]
    assert "now" in messages[5]["content"]
    assert "[[ ##" not in str(messages)


class TestTwoSteps:
    def test_a_free_answer_then_its_fields(self):
        free, second = (
            ScriptedLM(["Surely billing, and it can wait."]),
            ScriptedLM([{"team": "billing", "urgent": False}]),
        )
        step = Predict(Signature("message -> team: Literal['billing', 'shipping'], urgent: bool", "Sort it."))
        step.demos = [Example(message="old", team="shipping", urgent=True)]
        with context(lm=free, adapter=TwoStepAdapter(extraction_model=second)):
            assert dict(step(message="My bill")) == {"team": "billing", "urgent": False}
        (asked,), (extracting,) = free.requests, second.requests
        assert asked.messages[2]["content"] == "team: shipping\n\nurgent: True"
        assert "message: My bill" in asked.messages[-1]["content"]
        assert "billing; shipping" in asked.messages[0]["content"]
        assert "Surely billing" in extracting.messages[-1]["content"]
        assert "Sort it." in extracting.messages[0]["content"]
        assert len(extracting.messages) == 2

    def test_one_model_may_do_both_and_both_calls_count(self):
        lm = ScriptedLM(["It is four.", {"n": 4}])
        with context(lm=lm, adapter=TwoStepAdapter()), track_usage() as used:
            assert Predict("q -> n: int")(q="2 + 2?").n == 4
        assert used.get_total_tokens()["scripted"]["calls"] == 2

    def test_the_extraction_is_repaired_then_json_is_asked_for(self):
        free, second = ScriptedLM(["four", '{"n": 4}']), ScriptedLM(["?", "??"])
        with context(lm=free, adapter=TwoStepAdapter(second)):
            assert Predict("q -> n: int")(q="2 + 2?").n == 4
        assert "could not be used" in second.requests[1].messages[-1]["content"]

    def test_an_empty_answer_is_asked_for_again_and_not_handed_on(self):
        free, second = ScriptedLM([" ", "four"]), ScriptedLM([{"n": 4}])
        with context(lm=free, adapter=TwoStepAdapter(second)):
            assert Predict("q -> n: int")(q="2 + 2?").n == 4
        assert "The reply is empty" in free.requests[1].messages[-1]["content"]
        assert len(second.requests) == 1

    def test_every_completion_is_extracted(self):
        with context(
            lm=ScriptedLM([["one", "two"]]), adapter=TwoStepAdapter(ScriptedLM([{"n": 1}, {"n": 2}]))
        ):
            assert Predict("q -> n: int", n=2)(q="?").completions.n == [1, 2]

    def test_a_plan_counts_both_calls(self):
        program = Two()
        assert program.call_range == (2, 2)
        program.draft.adapter = TwoStepAdapter()
        assert program.call_range == (3, 3)
        row = {0: Example(q="x", a=1).with_inputs("q")}
        for adapter, calls in ((None, 3), (TwoStepAdapter(), 4)):
            settings = Settings(program, ExactMatch(), row, (0,), (0,), adapter=adapter)
            assert (settings.program_calls, settings.calls_a_row) == (calls, calls)

    def test_the_estimate_counts_both_calls(self):
        for adapter, calls in ((TwoStepAdapter(), 2), (ChatAdapter(), 1)):
            with track_usage() as used, context(lm=ScriptedLM([])):
                with_stand_ins(Predict("q -> n: int"), adapter, {})(q="x")
            assert sum(numbers["calls"] for numbers in used.get_total_tokens().values()) == calls


class Two(Module):
    def __init__(self):
        super().__init__()
        self.draft = Predict("q -> d")
        self.final = ChainOfThought("d -> a: int")

    def forward(self, q):
        return self.final(d=self.draft(q=q).d)


def test_each_step_may_have_its_own():
    program = Two()
    program.draft.adapter = XMLAdapter()
    program.final.predict.adapter = JSONAdapter()
    lm = ScriptedLM(["<d>x</d>", '{"reasoning": "r", "a": 1}'])
    with context(lm=lm, adapter=ChatAdapter()):
        assert program(q="?").a == 1
    assert "<d>" in lm.requests[0].messages[-1]["content"]
    assert "JSON object" in lm.requests[1].messages[-1]["content"]
    assert program.deepcopy().draft.adapter is program.draft.adapter


def test_a_steps_adapter_is_saved_and_loaded(tmp_path):
    program = Two()
    program.draft.adapter = XMLAdapter(use_json_adapter_fallback=False, retries=2)
    program.final.predict.adapter = TwoStepAdapter(
        LM("openai/small", temperature=0.3, api_key="sk-secret"), use_native_function_calling=True
    )
    path = tmp_path / "program.json"
    program.save(path)
    assert b"sk-secret" not in path.read_bytes()
    again = Two()
    again.load(path)
    first, second = again.draft.adapter, again.final.predict.adapter
    assert (type(first), first.retries, first.use_json_adapter_fallback) == (XMLAdapter, 2, False)
    assert (type(second), second.use_native_function_calling) == (TwoStepAdapter, True)
    assert (second.extraction_model.model, second.extraction_model.params) == (
        "openai/small",
        {"temperature": 0.3},
    )
    plain = orjson.loads(path.read_bytes())
    plain["draft"]["adapter"] = {"name": "xml", "colour": "red"}
    path.write_bytes(orjson.dumps(plain))
    with pytest.raises(ProgramFileError, match="colour"):
        Two().load(path)


def test_an_adapter_of_ones_own_is_left_out_of_the_file_with_a_warning(tmp_path, caplog):
    class Mine(ChatAdapter):
        pass

    step = Predict("q -> a")
    step.adapter = Mine()
    step.save(tmp_path / "p.json")
    assert "Mine is not saved" in caplog.text
    Predict("q -> a").load(tmp_path / "p.json")


def spec(*adapters):
    steps = [
        StepSpec(
            name=f"step{i}",
            inputs=(FieldSpec(name=f"f{i}"),),
            outputs=(FieldSpec(name=f"f{i + 1}"),),
            strategy="chain_of_thought" if i else "predict",
            adapter=adapter,
        )
        for i, adapter in enumerate(adapters)
    ]
    return PipelineSpec(steps=tuple(steps))


def test_a_pipelines_step_has_the_adapter_it_names():
    program = build_program(spec("xml", None, "two_step"))
    assert [type(step.adapter) for step in program.predictors()] == [XMLAdapter, type(None), TwoStepAdapter]


@pytest.mark.parametrize("name", ["chat", "json", "xml", "two_step"])
def test_a_program_file_keeps_the_adapter_of_the_program_and_of_its_steps(tmp_path, name):
    pipeline = spec(None, "json")
    path = tmp_path / "program.json"
    save_program(pipeline, build_program(pipeline).candidate(), path, adapter=name)
    program = load_program(path, lm=ScriptedLM([]))
    kinds = [type(step.adapter or ChatAdapter()) for step in program.predictors()]
    assert kinds == [get_adapter(name), JSONAdapter]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("chat", "[[ ## scan ## ]]\n", "\n\n"),
        ("json", "[[ ## scan ## ]]\n", "\n\n"),
        ("xml", "<scan>\n", "\n</scan>"),
        ("two_step", "scan: ", "\n\n"),
    ],
)
def test_exported_messages_name_a_pictures_place_in_the_layout(name, before, after):
    step = StepSpec(
        inputs=(FieldSpec(name="scan", type="Image"), FieldSpec(name="text")), outputs=(FieldSpec(name="a"),)
    )
    pipeline = PipelineSpec(steps=(step,))
    program = program_file(pipeline, build_program(pipeline).candidate(), adapter=name)
    asked = step_messages(program)["answer"][-1]["content"]
    assert asked.startswith(f"{before}{{scan}}{after}")
    assert f"{before.replace('scan', 'text')}{{text}}" in asked


def test_names():
    assert [get_adapter(a.name) for a in ADAPTERS] == list(ADAPTERS)
    assert get_adapter("XMLAdapter") is XMLAdapter
    with pytest.raises(UnknownNameError, match="chat, json, two_step, xml"):
        get_adapter("yaml")


@pytest.mark.parametrize("adapter", [a() for a in ADAPTERS], ids=lambda a: a.name)
def test_the_offline_model_answers_in_every_layout(adapter):
    step = Predict("message -> queue: Literal['billing', 'technical']")
    step.demos = [
        Example(message="My invoice is wrong", queue="billing"),
        Example(message="The app crashes", queue="technical"),
        Example(message="I was charged twice on my bill", queue="billing"),
    ]
    with context(lm=LM("offline/learner", cache=False), adapter=adapter), track_usage() as used:
        assert step(message="There is a mistake on my invoice").queue == "billing"
    assert used.get_total_tokens()["offline/learner"]["calls"] == (2 if adapter.name == "two_step" else 1)


class Street(BaseModel):
    """Where somebody lives."""

    name: str = Field(description="With the number.")
    country: Literal["US", "CA"]


class Patient(BaseModel):
    """Somebody who is treated."""

    name: str = Field(description="Full name.")
    age: int
    home: Street | None
    homes: list[Street]
    notes: dict[str, list[str]]
    parent: Patient | None = None


def test_a_short_notation_of_types_is_what_baml_adapter_shows_and_json_what_it_reads() -> None:
    class Extract(Signature):
        """Extract the patient."""

        note: str = InputField()
        patient: Patient = OutputField()
        stars: int = OutputField(ge=1, le=5)

    adapter = BAMLAdapter()
    value = {
        "patient": {
            "name": "Ann",
            "age": 4,
            "home": None,
            "homes": [{"name": "A 1", "country": "US"}],
            "notes": {"a": ["b"]},
        },
        "stars": 3,
    }
    lm = ScriptedLM([json.dumps(value)])
    with context(lm=lm, adapter=adapter):
        found = Predict(Extract)(note="x")
    assert found.patient == Patient.model_validate(value["patient"])
    system = lm.requests[0].messages[0]["content"]
    form = system.split("of this form:\n\n")[1].split("\n}")[0]
    assert form.splitlines() == [
        "{",
        "  # Somebody who is treated.",
        "  patient: {",
        "    # Full name.",
        "    name: string,",
        "    age: int,",
        "    # Where somebody lives.",
        "    home: {",
        "      # With the number.",
        "      name: string,",
        '      country: "US" or "CA",',
        "    } or null,",
        "    # Where somebody lives.",
        "    homes: [",
        "      {",
        "        # With the number.",
        "        name: string,",
        '        country: "US" or "CA",',
        "      }",
        "    ],",
        "    notes: dict[string, string[]],",
        "    # Somebody who is treated.",
        "    parent: Patient, as above or null,",
        "  },",
        "  # must be at least 1, at most 5",
        "  stars: int,",
    ]
    usual = JSONAdapter().format(Extract, [], {"note": "x"})[0]["content"]
    assert len(form) < len(usual.split("of this form:")[1]) / 2
