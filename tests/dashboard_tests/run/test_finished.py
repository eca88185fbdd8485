"""The Run page of a run that has ended: next to the chart is the prompt that the run chose."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.fixed_prompt_run import fixed_prompt_run
from support.pages.page_frame import open_page, said

from engine.store.store import Store


@pytest.mark.parametrize("other", [False, True], ids=["the leader was chosen", "another prompt was chosen"])
def test_the_card_shows_the_chosen_prompt_and_names_the_best_so_far_where_that_is_another(home, other):
    ids = fixed_prompt_run(home)
    with Store.open() as store:
        result = store.runs.get(ids.run).result
        if other:
            store.runs.save_result(ids.run, replace(result, best_candidate=ids.fixed))
        numbers = {c.id: c.number for c in store.trials.candidates(ids.run)}
    app = open_page("run", project=ids.project, run=ids.run)
    assert not app.exception
    shown = said(app)
    if other:
        assert f"Chosen at the end: **Prompt {numbers[ids.fixed]}**" in shown
        assert f"The best so far was prompt {numbers[ids.best]}, with about" in shown
    else:
        assert f"Best: **Prompt {numbers[ids.best]}**" in shown
        assert "The best so far was" not in shown
