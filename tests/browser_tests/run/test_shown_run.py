"""The run that is shown stays the same on the way through its pages, by every link and step, and is in the address."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, settled, to_page
from support.pages.dashboard_server import Server

from dashboard.state import launching, reading
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import Named
from engine.runs.worker import work

PAGES = ("run", "results", "try_it", "export")


class Made(NamedTuple):
    home: Path
    project: str
    runs: tuple[str, ...]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A project with three finished runs, the oldest first."""
    home = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEBOARD_HOME", str(home))
        project = drafts.project_from_sample(SAMPLES[0])
        draft = drafts.update(project, optimizer=Named(name="LabeledFewShot"))
        spec = draft.to_run(reading.datasets()[0].hash).model_dump(mode="json")
        runs = tuple(launching.create(project, spec, title) for title in ("Oldest", "Middle", "Newest"))
        for run in runs:
            assert work(home, run) == 0
    return Made(home, project, runs)


@pytest.fixture(scope="module")
def server(made: Made) -> Iterator[Server]:
    running = Server(made.home).start()
    yield running
    running.stop()


def shows(page: Page, name: str, run: str, title: str) -> None:
    """Wait for a page; it is that of the run, in its address and in its picker."""
    expect(page).to_have_url(re.compile(rf"/{name}\?"))
    settled(page)
    expect(page).to_have_url(re.compile(rf"[?&]run={run}(&|$)"))
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value(re.compile(title))


def step(page: Page, title: str) -> None:
    page.locator(".st-key-stepper").get_by_role("link", name=title).click()


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
    page.locator(".st-key-project_bar").get_by_role("link").first.click()
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


def test_an_older_run_stays_the_one_that_is_shown(made, new_page: Callable[..., Page]):
    page = new_page(f"run?project={made.project}&run={made.runs[0]}")
    walk(page, made.runs[0], "Oldest")
    page.get_by_role("combobox", name="Run", exact=True).click()
    page.get_by_role("option", name=re.compile("Middle")).click()
    walk(page, made.runs[1], "Middle")


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_runs_page_to_another_one_names_its_run(made, new_page: Callable[..., Page], name):
    oldest = made.runs[0]
    page = new_page(f"{name}?project={made.project}&run={oldest}")
    shows(page, name, oldest, "Oldest")
    links = page.get_by_test_id("stMain").locator("a[href]").evaluate_all("all => all.map(a => a.href)")
    others = [link for link in links if re.search(rf"/({'|'.join(PAGES)})(\?|$)", link)]
    assert len(others) >= 3
    assert [link for link in others if f"run={oldest}" not in link] == []


def test_without_a_run_in_the_address_the_newest_is_shown_and_a_project_is_opened_at_its_newest(
    made, new_page: Callable[..., Page]
):
    page = new_page(f"results?project={made.project}")
    shows(page, "results", made.runs[-1], "Newest")
    page = new_page(f"export?project={made.project}&run={made.runs[0]}")
    shows(page, "export", made.runs[0], "Oldest")
    to_page(page, "home")
    press(page, f"open_{made.project}")
    shows(page, "results", made.runs[-1], "Newest")
