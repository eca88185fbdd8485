"""The start of a run in a browser: the run that is stored is the one that the page showed when the button was pressed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import other_way, press, settled, shoot, still

from dashboard.state import launching
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import Named
from engine.search.budget import Budget
from engine.store.store import Store

CARDS = ("Quick", "Balanced", "Thorough")
LIMITS = {"calls": ("300", 300), "tokens": ("400000", 400_000), "usd": ("2.5", 2.5), "seconds": ("10", 600)}
"""Limit -> what is typed into its field, and what a run then has."""


@pytest.fixture
def project(home: Path) -> str:
    return drafts.project_from_sample(SAMPLES[0])


@pytest.fixture
def tab(new_page: Callable[..., Page], project: str) -> Callable[[], Page]:
    """Return a function that opens the Tune page of the project in another tab."""

    def another() -> Page:
        page = new_page(f"tune?project={project}", height=1900)
        settled(page)
        return page

    return another


def card(page: Page, name: str) -> None:
    """Choose a plan, where it is not chosen yet; its card says so when this returns."""
    if "Chosen" not in page.locator(f".st-key-plan_{name}").inner_text():
        press(page, f"set_plan_{name}")
    expect(page.locator(f".st-key-plan_{name}")).to_contain_text("Chosen")
    settled(page)


def fold(page: Page) -> None:
    """Open the part with the limits, or close it."""
    other_way(page, "all optimizers")
    still(page)


def field(page: Page, limit: str) -> Any:
    return page.locator(f"[class*=st-key-budget_{limit}_] input")


def fill(page: Page, limit: str, text: str) -> None:
    field(page, limit).fill(text)
    field(page, limit).press("Enter")
    settled(page)


def shown(page: Page) -> dict[str, Any]:
    """What the page shows of what its button starts: the limits, the plan, the estimate."""
    chosen = [name for name in CARDS if "Chosen" in page.locator(f".st-key-plan_{name}").inner_text()]
    words = page.locator(".st-key-start_limits").inner_text()
    closed = not page.locator(".st-key-expert").count()
    if closed:
        fold(page)
    limits = {name: field(page, name).input_value().replace(",", "") for name in LIMITS}
    if closed:
        fold(page)
    numbers = {name: float(text) if text else None for name, text in limits.items()}
    calls = page.locator(".st-key-estimate_calls strong").inner_text()
    return {"limits": numbers, "words": words, "plan": chosen, "calls": calls.replace(",", "")}


def start(page: Page, project: str) -> dict[str, Any]:
    """Press the button; return what the stored run has of what a page shows, and go back."""
    with Store.open() as store:
        before = store.runs.count(project)
    press(page, "start_run")
    expect(page).to_have_url(re.compile(r"/run\?"))
    with Store.open() as store:
        run, *others = store.runs.all(project)
    launching.stop(run.id)
    assert len(others) == before
    assert run.estimate is not None
    page.goto(page.url.split("/run")[0] + f"/tune?project={project}")
    settled(page)
    budget = run.spec["budget"]
    minutes = None if budget["seconds"] is None else budget["seconds"] / 60
    low, high = (run.estimate["calls"][end] for end in ("low", "high"))
    return {
        "limits": {**budget, "seconds": minutes},
        "words": f"Ends at {Budget(**budget).words} at the latest.",
        "optimizer": run.spec["optimizer"],
        "calls": f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}",
    }


def started_as_shown(page: Page, project: str) -> dict[str, Any]:
    """Press the button; the run must be the one that the page showed. Return what it showed."""
    seen = shown(page)
    run = start(page, project)
    assert run["limits"] == seen["limits"]
    assert run["words"] == seen["words"]
    assert run["calls"] == seen["calls"]
    if seen["plan"]:
        assert run["optimizer"]["name"] == "Autotune"
        assert not run["optimizer"]["options"]
    return seen


@pytest.mark.parametrize(("opened", "cards"), [(False, (*CARDS, CARDS[0])), (True, CARDS[-2:])])
def test_each_plan_is_started_with_the_limit_that_its_card_says(tab, project, opened, cards):
    page = tab()
    if opened:
        fold(page)
    calls = set()
    for name in cards:
        card(page, name)
        if opened:
            fold(page)
        seen = started_as_shown(page, project)
        assert seen["plan"] == [name]
        calls.add(seen["limits"]["calls"])
    assert len(calls) == len(set(cards))


def test_plans_and_limits_that_are_changed_in_turn_start_as_the_page_shows_them(tab, project):
    page = tab()
    fold(page)
    for limit, (text, _) in LIMITS.items():
        fill(page, limit, text)
    seen = started_as_shown(page, project)
    assert seen["limits"] == {name: float(text) for name, (text, _) in LIMITS.items()}
    card(page, "Thorough")  # from a page that was opened again
    fold(page)
    fill(page, "calls", "300")
    fold(page)
    card(page, "Quick")
    fold(page)
    fill(page, "usd", "")
    fold(page)
    seen = started_as_shown(page, project)
    assert seen["plan"] == ["Quick"]
    assert seen["limits"]["calls"] not in (300, None)
    assert (seen["limits"]["usd"], seen["limits"]["tokens"]) == (None, 400_000)


def test_options_of_before_do_not_come_back_after_a_plan_was_chosen(tab, project):
    page = tab()
    fold(page)
    page.locator("[class*=st-key-options_] summary").click()
    option = page.locator("[class*=st-key-optimizer_Autotune_] input[type=number]").first
    option.fill("2")
    option.press("Enter")
    settled(page)
    assert drafts.edit(project, lambda draft: draft).optimizer != Named(name="Autotune")
    card(page, "Quick")
    assert started_as_shown(page, project)["plan"] == ["Quick"]


def test_a_limit_that_is_still_being_typed_is_started_or_asked_for_but_never_the_one_of_before(tab, project):
    page = tab()
    fold(page)
    before = shown(page)["limits"]["calls"]
    field(page, "calls").fill("300")
    press(page, "start_run")
    settled(page)
    refused = page.locator("[class*=st-key-start_problem_]")
    expect(refused.or_(page.locator(".st-key-run_actions"))).to_be_visible()
    with Store.open() as store:
        runs = store.runs.all(project)
    for run in runs:
        launching.stop(run.id)
    if runs:
        assert [run.spec["budget"]["calls"] for run in runs] == [300]
        assert runs[0].estimate is not None
        assert runs[0].estimate["calls"]["high"] <= 300 != before
        return
    assert "the limit of calls was changed to 300" in refused.inner_text()
    assert started_as_shown(page, project)["limits"]["calls"] == 300


def test_what_another_tab_has_changed_is_named_before_anything_is_started(tab, project):
    one, two = tab(), tab()
    fold(two)
    fill(two, "calls", "300")
    fill(two, "seconds", "10")
    press(one, "start_run")
    refused = one.locator("[class*=st-key-start_problem_]")
    expect(refused).to_contain_text("the limit of calls was changed to 300")
    expect(refused).to_contain_text("the limit of time was changed to 10 min")
    settled(one)
    with Store.open() as store:
        assert not store.runs.count(project)
    shoot(one, "tune_changed_elsewhere")
    assert started_as_shown(one, project)["limits"]["calls"] == 300
    card(one, "Thorough")
    press(two, "start_run")
    expect(two.locator("[class*=st-key-start_problem_]")).to_contain_text("the limit of calls was changed")
    settled(two)
    assert started_as_shown(two, project)["plan"] == ["Thorough"]


def test_a_limit_changed_in_two_tabs_waits_for_a_choice_and_keeps_the_other_limits(tab, project):
    one, two = tab(), tab()
    fold(one)
    fold(two)
    fill(two, "usd", "2.5")
    fill(one, "calls", "300")
    expect(one.locator(".st-key-changed_elsewhere")).to_be_visible()
    press(one, "keep_mine")
    settled(one)
    seen = started_as_shown(one, project)
    assert (seen["limits"]["calls"], seen["limits"]["usd"]) == (300, 2.5)
