"""Predict, ChainOfThought and programs made of them."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

import engine
from engine import ChainOfThought, Demo, Example, InputField, Module, OutputField, Predict, Signature, context
from engine.errors import ConfigurationError, LMError, ProgramFileError, SignatureError
from engine.loop import SyncCallOnLoopError
from engine.testing import DummyLM, ScriptedLM


class Answer(Module):
    def __init__(self):
        super().__init__()
        self.search = Predict("question -> query")
        self.steps = [ChainOfThought("query -> answer: int"), Predict("answer -> checked: bool")]
        self.by_name = {"last": Predict("checked -> text")}
        self.again = self.search

    def forward(self, question):
        query = self.search(question=question).query
        answer = self.steps[0](query=query).answer
        return self.steps[1](answer=answer)


def answers():
    return [{"query": "two plus two"}, {"reasoning": "Add.", "answer": 4}, {"checked": True}]


def test_paths_name_every_step_once():
    program = Answer()
    paths = [path for path, _ in program.named_predictors()]
    assert paths == ["search", "steps[0].predict", "steps[1]", "by_name['last']"]
    assert len(program.predictors()) == len(program.parameters()) == 4
    assert [p for p, _ in Predict("a -> b").named_predictors()] == ["self"]
    assert [p for p, _ in ChainOfThought("a -> b").named_predictors()] == ["predict"]


def test_a_plain_forward_runs_called_and_awaited():
    with context(lm=ScriptedLM(answers())):
        assert Answer()(question="2 + 2").checked is True
    with context(lm=ScriptedLM(answers())):
        assert asyncio.run(Answer().acall(question="2 + 2")).checked is True
    with context(lm=ScriptedLM(answers())):
        assert engine.loop.run(Answer().acall("2 + 2")).checked is True


def test_an_async_forward():
    class Both(Module):
        def __init__(self):
            self.a, self.b = Predict("x -> y"), Predict("x -> z")

        async def aforward(self, x):
            first, second = await asyncio.gather(self.a.acall(x=x), self.b.acall(x=x))
            return engine.Prediction(y=first.y, z=second.z)

    lm = ScriptedLM(lambda request: {"y": "1"} if "`y`" in request.messages[0]["content"] else {"z": "2"})
    with context(lm=lm):
        assert dict(Both()(x="hi")) == {"y": "1", "z": "2"}


def test_a_plain_call_on_the_loop_is_refused_with_a_sentence():
    async def wrong():
        return Predict("a -> b")(a="x")

    with pytest.raises(SyncCallOnLoopError, match=r"await program\.acall"):
        engine.loop.run(wrong())


def test_the_model_is_the_calls_the_steps_or_the_ambient_one():
    def lm(word):
        return ScriptedLM(lambda request: {"b": word})

    step = Predict("a -> b")
    with pytest.raises(ConfigurationError, match="No model is set"):
        step(a="x")
    with context(lm=lm("ambient")):
        assert step(a="x").b == "ambient"
        step.lm = lm("own")
        assert step(a="x").b == "own"
        assert step(a="x", lm=lm("call")).b == "call"


def test_call_arguments_override_the_steps():
    lm = ScriptedLM(lambda request: {"b": "1"})
    step = Predict("a -> b", temperature=0.2, max_tokens=50)
    step.demos = [Example(a="demo", b="shown")]
    with context(lm=lm):
        step(a="x", config={"temperature": 0.9, "rollout_id": 7})
        step(a="x", demos=[Example(a="other", b="instead")], signature="a -> b: int")
        step.update_config(max_tokens=9)
        step(a="x")
    first, second, third = lm.requests
    assert first.params == {"temperature": 0.9, "max_tokens": 50}
    assert first.rollout_id == 7
    assert "shown" in str(first.messages)
    assert "instead" in str(second.messages)
    assert "shown" not in str(second.messages)
    assert "int" in str(second.messages)
    assert third.params["max_tokens"] == 9
    assert step.get_config() == {"temperature": 0.2, "max_tokens": 9}


def test_n_completions_and_their_temperature():
    lm = ScriptedLM([[{"b": "1"}, {"b": "2"}, {"b": "3"}], [{"b": "1"}, {"b": "2"}]])
    with context(lm=lm):
        made = Predict("a -> b", n=3)(a="x")
        Predict("a -> b", n=2, temperature=1.1)(a="x")
    assert (made.b, made.completions.b) == ("1", ["1", "2", "3"])
    assert lm.requests[0].params == {"n": 3, "temperature": 0.7}
    assert lm.requests[1].params["temperature"] == 1.1


def test_inputs_missing_extra_defaulted_and_positional(caplog):
    class Defaulted(Signature):
        a: str = InputField()
        tone: str = InputField(default="kind")
        b: str = OutputField()

    lm = ScriptedLM(lambda request: {"b": "1"})
    with context(lm=lm):
        Predict(Defaulted)(a="x")
        assert "kind" in lm.requests[-1].messages[-1]["content"]
        Predict("a, c -> b")(a="x", z=1)
        with pytest.raises(ConfigurationError, match="by name"):
            Predict("a -> b")("x")
    assert "without input c" in caplog.text
    assert "Input z is no field" in caplog.text
    with pytest.raises(SignatureError):
        Predict("a b")
    with pytest.raises(ConfigurationError, match="needs a signature"):
        Predict(None)


def test_fields_named_like_call_arguments_are_inputs():
    lm = ScriptedLM(lambda request: {"b": "1"})
    with context(lm=lm):
        Predict("demos, config -> b")(demos="my demos", config="my config")
    assert "my demos" in lm.requests[0].messages[-1]["content"]
    assert "my config" in lm.requests[0].messages[-1]["content"]


def test_the_trace_collects_steps_in_order():
    trace = []
    program = Answer()
    with context(lm=ScriptedLM(answers()), trace=trace):
        program(question="2 + 2")
    assert [step for step, _, _ in trace] == [program.search, program.steps[0].predict, program.steps[1]]
    assert trace[1][1] == {"query": "two plus two"}
    assert trace[1][2].answer == 4


def test_chain_of_thought_asks_for_reasoning_first():
    program = ChainOfThought("question -> answer: bool", temperature=0.3)
    assert list(program.predict.signature.output_fields) == ["reasoning", "answer"]
    assert program.predict.config == {"temperature": 0.3}
    assert program.predict.signature.instructions == "Read `question` and write `answer`."
    with context(lm=DummyLM([{"reasoning": "Because.", "answer": False}])):
        made = program(question="q")
    assert (made.reasoning, made.answer) == ("Because.", False)
    other = ChainOfThought(
        "a -> b", rationale_field=OutputField(desc="In steps."), rationale_field_type=list[str]
    )
    assert other.predict.signature.annotation("reasoning") == list[str]


def test_candidates_go_out_and_in_and_the_original_stays():
    program = Answer()
    candidate = program.candidate("As written.")
    assert list(candidate.steps) == ["search", "steps[0].predict", "steps[1]", "by_name['last']"]
    better = candidate.with_step(
        "search",
        instructions="Write a short query.",
        demos=(Demo({"question": "q", "query": "w"}, augmented=True),),
        field_descriptions={"query": "Two words."},
    )
    tuned = program.with_candidate(better)
    assert tuned.candidate().id == better.id
    assert tuned.search is tuned.again
    assert tuned.search.signature.description("query") == "Two words."
    assert tuned.search.demos[0].query == "w"
    assert program.candidate().id == candidate.id
    with pytest.raises(ConfigurationError, match="a step 'nope'"):
        program.with_candidate(engine.Candidate({"nope": candidate.steps["search"]}))


def test_copies_share_models_and_nothing_else():
    program = Answer()
    lm = ScriptedLM([])
    program.set_lm(lm)
    program.lock = threading.Lock()
    program.search.demos = [Example(question="q", query="w")]
    twin = program.deepcopy()
    twin.search.demos.append(Example(question="q2"))
    twin.search.demos[0].query = "changed"
    twin.steps.append(Predict("a -> b"))
    assert program.search.demos == [Example(question="q", query="w")]
    assert len(program.steps) == 2
    assert twin.search.lm is program.get_lm() is lm
    bare = program.reset_copy()
    assert bare.search.demos == []
    assert bare.search.lm is lm
    program.steps[1].lm = ScriptedLM([])
    with pytest.raises(ConfigurationError, match="different models"):
        program.get_lm()


def test_steps_can_be_replaced_by_path():
    program = Answer()
    program.map_named_predictors(lambda step: Predict(step.signature.with_instructions("New.")))
    assert {step.signature.instructions for step in program.predictors()} >= {"New."}
    assert program.steps[0].predict.signature.instructions == "New."
    assert program.by_name["last"].signature.instructions == "New."


def test_save_and_load_by_field_name(tmp_path):
    program = Answer()
    program.search.demos = [Example(question="q", query="w", augmented=True)]
    program.search.signature = program.search.signature.with_instructions("Tuned.").with_updated_fields(
        "query", desc="D."
    )
    program.search.config = {"temperature": 0.5}
    program.save(tmp_path / "new folder" / "program.json")
    loaded = Answer()
    loaded.load(tmp_path / "new folder" / "program.json")
    assert loaded.candidate().id == program.candidate().id
    assert loaded.search.config == {"temperature": 0.5}
    assert loaded.dump_state() == program.dump_state()


def test_a_saved_model_comes_back_without_key_or_address(tmp_path):
    step = Predict("a -> b")
    step.lm = engine.LM(
        "openai/gpt-x", temperature=0.3, api_key="sk-very-secret", api_base="http://127.0.0.1:1/v1"
    )
    step.save(tmp_path / "s.json")
    text = (tmp_path / "s.json").read_text()
    assert "sk-very-secret" not in text
    loaded = Predict("a -> b")
    loaded.load(tmp_path / "s.json")
    assert loaded.lm.model == "openai/gpt-x"
    assert loaded.lm.params["temperature"] == 0.3


def test_a_file_saved_by_dspy_is_read(tmp_path):
    fields = [
        {"prefix": "Query:", "description": "${query}"},
        {"prefix": "Reasoning:", "description": "Think."},
    ]
    state = {
        "predict": {
            "traces": [],
            "train": [],
            "demos": [{"augmented": True, "query": "q", "reasoning": "r", "answer": "a"}],
            "signature": {
                "instructions": "Tuned there.",
                "fields": [*fields, {"prefix": "Answer:", "description": "A."}],
            },
            "lm": None,
        },
        "metadata": {"dependency_versions": {"python": "3.11", "dspy": "3.4.1"}},
    }
    (tmp_path / "dspy.json").write_text(json.dumps(state))
    program = ChainOfThought("query -> answer")
    program.load(str(tmp_path / "dspy.json"))
    signature = program.predict.signature
    assert signature.instructions == "Tuned there."
    assert [signature.description(n) for n in signature.fields] == ["", "Think.", "A."]
    assert program.predict.demos[0].answer == "a"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b"[1]", "not a saved program"),
        (b'{"other": {}}', "no step 'self'"),
        (b'{"self": {"signature": {"fields": 3}}}', "'self' is damaged"),
        (b'{"self": 5}', "'self' is damaged"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_damaged_file_is_named_and_changes_nothing(tmp_path, content, words):
    (tmp_path / "bad.json").write_bytes(content)
    step = Predict("a -> b")
    before = step.dump_state()
    with pytest.raises(ProgramFileError, match=words):
        step.load(tmp_path / "bad.json")
    assert step.dump_state() == before
    with pytest.raises(ProgramFileError, match="There is no file"):
        step.load(tmp_path / "none.json")
    with pytest.raises(ConfigurationError, match="JSON"):
        step.save(tmp_path / "x.pkl")


def test_batch_answers_in_order_and_keeps_failures():
    def answer(request):
        asked = request.messages[-1]["content"]
        return LMError("No.") if "two" in asked else {"b": "1" if "one" in asked else "3"}

    rows = [Example(a=word).with_inputs("a") for word in ("one", "two", "three")]
    with context(lm=ScriptedLM(answer)):
        made = Predict("a -> b").batch(rows, num_threads=2)
        assert [m and m.b for m in made] == ["1", None, "3"]
        made, failed, errors = Predict("a -> b").batch(rows, return_failed_examples=True)
        assert failed == [rows[1]]
        assert str(errors[0]) == "No."
        with pytest.raises(engine.errors.RunError, match="1 failed"):
            Predict("a -> b").batch(rows, max_errors=1)


def test_usage_is_tracked_under_any_concurrency():
    rows = [Example(question=str(i)).with_inputs("question") for i in range(20)]
    script = ScriptedLM(
        lambda request: {"query": "q", "reasoning": "r", "answer": 4, "checked": True}, price=(0.001, 0.002)
    )
    with context(lm=script), engine.track_usage() as tracker:
        made = Answer().batch(rows, num_threads=8)
    assert {m.get_lm_usage()["scripted"]["calls"] for m in made} == {3}
    assert tracker.get_total_tokens()["scripted"]["calls"] == 60
    assert tracker.get_total_tokens()["scripted"]["cost"] > 0
    with context(lm=script):
        assert Answer()(question="q").get_lm_usage() == {}
