"""The public names: cheap to import, all there, and enough for a program written for DSPy."""

from __future__ import annotations

import importlib
import inspect
import runpy
import subprocess
import sys

import pytest

import engine
from engine.basics.public_names import homes
from engine.testing import DummyLM, ScriptedLM, asked, chat_answer


@pytest.mark.parametrize("name", engine.__all__)
def test_every_public_name_is_there_and_explained(name):
    value = getattr(engine, name)
    assert inspect.getdoc(value)
    assert name in engine.__all__
    assert name in dir(engine)


def test_names_are_sorted_and_unknown_ones_fail():
    assert sorted(engine.__all__) == engine.__all__
    with pytest.raises(AttributeError, match="no attribute 'Predikt'"):
        _ = engine.Predikt
    assert engine.errors.EngineError is engine.EngineError
    assert engine.evaluate.answer_exact_match is engine.answer_exact_match


@pytest.mark.parametrize("package", ["engine", "engine.signature.types", "engine.compat.prompter"])
def test_the_stub_of_a_package_is_its_list_of_names(package):
    module = importlib.import_module(package)
    listed = homes(package)
    names: dict = {}
    exec(f"from {package} import *", names)
    packages = {name for name, (home, _) in listed.items() if home == package}
    assert module.__all__ == sorted(listed.keys() - packages)
    assert set(module.__all__) <= names.keys()
    for name, (home, attribute) in listed.items():
        if name in packages:
            assert getattr(module, name) is importlib.import_module(f"{home}.{attribute}")
        else:
            value, meant = getattr(module, name), getattr(importlib.import_module(home), attribute)
            # A function may take DSPy's arguments too, and is then another one.
            assert value is meant or value.__name__ == meant.__name__
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Predikt'"):
        _ = module.Predikt


HEAVY = {
    *("litellm", "optuna", "pandas", "numpy", "streamlit", "aiohttp", "pyarrow", "openpyxl"),
    *("torch", "transformers", "peft", "trl"),
}
CALL = """
import engine
engine.LM, engine.ChatAdapter, engine.MIPROv2
from engine.testing import DummyLM
with engine.context(lm=DummyLM([{"b": "1"}])):
    engine.Evaluate(devset=[engine.Example(a="x", b="1").with_inputs("a")], metric=engine.ExactMatch())(engine.Predict("a -> b"))
"""
ESTIMATES = """
from engine.testing.contract import ToyLM, toy_settings
from engine.optimizers.few_shot_search import BootstrapFewShotWithOptuna
from engine.optimizers.mipro import MIPROv2
from engine.search.estimate import estimate
for optimizer in (MIPROv2(), BootstrapFewShotWithOptuna()):
    assert estimate(optimizer.search, toy_settings(ToyLM())).calls.typical > 100
"""


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        (
            "import engine",
            HEAVY
            | {
                "pydantic",
                "sqlite_utils",
                "asyncio",
                "ast",
                "plotly",
                "typer",
                "rich",
                "engine.compat.paths",
            },
        ),
        (CALL, HEAVY),
        ("import engine.dataset", HEAVY),
        (ESTIMATES, {"optuna"}),  # the dashboard estimates at every change of a form
    ],
    ids=["import engine", "a call", "import engine.dataset", "estimates"],
)
def test_little_is_loaded_by(code, modules):
    asked = f"{code}\nimport sys\nprint(sorted({modules!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SCRIPT = '''
from typing import Literal, Optional
import pydantic

class Ticket(pydantic.BaseModel):
    team: Literal["billing", "shipping"]
    urgent: bool

class Triage(dspy.Signature):
    """Sort a customer's message."""

    message: str = dspy.InputField(desc="What they wrote.")
    tickets: list[Ticket] = dspy.OutputField()
    team: Literal["billing", "shipping"] = dspy.OutputField(desc="Who answers.")
    note: Optional[str] = dspy.OutputField(desc="Anything else.", default=None)

class Desk(dspy.Module):
    def __init__(self, passages=2):
        super().__init__()
        self.passages = passages
        self.find = dspy.Predict("message, k: int -> keywords: list[str]")
        self.triage = dspy.ChainOfThought(Triage)

    def forward(self, message):
        found = self.find(message=message, k=self.passages)
        made = self.triage(message=message)
        return dspy.Prediction(keywords=found.keywords, team=made.team, reasoning=made.reasoning)

def metric(example, pred, trace=None):
    right = example.team == pred.team
    if trace is not None:
        return right and len(trace) == 2
    return right

data = [("My card was charged twice", "billing"), ("Where is my parcel", "shipping")] * 10
trainset = [dspy.Example(message=f"{text} {i}", team=team).with_inputs("message") for i, (text, team) in enumerate(data)]
devset = trainset[12:]

dspy.configure(lm=lm)
program = Desk()
prediction = program(message="Where is my parcel")
assert prediction.team == "shipping" and prediction["team"] == "shipping"
assert dspy.Predict(Triage)(message="x").tickets[0].urgent is True
assert [name for name, _ in program.named_predictors()] == ["find", "triage.predict"]
assert len(dspy.Predict("question -> answer", n=3)(question="q").completions.answer) == 3
assert dspy.Predict("question -> answer", temperature=0.5).config == {"temperature": 0.5}

