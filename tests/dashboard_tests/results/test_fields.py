"""Results by field: scores before and after, counts of what is wrong, the worst rows; over plain records."""

from __future__ import annotations

from dashboard.results.fields import field_results, field_table
from engine.pipeline.spec import FieldSpec
from engine.records import Candidate, Outcome, StepState

FIELDS = (
    FieldSpec(name="total", type="float", description="The sum"),
    FieldSpec(name="lines", type="list[record]", fields=(FieldSpec(name="price", type="float"),)),
)


def outcome(row: int, total: object, *prices: float, error: str | None = None) -> Outcome:
    record = {"total": total, "lines": [{"price": p} for p in prices]}
    return Outcome(row, 0.0, {} if error else record, error=error, number=row + 2)


def candidate(**said: str) -> Candidate:
    return Candidate({"read": StepState("Read.", field_descriptions=said)})


def test_each_field_has_its_scores_interval_counts_and_worst_rows():
    values = {row: {"total": 5.0, "lines": [{"price": 1}, {"price": 2}]} for row in range(4)}
    before = [outcome(row, 4.0, 1, 2) for row in range(4)]
    after = [
        outcome(0, 5.0, 1, 2), outcome(1, 5.0, 1, 3), outcome(2, None, 1, 2, 9), outcome(3, 5.0, error="No answer."),
    ]  # fmt: skip
    total, price = field_results(
        FIELDS, values, before, after, (candidate(total="The sum"), candidate(total="The sum to pay"))
    )
    assert (total.path, total.before, total.after, total.rows) == ("total", 0.0, 0.5, 4)
    assert total.change.startswith("+50 (")
    assert total.descriptions == ("The sum", "The sum to pay")
    assert [(w.number, w.status) for w in total.worst] == [(4, "missing"), (5, "missing")]
    assert price.path == "lines.price"
    assert price.before == 1.0
    assert round(price.after, 3) == round((1 + 0.5 + 2 / 3 + 0) / 4, 3)
    assert (price.counts["wrong"], price.counts["invented"], price.counts["missing"]) == (1, 1, 2)
    assert price.worst[0].answer == "failed"
    assert [line["Description"] for line in field_table([total, price])] == ["changed", ""]
    (alone,) = field_table([total], compared=False)
    assert (alone["Score"], "Before" in alone, "Change in points" in alone) == (50.0, False, False)


def test_the_metrics_own_score_of_a_field_counts():
    own = Outcome(0, 0.5, {"total": 4.9, "lines": []}, objective_scores={"total": 0.5})
    values = {0: {"total": 5.0, "lines": []}}
    (total,) = field_results(FIELDS, values, [own], [own], (candidate(), candidate()))[:1]
    assert (total.before, total.after) == (0.5, 0.5)
    assert total.descriptions[1] == "The sum"
