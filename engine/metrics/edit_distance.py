"""How many letters differ: `EditDistance`, by rapidfuzz."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.text import accepted_answers, as_text, plain_text, quoted


class EditDistanceOptions(MetricOptions):
    """How strict the comparison is."""

    strict: bool = Field(
        False,
        title="Letter by letter",
        description="Also count capital letters, spaces and punctuation around the text.",
    )
    at_least: float = Field(
        0.0, ge=0, le=1, title="At least", description="A similarity below this counts as 0."
    )


class EditDistance(Metric):
    """1 minus the letters to change (Levenshtein distance) as a share of the longer text.

    >>> EditDistance().compare("kitten", "mitten").score.__round__(2)
    0.83
    """

    name = "EditDistance"
    title = "Spelling (edit distance)"
    plain = "The score says how few letters must be changed to make the answer the expected text, 0 to 1."
    examples = (
        WorkedExample("color", "colour", 0.8333333),
        WorkedExample("Berlin", "berlin", 1.0),
        WorkedExample("abc", "xyz", 0.0),
    )
    pros = ("Forgives a typing error.", "Right for codes, names and text read from scans.")
    cons = ("Two different numbers can be one letter apart.",)
    Options: ClassVar[type[MetricOptions]] = EditDistanceOptions

    options: EditDistanceOptions

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one text by its distance to the one expected, or the nearest of several."""
        from rapidfuzz.distance import Levenshtein

        form = as_text if self.options.strict else plain_text
        accepted, got = accepted_answers(expected, answer), form(answer)
        near = max(accepted, key=lambda one: Levenshtein.normalized_similarity(form(one), got), default=None)
        if near is None:
            return Grade(0.0, f"Nothing was expected, got {quoted(answer)}.")
        wanted = form(near)
        score = Levenshtein.normalized_similarity(wanted, got)
        if score == 1.0:
            return Grade(1.0, "Correct.")
        letters = Levenshtein.distance(wanted, got)
        changed = "1 letter differs" if letters == 1 else f"{letters} letters differ"
        said = f"Expected {quoted(near)}, got {quoted(answer)}: {changed}."
        return Grade(score if score >= self.options.at_least else 0.0, said)
