"""The Models view of a run that compared models at a real server: table, sentence, and the move to another model."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest
from support.pages.page_frame import open_page, said
from support.pages.page_frame import stored_draft as draft
from support.run_setup import THINGS, add_data, csv_bytes, spec
from support.servers.openai_server import Failure, OpenAIServer
from support.servers.shelves import PRICES, compared_models, of_three

from dashboard.state import reading
from dashboard.state.editing import drafts
from engine.lm.prices import set_own_price
from engine.runs.spec import Named, ProjectDraft
from engine.runs.worker import work
from engine.store.store import Store


def brittle(body: dict[str, object]) -> Failure | None:
    """One model answers at the start, and no row."""
    row = any(thing in str(body["messages"]) for thing in THINGS)
    return Failure(401, b"{}") if body["model"] == "brittle" and row else None


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A project, and its run that compared four models; one of them failed."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, OpenAIServer(of_three) as server:
        patch.setenv("TUNEBOARD_HOME", str(home))
        patch.setenv("OPENAI_API_KEY", "sk-test")
        server.faults = brittle
        for name, price in {**PRICES, "openai/brittle": 1.0}.items():
            set_own_price(name, (price, price))
        own, *others = compared_models(server.url)
        others.append(own.named("openai/brittle"))
        run = spec(
            add_data(home, csv_bytes(120)),
            model=own,
            models=tuple(others),
            objective="cheapest within 2 points",
            optimizer=Named(name="LabeledFewShot", options={"k": 2}),
        )
        project = drafts.create_project(
            "Shelves", ProjectDraft.model_validate(run.model_dump(exclude={"dataset_hash"}))
        )
        with Store.open(home) as store:
            run_id = store.runs.create(project, run.model_dump(mode="json"), "A run")
        assert work(home, run_id) == 0
        yield project, run_id


def shown(finished: tuple[str, str]) -> AppTest:
    app = open_page("results", project=finished[0], run=finished[1])
    app.session_state["results_tab"] = "Models and cost"
    app.run()
    assert not app.exception
    return app


def test_every_model_has_a_line_and_one_that_failed_has_no_score(finished):
    app = shown(finished)
    words = said(app)
    assert "openai/middle scores best, 100 %, and every cheaper choice is surely worse." in words
    assert words.count("All rows of openai/brittle failed.") == 2, "in the verdict and in the view"
    table = next(h.value for h in app.get("html") if "openai/middle" in str(h.value))
    assert "kept by the run, good enough and cheapest" in table
    lines = dict.fromkeys(line.partition("<")[0] for line in table.split("<tr><td>")[1:])
    assert list(lines) == ["openai/middle", "openai/test-model", "openai/small", "openai/brittle"]
    assert "0 %" not in table.rpartition("openai/brittle")[2]
    assert "failed" in table.rpartition("openai/brittle")[2]


def test_what_is_as_good_and_cheaper_is_taken_where_that_was_the_goal(finished):
    app = shown(finished)
    assert "Neither surely better nor worse than the start, and" in said(app)
    run = reading.run(finished[1])
    assert run.taken == run.result.best_candidate
    export = said(open_page("export", project=finished[0], run=finished[1]))
    assert "% on the test rows. Neither surely better nor worse than the start, and" in export


def test_the_move_to_another_model_asks_before_it_replaces_the_setup(finished):
    app = shown(finished)
    before = draft(finished[0])
    picker = app.selectbox(key=f"move_to_{finished[1]}")
    assert "openai/middle" not in str(picker.options), "it is there"
    picker.set_value("openai/small").run()
    app.button(key="move_model_go").click().run()
    assert any(b.key == "again_yes" for b in app.button)
    assert draft(finished[0]) == before
