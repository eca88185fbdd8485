"""The recipe "Make a small model do this" walked through in a browser, against a local server that trains and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import fill, other_way, pick, press, shoot
from support.run_setup import PIPELINE, add_data, csv_bytes
from support.servers.fine_tuning_server import FineTuningServer
from support.servers.shelves import learned, untrained

from dashboard.state.editing import drafts
from engine.runs.spec import ModelChoice, Named, ProjectDraft


@pytest.fixture
def trainer() -> Iterator[FineTuningServer]:
    with FineTuningServer(learned, untrained, steps=3) as running:
        running.hurried, running.hold_at = True, 2
        yield running


@pytest.fixture
def project(home: Path, trainer: FineTuningServer) -> str:
    drafts.add_model(ModelChoice(name="openai/large-teacher", base_url=trainer.url))
    draft = ProjectDraft(
        pipeline=PIPELINE,
        dataset=add_data(home, csv_bytes(80)),
        mapping={"text": "text", "shelf": "shelf"},
        metric=Named(name="ExactMatch"),
    )
    return drafts.create_project("Shelves", draft)


def test_a_small_model_is_made_and_set_against_the_large_one(
    new_page: Callable[..., Page], project: str, trainer: FineTuningServer
) -> None:
    page = new_page(f"tune?project={project}", height=1900)
    other_way(page, "small model")
    pick(page, "Where is it trained?", "At a provider")
    pick(page, "Teacher, the large model", "large-teacher")
    fill(page, "Base model", "small-base")
    fill(page, "Licence of the base model, as you know it", "mit")
    fill(page, "Address (only for another provider or server)", trainer.url)
    press(page, "use_small_model")
    expect(page.get_by_text("Of this the training: about")).to_be_visible()
    shoot(page, "small-model-recipe")
    press(page, "start_run")
    chart = page.get_by_role("img", name="step 2 of 3")
    expect(chart).to_be_visible()
    shoot(page, "small-model-training")
    trainer.hold_at = None
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished")
    run = page.url.partition("run=")[2].partition("&")[0]
    results = new_page(f"results?project={project}&run={run}", height=1500)
    results.get_by_role("tab", name="Models and cost").click()
    expect(results.get_by_text("Small against large, on the test rows")).to_be_visible()
    expect(results.get_by_text("the small model scores 100 %, its teacher 100 %")).to_be_visible()
    shoot(results, "small-model-results")
    settings = new_page("settings", height=1500)
    expect(settings.get_by_text(f"run {run}, licence mit")).to_be_visible()
    shoot(settings, "small-model-settings")
