"""A run that takes a while, on a real model server: watched live, asked for things, left, found again, paused, stopped."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from browser_frame import press, settled, shoot
from openai_server import Answer, OpenAIServer, default_answer
from playwright.sync_api import Page, expect

from dashboard import drafts, launch
from engine.records import Candidate, Outcome, StepState
from engine.runs.spec import ModelChoice, Named
from engine.search.budget import Budget
from engine.store.store import Store


@pytest.fixture
def model() -> Iterator[OpenAIServer]:
    """A model that always answers 'billing', takes its time, and proposes another text whenever it is asked for one.

    Each test has its own, on a port that no other test's stored answers are for: with the 2,000 calls of the project
    below no run is over before the test has seen what it waits for, however slow the machine.
    """
    with OpenAIServer(tireless(), latency=0.35) as running:
        yield running


def tireless() -> Answer:
    """Return an answerer that never says the same thing twice, but for the label."""
    said = itertools.count(1)

    def answer(body: dict[str, Any]) -> str:
        asked = re.findall(r"\[\[ ## (\w+) ## \]\]", default_answer(body))
        filled = [
            f"[[ ## {name} ## ]]\n{'billing' if name == 'queue' else f'Choose with care, take {next(said)}.'}"
            for name in asked
        ]
        return "\n\n".join(filled)

    return answer


@pytest.fixture
def project(server, model, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project of the sample task that asks the slow model, tuned by a search that does not see that this is in vain."""
    from engine.pipeline.templates import SAMPLES

    monkeypatch.setenv("TUNEBOARD_HOME", str(server.home))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.update(
        project,
        model=ModelChoice(name="openai/slow", base_url=model.url),
        optimizer=Named(name="MIPROv2", options={"auto": "heavy"}),
        concurrency=3,
        budget=Budget(calls=2000),
    )
    return project


@pytest.fixture
def watched(server, project) -> Iterator[tuple[str, Store]]:
    """A run that this process stores trials of, as a worker would."""
    with Store.open(server.home) as store:
        run = stored_run(store, project, "Watched")
        store.claim_run(run, os.getpid())
        store.add_candidate(run, CANDIDATE)
        yield run, store
        store.set_state(run, "stopped")


CANDIDATE = Candidate({"route": StepState("Choose.")}, reason="The starting prompt.")


def stored_run(store: Store, project: str, title: str) -> str:
    draft = drafts.edit(project, lambda d: d)
    dataset = next(d for d in store.list_datasets() if d.id == draft.dataset)
    return launch.create(project, draft.to_run(dataset.hash).model_dump(mode="json"), title)


def trial(store: Store, run: str, number: int, score: float = 1.0) -> float:
    """Store a trial; return when."""
    store.heartbeat(run, os.getpid())
    store.start_trial(run, number, CANDIDATE.id, "validation", "full validation", 1)
    store.add_outcomes(run, number, [Outcome(0, score, {"queue": "billing"})])
    store.finish_trial(run, number)
    return time.monotonic()


def start(page: Page) -> str:
    press(page, "start_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Running", timeout=30_000)
    settled_url = page.url
    return settled_url.split("run=")[1].split("&")[0]


def points(page: Page) -> int:
    return int(page.locator(".plot").get_attribute("data-points") or 0)


def on_chart(page: Page, number: int) -> None:
    page.wait_for_function(
        f"document.querySelector('.plot')?.dataset.stamp === '{number}'", timeout=90_000, polling=20
    )


def end(page: Page) -> None:
    press(page, "stop_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Stopped", timeout=60_000)


def test_a_run_survives_refresh_and_restart_and_is_stopped_with_its_best(server, project, new_page, model):
    page = new_page(f"tune?project={project}")
    start(page)
    expect(page.locator(".plot[data-points]")).to_be_visible(timeout=30_000)
    before = points(page)
    expect(page.locator("[data-meter=calls]")).to_contain_text(" of 2,000")
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


