"""Names of millions of characters: refused or cut, so that they come to no page."""

from __future__ import annotations

import pytest

from engine.errors import ConfigurationError
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.store.store import Store
from engine.text import LONGEST_NAME

ENDLESS = "n" * 5_000_000


def test_names_too_long_are_refused_with_one_message(tmp_path):
    with Store.open(tmp_path) as store:
        project = store.projects.create("p" * LONGEST_NAME, {})
        run = store.runs.create(project, {}, ENDLESS)
        for write in (
            lambda: store.projects.create(ENDLESS, {}),
            lambda: store.projects.save_draft(project, {}, name=ENDLESS),
            lambda: store.runs.set_tags(run, ["fine", ENDLESS]),
            lambda: store.datasets.add(ENDLESS, b"a\n1\n", "hash", ["a"], 1),
        ):
            with pytest.raises(ConfigurationError, match="has 5,000,000 characters") as raised:
                write()
            assert len(str(raised.value)) < 200
        assert store.projects.get(project).name == "p" * LONGEST_NAME
        assert len(store.runs.get(run).title) == LONGEST_NAME
        assert store.runs.get(run).tags == ()


def test_names_too_long_in_files_are_cut():
    field = FieldSpec(name=ENDLESS, type="list[record]", fields=(FieldSpec(name=ENDLESS),))
    step = StepSpec(name=ENDLESS, inputs=(field,))
    assert {len(one) for one in (step.name, field.name, field.fields[0].name)} == {LONGEST_NAME}
