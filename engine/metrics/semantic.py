"""Judges of meaning: `SemanticF1` and `CompleteAndGrounded`, under the names and rules DSPy gave them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from engine.adapters.values import format_value
from engine.errors import ConfigurationError
from engine.metrics.base import Case, Grade, MetricOptions, WorkedExample
from engine.metrics.judge import Judge, JudgeOptions, checked_mark, harmonic, question_of
from engine.signature import InputField, OutputField, Signature


class SemanticOptions(JudgeOptions):
    """When an answer counts as right where only right and wrong count."""

    threshold: float = Field(
        0.66,
        ge=0,
        le=1,
        title="Right from",
        description="From this score on a run may be shown as an example; with a trace the score is then 1, else 0.",
    )


class SemanticF1Options(SemanticOptions):
    """How the judge works."""

    decompositional: bool = Field(
        False,
        title="List the key ideas first",
        description="The judge first lists what each text says: more careful, and longer answers.",
    )


class _Semantic(Judge):
    """Shared by both judges: the field "response" where there is one, and the rule for traces."""

    options: SemanticOptions

    @property
    def threshold(self) -> float:
        """The score from which an answer counts as right."""
        return self.options.threshold

    def fields(self, example: Mapping[str, object], prediction: Mapping[str, object]) -> list[str]:
        """Return the outputs to grade; `response` where both sides have it and none is chosen."""
        chosen = self.options.field or self.options.every_output
        if not chosen and "response" in example and "response" in prediction:
            return ["response"]
        return super().fields(example, prediction)

    async def acall(
        self, example: Mapping[str, object], prediction: Mapping[str, object], trace: object = None
    ) -> Grade:
        """Grade one prediction; with a trace, right or wrong by the threshold."""
        found = await super().acall(example, prediction, trace)
        if trace is None:
            return found
        return Grade(float(found.score >= self.options.threshold), found.feedback)


class SemanticF1(_Semantic):
    """Whether answer and expected text say the same: F1 of what is covered and what is right, by a judge.

    One call. Recall is the share of the expected text's ideas that the answer holds, precision the share of the
    answer's ideas that the expected text holds.

    >>> from engine import Example, Prediction, context
    >>> from engine.testing import DummyLM
    >>> row = Example(question="When?", response="On Monday, by mail.").with_inputs("question")
    >>> verdict = {"reasoning": "The way is missing.", "recall": "0.5", "precision": "1.0"}
    >>> with context(lm=DummyLM([verdict])):
    ...     round(SemanticF1()(row, Prediction(response="On Monday.")).score, 2)
    0.67
    """

    name = "SemanticF1"
    title = "Same meaning (judged)"
    plain = "A model judges how much of the expected text's meaning the answer holds, and how much it adds, 0 to 1."
    examples = (
        WorkedExample("On Monday, by mail.", "It arrives by post on Monday.", 1.0),
        WorkedExample("On Monday, by mail.", "On Monday.", 0.67),
        WorkedExample("On Monday, by mail.", "Never.", 0.0),
    )
    pros = ("A right answer in other words is right.",)
    cons = ("Costs one more call a row, and needs a real model as judge.",)
    Options: ClassVar[type[MetricOptions]] = SemanticF1Options

    options: SemanticF1Options

    async def acompare(self, case: Case) -> Grade:
        """Judge one output."""
        found = await self.ask(
            _DecomposedOverlap if self.options.decompositional else _Overlap,
            question=question_of(case),
            expected=format_value(case.expected, str),
            answer=format_value(case.answer, str),
        )
        recall, precision = (
            checked_mark(found["recall"], "recall"),
            checked_mark(found["precision"], "precision"),
        )
        said = f"It holds {100 * recall:.0f} % of what was expected, and {100 * precision:.0f} % of what it says is supported by it."
        return Grade(harmonic(recall, precision), f"{said} {found['reasoning']}".strip())


class CompleteAndGrounded(_Semantic):
    """Whether an answer says all that was expected, and nothing that its context does not say. Two calls.

    The context is the prediction's `context` (what a retrieval step found), or the row's.

    >>> from engine import Example, Prediction, context
    >>> from engine.testing import ScriptedLM
    >>> row = Example(question="How long?", response="Within 30 days.").with_inputs("question")
    >>> said = Prediction(response="Within 30 days.", context=["Returns: 30 days."])
    >>> verdicts = [
    ...     {"reasoning": "All is there.", "completeness": 1.0},
    ...     {"reasoning": "The context says so.", "groundedness": 1.0},
    ... ]
    >>> with context(lm=ScriptedLM(verdicts)):
    ...     CompleteAndGrounded()(row, said).score
    1.0
    """

    name = "CompleteAndGrounded"
    title = "Complete and grounded (judged)"
    plain = (
        "A model judges whether the answer says all that was expected, and only what its sources say, 0 to 1."
    )
    examples = (
        WorkedExample("Within 30 days.", "Within 30 days, as the policy says.", 1.0),
        WorkedExample("Within 30 days.", "Within 90 days.", 0.0),
    )
    pros = ("Finds invented facts in answers from documents.",)
    cons = (
        "Costs two more calls a row, and needs a real model as judge.",
        "Needs the passages in a field named context.",
    )
    Options: ClassVar[type[MetricOptions]] = SemanticOptions
    calls = 2

    async def acompare(self, case: Case) -> Grade:
        """Judge one output. Raises ConfigurationError when there is no context."""
        context = case.prediction.get("context", case.example.get("context"))
        if context is None:
            raise ConfigurationError(
                "CompleteAndGrounded needs a field 'context' in the program's answer or in the examples: what the answer rests on."
            )
        question, answer = question_of(case), format_value(case.answer, str)
        complete, grounded = await asyncio.gather(
            self.ask(
                _Completeness, question=question, expected=format_value(case.expected, str), answer=answer
            ),
            self.ask(_Groundedness, question=question, context=format_value(context, str), answer=answer),
        )
        first = checked_mark(complete["completeness"], "completeness")
        second = checked_mark(grounded["groundedness"], "groundedness")
        said = f"Complete: {100 * first:.0f} %. {complete['reasoning']} Grounded: {100 * second:.0f} %. {grounded['reasoning']}"
        return Grade(harmonic(first, second), said.strip())


class _Overlap(Signature):
    """Compare the answer with the expected answer by what they say, not by how they say it.

    Recall is the share of the expected answer's statements that the answer makes too. Precision is the share of the
    answer's statements that the expected answer makes too. A statement counts where the meaning is the same.
    """

    question: str = InputField()
    expected: str = InputField(desc="The expected answer.")
    answer: str = InputField(desc="The answer to judge.")
    reasoning: str = OutputField(desc="What the answer gets right, misses or adds, in one or two sentences.")
    recall: float = OutputField(desc="Share of the expected answer that the answer covers, from 0 to 1.")
    precision: float = OutputField(desc="Share of the answer that the expected answer supports, from 0 to 1.")


class _DecomposedOverlap(Signature):
    """Compare the answer with the expected answer by what they say, not by how they say it.

    First list the statements of each. Recall is the share of the expected answer's statements that the answer makes too;
    precision is the share of the answer's statements that the expected answer makes too.
    """

    question: str = InputField()
    expected: str = InputField(desc="The expected answer.")
    answer: str = InputField(desc="The answer to judge.")
    expected_statements: str = OutputField(desc="The expected answer's statements, one a line.")
    answer_statements: str = OutputField(desc="The answer's statements, one a line.")
    reasoning: str = OutputField(desc="Which statements agree, are missing or are added.")
    recall: float = OutputField(desc="Share of the expected statements that the answer makes, from 0 to 1.")
    precision: float = OutputField(desc="Share of the answer's statements that were expected, from 0 to 1.")


class _Completeness(Signature):
    """Judge how much of the expected answer's content the answer gives; wording does not matter."""

    question: str = InputField()
    expected: str = InputField(desc="The expected answer.")
    answer: str = InputField(desc="The answer to judge.")
    reasoning: str = OutputField(desc="What is covered and what is missing, in one or two sentences.")
    completeness: float = OutputField(
        desc="Share of the expected content that the answer gives, from 0 to 1."
    )


class _Groundedness(Signature):
    """Judge how much of the answer is supported by the context; what is true but not in the context does not count."""

    question: str = InputField()
    context: str = InputField(desc="What the answer must rest on.")
    answer: str = InputField(desc="The answer to judge.")
    reasoning: str = OutputField(
        desc="Which statements the context does not support, in one or two sentences."
    )
    groundedness: float = OutputField(desc="Share of the answer that the context supports, from 0 to 1.")
