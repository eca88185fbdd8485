"""Small habits of programs written for DSPy: rows, arguments by its names, hooks of adapters, types of one's own."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pydantic
import pytest
from support.peers.dspy_peer import in_dspy

import engine
from engine.errors import ConfigurationError, EngineError
from engine.testing import ScriptedLM

STEP = engine.Predict("question -> answer")
PLAIN = [engine.Example(question="q", answer="Paris"), engine.Example(question="r", answer="Rome")]
PIXEL = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


def paris(calls: int = 9) -> ScriptedLM:
    return ScriptedLM([{"answer": "Paris"}] * calls)


class Place(pydantic.BaseModel):
    name: str


VALUES = """
row = dspy.Example(
    place=Place(name="Ulm"), rows=[dspy.Example(a=1)], more={"b": [Place(name="Bonn")]}, when=("x", 1), n=2
).with_inputs("n")
found = json.dumps(row.toDict(), sort_keys=True)
"""


def test_an_example_becomes_a_plain_dict_as_in_dspy(tmp_path: Path) -> None:
    scope: dict[str, Any] = {"dspy": engine, "Place": Place, "json": json}
    exec(VALUES, scope)
    model = "import dspy, json, pydantic\nclass Place(pydantic.BaseModel):\n    name: str\n"
    assert in_dspy(f"{model}{VALUES}\nprint(found)", tmp_path) == scope["found"]
    assert engine.Prediction(place=Place(name="Ulm")).toDict() == {"place": {"name": "Ulm"}}


def test_rows_without_with_inputs_are_taken_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "engine")
    for rows in (PLAIN, [row.toDict() for row in PLAIN]):
        tuned = engine.LabeledFewShot(k=2).compile(STEP, trainset=rows)
        assert {demo["answer"] for demo in tuned.demos} == {"Paris", "Rome"}
    assert "2 of 2 examples do not know their inputs" in caplog.text
    assert not PLAIN[0].knows_inputs
    with engine.context(lm=paris()):
        tuned = engine.BootstrapFewShot(lambda e, p, trace=None: e.answer == p.answer).compile(
            STEP, trainset=PLAIN
        )
    assert tuned.demos[0].answer == "Paris"
    with pytest.raises(ConfigurationError, match="Example 0 does not know its inputs"):
        engine.LabeledFewShot(k=1).compile(STEP, trainset=[engine.Example(other="x")])


def test_a_row_without_an_input_is_asked_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "engine")
    step = engine.Predict("question, tone -> answer")
    rows = [row.with_inputs("question") for row in PLAIN[:1]]
    with engine.context(lm=paris()):
        found = engine.Evaluate(devset=rows, metric=lambda e, p: e.answer == p.answer)(step)
        engine.BootstrapFewShot(lambda e, p, trace=None: True).compile(step, trainset=rows)
    assert found.score == 100.0
    assert "Called without input tone" in caplog.text


class Renamed(engine.Module):
    """Takes another input than its signature's."""

    def __init__(self) -> None:
        super().__init__()
        self.signature = STEP.signature
        self.step = engine.Predict(self.signature)

    def forward(self, text: str) -> engine.Prediction:
        return self.step(question=text)


AGENT = engine.ReAct("question -> answer", [len])


@pytest.mark.parametrize("step", [STEP, engine.ChainOfThought("question -> answer"), AGENT], ids=repr)
def test_a_row_without_any_input_is_not_asked(step: engine.Module) -> None:
    lm, right = paris(), lambda _example, _prediction: 1.0
    empty = engine.Example(answer="x").with_inputs()
    other = engine.Example(query="q", answer="x").with_inputs("query")
    with engine.context(lm=lm):
        with pytest.raises(ConfigurationError, match=r"No row has a value for 'question': .* are 'query'"):
            engine.Evaluate(devset=[other, empty], metric=right)(step)
        with pytest.raises(EngineError, match="The row has no value for 'question'"):
            engine.BootstrapFewShot(right, max_labeled_demos=0).compile(step, trainset=[other, empty])
        assert lm.requests == []
        found = engine.Evaluate(devset=[PLAIN[0].with_inputs("question"), empty], metric=right)(STEP)
    assert [o.error for o in found.outcomes] == [None, "The row has no value for 'question'."]
    assert (found.score, len(lm.requests)) == (50.0, 1)


def test_what_may_be_asked_without_inputs_still_is() -> None:
    rows = [engine.Example(text="q", answer="x").with_inputs("text")]
    with engine.context(lm=paris()):
        for program in (Renamed(), engine.Predict("-> answer"), engine.Predict("a: Optional[str] -> answer")):
            assert engine.Evaluate(devset=rows, metric=lambda _e, _p: 1.0)(program).score == 100.0


def test_a_parallel_inside_a_parallel_takes_pairs() -> None:
    inner = engine.Parallel(num_threads=2)
    pairs = [(STEP, {"question": "a"}), (STEP, {"question": "b"})]
    with engine.context(lm=paris()):
        found = engine.Parallel()([(inner, pairs), (STEP, {"question": "c"})])
    assert [p.answer for p in found[0]] == ["Paris", "Paris"]
    assert found[1].answer == "Paris"


