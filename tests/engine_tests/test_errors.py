"""Errors are also of the built-in kind that DSPy raises at the same place, so that `except ValueError:` still catches them."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest
from support.peers.dspy_peer import in_dspy

import engine
from engine.errors import AdapterParseError, EngineError, SandboxError
from engine.testing import DummyLM

CASES = {
    "no arrow": "dspy.Predict('question')",
    "two arrows": "dspy.Predict('a -> b -> c')",
    "unknown type": "dspy.Predict('a: strr -> c')",
    "a field of no side": "type('S', (dspy.Signature,), {'__annotations__': {'a': int}})",
    "unknown field": "dspy.Signature('a -> b').with_updated_fields('c', desc='x')",
    "position outside": "dspy.Signature('a -> b').insert(9, 'c', dspy.InputField())",
    "instructions twice": "dspy.ensure_signature(dspy.Signature('a -> b'), 'Again.')",
    "inputs by position": "dspy.Predict('question -> answer')('q')",
    "missing step": "dspy.ChainOfThought('question -> answer').load_state({})",
    "missing file": "dspy.Predict('question -> answer').load('none.json')",
    "damaged file": "(pathlib.Path('bad.json').write_text('{'), dspy.Predict('a -> b').load('bad.json'))",
    "unknown argument of a tool": "dspy.Tool(look_up)(other=1)",
    "wrong argument of a tool": "dspy.Tool(look_up)(number='x')",
    "call of an unknown tool": "dspy.ToolCalls.from_dict_list([{'name': 'x', 'args': {}}]).tool_calls[0].execute({'y': look_up})",
    "unknown argument of Evaluate": "dspy.Evaluate(devset=[row], metric=look_up, return_outputs=True)(dspy.Predict('question -> answer'))",
    "unknown automatic setting": "dspy.MIPROv2(metric=look_up, auto='huge')",
    "missing index": "embeddings.from_saved('none', len)",
}

RUN = """
import json, pathlib
def look_up(number: int) -> int:
    return number
row = dspy.Example(question="q", answer="4").with_inputs("question")
found = {}
for name, code in cases.items():
    try:
        eval(code)
    except Exception as error:
        found[name] = [kind.__name__ for kind in type(error).__mro__]
    else:
        found[name] = None
try:
    with dspy.context(lm=None):
        dspy.Predict("question -> answer")(question="q")
except Exception as error:
    found["no model"] = [kind.__name__ for kind in type(error).__mro__]
"""


def test_errors_are_of_the_built_in_kinds_of_dspy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"dspy": engine, "cases": CASES, "embeddings": engine.Embeddings}
    with engine.context(lm=DummyLM([{"answer": "4"}])):
        exec(RUN, scope)
    ours: dict[str, list[str]] = scope["found"]  # type: ignore[assignment]
    own = [name for name, kinds in ours.items() if "EngineError" not in (kinds or ())]
    assert own == []
    theirs = json.loads(
        in_dspy(
            f"import dspy, json\nfrom dspy.utils import DummyLM\ncases = {CASES!r}\nembeddings = dspy.retrievers.Embeddings\n"
            f"dspy.configure(lm=DummyLM([{{'answer': '4'}}]))\n{RUN}\nprint(json.dumps(found))",
            tmp_path,
        )
    )
    kinds = {name for name, kind in vars(builtins).items() if isinstance(kind, type)} - {"object"}
    missed = {
        name: (set(kinds_there) & kinds - set(ours[name]), ours[name])
        for name, kinds_there in theirs.items()
        if kinds_there and set(kinds_there) & kinds - set(ours[name])
    }
    assert missed == {}


def test_a_message_is_shown_as_it_is() -> None:
    for text, kind in (("There is no field 'x'.", engine.SignatureError), ("It failed.", SandboxError)):
        assert str(kind(text)) == text
    with pytest.raises(KeyError) as unknown:
        engine.Signature("a -> b").annotation("c")
    assert str(unknown.value) == "StringSignature has no field 'c'. It has: a, b."


def test_a_reply_that_cannot_be_read_says_what_dspys_error_says() -> None:
    step = engine.Predict("question -> answer: int")
    lm = DummyLM([{"answer": "four"}] * 9)
    with pytest.raises(AdapterParseError) as raised, engine.context(lm=lm):
        step(question="2 + 2?")
    error = raised.value
    assert (error.adapter_name, error.signature) == ("ChatAdapter", step.signature)
    assert "four" in error.lm_response
    assert (error.lm_response, error.parsed_result) == (error.reply, error.found)


def test_a_parse_of_ones_own_raises_dspys_error() -> None:
    class Strict(engine.ChatAdapter):
        def parse(self, signature, completion):
            fields = super().parse(signature, completion)
            if fields["answer"] != "42":
                raise AdapterParseError(
                    adapter_name="Strict", signature=signature, lm_response=completion, parsed_result=fields
                )
            return fields

    lm = DummyLM([{"answer": "41"}, {"answer": "42"}])
    with engine.context(lm=lm, adapter=Strict()):
        assert engine.Predict("question -> answer")(question="q").answer == "42"
    error = AdapterParseError("Strict", engine.Signature("a -> b"), "Hm.", "No b.", {"a": 1})
    assert (str(error), error.adapter_name, error.found) == ("No b.", "Strict", {"a": 1})
    assert isinstance(error, EngineError)