def test_a_prompt_by_hand_and_a_larger_budget_while_it_runs(server, project, new_page):
    page = new_page(f"tune?project={project}")
    run = start(page)
    expect(page.locator(".plot[data-points]")).to_be_visible(timeout=30_000)
    press(page, "own_prompt")
    dialog = page.get_by_role("dialog")
    press(page, "own_score")
    expect(dialog).to_contain_text("Change something first")
    text = dialog.locator("textarea").first
    text.fill("Read it twice, <b>then</b> choose the queue.")
    shoot(page, "run_own_prompt")
    press(page, "own_score")  # the text is still being written: the click that leaves the box counts
    expect(page.locator(".st-key-requests")).to_contain_text("Your own prompt")
    expect(page.locator(".st-key-requests")).to_contain_text("Done: it scores", timeout=60_000)
    press(page, "raise_budget")
    field = page.get_by_label("Calls (now 2,000)")
    field.fill("2500")
    field.press("Enter")
    press(page, "raise_now")
    expect(page.locator(".st-key-requests")).to_contain_text(
        "the run may use 2,500 calls now", timeout=30_000
    )
    expect(page.locator("[data-meter=calls]")).to_contain_text(" of 2,500")
    shoot(page, "run_requests")
    with Store.open(server.home, read_only=True) as store:
        mine = next(t for t in store.trials(run) if t.label == "by hand")
        assert store.candidate(run, mine.candidate_id).steps["route"].instructions.startswith("Read it twice")
    end(page)
    expect(page.locator(".st-key-own_prompt")).to_have_count(0)


def test_a_worker_that_died_shows_as_such_and_goes_on_where_it_was(server, project, new_page):
    page = new_page(f"tune?project={project}")
    run = start(page)
    expect(page.locator(".plot[data-points]")).to_be_visible(timeout=30_000)
    with Store.open(server.home, read_only=True) as store:
        os.kill(store.get_run(run).pid or 0, signal.SIGKILL)
    expect(page.locator(".st-key-run_head")).to_contain_text("Interrupted", timeout=40_000)
    expect(page.get_by_test_id("stMain")).to_contain_text("ended without a word")
    shoot(page, "run_interrupted")
    press(page, "restart_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Running", timeout=30_000)
    end(page)


def test_stored_trials_are_on_the_chart_at_once_without_a_rerun(project, new_page, watched):
    run, store = watched
    page = new_page()
    frames: list[str] = []
    page.on("websocket", lambda s: s.on("framereceived", lambda _: frames.append(s.url)))
    page.goto(f"{page.url.split('?')[0]}run?project={project}&run={run}")
    settled(page)
    page.locator(".plot").wait_for(state="attached")
    trial(store, run, 1, 0.2)
    on_chart(page, 1)
    page.wait_for_timeout(1500)
    frames.clear()
    delays = []
    for number in range(2, 22):
        stored = trial(store, run, number)
        on_chart(page, number)
        delays.append(time.monotonic() - stored)
    delays.sort()
    assert delays[17] < 2, f"90th percentile {delays[17]:.2f} s"
    assert [f for f in frames if "_stcore" in f] == [], "Streamlit had nothing to do with it"
    store.add_event(run, "note", "<img src=x onerror=alert(1)> **loud**")
    expect(page.locator(".tb-feed")).to_contain_text("<img src=x onerror=alert(1)> **loud**")


