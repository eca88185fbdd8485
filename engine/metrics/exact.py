"""The same answer or not: `ExactMatch`, and DSPy's `answer_exact_match`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar

from pydantic import Field

from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.text import as_text, normalize_text, plain_text, quoted, token_f1


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

    >>> ExactMatch().compare(["Paris", "Paris, France"], "paris.").score, ExactMatch().compare(12, "13").feedback
    (1.0, "Expected 12, got '13'.")
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
        return Grade(0.0, wrong(accepted, answer))


def wrong(accepted: Sequence[Any], answer: Any) -> str:
    """Return in words what is wrong with an answer that is none of the accepted ones.

    >>> wrong(["billing"], "It is for billing."), wrong([1999], "1999-05-01")
    ("Expected 'billing', got 'It is for billing.': give it alone, without other words.", "Expected 1999, got '1999-05-01'.")
    """
    wanted = " or ".join(quoted(one) for one in accepted) or "nothing"
    text = f" {normalize_text(as_text(answer))} "
    inside = any(
        isinstance(one, str | Enum) and (words := normalize_text(as_text(one))) and f" {words} " in text
        for one in accepted
    )
    hint = ": give it alone, without other words" if inside and not _is_list(answer) else ""
    return f"Expected {wanted}, got {quoted(answer)}{hint}."


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


def answer_exact_match(example: Any, pred: Any, trace: Any = None, frac: float = 1.0) -> Grade:  # noqa: ARG001 - DSPy's signature
    """Whether `pred.answer` is `example.answer` (or one of them), normalised; with `frac` < 1, their F1 reaches it.

    The grade is 1 or 0, counts as True or False, and says what was wrong.

    >>> from engine import Example
    >>> bool(answer_exact_match(Example(answer=["Paris", "Paris, France"]), Example(answer="paris!")))
    True
    """
    accepted = [example.answer] if isinstance(example.answer, str) else list(example.answer)
    if frac >= 1.0:
        right = EM(pred.answer, accepted)
    else:
        words = normalize_text(str(pred.answer)).split()
        right = max(token_f1(words, normalize_text(str(one)).split()) for one in accepted) >= frac
    return _RIGHT if right else Grade(0.0, wrong(accepted, pred.answer))


def EM(prediction: str, answers_list: Sequence[str]) -> bool:  # noqa: N802 - DSPy's name
    """Whether a text equals one of several, after `normalize_text`.

    >>> EM("The Seine!", ["Rhine", "Seine"])
    True
    """
    text = normalize_text(str(prediction))
    return any(text == normalize_text(str(answer)) for answer in answers_list)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _plain_value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


_RIGHT = Grade(1.0, "Correct.")
