"""A run whose process was killed: every open page says so by itself, with what was spent."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import settled, shoot
from support.pages.live_runs import own_run, tireless, tireless_project
from support.run_setup import start_worker, wait_for
from support.servers.openai_server import OpenAIServer

from dashboard.state import launching
from dashboard.state.editing import drafts
from engine.basics.text import dollars
from engine.lm.prices import set_own_price

SECONDS = 25
"""Most that a slow machine may take; on a quiet one it is under six."""


@pytest.fixture
def model() -> Iterator[OpenAIServer]:
    with OpenAIServer(tireless(), latency=0.2) as running:
        yield running


@pytest.fixture
def project(home, model) -> str:
    set_own_price("openai/slow", (500.0, 500.0))
    return tireless_project(model.url)


def test_every_open_page_notices_that_the_process_of_a_run_was_killed(
    server, project, new_page: Callable[..., Page]
):
    with own_run(server.home, project, "Another run") as (another, store):
        draft = drafts.edit(project, lambda draft: draft)
        table = next(d for d in store.datasets.all() if d.id == draft.dataset)
        run = launching.create(project, draft.to_run(table.hash).model_dump(mode="json"), "Killed run")
        worker = start_worker(server.home, run)
        try:
            wait_for(lambda: store.runs.get(run).calls > 5, process=worker)
            page = new_page(f"run?project={project}&run={run}")
            beside = new_page(f"run?project={project}&run={another}")
            home, history = new_page(), new_page(f"history?project={project}")
            tune, results = (
                new_page(f"tune?project={project}"),
                new_page(f"results?project={project}&run={run}"),
            )
            for one in (page, beside, home, history, tune, results):
                settled(one)
            expect(page.locator(".st-key-page_line")).to_contain_text("Running")
            expect(tune.locator(".st-key-side_pages")).to_contain_text("Run · under way")
            expect(beside.locator(".st-key-running_runs")).to_contain_text("Killed run")
            expect(home.locator(f".st-key-project_row_{project}")).to_contain_text("Running")
            expect(history.locator("canvas").first).to_contain_text("Running")
            expect(tune.locator(".st-key-start_card")).to_contain_text("2 runs of this project are going on")
            expect(results.get_by_test_id("stMain")).to_contain_text("still going on")
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
        soon = {"timeout": 1000 * SECONDS}
        for shown in (page, results):
            expect(shown.locator(".st-key-page_line")).to_contain_text("Interrupted", **soon)
        expect(beside.locator(".st-key-running_runs")).to_have_count(0, **soon)
        expect(home.locator(f".st-key-project_row_{project}")).to_contain_text("Interrupted", **soon)
        expect(history.locator("canvas").first).to_contain_text("Interrupted", **soon)
        expect(tune.locator(".st-key-start_card")).to_contain_text(
            "1 run of this project is going on", **soon
        )
        expect(results.get_by_test_id("stMain")).to_contain_text("This run has no verdict", **soon)
        ended = store.runs.get(run)
        assert ended.state == "lost"
        assert ended.cost
        for one in (page, tune, results):
            expect(one.locator(".st-key-page_line")).to_contain_text(f"{dollars(ended.cost)} spent", **soon)
        expect(page.locator("[data-meter=calls]")).to_contain_text(f"{ended.calls:,} of", **soon)
        shoot(page, "run_killed")
