"""The answer has a form: `Regex`."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import Field, field_validator

from engine.errors import ConfigurationError
from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.text import as_text, quoted

_LONGEST = 20_000
"""Characters of an answer that are looked at: a pattern can take very long on a long text."""


class RegexOptions(MetricOptions):
    """The pattern, and how it is applied."""

    pattern: str = Field(
        "",
        title="Pattern",
        description="A regular expression for every answer. Empty: each row's expected value is its pattern.",
    )
    whole: bool = Field(
        False, title="Whole answer", description="The pattern must describe all of the answer."
    )
    ignore_case: bool = Field(True, title="Ignore case", description="Capital letters do not matter.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is no regular expression ({error})") from None
        return value


class Regex(Metric):
    """1 when a regular expression is found in the answer, else 0.

    >>> Regex(pattern=r"\\d{4}-\\d{2}-\\d{2}").compare(None, "due 2024-05-31").score
    1.0
    """

    name = "Regex"
    title = "Pattern (regular expression)"
    plain = "The answer is right when a pattern is found in it, such as a date or an order number."
    examples = (
        WorkedExample(r"\bQM-\d{4}\b", "Your order is QM-1234.", 1.0),
        WorkedExample(r"\bQM-\d{4}\b", "Your order is 1234.", 0.0),
        WorkedExample("yes|no", "yes, of course", 0.0, {"whole": True}),
    )
    pros = ("Checks a form that answers must have.", "Also works without labels: one pattern for every row.")
    cons = ("Patterns are hard to read and to get right.",)
    Options: ClassVar[type[MetricOptions]] = RegexOptions

    options: RegexOptions

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one answer. Raises ConfigurationError when the expected value is no regular expression."""
        pattern = self.options.pattern or as_text(expected)
        flags = re.DOTALL | (re.IGNORECASE if self.options.ignore_case else 0)
        try:
            compiled = re.compile(pattern, flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigurationError(
                f"The expected value {quoted(pattern)} is no regular expression ({error}). Correct the data, or set one pattern."
            ) from None
        text = as_text(answer)[:_LONGEST]
        if compiled.fullmatch(text) if self.options.whole else compiled.search(text):
            return Grade(1.0, "Correct.")
        verb = "be of" if self.options.whole else "contain"
        return Grade(0.0, f"The answer should {verb} the form {quoted(pattern)}; it was {quoted(answer)}.")
