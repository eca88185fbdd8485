"""A program written in Python becomes a spec that makes the same program, or says what a spec cannot say."""

from __future__ import annotations

from typing import Any

import pytest

import engine
from engine import BM25, BestOfN, ChainOfThought, Module, Predict, ReAct, Retrieve, context
from engine.errors import PipelineError
from engine.lm.offline.learner import OfflineLM
from engine.pipeline.build import build_program
from engine.pipeline.importers.program import spec_of
from engine.pipeline.spec import Condition, Each, FieldSpec, PipelineSpec, StepSpec
from engine.pipeline.strategies import TOOLS, CriteriaReward
from engine.signature import Signature

HOUSE = ["Refunds take five days.", "Parcels go out on Mondays.", "Phones answer until six."]


class Support(Module):
    def __init__(self):
        super().__init__()
        self.sort = Predict("message -> queue: Literal['billing', 'technical', 'other']", temperature=0.0)
        self.find = Retrieve(k=2, rm=BM25(HOUSE))
        self.split = Predict("message -> points: list[str]")
        self.weigh = ChainOfThought("point -> weight: int")
        self.bill = Predict(
            Signature("message, context: list[str], weight: list[int] -> reply", "Answer about money.")
        )
        self.mend = ReAct("message, points: list[str] -> reply", [TOOLS["calculator"]], max_iters=3)

    def forward(self, message):
        queue = self.sort(message=message).queue
        points = self.split(message=message).points
        weight = [self.weigh(point=point).weight for point in points]
        if queue == "billing":
            context = self.find(message).passages
            return self.bill(message=message, context=context, weight=weight)
        return self.mend(message=message, points=points)


def test_steps_wiring_branches_and_lists_are_found():
    spec = spec_of(Support())
    steps = {s.name: s for s in spec.steps}
    assert [s.name for s in spec.steps] == ["sort", "split", "weigh", "find", "bill", "mend"]
    assert steps["sort"].outputs == (FieldSpec(name="queue", choices=("billing", "technical", "other")),)
    assert steps["weigh"].each == Each(field="points", item="point")
    assert (steps["find"].inputs[0].name, steps["find"].outputs[0].name) == ("message", "context")
    assert steps["find"].options.corpus.passages == tuple(HOUSE)
    assert steps["bill"].when == Condition(field="queue", values=("billing",))
    assert steps["mend"].when == Condition(field="queue", values=("other", "technical"))
    assert steps["mend"].options.tools == ("calculator",)
    assert steps["bill"].instructions == "Answer about money."
    assert [f.name for f in spec.inputs] == ["message"]


def test_the_spec_makes_the_same_program():
    program = Support()
    built = build_program(spec_of(program))
    assert {p for p, _ in built.named_predictors()} == {p for p, _ in program.named_predictors()}
    with context(lm=OfflineLM()):
        for message in ("A refund of 3 parcels, please.", "Phones do not answer. Parcels are late."):
            assert built(message=message).reply == program(message=message).reply


def test_one_step_is_a_pipeline_of_one():
    spec = spec_of(ChainOfThought("question -> answer: float"))
    assert [(s.name, s.strategy) for s in spec.steps] == [("answer", "chain_of_thought")]
    assert spec.outputs == (FieldSpec(name="answer", type="float"),)
    rated = BestOfN(ChainOfThought("q -> a"), 4, CriteriaReward(Signature("q -> a"), "Be polite."), 0.8)
    options = spec_of(rated).steps[0].options
    assert (options.tries, options.threshold, options.criteria) == (4, 0.8, "Be polite.")
    again = build_program(spec)
    assert spec_of(again) is again.spec


class Program(Module):
    """A program of two steps whose forward is given."""

    def __init__(self, run: Any, **steps: Any):
        super().__init__()
        self.first = Predict("question -> query")
        self.second = Predict("query -> answer")
        for name, step in steps.items():
            setattr(self, name, step)
        self.run = run

    def forward(self, question):
        return self.run(self, question)


def own_tool(x: str) -> str:
    return x


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (Program(lambda p, q: p.second(query=p.first(question=q).query.upper())), "'second' is given 'query', which forward makes itself"),
        (Program(lambda p, q: p.second(query=q)), "is given 'question' as 'query'. Fields are wired by name"),
        (Program(lambda p, q: p.first(question=q)), "The step 'second' was never called"),
        (Program(lambda p, q: p.second(query=p.first(question=p.first(question=q).query).query)), "as 'question'"),
        (Program(lambda p, q: (p.first(question=q), p.second(query=p.first(question=q).query))[1]), "'first' is called several times"),
        (Program(lambda p, q: q + 1), "works on values itself (TypeError"),
        (Program(lambda p, q: p.second(query=p.first(question=q).query), third=Retrieve()), "searches whatever retriever is in force"),
        (Program(lambda p, q: p.second(query=p.first(question=q).query), third=ReAct("q -> a", [own_tool])), "calls 'own_tool', a function of your own"),
        (Program(lambda p, q: p.second(query=p.first(question=q).query), third=engine.RLM("q -> a")), "is a RLM, which a spec has no name for"),
        (BestOfN(ChainOfThought("q -> a"), 3, lambda args, p: 1.0, 1.0), "goes by a reward of your own"),
    ],
)  # fmt: skip
def test_what_only_python_can_say_is_told(program: Module, sentence: str):
    with pytest.raises(PipelineError) as caught:
        spec_of(program)
    assert sentence in str(caught.value)


def test_any_arguments_are_no_inputs():
    class Anything(Module):
        def __init__(self):
            super().__init__()
            self.step = Predict("a -> b")

        def forward(self, **inputs):
            return self.step(**inputs)

    with pytest.raises(PipelineError, match="Name its inputs"):
        spec_of(Anything())


def test_two_fields_that_decide_together_are_too_much():
    class Both(Module):
        def __init__(self):
            super().__init__()
            self.one = Predict("text -> a: Literal['x', 'y']")
            self.two = Predict("text -> b: bool")
            self.three = Predict("text, a, b: bool -> c")
            self.four = Predict("text, a, b: bool -> c")

        def forward(self, text):
            a, b = self.one(text=text).a, self.two(text=text).b
            step = self.three if a == "x" and b else self.four
            return step(text=text, a=a, b=b)

    with pytest.raises(PipelineError, match="does not depend on the value of one field alone"):
        spec_of(Both())


def test_a_spec_goes_round():
    spec = PipelineSpec(steps=(StepSpec(inputs=(FieldSpec(name="q"),), outputs=(FieldSpec(name="a"),)),))
    assert spec_of(build_program(spec)) == spec
