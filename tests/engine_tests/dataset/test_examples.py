from __future__ import annotations

import enum
import json
from typing import Any, Literal

import pytest

from engine.dataset import read_dataset, usable_rows
from engine.errors import DatasetError


class Queue(enum.Enum):
    BILLING = "billing"
    SHIPPING = "shipping"


def parse(text: str, annotation: Any) -> Any:
    if annotation in (int, float):
        return annotation(text)
    value = json.loads(text)
    if annotation is bool and not isinstance(value, bool):
        raise TypeError(text)
    return value


def found(text: str, output: Any, inputs: Any = str):
    data = read_dataset(text.encode(), "rows.csv")
    return usable_rows(data, {"x": "x", "y": "y"}, inputs={"x": inputs}, outputs={"y": output}, parse=parse)


def test_values_are_typed_and_inputs_marked():
    rows = found('x,y\na,1\nb,"1,200"\n', int)
    assert [e.y for e in rows.examples.values()] == [1, 1200]
    assert rows.examples[0].inputs().toDict() == {"x": "a"}
    assert found("x,y\n007, kept \n", str).examples[0].toDict() == {"x": "007", "y": " kept "}
    assert found('x,y\na,"[""p""]"\n', list[str]).examples[0].y == ["p"]
    assert found("x,y\na,true\n", bool).examples[0].y is True


@pytest.mark.parametrize(
    ("annotation", "cell", "words"),
    [
        (str, "", "'y' is empty."),
        (int, "three", "is 'three', which is not a whole number"),
        (float, "n/a", "which is not a number"),
        (bool, "perhaps", "which is not yes or no"),
        (list[str], "p", "not a list"),
        (dict[str, int], "p", "not JSON"),
        (Literal["billing", "shipping"], "sales", "not one of the allowed values: billing, shipping."),
        (Queue, "sales", "not one of the allowed values: billing, shipping."),
    ],
)
def test_unusable_cells_are_problems_of_their_row(annotation: Any, cell: str, words: str):
    rows = found(f"x,y\nq,{cell}\n,\nz,{cell}\n", annotation)
    assert rows.examples == {}
    assert [(p.row, p.column) for p in rows.problems] == [(2, "y"), (4, "y")]
    assert words in rows.problems[0].message


def test_choices_ignore_case_and_space():
    assert found("x,y\na, Billing\nb,SHIPPING\n", Literal["billing", "shipping"]).examples[1].y == "shipping"
    assert found("x,y\na,Billing\nb,shipping \n", Queue).examples[1].y is Queue.SHIPPING


def test_optional_fields_may_be_blank():
    assert found("x,y\n,a\nb,c\n", str, str | None).examples[0].x is None
    assert found("x,y\na,\nb,2\n", int | None).examples[0].y is None
    assert [p.message for p in found("x,y\n,a\nb,c\n", str).problems] == ["'x' is empty."]


def test_row_ids_are_positions_and_can_be_chosen():
    data = read_dataset(b"x,y\na,1\nbroken\nb,2\nc,\n", "rows.csv")
    fields: dict[str, Any] = {"inputs": {"x": str}, "outputs": {"y": int}, "parse": parse}
    assert list(usable_rows(data, {"x": "x", "y": "y"}, **fields).examples) == [0, 1]
    assert list(usable_rows(data, {"x": "x", "y": "y"}, rows=[1], **fields).examples) == [1]
    assert usable_rows(data, {"x": "x", "y": "y"}, **fields).problems[0].row == 5


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"x": "x"}, "The output field 'y' has no column. Choose one of: x, y."),
        ({"x": "x", "y": "label"}, "no column 'label'. Its columns are: x, y."),
        ({"x": "y", "y": "y"}, "both the input 'x' and the answer 'y'"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(mapping: dict[str, str], words: str):
    data = read_dataset(b"x,y\na,1\n", "rows.csv")
    with pytest.raises(DatasetError) as caught:
        usable_rows(data, mapping, inputs={"x": str}, outputs={"y": str}, parse=parse)
    assert words in str(caught.value)
