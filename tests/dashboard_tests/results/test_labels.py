"""Answers by label: the confusion matrix and the scores of each label."""

from dashboard.results.comparison import compared_rows
from dashboard.results.labels import (
    FAILED,
    OTHER,
    confusion,
    label_outputs,
    label_scores,
    mistaken,
    score_table,
)
from engine.records import Outcome

RIGHT = ["billing", "billing", "sales", "sales", "Other team", "Other team"]
ANSWERS = ["billing", "sales", " Sales ", "refunds", "Other team", None]


def outcomes(answers):
    return [
        Outcome(row, 0.0, {}, error="no reply")
        if answer is None
        else Outcome(row, float(answer.strip().casefold() == RIGHT[row].casefold()), {"team": answer})
        for row, answer in enumerate(answers)
    ]


ROWS = compared_rows([outcomes(["billing"] * 6), outcomes(ANSWERS)], ["team"])
VALUES = {row: {"text": f"letter {row}", "team": right} for row, right in enumerate(RIGHT)}


def test_every_row_is_in_one_cell_by_its_right_label_and_its_answer():
    found = confusion(ROWS, VALUES, "team")
    assert found.labels == ("billing", "Other team", "sales")
    assert found.answered == ("billing", "Other team", "sales", OTHER, FAILED)
    assert found.rows == {
        ("billing", "billing"): (0,),
        ("billing", "sales"): (1,),
        ("sales", "sales"): (2,),  # case and spaces do not count
        ("sales", OTHER): (3,),
        ("Other team", "Other team"): (4,),
        ("Other team", FAILED): (5,),
    }
    assert found.size("billing", "sales") == 1
    assert found.size("sales", "billing") == 0


def test_scores_by_label_are_recall_and_precision():
    billing, other, sales = label_scores(confusion(ROWS, VALUES, "team"))
    assert (billing.rows, billing.recall, billing.precision) == (2, 0.5, 1.0)
    assert (other.rows, other.recall, other.precision) == (2, 0.5, 1.0)
    assert (sales.rows, sales.recall, sales.precision) == (2, 0.5, 0.5)
    first = label_scores(confusion(ROWS, VALUES, "team", 0))
    assert first[2].precision is None, "it was never answered"
    lines = score_table([first, [billing, other, sales]], ["Start", "Best"])
    assert lines[2] == {
        "Label": "sales",
        "Rows": 2,
        "Start: found": 0.0,
        "Start: right": None,
        "Best: found": 50.0,
        "Best: right": 50.0,
    }


def test_labels_without_a_mistake_can_be_left_out():
    rows = compared_rows(
        [outcomes(["billing", "billing", "sales", "sales", "Other team", "sales"])], ["team"]
    )
    wrong = mistaken(confusion(rows, VALUES, "team"))
    assert wrong.labels == ("Other team", "sales")
    assert wrong.answered == ("Other team", "sales")
    right = compared_rows([outcomes(RIGHT)], ["team"])
    assert mistaken(confusion(right, VALUES, "team")).labels == ()


def test_only_outputs_of_few_short_values_have_labels():
    values = {row: {"team": RIGHT[row], "note": f"note number {row}", "same": "x"} for row in range(6)}
    assert label_outputs(ROWS, values, ["team", "note", "same", "missing"]) == ["team"]
    long = {row: {"team": right * 20} for row, right in enumerate(RIGHT)}
    assert label_outputs(ROWS, long, ["team"]) == []
