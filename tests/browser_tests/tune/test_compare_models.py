"""Which model is good enough, in a browser: three models of one server are compared, and the program moves to the cheapest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import fill, pick, press, settled, shoot
from support.pages.dashboard_server import Server
from support.run_setup import add_data, csv_bytes, spec
from support.servers.openai_server import OpenAIServer
from support.servers.shelves import PRICES, compared_models, of_three

from dashboard.state.editing import drafts
from engine.lm.prices import set_own_price
from engine.runs.spec import Named, ProjectDraft
from engine.store.store import Store


@pytest.fixture
def project(home: Path) -> Iterator[str]:
    """A project on the dearest of three models, which all have their price."""
    with OpenAIServer(of_three) as endpoint:
        own, *others = compared_models(endpoint.url)
        for choice in (own, *others):
            set_own_price(choice.name, (PRICES[choice.name], PRICES[choice.name]))
        run = spec(
            add_data(home, csv_bytes(120)),
            model=own,
            optimizer=Named(name="LabeledFewShot", options={"k": 2}),
        )
        draft = ProjectDraft.model_validate({**run.model_dump(exclude={"dataset_hash"}), "models": others})
        yield drafts.create_project("Shelves", draft)


def test_models_are_compared_and_the_program_moves_to_another(
    server: Server, new_page: Callable[..., Page], project: str
):
    page = new_page(f"tune?project={project}", height=1900)
    pick(page, "What counts", "The cheapest that is nearly as good")
    fill(page, "Points it may score lower", "2")
    expect(page.locator(".st-key-compare_models")).to_contain_text(
        "openai/middle and openai/small · cheapest within 2 points"
    )
    shoot(page, "tune_compare_models")
    press(page, "start_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished")
    page.get_by_role("link", name="Results").first.click()
    settled(page)
    sentence = "openai/middle scores best, 100 %, and every cheaper choice is surely worse."
    expect(page.locator(".st-key-verdict")).to_contain_text(sentence)
    page.get_by_role("tab", name="Models").click()
    table = page.locator(".st-key-compared_models")
    expect(table).to_contain_text("kept by the run, good enough and cheapest")
    expect(table).to_contain_text("openai/small")
    expect(page.locator(".st-key-variants .js-plotly-plot")).to_contain_text("middle")
    shoot(page, "results_models")
    press(page, "move_model_go")
    press(page, "again_yes")
    expect(page.locator(".st-key-start_card")).to_be_visible()
    expect(page.get_by_text("cheapest within")).to_have_count(0)
    press(page, "start_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished")
    with Store.open(server.home, read_only=True) as store:
        first = min(store.runs.all(project), key=lambda run: run.created_at)
    page.goto(f"{server.url}/results?project={project}&run={first.id}&results_tab=Models+and+cost")
    settled(page)
    expect(page.locator(".st-key-tuned_on_each")).to_contain_text("openai/test-model")
