"""Signatures as programs for DSPy use them: docstrings, schemas, pydantic's own classes as bases."""

from __future__ import annotations

import cloudpickle
import pydantic
import pytest

import engine
from engine.errors import SignatureError
from engine.testing import ScriptedLM


class Capital(engine.Signature):
    """Name the capital."""

    country: str = engine.InputField(desc="A country.")
    capital: str = engine.OutputField(max_length=40)


def asked(program, adapter, answer: str) -> str:
    """Return all that the models are sent for one row."""
    lm = ScriptedLM([answer])
    extractor = getattr(adapter, "extraction_model", None) or ScriptedLM([])
    before = len(extractor.requests)
    with engine.context(lm=lm, adapter=adapter):
        program(country="France")
    requests = [*lm.requests, *extractor.requests[before:]]
    return " ".join(str(m["content"]) for request in requests for m in request.messages)


CHAT, JSON = "[[ ## capital ## ]]\nParis", '{"capital": "Paris"}'


@pytest.mark.parametrize(
    ("adapter", "answer", "times"),
    [
        (engine.ChatAdapter(), CHAT, 1),
        (engine.JSONAdapter(), JSON, 1),
        (engine.TwoStepAdapter(ScriptedLM(lambda _: CHAT)), "It is Paris.", 2),
    ],
)
def test_a_docstring_that_is_set_later_is_the_instruction(adapter, answer, times) -> None:
    class Later(engine.Signature):
        """Before."""

        country: str = engine.InputField()
        capital: str = engine.OutputField()

    step = engine.Predict(Later)
    derived = Later.with_instructions("Of its own.")
    assert asked(step, adapter, answer).count("Before.") == times
    Later.__doc__ = """
        Name the capital,
        in English."""
    assert Later.instructions == "Name the capital,\nin English."
    assert asked(step, adapter, answer).count("in English.") == times
    assert derived.instructions == "Of its own."
    with pytest.raises(SignatureError, match="with_instructions"):
        Later.instructions = "Other."


def test_the_docstring_is_the_instruction() -> None:
    made = engine.Signature("question -> answer", "Do.")
    assert (made.__doc__, Capital.__doc__) == ("Do.", "Name the capital.")
    bare = engine.Signature("question -> answer")
    assert bare.__doc__ == bare.instructions
    assert made.append("more", engine.OutputField()).with_instructions("Again.").__doc__ == "Again."
    copied = cloudpickle.loads(cloudpickle.dumps(made))
    assert (copied.__doc__, copied.instructions) == ("Do.", "Do.")


def test_a_field_is_no_attribute_and_says_its_side() -> None:
    assert not hasattr(Capital, "country")
    assert Capital.fields["country"].json_schema_extra["__dspy_field_type"] == "input"
    extra = {"__dspy_field_type": "output", "desc": "By pydantic alone."}
    made = engine.Signature({"q": engine.InputField(), "a": pydantic.Field(json_schema_extra=extra)})
    assert made.signature == "q -> a"


def test_a_signature_has_a_json_schema() -> None:
    schema = Capital.model_json_schema()
    assert (schema["title"], schema["description"]) == ("Capital", "Name the capital.")
    assert schema["required"] == ["country", "capital"]
    assert schema["properties"] == {
        "country": {
            "__dspy_field_type": "input",
            "desc": "A country.",
            "prefix": "Country:",
            "title": "Country",
            "type": "string",
        },
        "capital": {
            "__dspy_field_type": "output",
            "desc": "${capital}",
            "maxLength": 40,
            "prefix": "Capital:",
            "title": "Capital",
            "type": "string",
        },
    }


def test_a_model_of_pydantics_may_bring_fields() -> None:
    class Asked(pydantic.BaseModel):
        question: str = engine.InputField(desc="As it came.")

    class First(engine.Signature, Asked):
        """Answer it."""

        answer: int = engine.OutputField()

    class Last(Asked, engine.Signature):
        answer: int = engine.OutputField()

    assert First.signature == Last.signature == "question -> answer"
    assert (First.instructions, First.description("question")) == ("Answer it.", "As it came.")
    assert issubclass(First, engine.Signature)
    assert not issubclass(Asked, engine.Signature)
    assert First.model_json_schema()["title"] == "First"

    class Plain(pydantic.BaseModel):
        note: str = ""

    with pytest.raises(SignatureError, match=r"Wrong\.note must say which side it is on"):

        class Wrong(engine.Signature, Plain):
            answer: int = engine.OutputField()


def test_a_model_of_ones_own_sets_its_kwargs() -> None:
    class Own(engine.BaseLM):
        def __init__(self, model: str) -> None:
            super().__init__(model)
            self.kwargs = {"temperature": 0.3}

        def forward(self, prompt=None, messages=None, **params):
            return {"choices": [{"message": {"content": str(params)}}]}

    lm = Own("own")
    assert lm.kwargs is lm.params
    assert lm("hi") == ["{'temperature': 0.3}"]
