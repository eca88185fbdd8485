"""A run on a real model server that lasts until it is stopped: asked for things, left, found again, paused, killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, settled, shoot
from support.pages.live_runs import tireless, tireless_project
from support.run_setup import wait_for
from support.servers.openai_server import OpenAIServer

from engine.store.store import Store


@pytest.fixture
def model() -> Iterator[OpenAIServer]:
    """A model that always answers 'billing', takes its time, and proposes another text whenever it is asked for one.

    Each test has its own, on a port that no other test's stored answers are for: with the 2,000 calls of the project
    below no run is over before the test has seen what it waits for, however slow the machine.
    """
    with OpenAIServer(tireless(), latency=0.35) as running:
        yield running


@pytest.fixture
def project(home, model) -> str:
    return tireless_project(model.url)


def start(page: Page) -> str:
    press(page, "start_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Running")
    return page.url.split("run=")[1].split("&")[0]


def points(page: Page) -> int:
    return int(page.locator(".plot").get_attribute("data-points") or 0)


def end(page: Page) -> None:
    page.get_by_role("button", name="Stop and keep the best").click()
    press(page, "stop_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Stopped")


def test_a_run_survives_refresh_and_restart_and_is_stopped_with_its_best(server, project, new_page, model):
    page = new_page(f"tune?project={project}")
    start(page)
    expect(page.locator(".plot[data-points]")).to_be_visible()
    before = points(page)
    expect(page.locator("[data-meter=calls]")).to_contain_text(" of 2,000")
    page.wait_for_function(f"Number(document.querySelector('.plot').dataset.points) > {before}")
    shoot(page, "run_live")
    page.reload()
    settled(page)
    expect(page.locator(".plot[data-points]")).to_be_visible()
    server.stop()
    made = model.calls
    wait_for(
        lambda: model.calls > made + 6
    )  # the run goes on without a dashboard: three calls may be under way
    server.start()
    page.reload()
    settled(page)
    expect(page.locator(".st-key-page_line")).to_contain_text("Running")
    end(page)
    page.goto(page.url.replace("/run?", "/results?"))
    expect(page.locator(".st-key-verdict")).to_be_visible()
    shoot(page, "results_stopped")


def test_a_run_can_be_paused_and_resumed(server, project, new_page, model):
    page = new_page(f"tune?project={project}")
    start(page)
    press(page, "pause_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Paused")
    wait_for(lambda: model.active == 0)  # the calls under way are finished first
    made = model.calls
    page.wait_for_timeout(1000)
    assert model.calls == made
    shoot(page, "run_paused")
    press(page, "resume_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Running")
    end(page)


def test_a_prompt_by_hand_and_a_larger_budget_while_it_runs(server, project, new_page):
    page = new_page(f"tune?project={project}")
    run = start(page)
    expect(page.locator(".plot[data-points]")).to_be_visible()
    settled(page)  # a page that is drawn again closes its dialog
    press(page, "own_prompt")
    dialog = page.get_by_role("dialog")
    press(page, "own_score")
    expect(dialog).to_contain_text("Change something first")
    text = dialog.locator("textarea").first
    text.fill("Read it twice, <b>then</b> choose the queue.")
    shoot(page, "run_own_prompt")
    press(page, "own_score")  # the text is still being written: the click that leaves the box counts
    expect(page.locator(".st-key-requests")).to_contain_text("Your own prompt")
    expect(page.locator(".st-key-requests")).to_contain_text("Done: it scores")
    press(page, "raise_budget")
    field = page.get_by_label("Calls (now 2,000)")
    field.fill("2500")
    field.press("Enter")
    press(page, "raise_now")
    expect(page.locator(".st-key-requests")).to_contain_text("the run may use 2,500 calls now")
    expect(page.locator("[data-meter=calls]")).to_contain_text(" of 2,500")
    shoot(page, "run_requests")
    with Store.open(server.home, read_only=True) as store:
        mine = next(t for t in store.trials.all(run) if t.label == "by hand")
        assert (
            store.trials.candidate(run, mine.candidate_id)
            .steps["route"]
            .instructions.startswith("Read it twice")
        )
    end(page)
    expect(page.locator(".st-key-own_prompt")).to_have_count(0)


def test_a_worker_that_died_shows_as_such_and_goes_on_where_it_was(server, project, new_page):
    page = new_page(f"tune?project={project}")
    run = start(page)
    expect(page.locator(".plot[data-points]")).to_be_visible()
    with Store.open(server.home, read_only=True) as store:
        os.kill(store.runs.get(run).pid or 0, signal.SIGKILL)
    expect(page.locator(".st-key-page_line")).to_contain_text("Interrupted")
    expect(page.get_by_test_id("stMain")).to_contain_text("ended without a word")
    shoot(page, "run_interrupted")
    press(page, "restart_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Running")
    end(page)
