"""The answer mentions what was expected: `Contains`, and DSPy's `answer_passage_match`."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import Field

from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.text import as_text, normalize_text, plain_text, quoted


class ContainsOptions(MetricOptions):
    """What counts as mentioned."""

    whole_words: bool = Field(
        True,
        title="Whole words",
        description="'art' is then not found in 'start'; switch off to find it there.",
    )


class Contains(Metric):
    """1 when the expected text occurs in the answer; of a list expected, the share that occurs.

    >>> Contains().compare(["refund", "three days"], "You get a refund.")
    Grade(score=0.5, feedback="The answer should mention 'three days'; it was 'You get a refund.'.")
    """

    name = "Contains"
    title = "Contains"
    plain = "The answer is right when the expected text occurs somewhere in it; of several expected texts, each counts."
    examples = (
        WorkedExample("Paris", "It is Paris, of course.", 1.0),
        WorkedExample("Paris", "It is Lyon.", 0.0),
        WorkedExample(["refund", "three days"], "You get a refund.", 0.5),
    )
    pros = ("Forgives words around the answer.", "Right for key facts in a longer text.")
    cons = ("An answer that lists everything is right as well.", "'not Paris' contains Paris.")
    Options: ClassVar[type[MetricOptions]] = ContainsOptions

    options: ContainsOptions

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one text against the one, or the several, that it should mention."""
        wanted = list(expected) if isinstance(expected, list | tuple | set | frozenset) else [expected]
        if not wanted:
            return Grade(1.0, "Nothing was expected.")
        text = plain_text(answer)
        missing = [one for one in wanted if not self._mentions(text, plain_text(one))]
        if not missing:
            return Grade(1.0, "Correct.")
        words = ", ".join(quoted(one) for one in missing)
        return Grade(
            1 - len(missing) / len(wanted), f"The answer should mention {words}; it was {quoted(answer)}."
        )

    def _mentions(self, text: str, wanted: str) -> bool:
        if not self.options.whole_words or not wanted:
            return wanted in text
        return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text) is not None


def answer_passage_match(example: Any, pred: Any, trace: Any = None) -> Grade:  # noqa: ARG001 - DSPy's signature
    """Whether one of the passages in `pred.context` holds one of the accepted answers, word for word.

    The grade is 1 or 0, counts as True or False, and says what was not found.

    >>> from engine import Example
    >>> bool(answer_passage_match(Example(answer="Ada Lovelace"), Example(context=["Written by Ada Lovelace."])))
    True
    """
    accepted = [example.answer] if isinstance(example.answer, str) else list(example.answer)
    passages = [pred.context] if isinstance(pred.context, str) else list(pred.context)
    wanted = [f" {normalize_text(as_text(one))} " for one in accepted]
    if any(one in f" {normalize_text(as_text(passage))} " for passage in passages for one in wanted):
        return Grade(1.0, "Correct.")
    names = " or ".join(quoted(one) for one in accepted)
    return Grade(0.0, f"None of the {len(passages)} passages found holds {names}: search for something else.")
