"""Malformed text and files from outside: each is one of the engine's own errors, in a moment."""

from __future__ import annotations

import json
import time

import pytest
from typer.testing import CliRunner

from engine import LM, ChainOfThought, Predict
from engine.adapters import ADAPTERS
from engine.adapters.scalars import loose_json
from engine.cli.app import app
from engine.dataset import paste_dataset, read_dataset
from engine.errors import ConfigurationError, DatasetError, PipelineError, ProgramFileError, SignatureError
from engine.export.dspy_script import import_dspy
from engine.lm.choice import ModelChoice
from engine.pipeline.importers.task import import_task
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.signature import make_signature
from engine.signature.grammar import parse_type
from engine.tools.http import openapi_tools

LONG = "9" * 4301


@pytest.mark.parametrize("text", [LONG, f'[{{"a": {LONG}}}]', "[" * 5000, '{"a":' * 5000])
def test_json_that_no_table_is_made_of(text: str):
    with pytest.raises(DatasetError):
        read_dataset(text.encode(), "x.json")
    with pytest.raises(DatasetError):
        read_dataset(text.encode(), "x.jsonl")
    if text[0] in "[{":
        with pytest.raises(DatasetError):
            paste_dataset(text)


def test_half_a_character_in_a_columns_name_is_replaced():
    table = read_dataset(b'[{"\\ud800": "\\udc00", "b": 1}]', "x.json")
    assert (table.columns, table.rows()) == (("?", "b"), [{"?": "?", "b": "1"}])


@pytest.mark.parametrize(
    "text",
    [
        "-" * 5000 + "1",
        "not " * 5000 + "a",
        "x" + ".x" * 5000,
        "Literal[0x" + "f" * 5000 + "]",
        "Literal[[1]]",
        "Literal[{[]: 1}]",
        "list[" * 300 + "int" + "]" * 300,
        LONG,
    ],
)
def test_a_type_that_cannot_be_read(text: str):
    with pytest.raises(SignatureError):
        parse_type(text)
    with pytest.raises(SignatureError):
        make_signature(f"a: {text} -> b")


def _deep_class(depth: int) -> str:
    return f"class A(BaseModel):\n    x: {'list[' * depth}int{']' * depth}\n    y: {'-' * 3000}1\n"


_ENDLESS = {
    "properties": {"x": {"$ref": "#/$defs/a"}},
    "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 10}},
}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (f'{{"properties": {{"a": {{"maximum": {LONG}}}}}}}', "schema"),
        ('{"properties": {"a": ' + '{"items": ' * 5000, "schema"),
        (json.dumps(_ENDLESS), "schema"),
        (_deep_class(90), "class"),
        (_deep_class(5000), "class"),
        ("class A(BaseModel):\n    x: int = " + "(" * 5000, "class"),
        ("class A(BaseModel):\n    x: " + "a." * 5000 + "a", "class"),
    ],
)
def test_a_pasted_text_that_cannot_be_read(text: str, form):
    began = time.monotonic()
    with pytest.raises(PipelineError):
        import_task(text, form)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("definitions", [[], "x", 3, None, {"a": 5}])
def test_definitions_that_are_no_mapping_are_left_aside(definitions: object):
    text = json.dumps({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": definitions})
    assert [f.name for f in import_task(text, "schema").step.outputs] == ["a"]


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {"predict": None},
        {"predict": {"signature": None}},
        {"predict": {"signature": {"instructions": "x", "fields": 3}, "demos": []}},
        {"predict": {"signature": {"instructions": "x", "fields": []}, "demos": 3}},
        {"predict": {"signature": {"instructions": "x", "fields": []}, "demos": [3]}},
        {"predict": {"signature": {}, "nearest": float("inf")}},
        {"predict": {"signature": {"instructions": "\ud800"}}},
        {"predict": {"signature": {}, "config": 3}},
        {"predict": {"signature": {}, "lm": 3}},
    ],
)
def test_a_state_that_is_none(state):
    program = ChainOfThought("question -> answer")
    with pytest.raises(ProgramFileError):
        program.load_state(state)
    assert program.predict.demos == []


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_half_a_character_in_a_reply_is_replaced(adapter):
    signature = make_signature("q -> answer: str, more: dict[str, Any]")
    found = adapter().parse(signature, '{"answer": "a\\ud800", "more": {"\\udc00": ["\\ud800"]}}')
    assert found == {"answer": "a?", "more": {"?": ["?"]}}


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("end", ["}", ",}", ""])
def test_escaped_halves_of_one_character_are_joined(quote: str, end: str) -> None:
    text = r'{"a": "\ud83d\ude00 \ud83d", "\ud83d\ude00": "b"'.replace('"', quote)
    assert loose_json(text + end) == {"a": "\U0001f600 ?", "\U0001f600": "b"}


@pytest.mark.parametrize("name", ["A\nRUN evil", "A B", "A;B", "A=B", "1A", "A\0"])
def test_a_variables_name_is_one_word(name: str):
    with pytest.raises(ValueError, match="no name of an environment variable"):
        ModelChoice(name="openai/x", key_env=name)


def test_a_password_in_an_address_is_not_kept():
    url = "http://me:secret@127.0.0.1:9/v1?a=b@c"
    assert ModelChoice(name="openai/x", base_url=url).base_url == "http://127.0.0.1:9/v1?a=b@c"
    lm = LM("openai/x", api_base=url, api_key="k")
    program = Predict("q -> a")
    program.lm = lm
    assert "secret" not in f"{lm!r} {lm.dump_state()} {program.dump_state()}"


@pytest.mark.parametrize(
    "state",
    [
        [],
        {"answer": None},
        {"answer": []},
        {"answer": {"signature": None}},
        {"answer": {"signature": {"fields": 3}}},
        {"answer": {"signature": {"fields": [1, 2]}}},
        {"answer.predict": "x"},
    ],
)
def test_a_state_of_dspy_that_is_none(state, tmp_path):
    step = StepSpec(name="answer", inputs=(FieldSpec(name="q"),), outputs=(FieldSpec(name="a"),))
    (tmp_path / "state.json").write_text(json.dumps(state))
    with pytest.raises(ProgramFileError):
        import_dspy(tmp_path / "state.json", PipelineSpec(steps=(step,)))


@pytest.mark.parametrize(
    "paths",
    [
        {"/a": None},
        {"/a": {"get": 3}},
        {"/a": {"get": {"parameters": 3}}},
        {"/a": {"get": {"parameters": [3]}}},
        {"/a": {"get": {"parameters": [{"in": "query"}]}}},
        {"/a": {"post": {"requestBody": {"content": []}}}},
        {"/a": {"parameters": [{"$ref": "#/components"}] * 30, "get": {}}},
    ],
)
def test_an_openapi_document_that_is_damaged_or_endless(paths):
    document = {"openapi": "3.1.0", "paths": paths, "components": {"x": [{"$ref": "#/components"}] * 30}}
    began = time.monotonic()
    with pytest.raises(ConfigurationError):
        openapi_tools(document, base_url="https://example.org")
    assert time.monotonic() - began < 10


def test_a_run_spec_with_an_endless_number(tmp_path):
    (tmp_path / "run.json").write_text(LONG)
    done = CliRunner().invoke(app, ["run", str(tmp_path / "run.json"), "--home", str(tmp_path / "home")])
    assert done.exit_code != 0
    assert "too long to read" in done.stderr
