"""Which rows of a table a run uses: those left out by hand, those a model wrote."""

from __future__ import annotations

import pytest
from support.run_setup import add_data, spec

from engine.errors import DatasetError
from engine.runs.prepare import prepare
from engine.store.store import Store


def prepared(home, **changes):
    dataset = add_data(home)
    with Store.open(home) as store:
        return prepare(store, spec(dataset, **changes))


def test_rows_left_out_are_in_no_part(tmp_path):
    found = prepared(tmp_path, excluded={3: "wrong shelf", 7: "by hand"})
    split = found.split
    used = {*split.train, *split.validation, *split.test}
    assert used == set(range(40)) - {3, 7}
    assert 3 not in found.settings.rows


def test_every_row_left_out_says_so(tmp_path):
    with pytest.raises(DatasetError, match="left out"):
        prepared(tmp_path, excluded=dict.fromkeys(range(40), "all"))


def test_rows_a_model_wrote_are_never_tested_on(tmp_path):
    written = tuple(range(20, 40))
    split = prepared(tmp_path, synthetic=written).split
    assert not {*split.test, *split.validation} & set(written)
    assert set(written) & set(split.train)
