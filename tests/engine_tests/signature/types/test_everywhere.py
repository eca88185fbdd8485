"""Each type of the engine's own: as an input, in an example, a demonstration, a saved program, JSON and a form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter
from support.pictures import PNG

from engine import (
    PDF,
    Audio,
    ChatAdapter,
    Citations,
    Code,
    Document,
    Evaluate,
    ExactMatch,
    Example,
    File,
    History,
    Image,
    InputField,
    JSONAdapter,
    OutputField,
    Predict,
    Reasoning,
    Tool,
    ToolCall,
    ToolCallResults,
    ToolCalls,
    TwoStepAdapter,
    XMLAdapter,
    context,
    make_signature,
)
from engine.errors import ToolError
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import FieldSpec
from engine.records import Candidate, json_value
from engine.signature.types import ToolCallResult
from engine.testing import ScriptedLM

ADAPTERS = [ChatAdapter(), JSONAdapter(), XMLAdapter(), TwoStepAdapter()]


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


VALUES: dict[str, Any] = {
    "Image": Image(PNG),
    "Audio": Audio(b"RIFF"),
    "File": File.from_bytes(b"a,b", filename="t.csv"),
    "PDF": PDF.from_bytes(b"%PDF-1.7", "a.pdf"),
    "Document": Document(data="Five days.", title="Refunds"),
    "Citations": Citations.from_dict_list([{"cited_text": "five", "document_index": 0}]),
    "Code": Code("print(1)"),
    "History": History(messages=[{"before": "hello", "out": "yes"}]),
    "Reasoning": Reasoning("First add."),
    "Tool": Tool(add),
    "ToolCalls": ToolCalls.from_dict_list([{"name": "add", "args": {"a": 1}}]),
    "ToolCallResults": ToolCallResults(tool_call_results=(ToolCallResult(name="add", value=3),)),
}
SHOWN = {
    "Document": "Five days.",
    "Citations": '"cited_text":"five"',
    "Code": "print(1)",
    "Reasoning": "First add.",
    "Tool": "`add`: Add two numbers.",
    "ToolCalls": '{"name":"add","args":{"a":1}}',
    "ToolCallResults": "add: 3",
}
PARTS = {"Image": "image_url", "Audio": "input_audio", "File": "file", "PDF": "file"}
WRITTEN = ("Citations", "Code", "Reasoning", "ToolCalls")
"""What a model may also write."""


def signature(kind: Any):
    return make_signature({"before": InputField(), "it": (kind, InputField()), "out": OutputField()}, "Look.")


def text_of(messages: Any) -> str:
    parts = []
    for message in messages:
        content = message["content"]
        parts += [content] if isinstance(content, str) else [p.get("text", p["type"]) for p in content]
    return "\n".join(parts)


@pytest.mark.parametrize("name", VALUES)
def test_json_and_back(name):
    value = VALUES[name]
    saved = orjson.loads(orjson.dumps(json_value(value)))
    assert TypeAdapter(type(value)).validate_python(saved) == value
    again = Example(orjson.loads(orjson.dumps(json_value(dict(Example(it=value))))))
    assert TypeAdapter(type(value)).validate_python(again.it) == value
    assert hash(Example(it=value)) == hash(Example(it=value))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda a: a.name)
@pytest.mark.parametrize("name", VALUES)
def test_as_an_input_and_from_its_saved_form(name, adapter):
    value = VALUES[name]
    asked = signature(type(value))
    messages = adapter.format(asked, [], {"before": "b", "it": value})
    assert messages == adapter.format(asked, [], {"before": "b", "it": json_value(value)})
    if name in PARTS:
        assert any(part["type"] == PARTS[name] for part in messages[-1]["content"])
    elif name == "History":
        assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
        assert "hello" in text_of(messages[1:2])
    else:
        assert SHOWN[name] in text_of(messages[-1:])


@pytest.mark.parametrize("name", VALUES)
def test_lists_of_it_and_none(name):
    value = VALUES[name]
    if name == "History":
        return
    listed = signature(list[type(value)])
    messages = ChatAdapter().format(listed, [], {"before": "b", "it": [value, json_value(value)]})
    assert "[1] " in text_of(messages)
    assert "[2] " in text_of(messages)
    optional = signature(type(value) | None)
    assert "null" in text_of(ChatAdapter().format(optional, [], {"before": "b", "it": None}))


@pytest.mark.parametrize("name", VALUES)
def test_in_demonstrations_saved_programs_and_candidates(name, tmp_path):
    value = VALUES[name]
    step = Predict(signature(type(value)))
    step.demos = [Example(before="b", it=value, out="o")]
    given = {"before": "now", "it": value}
    shown = ChatAdapter().format(step.signature, step.demos, given)
    assert len(shown) >= 4
    step.save(tmp_path / "p.json")
    again = Predict(signature(type(value)))
    again.load(tmp_path / "p.json")
    assert ChatAdapter().format(again.signature, again.demos, given) == shown
    saved = orjson.loads(orjson.dumps(step.candidate().as_dict()))
    third = step.with_candidate(Candidate.from_dict(saved))
    assert ChatAdapter().format(third.signature, third.demos, given) == shown


@pytest.mark.parametrize("adapter", ADAPTERS[:3], ids=lambda a: a.name)
@pytest.mark.parametrize("name", WRITTEN)
def test_as_an_output_written_and_read_also_from_a_saved_demonstration(name, adapter):
    value = VALUES[name]
    asked = make_signature({"q": InputField(), "it": (type(value), OutputField())}, "Write it.")
    assert adapter.parse(asked, adapter.answer(asked, {"it": value})) == {"it": value}
    saved = {"q": "x", "it": json_value(value)}
    assert adapter.format(asked, [saved], {}) == adapter.format(asked, [{"q": "x", "it": value}], {})
    step = Predict(asked)
    with context(lm=ScriptedLM([adapter.answer(asked, {"it": value})]), adapter=adapter):
        found = step(q="x").it
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("name", VALUES)
def test_a_form_may_name_it(name):
    assert field_type(FieldSpec(name="it", type=name)) is type(VALUES[name])
    assert field_type(FieldSpec(name="it", type=f"list[{name}]")) == list[type(VALUES[name])]


BROKEN = {
    "Image": (b"hello", "no image"),
    "Audio": ("https://example.org/a.wav", "unasked"),
    "File": ("/etc/passwd", "from_path"),
    "PDF": (File.from_bytes(b"PK", "a.zip").file_data, "no PDF"),
    "Document": (3, "Input 'it'"),
    "Citations": ("five days", "Input 'it'"),
    "Code": (3, "Input 'it'"),
    "History": ("hello", "list of dicts"),
    "Reasoning": (3, "Input 'it'"),
    "Tool": (3, "A tool cannot be made of int"),
    "ToolCalls": ([{"function": {"name": "add", "arguments": '{"a": '}}], "no JSON"),
    "ToolCallResults": ("three", "Input 'it'"),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_is_none_is_a_named_error_on_its_row_and_the_rest_goes_on(name):
    value, words = BROKEN[name]
    rows = [
        Example(before="b", it=it, out="yes").with_inputs("before", "it")
        for it in (VALUES[name], value, VALUES[name])
    ]
    with context(lm=ScriptedLM(lambda _request: {"out": "yes"})):
        result = Evaluate(devset=rows, metric=ExactMatch())(Predict(signature(type(VALUES[name]))))
    assert [outcome.score for outcome in result.outcomes] == [1.0, 0.0, 1.0]
    assert words in result.outcomes[1].error


@pytest.mark.parametrize("name", ["Image", "Audio", "File", "PDF"])
def test_private_addresses_are_refused_when_asked_to_fetch(name):
    for url in ("http://127.0.0.1:9/x", "http://10.0.0.1/x", "http://[::1]/x", "file:///etc/passwd"):
        with pytest.raises(ValueError, match=r"private network|web address"):
            type(VALUES[name]).from_url(url)


def test_a_tool_out_of_a_file_says_that_it_lacks_its_function():
    saved = Tool.made_of(json_value(Tool(add)))
    assert saved == Tool(add)
    assert saved.required == ("a",)
    with pytest.raises(ToolError, match="came out of a file"):
        saved(a=1)


def test_calls_are_carried_out_and_a_failing_one_is_a_result():
    calls = ToolCalls.from_dict_list(
        [{"name": "add", "args": {"a": 1, "b": 2}}, {"name": "gone"}, {"name": "add", "args": {"a": "x"}}]
    )
    results = calls.execute([Tool(add)])
    assert [(r.name, r.is_error) for r in results] == [("add", False), ("gone", True), ("add", True)]
    assert results[0].value == 3
    assert "There is no tool 'gone'. There are: add." in results[1].value
    assert calls[0].execute({"add": add}) == 3
    assert isinstance(calls[0], ToolCalls.ToolCall)
    elsewhere = ToolCallResults.from_tool_calls_and_values(calls, [3, "?", "?"], [False, True, True])
    assert (elsewhere[0].name, elsewhere[0].value, elsewhere[1].is_error) == ("add", 3, True)
    with pytest.raises(ValueError, match="shorter"):
        ToolCallResults.from_tool_calls_and_values(calls, [3])


def double(x: int) -> int:
    return 2 * x


def test_a_call_finds_its_function_where_it_is_carried_out():
    def triple(x):
        return 3 * x

    calls = ToolCalls.from_dict_list(
        [{"name": "triple", "args": {"x": 2}}, {"name": "double", "args": {"x": 2}}]
    )
    assert [call.execute() for call in calls.tool_calls] == [6, 4]
    with pytest.raises(ValueError, match="There is no tool 'gone'"):
        ToolCall(name="gone").execute()
    assert triple(1) == 3


@pytest.mark.parametrize(
    "written",
    [
        {"name": "double", "arguments": {"x": 2}},
        {"name": "double", "arguments": '{"x": 2}'},
        {"type": "function", "name": "double", "arguments": {"x": 2}, "id": "1"},
        {"function": {"name": "double", "arguments": '{"x": 2}'}, "id": "1"},
    ],
)
def test_calls_may_be_written_with_arguments_as_in_the_protocol(written):
    lm = ScriptedLM([orjson.dumps({"calls": {"tool_calls": [written]}}).decode()])
    signature = make_signature("tools: list[Tool], question -> calls: ToolCalls")
    with context(lm=lm, adapter=JSONAdapter(use_native_function_calling=False)):
        answer = Predict(signature)(tools=[Tool(double)], question="q")
    assert answer.calls.tool_calls[0].args == {"x": 2}
    assert len(lm.requests) == 1


def test_dspys_names_inside_classes():
    result = ToolCallResults.ToolCallResult(name="double", value=4)
    assert ToolCallResults(tool_call_results=(result,))[0].value == 4
    assert Citations.Citation(cited_text="x").cited_text == "x"
    assert ToolCalls.ToolCall(name="double").name == "double"
