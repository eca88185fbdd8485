"""The run that is shown stays the same on the way through its pages, by every link and step, and is in the address."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, settled, to_page, within
from support.pages.finished_runs import FinishedRuns, finished_runs

PAGES = ("run", "results", "try_it", "export")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRuns:
    return finished_runs(tmp_path_factory.mktemp("shown"), "Oldest", "Middle", "Newest")


@pytest.fixture(scope="module")
def folder(finished: FinishedRuns) -> Path:
    return finished.home


def shows(page: Page, name: str, run: str, title: str) -> None:
    """Wait for a page; it is that of the run, in its address and in its picker."""
    expect(page).to_have_url(re.compile(rf"/{name}\?"))
    settled(page)
    expect(page).to_have_url(re.compile(rf"[?&]run={run}(&|$)"))
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value(re.compile(title))


def step(page: Page, title: str) -> None:
    page.locator(".st-key-side_pages").get_by_role("link", name=title).click()


def walk(page: Page, run: str, title: str) -> None:
    """Go from the run's page through all others that show it, by their own links, the steps and the menu."""
    shows(page, "run", run, title)
    press(page, "next_step")
    shows(page, "results", run, title)
    page.locator(".st-key-hero_buttons").get_by_role("link", name="Try it").click()
    shows(page, "try_it", run, title)
    step(page, "Export")
    shows(page, "export", run, title)
    step(page, "Results")
    shows(page, "results", run, title)
    press(page, "next_step")
    shows(page, "export", run, title)
    step(page, "Run")
    shows(page, "run", run, title)
    to_page(page, "history")
    for name in ("Results", "Try it", "Export"):
        to_page(page, name)
        shows(page, name.lower().replace(" ", "_"), run, title)
    step(page, "Tune")
    expect(page).to_have_url(re.compile("/tune"))
    settled(page)
    step(page, "Run")
    shows(page, "run", run, title)


def test_an_older_run_stays_the_one_that_is_shown(finished, new_page: Callable[..., Page]):
    page = new_page(f"run?project={finished.project}&run={finished.runs[0]}")
    walk(page, finished.runs[0], "Oldest")
    page.get_by_role("combobox", name="Run", exact=True).click()
    page.get_by_role("option", name=re.compile("Middle")).click()
    walk(page, finished.runs[1], "Middle")


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_runs_page_to_another_one_names_its_run(
    finished, new_page: Callable[..., Page], name
):
    oldest = finished.runs[0]
    page = new_page(f"{name}?project={finished.project}&run={oldest}")
    shows(page, name, oldest, "Oldest")

    def links() -> list[str]:
        every = page.locator("a[href]").evaluate_all("all => all.map(a => a.href)")
        return [link for link in every if re.search(rf"/({'|'.join(PAGES)})(\?|$)", link)]

    assert within(lambda: len(links()) >= 3, 30, page)  # a slow machine draws the last of them late
    assert [link for link in links() if f"run={oldest}" not in link] == []


def test_without_a_run_in_the_address_the_newest_is_shown_and_a_project_is_opened_at_its_newest(
    finished, new_page: Callable[..., Page]
):
    page = new_page(f"results?project={finished.project}")
    shows(page, "results", finished.runs[-1], "Newest")
    page = new_page(f"export?project={finished.project}&run={finished.runs[0]}")
    shows(page, "export", finished.runs[0], "Oldest")
    to_page(page, "home")
    page.locator(f".st-key-project_row_{finished.project}").get_by_role("link").first.click()
    shows(page, "results", finished.runs[-1], "Newest")
