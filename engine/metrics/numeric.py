"""Numbers, within a tolerance: `NumberWithin`."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

from pydantic import Field

from engine.errors import ConfigurationError
from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.text import as_text, quoted

_NUMBER = re.compile(
    r"[-+\u2212]?(?:\d{1,3}(?:[,\u00a0\u202f]\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?|[-+\u2212]?\.\d+",
    re.IGNORECASE,
)
_ROUNDING = 1e-9


class NumberWithinOptions(MetricOptions):
    """How far off is still right."""

    tolerance: float = Field(
        0.0,
        ge=0,
        title="Tolerance",
        description="How far the answer may be off and still be right; 0 means not at all.",
    )
    relative: bool = Field(
        False,
        title="As a share",
        description="Read the tolerance as a share of the expected number: 0.05 is 5 percent.",
    )


class NumberWithin(Metric):
    """1 when the answer's number is close enough to the expected one, else 0.

    Of a text, its last number counts ("6 x 7 = 42 apples" is 42).

    >>> NumberWithin(tolerance=0.05, relative=True).compare(100, "about 104").score
    1.0
    """

    name = "NumberWithin"
    title = "Number within tolerance"
    plain = "The answer is right when its number is the expected one, or no further off than the tolerance allows."
    examples = (
        WorkedExample(42, "The total is 42 apples.", 1.0),
        WorkedExample(100, 104, 0.0),
        WorkedExample(100, 104, 1.0, {"tolerance": 0.05, "relative": True}),
    )
    pros = (
        "Right for amounts, counts and results of calculations.",
        "Units and words around the number do not matter.",
    )
    cons = ("Only the last number of a text is read.",)
    Options: ClassVar[type[MetricOptions]] = NumberWithinOptions

    options: NumberWithinOptions

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one number, or a text that ends in one. Raises ConfigurationError when no number is expected."""
        wanted, got = number_in(expected), number_in(answer)
        if wanted is None:
            raise ConfigurationError(
                f"The expected value {quoted(expected)} is not a number. Choose another metric or correct the data."
            )
        if got is None:
            return Grade(0.0, f"Expected {expected}, but {quoted(answer)} holds no number.")
        allowed = self.options.tolerance * (abs(wanted) if self.options.relative else 1.0)
        if abs(got - wanted) <= allowed + _ROUNDING * max(1.0, abs(wanted)):
            return Grade(1.0, "Correct.")
        side = "high" if got > wanted else "low"
        how_far = f", {abs(got - wanted):g} too {side}" + (
            f" where {allowed:g} off is allowed" if allowed else ""
        )
        return Grade(0.0, f"Expected {expected}, got {quoted(answer)}{how_far}.")


def number_in(value: Any) -> float | None:
    """Return the number a value is, or the last one in its text; None without any.

    >>> number_in("$1,250.50 in all"), number_in("none"), number_in(-3)
    (1250.5, None, -3.0)
    """
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    found = _NUMBER.findall(as_text(value))
    if not found:
        return None
    digits = re.sub(r"[,\u00a0\u202f]", "", found[-1]).replace("\u2212", "-")
    number = float(digits)
    return number if math.isfinite(number) else None