def test_zoom_legend_and_choice_survive_new_trials(project, new_page, watched):
    run, store = watched
    for number in range(1, 6):
        trial(store, run, number, number / 10)
    page = new_page(f"run?project={project}&run={run}")
    on_chart(page, 5)
    area = page.locator(".plot .nsewdrag").first.bounding_box()
    page.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.5 * area["height"])
    page.mouse.down()
    page.mouse.move(area["x"] + 0.7 * area["width"], area["y"] + 0.5 * area["height"], steps=6)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.plot').layout.xaxis.range[0] > 0.5")
    zoom = page.evaluate("document.querySelector('.plot').layout.xaxis.range.map(Number)")
    page.locator(".plot .traces", has_text="Best on all rows").locator(".legendtoggle").click()
    page.wait_for_function(
        "document.querySelector('.plot').data.find((t) => t.name === 'Best on all rows').visible === 'legendonly'"
    )
    page.evaluate("document.querySelector('.plot').mark = 'the same element'")
    page.evaluate("""document.querySelector('.plot').emit('plotly_click', {points: [{customdata: 3}]})""")
    expect(page.locator(".st-key-trial_card")).to_contain_text("30.0 % on 1 of 1 validation rows")
    assert "trial=3" in page.url
    for number in range(6, 12):
        trial(store, run, number, 0.9)
        on_chart(page, number)
    store.add_request(run, "budget", {"budget": {"calls": 5000}})
    expect(page.locator(".st-key-requests")).to_contain_text("Up to 5,000 calls")
    chart = "document.querySelector('.plot')"
    assert page.evaluate(f"{chart}.mark") == "the same element"
    assert page.evaluate(f"{chart}.layout.xaxis.range.map(Number)") == zoom
    assert page.evaluate(f"{chart}.data.find((t) => t.name === 'Best on all rows').visible") == "legendonly"
    assert page.evaluate(f"{chart}.data.find((t) => t.uid === 'chosen').x") == [3]
    expect(page.locator(".st-key-trial_card")).to_be_visible()
    page.reload()
    settled(page)
    expect(page.locator(".st-key-trial_card")).to_contain_text("30.0 %")
    page.locator(".st-key-trial_rows summary").click()
    expect(page.locator(".st-key-trial_card [data-testid=stDataFrame]").first).to_be_visible()
    shoot(page, "run_trial")


def test_more_tabs_of_one_browser_than_it_has_connections_are_all_told(project, new_page, watched):
    run, store = watched
    first = new_page(f"run?project={project}&run={run}")
    pages = [first]
    for _ in range(7):
        pages.append(first.context.new_page())
        pages[-1].goto(first.url)
        pages[-1].locator(".plot").wait_for(state="attached", timeout=60_000)
    trial(store, run, 1)
    for page in pages:
        page.bring_to_front()
        on_chart(page, 1)
    trial(store, run, 2)
    for page in pages:
        page.bring_to_front()
        on_chart(page, 2)
    for page in pages[1:]:
        page.close()


def test_the_end_is_told_only_to_whoever_asked(project, new_page, watched):
    run, store = watched
    page = new_page()
    page.context.grant_permissions(["notifications"])
    page.add_init_script(
        """window.told = []; window.asked = 0;
        const Real = window.Notification;
        window.Notification = class { constructor(title, options) { window.told.push([title, options.body]); }
          static get permission() { return window.asked ? 'granted' : 'default'; }
          static requestPermission() { window.asked += 1; return Promise.resolve('granted'); } };"""
    )
    page.goto(f"{page.url.split('?')[0]}run?project={project}&run={run}")
    settled(page)
    page.wait_for_timeout(500)
    assert page.evaluate("window.asked") == 0
    page.get_by_label("Notify me when it ends").check()
    page.wait_for_function("window.asked === 1")
    trial(store, run, 1)
    on_chart(page, 1)
    assert page.evaluate("window.told") == []
    store.set_state(run, "failed", "The model went away.")
    page.wait_for_function("window.told.length === 1", timeout=15_000)
    assert page.evaluate("window.told[0]") == ["Watched has failed", "The model went away."]
    expect(page.locator(".st-key-run_head")).to_contain_text("Failed")


def test_several_runs_at_once_are_a_click_apart(server, project, new_page, watched):
    run, store = watched
    other = stored_run(store, project, "The other one")
    store.claim_run(other, os.getpid())
    page = new_page(f"run?project={project}&run={run}")
    link = page.locator(".st-key-running_runs").get_by_role("link", name="The other one", exact=False)
    expect(link).to_be_visible()
    link.click()
    expect(page.locator(".st-key-run_head")).to_contain_text("The other one")
    expect(page.locator(".st-key-running_runs")).to_contain_text("Watched")
    store.set_state(other, "stopped")
