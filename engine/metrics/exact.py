"""The same answer or not: `ExactMatch`, and DSPy's `answer_exact_match`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar

from pydantic import Field

from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.text import normalize_text, plain_text, quoted, token_f1


class ExactMatchOptions(MetricOptions):
    """What counts as the same."""

    every_output: bool = Field(
        True,
        title="Every output",
        description="Grade every output that the examples have an answer for, and take the mean. "
        "Switch it off to grade the last one only.",
    )
    strict: bool = Field(
        False,
        title="Letter by letter",
        description="Also tell capital letters, spaces and punctuation around apart.",
    )


class ExactMatch(Metric):
    """1 when the answer is the expected one, else 0; of several outputs, the share that is right.

    Capital letters, extra spaces and punctuation around a text are overlooked unless `strict`. A list expected
    where the answer is one value holds every accepted answer.
    """

    name = "ExactMatch"
    title = "Exact match"
    plain = "The answer is right when it is the same as the expected one; capitals and spaces do not matter. Of several outputs, the share that is right."
    examples = (
        WorkedExample("billing", "Billing", 1.0),
        WorkedExample("billing", "billing team", 0.0),
        WorkedExample("billing", "Billing", 0.0, {"strict": True}),
    )
    pros = ("Plain to read: the share of rows answered correctly.", "Right for labels, names and yes or no.")
    cons = ("A right answer in other words counts as wrong.",)
    Options: ClassVar[type[MetricOptions]] = ExactMatchOptions

    options: ExactMatchOptions

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one value against the one expected, or against several accepted ones."""
        strict = self.options.strict
        accepted = expected if _is_list(expected) and not _is_list(answer) else [expected]
        if any(same(one, answer, strict) for one in accepted):
            return _RIGHT
        wanted = " or ".join(quoted(one) for one in accepted) or "nothing"
        return Grade(0.0, f"Expected {wanted}, got {quoted(answer)}.")


def same(expected: Any, answer: Any, strict: bool = False) -> bool:
    """Whether two values are the same answer: texts as texts, numbers as numbers, lists item by item."""
    if expected == answer:
        return True
    if isinstance(expected, Mapping) and isinstance(answer, Mapping):
        return expected.keys() == answer.keys() and all(
            same(expected[k], answer[k], strict) for k in expected
        )
    if _is_list(expected) and _is_list(answer):
        return len(expected) == len(answer) and all(
            same(e, a, strict) for e, a in zip(expected, answer, strict=True)
        )
    if expected is None or answer is None:
        return False
    if strict:
        return bool(_plain_value(expected) == _plain_value(answer))
    return plain_text(expected) == plain_text(answer)


def answer_exact_match(example: Any, pred: Any, trace: Any = None, frac: float = 1.0) -> bool:  # noqa: ARG001 - DSPy's signature
    """Whether `pred.answer` is `example.answer` (or one of them), normalised; with `frac` < 1, their F1 reaches it.

    >>> from engine import Example
    >>> answer_exact_match(Example(answer=["Paris", "Paris, France"]), Example(answer="paris!"))
    True
    """
    accepted = [example.answer] if isinstance(example.answer, str) else list(example.answer)
    if frac >= 1.0:
        return EM(pred.answer, accepted)
    words = normalize_text(str(pred.answer)).split()
    return max(token_f1(words, normalize_text(str(one)).split()) for one in accepted) >= frac


def EM(prediction: str, answers_list: Sequence[str]) -> bool:  # noqa: N802 - DSPy's name
    """Whether a text equals one of several, after `normalize_text`."""
    text = normalize_text(str(prediction))
    return any(text == normalize_text(str(answer)) for answer in answers_list)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _plain_value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


_RIGHT = Grade(1.0, "Correct.")
