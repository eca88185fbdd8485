"""Comparing in a browser, after runs by real workers: several prompts, rows to their messages, feedback, and Try it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, press_first_row, settled, shoot
from support.pages.dashboard_server import Server
from support.run_setup import PIPELINE, answer, csv_bytes, server_model, start_worker
from support.servers.openai_server import OpenAIServer

from dashboard.state import launching, reading
from dashboard.state.editing import drafts
from engine.dataset import read_dataset
from engine.runs.spec import Named, ProjectDraft


@pytest.fixture(scope="module")
def endpoint():
    with OpenAIServer(answer=answer) as server:
        server.piece_seconds = 0.02
        yield server


@pytest.fixture(scope="module")
def runs(server: Server, endpoint: OpenAIServer) -> tuple[str, list[str]]:
    """A project with two finished runs that can be compared, made by real worker processes."""
    content, made = csv_bytes(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEBOARD_HOME", str(server.home))
        draft = ProjectDraft(
            pipeline=PIPELINE,
            dataset=drafts.add_file(read_dataset(content, "shelves.csv"), content, "test"),
            mapping={"text": "text", "shelf": "shelf"},
            metric=Named(name="ExactMatch"),
            model=server_model(endpoint.url),
        )
        project = drafts.create_project("Shelves", draft.model_copy(update={"optimizer": Named(name="GEPA")}))
        for name in ("LabeledFewShot", "BootstrapFewShot"):
            spec = draft.model_copy(update={"optimizer": Named(name=name)}).to_run(reading.datasets()[0].hash)
            made.append(launching.create(project, spec.model_dump(mode="json"), name))
            _, errors = start_worker(server.home, made[-1]).communicate(timeout=600)
            assert reading.run(made[-1]).state == "finished", errors.decode()
    return project, made


@pytest.fixture
def page(new_page: Callable[..., Page], runs: tuple[str, list[str]]) -> Page:
    project, (first, _) = runs
    return new_page(f"results?project={project}&run={first}", width=1920)


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    settled(page)


def test_a_prompt_of_another_run_is_set_beside(page):
    expect(page.locator(".st-key-verdict")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Another one").click()
    page.locator(".st-key-another_run input").click()
    page.get_by_role("option", name="BootstrapFewShot").click()
    settled(page)
    press(page, "another_best")
    expect(page.locator(".st-key-compared_bar")).to_contain_text("Best of BootstrapFewShot")
    expect(page).to_have_url(re.compile("compare="))
    tab(page, "Rows")
    page.get_by_role("radio", name="Scores").click()
    settled(page)
    expect(page.locator(".plot[data-points]").first).to_be_visible()
    page.reload()
    settled(page)
    expect(page.locator(".st-key-compared_bar")).to_contain_text("Best of BootstrapFewShot")
    shoot(page, "results_three")


def test_a_row_is_read_to_its_messages_and_feedback_reaches_the_tune_page(page, runs):
    tab(page, "Rows")
    page.get_by_role("radio", name="Validation rows").click()
    settled(page)
    page.get_by_role("radio", name="All rows").click()
    settled(page)
    press_first_row(page, ".st-key-row_table")
    expect(page.locator(".st-key-whole_row")).to_contain_text("The right answer")
    expect(page).to_have_url(re.compile("row="))
    page.locator(".st-key-drill_messages_1 summary").click()
    expect(page.locator(".st-key-drill_messages_1")).to_contain_text("Say on which shelf it belongs.")
    press(page, "replay_button_1")
    expect(page.locator(".st-key-drill_messages_1")).to_contain_text("from the cache")
    reason = page.locator("[class*=st-key-reason_] input").last
    reason.fill("The colour of the <b>thing</b> counts.")
    reason.press("Enter")
    expect(page.locator(".st-key-whole_row")).to_contain_text("The next run will read this.")
    shoot(page, "results_row")
    page.goto(page.url.replace("/results?", "/tune?"))
    settled(page)
    expect(page.locator(".st-key-feedback_card")).to_contain_text("Feedback on 1 answer will be used")
    page.get_by_text("Read it", exact=True).click()
    expect(page.locator(".st-key-feedback_list")).to_contain_text("<b>thing</b>")
    expect(page.locator(".st-key-compare_guard")).to_contain_text("will be comparable")
    shoot(page, "tune_feedback")


def test_a_pressed_cell_of_the_confusion_matrix_shows_its_rows(page):
    tab(page, "Rows")
    page.get_by_role("radio", name="By label").click()
    settled(page)
    page.locator(".st-key-label_of").get_by_role("radio", name="Start").click()
    settled(page)
    press_first_row(page, "[class*=st-key-confusion_]", -12)
    expect(page).to_have_url(re.compile("cell="))
    expect(page.locator(".st-key-row_table")).to_be_visible()
    shoot(page, "results_labels")


def test_both_prompts_answer_as_they_write(page, runs, endpoint):
    endpoint.hold_after = 5  # it has begun, and does not end before it was seen
    page.goto(page.url.replace("/results?", "/try_it?"))
    settled(page)
    page.locator("[class*=st-key-try_] textarea").first.fill("a small round lamp number 901")
    page.keyboard.press("Control+Enter")
    settled(page)
    press(page, "try_it")
    expect(page.locator(".st-key-writing_1")).to_contain_text("shelf")
    endpoint.hold_after = None
    expect(page.locator(".st-key-attempt_1")).to_contain_text("tokens")
    expect(page.locator(".st-key-writing_1")).to_have_count(0)
    shoot(page, "try_it_streamed")
