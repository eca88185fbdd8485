"""A program as a user writes one: signatures, a pipeline, a metric, an adapter and an optimizer of the user's own, tuned and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, assert_type

from pydantic import BaseModel

import engine
from engine import ChainOfThought, Example, Predict, Prediction
from engine.extraction import ExtractionResult, OptimizationResult
from engine.signature.types import Image

Team = Literal["billing", "shipping", "returns"]


class Order(BaseModel):
    """An order that a message is about."""

    number: int
    items: list[str] = []


class Route(engine.Signature):
    """Send a customer's message to the team that can help."""

    message: str = engine.InputField(desc="The text as the customer wrote it.")
    order: Order | None = engine.InputField(desc="The order, where one is known.", default=None)
    team: Team = engine.OutputField(desc="The team that answers.")
    urgent: bool = engine.OutputField()


class Desk(engine.Module):
    """Routes a message, and drafts an answer."""

    def __init__(self, tone: str = "friendly") -> None:
        super().__init__()
        self.tone = tone
        self.route = Predict(Route)
        self.draft = ChainOfThought("message, team, tone -> answer", max_tokens=200)

    def forward(self, message: str, order: Order | None = None) -> Prediction:
        routed = self.route(message=message, order=order)
        drafted = self.draft(message=message, team=routed.team, tone=self.tone)
        return Prediction(team=routed.team, answer=drafted.answer)


class Echo(engine.Module):
    """A module written for async code."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = Predict(engine.Signature("question -> answer: str", "Answer in one word."))

    async def aforward(self, question: str) -> Prediction:
        return await self.answer.acall(question=question)


def add(a: int, b: int) -> int:
    """Return the sum."""
    return a + b


def right_team(example: Example, prediction: Prediction, trace: object = None) -> float:
    """Score 1 for the right team."""
    return float(example.team == prediction.team)


class Polite(engine.Metric):
    """Scores an answer that says thank you."""

    name = "polite"
    title = "Polite"
    plain = "Says thank you."
    examples = ()

    def compare(self, expected: object, answer: object) -> engine.Grade:
        thanks = "thank" in str(answer).lower()
        return engine.Grade(float(thanks), "" if thanks else "Say thank you.")


class Shouting(engine.ChatAdapter):
    """Writes the inputs in capitals."""

    def format(
        self, signature: type[engine.Signature], demos: Sequence[Any], inputs: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        return super().format(signature, demos, {name: str(value).upper() for name, value in inputs.items()})


class Shortest(engine.Teleprompter):
    """An optimizer of the user's, which defines `compile` alone."""

    title = "No change"

    def compile(self, student: Any, *, trainset: Sequence[Example], **arguments: Any) -> Any:
        return student.deepcopy()


ROWS = [
    Example(message="I was charged twice.", team="billing").with_inputs("message"),
    Example(message="Where is my parcel?", team="shipping").with_inputs("message"),
    Example(message="It does not fit.", team="returns").with_inputs("message"),
]


def build(model: engine.BaseLM | None = None) -> Desk:
    """Tune the program and return it."""
    engine.configure(lm=model or engine.LM("offline/learner", temperature=0.0, max_tokens=400))
    program = Desk()
    assert_type(program.route, Predict)
    prediction = program(message="Where is my parcel?")
    assert_type(engine.Predict("question -> answer")(question="Why?"), Prediction)
    assert_type(ChainOfThought(Route)(message="Why?"), Prediction)
    print(prediction.team, prediction["answer"])

    evaluate = engine.Evaluate(devset=ROWS, metric=right_team, num_threads=2, display_progress=False)
    before = evaluate(program)
    assert_type(before, engine.EvaluationResult)
    assert_type(before.score, float)
    print(before.score, before.interval.low, [outcome.error for outcome in before.failures])

    few = engine.LabeledFewShot(k=2).compile(program, trainset=ROWS)
    assert_type(few, Desk)
    agent = engine.ReAct("question -> answer: int", tools=[add], max_iters=3)
    assert_type(
        engine.LabeledFewShot(k=1).compile(agent, trainset=[Example(question="1 + 1", answer=2)]),
        engine.ReAct,
    )
    optimizer = engine.BootstrapFewShot(metric=right_team, max_bootstrapped_demos=1, max_labeled_demos=2)
    tuned = optimizer.compile(program, trainset=ROWS, valset=ROWS, budget=engine.Budget(calls=200))
    assert_type(tuned, Desk)
    assert_type(engine.MIPROv2(metric=engine.ExactMatch(field="team"), auto="light").name, str)
    print(Shortest(metric=Polite(field="answer")).compile(Echo(), trainset=ROWS))
    print(tuned.tone, [path for path, _ in tuned.named_predictors()])
    return tuned


def records(prompter: engine.Prompter, rows: Sequence[Any]) -> OptimizationResult:
    """Read an order from a picture, then tune how it is read."""
    found = prompter.predict_with_confidence(Image(url="data:image/png;base64,AAAA"))
    assert_type(found, ExtractionResult)
    return prompter.optimize(rows, optimizer="gepa", budget=engine.Budget(calls=50))


def kept(program: Desk, path: Path) -> Desk:
    """Save a program and return it as it is read again."""
    program.save(path)
    again = Desk(tone=program.tone)
    again.load(path)
    with engine.context(adapter=Shouting(), num_threads=2), engine.track_usage() as usage:
        print(again(message="It does not fit.").team)
    print(usage.get_total_tokens())
    return again
