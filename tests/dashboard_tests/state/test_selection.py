"""A view is a link: Selection and query parameters are each other's inverse."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboard.state.selection import LONGEST, Selection

texts = st.text(max_size=LONGEST)


@given(project=texts, run=texts, left=texts, rows=texts)
def test_params_and_back(project, run, left, rows):
    chosen = Selection(project=project, run=run, left=left, rows=rows)
    assert Selection.from_params(chosen.params()) == chosen


def test_only_what_is_chosen_is_in_the_address():
    assert Selection(run="r").params() == {"run": "r"}
    assert Selection().params() == {}


def test_strange_addresses_are_left_out():
    found = Selection.from_params({"project": "p", "embed": "true", "run": 3, "left": "x" * (LONGEST + 1)})
    assert found == Selection(project="p")


def test_with_changes_a_copy():
    first = Selection(project="p", run="r")
    assert first.with_(run="") == Selection(project="p")
    assert first.run == "r"
