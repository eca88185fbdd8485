"""Metrics of a whole set of rows, which are no mean of rows: `MacroF1` and `Correlation`.

Row by row they grade like their nearest relative, so that a search can use them; `total` gives the set's number, which
`Evaluate` reports as the score and a run next to its verdict (`whole_set_figure`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import StatisticsError, correlation
from typing import Literal

from pydantic import Field

from engine.basics.data import Values
from engine.basics.statistics import resampled_interval
from engine.basics.text import plain_text, quoted, signed
from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample, joined
from engine.metrics.matching import ExactMatch, number_in
from engine.records import Evaluation, WholeSetFigure

Rows = Sequence[tuple[Values, Values]]
"""(example, prediction) pairs; an empty prediction is a failed row."""


class WholeSetMetric(Metric):
    """Base of metrics with a number for a set of rows."""

    def total_of(self, rows: Rows) -> Grade:
        """Return the set's grade; of several outputs the mean of theirs."""
        answered = next(((example, prediction) for example, prediction in rows if prediction), None)
        if answered is not None:
            names = self.fields(*answered)
        else:
            example = rows[0][0] if rows else {}
            labels = [k for k in example if k not in (getattr(example, "_input_keys", None) or ())]
            names = [self.options.field or (labels[-1] if labels else "")]
        totals = {name: self.total([(e.get(name), p.get(name)) for e, p in rows]) for name in names}
        return joined(totals) if len(totals) > 1 else totals[names[0]]

    @abstractmethod
    def total(self, pairs: Sequence[tuple[object, object]]) -> Grade:
        """Return the set's grade from (expected, answer) pairs."""


