"""Examples, candidates, usage and JSON values."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import pickle

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import (
    Candidate,
    Demo,
    Evaluation,
    Example,
    Outcome,
    StepState,
    Usage,
    content_hash,
    json_value,
)


class Colour(enum.Enum):
    red = "r"


class Level(int, enum.Enum):
    high = 3


class Point(pydantic.BaseModel):
    x: int


@dataclasses.dataclass
class Pair:
    left: Point
    right: Colour


def test_inputs_and_labels():
    row = Example(question="q", answer="a", context="c").with_inputs("question", "context")
    assert row.inputs().toDict() == {"question": "q", "context": "c"}
    assert row.labels().toDict() == {"answer": "a"}
    assert row.input_values() == {"question": "q", "context": "c"}
    assert row.without("context").toDict() == {"question": "q", "answer": "a"}
    assert row.copy(answer="b").answer == "b"
    assert row.answer == "a"
    with pytest.raises(ValueError, match="with_inputs"):
        Example(a=1).inputs()


def test_examples_copy_pickle_compare_and_delete():
    row = Example(a=[1], b="x").with_inputs("a")
    twin = pickle.loads(pickle.dumps(row))
    assert twin == row
    assert twin.input_keys == {"a"}
    deep = copy.deepcopy(row)
    deep.a.append(2)
    assert row.a == [1]
    del deep["b"]
    assert "b" not in deep
    assert len({row, twin}) == 1


def test_a_candidates_id_is_its_content():
    state = StepState("Do.", (Demo({"a": 1}, augmented=True),), {"a": "Words."})
    one = Candidate({"s": state}, reason="First.")
    assert one.id == Candidate({"s": state}, parents=("x",), reason="Again.").id
    assert one.id != one.with_step("s", instructions="Else.").id
    assert Candidate.from_dict(one.as_dict()) == one
    child = one.with_step("s", demos=()).derived("Without demos.", one)
    assert (child.parents, child.reason) == ((one.id,), "Without demos.")


def test_usage_adds_up():
    assert sum([Usage(1, 0, 10, 5), Usage(0, 1, 0, 0, 0.5)], Usage()) == Usage(1, 1, 10, 5, 0.5)
    assert Evaluation("x", ()).score == 0.0
    assert Evaluation("x", (Outcome(0, 1.0), Outcome(1, 0.0))).score == 0.5


def test_json_values():
    value = {
        "p": Pair(Point(x=1), Colour.red),
        "s": {"b", "a"},
        Level.high: Level.high,
        "d": datetime.date(2026, 1, 2),
    }
    assert json_value(value) == {
        "p": {"left": {"x": 1}, "right": "r"},
        "s": ["a", "b"],
        "3": 3,
        "d": "2026-01-02",
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda t: st.lists(t) | st.dictionaries(st.text(), t),
    )
)
def test_json_values_stay_and_hash_by_content(value):
    assert json_value(value) == value
    assert content_hash(json_value(value)) == content_hash(copy.deepcopy(value))
