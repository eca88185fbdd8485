"""Answers by label: the confusion matrix and the scores of each label."""

from dashboard.results.comparison import compared_rows
from dashboard.results.labels import (
    FAILED,
    OTHER,
    confusion,
    label_outputs,
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
    tables = [confusion(ROWS, VALUES, "team", at) for at in (0, 1)]
    names = ("Label", "Rows", "Start: found", "Start: right", "Best: found", "Best: right")
    assert [tuple(line[name] for name in names) for line in score_table(tables, ["Start", "Best"])] == [
        ("billing", 2, 100.0, 33.0, 50.0, 100.0),
        ("Other team", 2, 0.0, None, 50.0, 100.0),  # it was never answered at the start
        ("sales", 2, 0.0, None, 50.0, 50.0),
    ]


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
