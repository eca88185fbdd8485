"""A run that takes a while, on a real model server: watched live, left, found again, paused and stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from browser_frame import press, settled, shoot
from openai_server import OpenAIServer
from playwright.sync_api import Page, expect

from dashboard import drafts, launch
from engine.records import Candidate, Outcome, StepState
from engine.runs.spec import ModelChoice
from engine.store.store import Store


@pytest.fixture(scope="module")
def model() -> Iterator[OpenAIServer]:
    """A model that always answers 'billing', and takes its time."""
    with OpenAIServer("[[ ## queue ## ]]\nbilling\n\n[[ ## completed ## ]]", latency=0.35) as running:
        yield running


@pytest.fixture
def project(server, model, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project of the sample task that asks the slow model."""
    from engine.pipeline.templates import SAMPLES

    monkeypatch.setenv("TUNEBOARD_HOME", str(server.home))
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.update(project, model=ModelChoice(name="openai/slow", base_url=model.url), concurrency=4)
    return project


def start(page: Page) -> str:
    press(page, "start_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Running", timeout=30_000)
    settled_url = page.url
    return settled_url.split("run=")[1].split("&")[0]


def points(page: Page) -> int:
    return int(page.locator(".plot").get_attribute("data-points") or 0)


def end(page: Page) -> None:
    press(page, "stop_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Stopped", timeout=60_000)


def test_a_run_survives_refresh_and_restart_and_is_stopped_with_its_best(server, project, new_page, model):
    page = new_page(f"tune?project={project}")
    start(page)
    expect(page.locator(".plot[data-points]")).to_be_visible(timeout=30_000)
    before = points(page)
    expect(page.locator(".st-key-meter_calls")).to_contain_text(" of 2,000")
    page.wait_for_function(
        f"Number(document.querySelector('.plot').dataset.points) > {before}", timeout=30_000
    )
    shoot(page, "run_live")
    page.reload()
    settled(page)
    expect(page.locator(".plot[data-points]")).to_be_visible()
    server.stop()
    time.sleep(1)
    made = len(model.requests)
    time.sleep(2)
    assert len(model.requests) > made, "the run goes on without a dashboard"
    server.start()
    page.reload()
    settled(page)
    expect(page.locator(".st-key-run_head")).to_contain_text("Running")
    end(page)
    page.goto(page.url.replace("/run?", "/results?"))
    expect(page.locator(".st-key-verdict")).to_be_visible(timeout=30_000)
    shoot(page, "results_stopped")


def test_a_run_can_be_paused_and_resumed(server, project, new_page, model):
    page = new_page(f"tune?project={project}")
    start(page)
    press(page, "pause_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Paused", timeout=30_000)
    made = len(model.requests)
    time.sleep(1.5)
    assert len(model.requests) == made
    shoot(page, "run_paused")
    press(page, "resume_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Running", timeout=30_000)
    end(page)


def test_a_new_trial_is_on_the_chart_within_about_a_second(server, project, new_page, monkeypatch):
    """Trials are stored by this process, as a worker would, and looked for on a page that watches the run."""
    with Store.open(server.home) as store:
        draft = drafts.edit(project, lambda d: d)
        dataset = next(d for d in store.list_datasets() if d.id == draft.dataset)
        run = launch.create(project, draft.to_run(dataset.hash).model_dump(mode="json"), "Watched")
        import os

        store.claim_run(run, os.getpid())
        candidate = Candidate({"route": StepState("Choose.")})
        store.add_candidate(run, candidate)
        page = new_page(f"run?project={project}&run={run}")
        delays = []
        for number in range(1, 21):
            store.heartbeat(run, os.getpid())
            store.start_trial(run, number, candidate.id, "validation", "full validation", 1)
            store.add_outcomes(run, number, [Outcome(0, 1.0, {"queue": "billing"})])
            stored = time.monotonic()
            page.wait_for_function(
                f"document.querySelector('.plot')?.dataset.stamp === '{number}'", timeout=10_000, polling=20
            )
            delays.append(time.monotonic() - stored)
        store.set_state(run, "stopped")
    delays.sort()
    assert delays[17] < 3, f"90th percentile {delays[17]:.2f} s"
