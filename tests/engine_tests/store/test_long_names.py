"""Names of millions of characters, typed or in files: they are cut, so that they come to no page."""

from __future__ import annotations

from engine.basics.text import LONGEST_NAME
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.store.store import Store

ENDLESS = "n" * 5_000_000


def test_names_are_cut_where_they_come_in(tmp_path):
    with Store.open(tmp_path) as store:
        project = store.projects.create(ENDLESS, {})
        names = [store.projects.get(project).name]
        store.projects.save_draft(project, {}, name="m" + ENDLESS)
        run = store.runs.create(project, {}, ENDLESS)
        store.runs.set_tags(run, ["fine", ENDLESS])
        data = store.datasets.add(ENDLESS, b"a\n1\n", "hash", ["a"], 1)
        names += [store.projects.get(project).name, store.runs.get(run).title, store.datasets.get(data).name]
        fine, tag = store.runs.get(run).tags
    field = FieldSpec(name=ENDLESS, type="list[record]", fields=(FieldSpec(name=ENDLESS),))
    step = StepSpec(name=ENDLESS, inputs=(field,))
    assert fine == "fine"
    assert {len(name) for name in (*names, tag, step.name, field.name, field.fields[0].name)} == {
        LONGEST_NAME
    }