class MacroF1(WholeSetMetric):
    """The mean of each label's F1, so that a rare label counts as much as a frequent one.

    >>> MacroF1().total([("a", "a"), ("a", "a"), ("b", "a")]).score
    0.4
    """

    name = "MacroF1"
    title = "Every label alike (macro F1)"
    plain = (
        "Tuning counts each answer as right or wrong; the result adds the mean of the labels' F1, "
        "in which a rare label counts as much as a frequent one."
    )
    examples = (WorkedExample("billing", "Billing", 1.0), WorkedExample("billing", "shipping", 0.0))
    pros = ("Shows when a rare label is never found.",)
    cons = ("A number of the whole set: single rows are only right or wrong.",)

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one label: right or wrong."""
        return ExactMatch().compare(expected, answer)

    def total(self, pairs: Sequence[tuple[object, object]]) -> Grade:
        """Return the mean F1 of the expected labels, and that of each label in the feedback."""
        counted = Counter((plain_text(expected), plain_text(answer)) for expected, answer in pairs)
        wanted, got = Counter[str](), Counter[str]()
        for (expected, answer), n in counted.items():
            wanted[expected] += n
            got[answer] += n
        scores = {label: 2 * counted[label, label] / (wanted[label] + got[label]) for label in sorted(wanted)}
        if not scores:
            return Grade(0.0, "There are no rows.")
        worst = sorted(scores.items(), key=lambda item: item[1])
        feedback = ", ".join(f"{label or 'nothing'} {score:.2f}" for label, score in worst)
        return Grade(math.fsum(scores.values()) / len(scores), f"F1 by label: {feedback}.")


class CorrelationOptions(MetricOptions):
    """Choice of the correlation."""

    kind: Literal["pearson", "spearman"] = Field(
        "spearman", title="Kind", description="spearman compares orders, pearson the values themselves."
    )


class Correlation(WholeSetMetric):
    """Correlation of answered and expected numbers over all rows; below 0 counts as 0.

    >>> Correlation().total([(1, 10), (2, 20), (3, 90)]).score
    1.0
    """

    name = "Correlation"
    title = "Numbers rise together (correlation)"
    plain = (
        "Tuning grades each number by how near it is; the result adds how well the answers follow the expected "
        "numbers over all rows, 0 to 1."
    )
    examples = (WorkedExample(4, 4, 1.0), WorkedExample(4, 5, 0.8))
    pros = ("Right for ratings, where the order matters more than the number.",)
    cons = ("Needs many rows; single rows are graded by how far off they are.",)

    Options = CorrelationOptions

    options: CorrelationOptions

    def compare(self, expected: object, answer: object) -> Grade:
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

    def total(self, pairs: Sequence[tuple[object, object]]) -> Grade:
        """Return the correlation; a row without a number lowers it by its share of the rows."""
        numbers = [(number_in(e), number_in(a)) for e, a in pairs]
        usable = [(e, a) for e, a in numbers if e is not None and a is not None]
        if len(usable) < 2:
            return Grade(0.0, f"Only {len(usable)} rows have numbers on both sides: too few to compare.")
        xs, ys = [e for e, _ in usable], [a for _, a in usable]
        if self.options.kind == "spearman":
            xs, ys = _ranks(xs), _ranks(ys)
        try:
            r = correlation(xs, ys)
        except (StatisticsError, OverflowError):  # all of one side are equal, or beyond all measure
            r = 0.0
        r = 0.0 if math.isnan(r) else r
        left_out = len(pairs) - len(usable)
        feedback = f"{self.options.kind.title()} correlation {r:.3f} over {len(usable)} rows."
        feedback += f" {left_out} rows have no number." if left_out else ""
        return Grade(max(0.0, round(r, 9)) * len(usable) / len(pairs), feedback)


def whole_set_figure(
    metric: object, examples: Mapping[int, Mapping[str, object]], baseline: Evaluation, best: Evaluation
) -> WholeSetFigure | None:
    """Return best against baseline by a metric's number of the whole set of rows that both evaluations share.

    `low` and `high` bound the difference with 95 % confidence: the rows were drawn again and again, each with both
    answers. None for a metric that has no such number, and without rows. `examples` are the rows by id.

    >>> from engine.records import Outcome
    >>> rows = {i: {"queue": "rare" if i % 5 == 0 else "usual"} for i in range(40)}
    >>> def run(name, answers):
    ...     return Evaluation(name, tuple(Outcome(i, 1.0, {"queue": a}) for i, a in enumerate(answers)))
    >>> found = whole_set_figure(MacroF1(), rows, run("a", ["usual"] * 40), run("b", [r["queue"] for r in rows.values()]))
    >>> print(found.sentence)
    Every label alike (macro F1), over all 40 test rows: 1.00 against 0.44 before, a difference of +0.56 (95 % interval +0.53 to +0.61).
    """
    if not isinstance(metric, WholeSetMetric):
        return None
    first = {o.row: {} if o.error is not None else o.prediction for o in baseline.outcomes}
    second = {o.row: {} if o.error is not None else o.prediction for o in best.outcomes if o.row in first}
    shared = [row for row in second if row in examples]
    if not shared:
        return None

    def totals(places: Sequence[int]) -> tuple[float, float]:
        drawn = [shared[place] for place in places]
        before, after = ([(examples[r], answers[r]) for r in drawn] for answers in (first, second))
        return metric.total_of(before).score, metric.total_of(after).score

    def gained(places: Sequence[int]) -> float:
        before, after = totals(places)
        return after - before

    old, new = totals(range(len(shared)))
    same = baseline.candidate_id == best.candidate_id
    _, low, high, _ = (0.0, 0.0, 0.0, 0) if same else resampled_interval(len(shared), gained)
    rows = f"all {len(shared)} test rows" if len(shared) > 1 else "1 test row"
    sentence = f"{metric.title}, over {rows}: {new:.2f}"
    if same:
        sentence += ", the starting prompt's."
    else:
        sentence += f" against {old:.2f} before, a difference of {signed(round(new, 2) - round(old, 2), 2)} (95 % interval {signed(low, 2)} to {signed(high, 2)})."
    return WholeSetFigure(metric.name, old, new, new - old, low, high, len(shared), sentence)


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 0; equal values share the mean of theirs."""
    order = sorted(values)
    return [(bisect_left(order, v) + bisect_right(order, v) - 1) / 2 for v in values]