def test_arguments_by_dspys_names(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PIXEL)
    assert engine.Image.from_path(file_path=str(tmp_path / "a.png")) == engine.Image.from_path(
        tmp_path / "a.png"
    )
    assert engine.File.from_bytes(file_bytes=b"x", filename="a.txt") == engine.File.from_bytes(b"x", "a.txt")
    calls = engine.ToolCalls.from_dict_list(tool_calls_dicts=[{"name": "x", "args": {}}])
    assert calls.tool_calls[0].name == "x"
    assert engine.majority(prediction_or_completions=[{"x": "1"}, {"x": "2"}, {"x": "1"}]).x == "1"
    assert engine.Prediction.from_completions(list_or_dict=[{"a": 1}]).a == 1
    step = engine.Predict("a -> b")
    assert step.load_state(state=step.dump_state(json_mode=True), allow_unsafe_lm_state=False) is step
    program = engine.ChainOfThought("a -> b")
    assert program.map_named_predictors(func=lambda one: one) is program
    assert program.load_state(state=program.dump_state()) is program
    adapter = engine.ChatAdapter()
    assert adapter.parse(signature=STEP.signature, completion="[[ ## answer ## ]]\nx") == {"answer": "x"}


class Counter(engine.BaseCallback):
    """Counts prompts."""

    def __init__(self) -> None:
        self.formatted = 0

    def on_adapter_format_start(self, call_id, instance, inputs):
        self.formatted += 1


@pytest.mark.parametrize("kind", [engine.ChatAdapter, engine.JSONAdapter, engine.XMLAdapter])
def test_an_adapters_callbacks_may_be_given_by_position(kind: Any) -> None:
    counter = Counter()
    adapter = kind([counter])
    lm = ScriptedLM([kind().answer(STEP.signature, {"answer": "Paris"})])
    with engine.context(lm=lm, adapter=adapter):
        STEP(question="q")
    assert counter.formatted == 1
    assert kind([counter], True).use_native_function_calling


class Hooked(engine.ChatAdapter):
    """An adapter with hooks of DSPy's."""

    def user_message_output_requirements(self, signature):
        return f"Give {', '.join(signature.output_fields)} now."

    def format_conversation_history(self, signature, history_field_name, inputs):
        turns = super().format_conversation_history(signature, history_field_name, inputs)
        del inputs[history_field_name]
        return turns[-2:]


def test_an_adapters_hooks_are_called() -> None:
    step = engine.Predict("question, history: History -> answer")
    earlier = engine.History(messages=[{"question": q, "answer": q.upper()} for q in ("a", "b", "c")])
    lm = paris()
    with engine.context(lm=lm, adapter=Hooked()):
        step(question="d", history=earlier)
    contents = [message["content"] for message in lm.requests[0].messages]
    assert contents[-1].endswith("Give answer now.")
    assert len(contents) == 4
    assert "\nC" in contents[2]


class Money(engine.Type):
    """An amount, described for the model."""

    cents: int

    @classmethod
    def description(cls):
        return "An amount in cents, with the currency last."

    def format(self):
        return f"{self.cents} cents"


def test_a_type_of_ones_own_describes_itself_as_an_input() -> None:
    signature = engine.Signature(
        "price: Money, all_prices: list[Money] -> answer", custom_types={"Money": Money}
    ).with_updated_fields("price", desc="What it costs.")
    system = engine.ChatAdapter().format(signature, [], {"price": Money(cents=5), "all_prices": []})[0][
        "content"
    ]
    assert "What it costs. An amount in cents, with the currency last." in system
    assert system.count("An amount in cents") == 2


def test_calls_may_keep_their_results() -> None:
    calls = engine.ToolCalls(
        tool_calls=[{"name": "add", "args": {"a": 1}, "id": "1"}],
        tool_call_results={"tool_call_results": [{"call_id": "1", "name": "add", "value": 2}]},
    )
    assert calls.tool_call_results[0].value == 2
    assert engine.ToolCalls.model_validate(calls.model_dump()) == calls
    assert "tool_call_results" not in engine.ToolCalls.from_dict_list([]).model_dump()
    step = engine.Predict("question, history: History -> answer")
    lm = paris()
    with engine.context(lm=lm):
        step(question="q", history=engine.History(messages=[{"question": "1 + 1?", "calls": calls}]))
    turns = lm.requests[0].messages[1:-1]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool"]
    assert turns[2]["content"] == "2"


MISMATCHES = {
    "n: int": ("many", 3),
    "n: float": ("many", 3),
    "n: bool": ("yes", True),
    "n: list[str]": ("a, b", ["a"]),
    "n: dict[str, int]": ("{}", {"a": 1}),
    "n": ("text", "text"),
    "n: int | None": ("many", None),
}


@pytest.mark.parametrize("declared", MISMATCHES)
def test_an_input_of_another_type_is_asked_with_a_warning(
    declared: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.WARNING, "engine")
    wrong, right = MISMATCHES[declared]
    step = engine.Predict(f"{declared} -> answer")
    with engine.context(lm=paris()):
        step(n=right)
        assert not caplog.text
        step(n=wrong)
        said = [record.getMessage() for record in caplog.records]
        with engine.context(warn_on_type_mismatch=False):
            step(n=wrong)
    assert len(caplog.records) == len(said)
    code = f"""
import logging
said = []
class Note(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
import dspy
logging.getLogger("dspy.predict.predict").addHandler(Note())
from dspy.utils import DummyLM
dspy.configure(lm=DummyLM([{{"answer": "x"}}] * 3))
dspy.Predict({f"{declared} -> answer"!r})(n={wrong!r})
print(said[0][:38] if said else "")
"""
    there = in_dspy(code, tmp_path)
    assert [text[: len(there)] for text in said] == ([there] if there else [])
