"""The page of a run under way, which this process makes: trials come live, choices stay, tabs and the end are told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from support.pages.browser_frame import settled, shoot, within
from support.pages.live_runs import CANDIDATE, on_chart, own_run, tireless_project, trial
from support.ports import own_port

from engine.records import Outcome
from engine.store.store import Store


@pytest.fixture
def project(home) -> str:
    return tireless_project(f"http://127.0.0.1:{own_port()}/v1")  # nobody asks it


@pytest.fixture
def watched(server, project) -> Iterator[tuple[str, Store]]:
    """A run that this process stores trials of, as a worker would."""
    with own_run(server.home, project, "Watched") as made:
        yield made


def test_stored_trials_are_on_the_chart_at_once_without_a_rerun(project, new_page, watched):
    run, store = watched
    page = new_page()
    frames: list[str] = []
    page.on("websocket", lambda s: s.on("framereceived", lambda _: frames.append(s.url)))
    page.goto(f"{page.url.split('?')[0]}run?project={project}&run={run}")
    settled(page)
    page.locator(".plot").wait_for(state="attached")
    trial(store, run, 1)
    on_chart(page, 1)
    expect(page.locator(".st-key-prompt_card")).to_contain_text(
        "Best so far"
    )  # none of the others will be better
    settled(page)

    def nothing_said() -> bool:
        frames.clear()
        page.wait_for_timeout(1000)
        return not any("_stcore" in url for url in frames)

    assert within(nothing_said, 60, page), "Streamlit ends what it began"
    delays = []
    for number in range(2, 22):
        stored = trial(store, run, number)
        on_chart(page, number)
        delays.append(time.monotonic() - stored)
    # How fast they are is for the benchmark. Were the page to look every few seconds only, none could be.
    assert min(delays) < 3, f"{min(delays):.2f} s at best"
    assert [f for f in frames if "_stcore" in f] == [], "Streamlit had nothing to do with it"
    store.events.add(run, "note", "<img src=x onerror=alert(1)> **loud**")
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
    page.locator(".plot .traces", has_text="Best so far").locator(".legendtoggle").click()
    page.wait_for_function(
        "document.querySelector('.plot').data.find((t) => t.name === 'Best so far').visible === 'legendonly'"
    )
    page.evaluate("document.querySelector('.plot').mark = 'the same element'")
    page.evaluate("""document.querySelector('.plot').emit('plotly_click', {points: [{customdata: 3}]})""")
    expect(page.locator(".st-key-prompt_card")).to_contain_text("Prompt 3 · 30 % on 1 of 1 validation rows")
    expect(page).to_have_url(re.compile("prompt=3"))
    for number in range(6, 12):
        trial(store, run, number, 0.9)
        on_chart(page, number)
    store.requests.add(run, "budget", {"budget": {"calls": 5000}})
    expect(page.locator(".st-key-requests")).to_contain_text("Up to 5,000 calls")
    chart = "document.querySelector('.plot')"
    assert page.evaluate(f"{chart}.mark") == "the same element"
    assert page.evaluate(f"{chart}.layout.xaxis.range.map(Number)") == zoom
    assert page.evaluate(f"{chart}.data.find((t) => t.name === 'Best so far').visible") == "legendonly"
    assert page.evaluate(f"{chart}.data.find((t) => t.uid === 'chosen').x") == [3]
    expect(page.locator(".st-key-prompt_card")).to_be_visible()
    page.reload()
    settled(page)
    expect(page.locator(".st-key-prompt_card")).to_contain_text("30 %")
    page.locator(".st-key-prompt_rows summary").click()
    expect(page.locator(".st-key-prompt_card [data-testid=stDataFrame]").first).to_be_visible()
    shoot(page, "run_trial")


def test_the_dots_are_reached_by_keyboard_and_the_last_step_is_announced_now_and_then(
    project, new_page, watched
):
    run, store = watched
    for number in range(1, 4):
        trial(store, run, number, number / 10)
    page = new_page(f"run?project={project}&run={run}")
    on_chart(page, 3)
    slider = page.get_by_role("slider", name="Points of the chart", exact=False)
    page.locator(".st-key-chart_card").get_by_role("button").last.focus()
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("20.0 % on 1 of 1 validation rows"))
    page.wait_for_function("document.querySelector('.plot').data.find((t) => t.uid === 'chosen')?.x[0] === 2")
    assert page.evaluate("getComputedStyle(document.querySelector('.plot')).outlineStyle") == "solid"
    expect(page.locator(".plot .hovertext")).to_contain_text("20.0 %")
    expect(page.locator(".st-key-chart_row .st-key-prompt_card")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-chart_row .st-key-prompt_card")).to_contain_text("Prompt 2 · 20 %")
    for number in (4, 5):
        trial(store, run, number, number / 6)
        store.events.add(run, "trial_finished", "Scored.", {"trial": number})
        expect(page.locator(".tb-narration")).to_contain_text(f"Prompt {number} scored")
    heard = page.locator(".tb-announced")
    assert "Prompt 4 scored" in (heard.text_content() or ""), (
        "the next one is not heard before ten seconds have passed"
    )
    expect(heard).to_contain_text("Prompt 5 scored", timeout=60_000)


def test_the_starting_prompt_can_be_chosen_and_the_legend_hides_the_line_with_its_band(
    project, new_page, watched
):
    run, store = watched
    store.trials.start(run, 1, CANDIDATE.id, "validation", "baseline", 2)
    store.trials.add_outcomes(run, 1, [Outcome(row, float(row), {"queue": "billing"}) for row in range(2)])
    store.trials.finish(run, 1)
    trial(store, run, 2)
    page = new_page(f"run?project={project}&run={run}")
    on_chart(page, 2)
    page.evaluate("document.querySelector('.plot').emit('plotly_click', {points: [{customdata: 0}]})")
    expect(page.locator(".st-key-prompt_card")).to_contain_text(
        "The starting prompt · 50 % on 2 of 2 validation rows"
    )
    expect(page).to_have_url(re.compile("prompt=0"))
    chart = "document.querySelector('.plot').data"
    assert page.evaluate(f"{chart}.find((t) => t.uid === 'chosen').x") == [0]
    page.locator(".plot .traces", has_text="Best so far").locator(".legendtoggle").click()
    page.wait_for_function(f"{chart}.find((t) => t.name === '95 % interval').visible === 'legendonly'")


def test_more_tabs_of_one_browser_than_it_has_connections_are_all_told(project, new_page, watched):
    run, store = watched
    first = new_page(f"run?project={project}&run={run}")
    pages = [first]
    for _ in range(6):
        pages.append(first.context.new_page())
        pages[-1].goto(first.url)
        pages[-1].locator(".plot").wait_for(state="attached")
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
    store.runs.set_state(run, "failed", "The model went away.")
    page.wait_for_function("window.told.length === 1")
    assert page.evaluate("window.told[0]") == ["Watched has failed", "The model went away."]
    expect(page.locator(".st-key-page_line")).to_contain_text("Failed")


def test_several_runs_at_once_are_a_click_apart(server, project, new_page, watched):
    run, _ = watched
    with own_run(server.home, project, "The other one"):
        page = new_page(f"run?project={project}&run={run}")
        link = page.locator(".st-key-running_runs").get_by_role("link", name="The other one", exact=False)
        expect(link).to_be_visible()
        link.click()
        shown = page.locator(".st-key-page_line").get_by_role("combobox", name="Run")
        expect(shown).to_have_value(re.compile("The other one"))
        expect(page.locator(".st-key-running_runs")).to_contain_text("Watched")
