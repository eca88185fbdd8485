"""Tasks written elsewhere become steps; nothing in them is ever run, and what cannot be read is one sentence."""

from __future__ import annotations

import json

import pytest

from engine.errors import PipelineError
from engine.pipeline.build import build_program
from engine.pipeline.importers.task import guess_form, import_task
from engine.pipeline.spec import PipelineSpec


def fields(side):
    return [(f.name, f.type, f.choices) for f in side]


def test_a_signature_string():
    step = import_task("question, context: list[str] -> answer: str, sure: bool").step
    assert fields(step.inputs) == [("question", "str", ()), ("context", "list[str]", ())]
    assert fields(step.outputs) == [("answer", "str", ()), ("sure", "bool", ())]
    build_program(PipelineSpec(steps=(step,)))


MODEL = '''
from enum import Enum
from typing import Annotated, List, Optional
from pydantic import BaseModel, Field, EmailStr
import os
os.system("touch /tmp/never")

class Kind(str, Enum):
    BILL = "bill"
    OFFER = "offer"

class Line(BaseModel):
    item: str
    price: float

class Letter(BaseModel):
    """Reads a letter."""
    model_config = {"extra": "forbid"}
    kind: Kind
    sender: Optional[EmailStr] = Field(None, description="Who wrote")
    total: Annotated[float, Field(description="In euros", gt=0)]
    lines: List[Line]
    sent: "date"
    odd: SomethingUnknown = None

    def tidy(self): return 1
'''


def test_a_pydantic_model_is_read_and_never_run(tmp_path):
    marker = tmp_path / "never"
    found = import_task(MODEL.replace("/tmp/never", str(marker)))
    step = found.step
    assert not marker.exists()
    assert step.instructions == "Reads a letter."
    assert [f.name for f in step.inputs] == ["text"]
    assert fields(step.outputs) == [
        ("kind", "str", ("bill", "offer")),
        ("sender", "Optional[str]", ()),
        ("total", "float", ()),
        ("lines", "list[record]", ()),
        ("sent", "datetime.date", ()),
        ("odd", "str", ()),
    ]
    assert step.outputs[1].description == "Who wrote"
    assert ("price", "float", ()) in fields(step.outputs[3].fields)
    assert any("SomethingUnknown" in note for note in found.notes)
    build_program(PipelineSpec(steps=(step,)))


def test_records_in_quotes_and_choices_that_may_be_empty_are_known():
    step = import_task(
        "class Line(BaseModel):\n    item: str\n\nclass Letter(BaseModel):\n    lines: 'list[Line]'\n"
        "    mood: Literal['up', 'down'] | None\n    odd: Annotated[()]\n"
    ).step
    assert fields(step.outputs) == [
        ("lines", "list[record]", ()),
        ("mood", "Optional[str]", ("up", "down")),
        ("odd", "str", ()),
    ]
    assert fields(step.outputs[0].fields) == [("item", "str", ())]


def test_a_signature_class_keeps_its_sides():
    step = import_task(
        'class QA(dspy.Signature):\n    """Answer shortly."""\n'
        "    question: str = dspy.InputField()\n    answer: str = dspy.OutputField(desc='one word')\n"
    ).step
    assert [f.name for f in step.inputs] == ["question"]
    assert step.outputs[0].description == "one word"
    assert step.instructions == "Answer shortly."


def test_a_json_schema_with_references_and_a_wrapping():
    schema = {
        "type": "json_schema",
        "json_schema": {
            "name": "order",
            "schema": {
                "description": "An order.",
                "$defs": {"Kind": {"enum": ["new", "used"]}},
                "properties": {
                    "kind": {"$ref": "#/$defs/Kind"},
                    "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "address": {"type": "object", "properties": {"street": {"type": "string"}}},
                    "class": {"type": "boolean"},
                },
            },
        },
    }
    found = import_task(json.dumps(schema))
    assert fields(found.step.outputs) == [
        ("kind", "str", ("new", "used")),
        ("count", "Optional[int]", ()),
        ("tags", "list[str]", ()),
        ("address", "record", ()),
        ("class_value", "bool", ()),
    ]
    assert found.step.instructions == "An order."
    assert fields(found.step.outputs[3].fields) == [("street", "str", ())]
    build_program(PipelineSpec(steps=(found.step,)))


def test_a_prompt_with_places_becomes_inputs_and_an_instruction():
    found = import_task(
        "You sort mail for {{ company }}.\nAnswer with one of: billing, shipping or other.\n\n"
        "Mail: {{mail}}\nTeam:"
    )
    step = found.step
    assert [f.name for f in step.inputs] == ["company", "mail"]
    assert (step.outputs[0].name, step.outputs[0].choices) == ("team", ("billing", "shipping", "other"))
    assert (
        step.instructions == "You sort mail for `company`.\nAnswer with one of: billing, shipping or other."
    )


def test_single_braces_are_places_and_json_in_a_prompt_is_not():
    step = import_task('Read {review}. Reply as {"mood": "..."} for {review}.', "prompt").step
    assert [f.name for f in step.inputs] == ["review"]
    assert '{"mood": "..."}' in step.instructions


@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        ("", None, "nothing to read"),
        ("question answer", "signature", "arrow"),
        ("a b -> c", "signature", "commas"),
        ("-> c", "signature", "arrow"),
        ("class A(BaseModel)\n  x: int", "class", "line 1"),
        ("x = 1", "class", "no class with fields"),
        ("class A:\n    pass", "class", "no class with fields"),
        ("{nope", "schema", "not valid JSON"),
        ("[1, 2]", "schema", "properties"),
        ('{"properties": {}}', "schema", "no properties"),
        ("[" * 100_000, "schema", "JSON"),
        ("x" * 300_000, "prompt", "at most"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text, form, words):
    with pytest.raises(PipelineError, match=words) as caught:
        import_task(text, form)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["![x](http://evil.example)", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "שלום {{ name }}", "🎛️"],
)
def test_odd_prompts_are_only_text(text):
    step = import_task(text, "prompt").step
    build_program(PipelineSpec(steps=(step,)))


def test_forms_are_told_apart():
    assert guess_form(MODEL) == "class"
    assert guess_form("Sort this: a -> b\nand more") == "prompt"
