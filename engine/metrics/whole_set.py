"""Metrics of a whole set of rows, which are no mean of rows: `MacroF1` and `Correlation`.

Row by row they grade like their nearest relative, so that a search can use them; `total` gives the set's number, which
`Evaluate` reports as the score.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.exact import ExactMatch
from engine.metrics.numeric import number_in
from engine.metrics.text import plain_text, quoted


class WholeSetMetric(Metric):
    """Base of metrics with a number for a set of rows."""

    def total_of(self, rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Grade:
        """Return the set's grade from (example, prediction) pairs; an empty prediction is a failed row."""
        pairs = []
        for example, prediction in rows:
            if prediction:
                name = self.fields(example, prediction)[0]
                pairs.append((example[name], prediction[name]))
            else:
                chosen = self.options.field
                labels = [k for k in example if k not in (getattr(example, "_input_keys", None) or ())]
                pairs.append((example.get(chosen or (labels[-1] if labels else "")), None))
        return self.total(pairs)

    @abstractmethod
    def total(self, pairs: Sequence[tuple[Any, Any]]) -> Grade:
        """Return the set's grade from (expected, answer) pairs."""


class MacroF1(WholeSetMetric):
    """The mean of each label's F1, so that a rare label counts as much as a frequent one.

    >>> MacroF1().total([("a", "a"), ("a", "a"), ("b", "a")]).score
    0.4
    """

    name = "MacroF1"
    title = "Every label alike (macro F1)"
    plain = "The score of the set is the mean of the labels' F1: rare labels count as much as frequent ones."
    examples = (WorkedExample("billing", "Billing", 1.0), WorkedExample("billing", "shipping", 0.0))
    pros = ("Shows when a rare label is never found.",)
    cons = ("A number of the whole set: single rows are only right or wrong.",)

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one label: right or wrong."""
        return ExactMatch().compare(expected, answer)

    def total(self, pairs: Sequence[tuple[Any, Any]]) -> Grade:
        """Return the mean F1 of the expected labels, and each label's own in the feedback."""
        wanted = [plain_text(expected) for expected, _ in pairs]
        got = [plain_text(answer) for _, answer in pairs]
        scores = {label: _label_f1(label, wanted, got) for label in sorted(set(wanted))}
        if not scores:
            return Grade(0.0, "There are no rows.")
        worst = sorted(scores.items(), key=lambda item: item[1])
        said = ", ".join(f"{label or 'nothing'} {score:.2f}" for label, score in worst)
        return Grade(math.fsum(scores.values()) / len(scores), f"F1 by label: {said}.")


class CorrelationOptions(MetricOptions):
    """Which correlation."""

    kind: Literal["pearson", "spearman"] = Field(
        "spearman", title="Kind", description="spearman compares orders, pearson the values themselves."
    )


class Correlation(WholeSetMetric):
    """How well answered numbers follow the expected ones, over all rows; below 0 counts as 0.

    >>> Correlation().total([(1, 10), (2, 20), (3, 90)]).score
    1.0
    """

    name = "Correlation"
    title = "Numbers rise together (correlation)"
    plain = "The score of the set is how well the answered numbers follow the expected ones, 0 to 1."
    examples = (WorkedExample(4, 4, 1.0), WorkedExample(4, 5, 0.8))
    pros = ("Right for ratings, where the order matters more than the number.",)
    cons = ("Needs many rows; single rows are graded by how far off they are.",)
    Options: ClassVar[type[MetricOptions]] = CorrelationOptions

    options: CorrelationOptions

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one number by how near it is: the smaller as a share of the larger."""
        wanted, got = number_in(expected), number_in(answer)
        if wanted is None or got is None:
            return Grade(
                0.0, f"Expected {quoted(expected)}, but {quoted(answer)} holds no number to compare."
            )
        off = abs(wanted - got)
        score = 1.0 if off == 0 else max(0.0, 1 - off / max(abs(wanted), abs(got)))
        return Grade(
            score,
            "Correct."
            if off == 0
            else f"Expected {expected}, got {quoted(answer)}, {off:g} too {'high' if got > wanted else 'low'}.",
        )

    def total(self, pairs: Sequence[tuple[Any, Any]]) -> Grade:
        """Return the correlation; a row without a number lowers it by its share of the rows."""
        found = [(number_in(e), number_in(a)) for e, a in pairs]
        usable = [(e, a) for e, a in found if e is not None and a is not None]
        if len(usable) < 2:
            return Grade(0.0, f"Only {len(usable)} rows hold numbers on both sides: too few to compare.")
        xs, ys = [e for e, _ in usable], [a for _, a in usable]
        if self.options.kind == "spearman":
            xs, ys = _ranks(xs), _ranks(ys)
        r = _pearson(xs, ys)
        left_out = len(pairs) - len(usable)
        said = f"{self.options.kind.title()} correlation {r:.3f} over {len(usable)} rows."
        said += f" {left_out} rows hold no number." if left_out else ""
        return Grade(max(0.0, round(r, 9)) * len(usable) / len(pairs), said)


def _label_f1(label: str, wanted: Sequence[str], got: Sequence[str]) -> float:
    both = sum(w == label and g == label for w, g in zip(wanted, got, strict=True))
    return 2 * both / (wanted.count(label) + got.count(label))


def _pearson(xs: Sequence[float], ys: Sequence[float]) -> float:
    n = len(xs)
    mx, my = math.fsum(xs) / n, math.fsum(ys) / n
    sx = math.sqrt(math.fsum((x - mx) ** 2 for x in xs))
    sy = math.sqrt(math.fsum((y - my) ** 2 for y in ys))
    if not sx or not sy:
        return 0.0
    return math.fsum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / (sx * sy)


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0; equal values share the mean of theirs."""
    order = sorted(values)
    return [(bisect_left(order, v) + bisect_right(order, v) - 1) / 2 for v in values]
