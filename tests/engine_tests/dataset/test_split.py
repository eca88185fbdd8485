from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.dataset import split_rows
from engine.errors import DatasetError
from engine.records import Example
from engine.runs.spec import SplitSpec


def examples(count: int, labels: str = "ab") -> dict[int, Example]:
    return {
        i: Example(text=f"text {i}", label=labels[i % len(labels)]).with_inputs("text") for i in range(count)
    }


def shares(train: float = 0.4, validation: float = 0.3, test: float = 0.3, seed: int = 0) -> SplitSpec:
    return SplitSpec(train=train, validation=validation, test=test, seed=seed)


@given(st.integers(10, 120), st.integers(0, 5), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_sides_are_disjoint_complete_and_near_their_shares(count: int, seed: int, labels: int, copies: int):
    rows = {
        i: Example(text=f"text {i // copies}", label=f"label {i % (labels + 1)}").with_inputs("text")
        for i in range(count)
    }
    try:
        split = split_rows(rows, shares(seed=seed))
    except DatasetError:
        assert copies > 1
        return
    sides = [split.train, split.validation, split.test]
    assert sorted(r for side in sides for r in side) == list(range(count))
    for side, share in zip(sides, (0.4, 0.3, 0.3), strict=True):
        assert abs(len(side) - share * count) <= copies + 1
    where = {r: i for i, side in enumerate(sides) for r in side}
    texts = {}
    for r, row in rows.items():
        assert texts.setdefault(row.text, where[r]) == where[r]


def test_labels_are_spread_evenly():
    rows = examples(200, "aaab")
    split = split_rows(rows, shares())
    assert split.stratified_by == "label"
    assert split.sizes == (80, 60, 60)
    for side, expected in zip((split.train, split.validation, split.test), (20, 15, 15), strict=True):
        assert abs(Counter(rows[r].label for r in side)["b"] - expected) <= 1


def test_the_seed_decides_and_nothing_else():
    rows = examples(50)
    assert split_rows(rows, shares()) == split_rows(dict(reversed(rows.items())), shares())
    assert split_rows(rows, shares(seed=1)) != split_rows(rows, shares())
    # The same on every machine and Python version: a pinned value.
    assert split_rows(rows, shares()).train[:6] == PINNED


PINNED = (0, 1, 6, 7, 12, 15)


def test_numbers_and_lists_can_be_answers():
    rows = {i: Example(q=i, a=[i]).with_inputs("q") for i in range(20)}
    split = split_rows(rows, shares())
    assert split.stratified_by is None
    assert split.sizes == (8, 6, 6)


def test_repeats_and_contradictions_are_told():
    rows = examples(30)
    rows[30] = Example(text="Text  0", label="a").with_inputs("text")
    rows[31] = Example(text="text 1", label="a").with_inputs("text")
    split = split_rows(rows, shares())
    assert split.notes[0].startswith("2 rows repeat")
    assert split.notes[1].startswith("1 input appears with different answers")


def test_too_few_rows_says_how_many_are_needed():
    with pytest.raises(DatasetError, match=r"There are 7 usable rows.*at least 10.*Add 3 more"):
        split_rows(examples(7), shares())
    with pytest.raises(DatasetError, match="at least 30"):
        split_rows(examples(12), shares(0.8, 0.1, 0.1))
    with pytest.raises(DatasetError, match="There are 0 usable rows"):
        split_rows({}, shares())


def test_too_few_different_inputs():
    rows = {i: Example(text="same", label="ab"[i % 2]).with_inputs("text") for i in range(20)}
    with pytest.raises(DatasetError, match="Only 1 of the 20 rows have different inputs"):
        split_rows(rows, shares())


def test_one_class_only():
    with pytest.raises(DatasetError, match=r"Every row has the same answer \('label' is 'a'\)"):
        split_rows(examples(40, "a"), shares())


def test_scarce_labels_are_named():
    rows = examples(40)
    rows[40] = Example(text="odd one", label="rare").with_inputs("text")
    assert "label 'rare'" in split_rows(rows, shares()).notes[-1]


def test_shares_must_add_up():
    with pytest.raises(DatasetError, match="add up to 130 %"):
        split_rows(examples(40), shares(0.7))


def test_rows_a_model_wrote_are_only_ever_learned_from():
    from types import SimpleNamespace

    shares = SimpleNamespace(train=0.4, validation=0.3, test=0.3, seed=0)
    real = {i: {"text": f"real {i}", "label": "ab"[i % 2]} for i in range(40)}
    before = split_rows(real, shares, inputs=["text"])
    copied = before.test[0]
    rows = {**real, 100: {"text": "new", "label": "a"}, 101: dict(real[copied])}
    found = split_rows(rows, shares, inputs=["text"], synthetic=[100, 101, 999])
    assert (found.validation, found.test) == (before.validation, before.test)
    assert found.train == (*before.train, 100)
    assert any("kept apart" in note for note in found.notes)
    assert any(note.startswith("1 row written by a model") for note in found.notes)