evaluate = dspy.Evaluate(devset=devset, metric=metric, num_threads=4, display_progress=False, display_table=0)
before = evaluate(program)
assert 0 <= before.score <= 100 and len(before.results) == len(devset)

few = dspy.LabeledFewShot(k=3).compile(program, trainset=trainset)
assert len(few.triage.predict.demos) == 3 and program.triage.predict.demos == []

boot = dspy.BootstrapFewShot(metric=metric, max_bootstrapped_demos=2, max_labeled_demos=4)
compiled = boot.compile(Desk(), trainset=trainset[:12])
assert any(demo.get("augmented") for demo in compiled.triage.predict.demos)

searched = dspy.BootstrapFewShotWithRandomSearch(
    metric=metric, max_bootstrapped_demos=1, max_labeled_demos=1, num_candidate_programs=2, num_threads=4
).compile(Desk(), trainset=trainset[:8], valset=trainset[8:12])
assert searched.candidate_programs

tuner = dspy.MIPROv2(metric=metric, auto=None, num_candidates=2, max_bootstrapped_demos=1, max_labeled_demos=1, seed=9)
tuned = tuner.compile(Desk(), trainset=trainset[:8], valset=trainset[8:14], num_trials=2, minibatch=False)
assert evaluate(tuned).score >= 0

compiled.save(folder + "/desk.json")
again = Desk()
again.load(path=folder + "/desk.json")
assert again.triage.predict.demos == compiled.triage.predict.demos
assert again(message="My card was charged twice").team == compiled(message="My card was charged twice").team

with dspy.context(lm=other):
    assert dspy.settings.lm is other
    assert program(message="anything").team == "billing"
program.set_lm(other)
assert program.get_lm() is other
copied = program.deepcopy()
copied.triage.predict.demos.append(dspy.Example(message="m", team="billing"))
assert program.triage.predict.demos == []
assert len(dspy.Module.batch(Desk(), devset[:3], num_threads=2)) == 3
strict = Triage.with_instructions("Be strict.").append("extra", dspy.OutputField(desc="More."), str)
assert strict.instructions == "Be strict." and "extra" in strict.output_fields and "extra" not in Triage.output_fields
assert dspy.Prediction(score=0.5) < dspy.Prediction(score=0.6)
row = dspy.Example(a=1, b=2).with_inputs("a")
assert row.inputs().toDict() == {"a": 1} and row.labels().keys() == ["b"] and row.without("b").toDict() == {"a": 1}
dspy.inspect_history(n=1)
dspy.settings.configure(lm=None)
'''


def respond(request):
    """A model that sorts by a word, and writes something for every other field it is asked for."""
    inputs, outputs = asked(request)
    message = inputs.get("message", "")
    team = "billing" if "charged" in message else "shipping"
    known = {"team": team, "keywords": [team], "tickets": [{"team": team, "urgent": True}], "note": None}
    values = {name: known.get(name, f"Some {name}.") for name in outputs}
    return {name: value for name, value in values.items() if value is not None}


def test_a_script_written_for_dspy_runs_with_its_import_changed(tmp_path):
    always = ScriptedLM(lambda r: {**respond(r), **({"team": "billing"} if "team" in asked(r)[1] else {})})
    (tmp_path / "script.py").write_text(f"import engine as dspy\n{SCRIPT}")
    given = {"lm": ScriptedLM(respond), "other": always, "folder": str(tmp_path)}
    try:
        runpy.run_path(str(tmp_path / "script.py"), given)
    finally:
        engine.configure(lm=None)


def test_asked_reads_the_prompt():
    lm = ScriptedLM(lambda request: {"answer": "4", "sure": True})
    with engine.context(lm=lm):
        engine.Predict("question, notes: list[str] -> answer, sure: bool")(
            question="2 + 2\n\nreally?", notes=["a"]
        )
    assert asked(lm.requests[0]) == ({"question": "2 + 2\n\nreally?", "notes": '["a"]'}, ["answer", "sure"])


def test_dummy_models_in_turn_by_text_and_by_example():
    step = engine.Predict("question -> answer")
    with engine.context(lm=DummyLM([{"answer": "one"}, {"answer": "two"}])):
        assert [step(question="q").answer for _ in range(2)] == ["one", "two"]
        assert step(question="q").answer == "No more responses"
    with engine.context(lm=DummyLM({"France": {"answer": "Paris"}})):
        assert step(question="Capital of France?").answer == "Paris"
    step.demos = [
        engine.Example(question="known", answer="shown"),
        engine.Example(question="other", answer="no"),
    ]
    with engine.context(lm=DummyLM([{"answer": "fresh"}], follow_examples=True)):
        assert step(question="known").answer == "shown"
        assert step(question="new").answer == "fresh"
    dummy = DummyLM([{"answer": "x"}, {"answer": "y"}], reasoning=True)
    with engine.context(lm=dummy):
        assert step(question="q", config={"n": 2}).completions.answer == ["x", "y"]
    assert dummy.history[-1]["outputs"] == [chat_answer({"answer": "x"}), chat_answer({"answer": "y"})]
