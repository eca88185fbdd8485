"""A stakeholder looks at a run: `tuneboard --read-only` shows the outcome, and nothing can be changed or started."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.pages.browser_frame import press, press_first_row, shoot, to_page
from support.pages.dashboard_server import Server
from support.pages.finished_runs import finished_runs

from engine.basics.home import READ_ONLY_VARIABLE

TITLE = "Tickets of spring"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A dashboard as `tuneboard --read-only` starts it, over one finished run."""
    home = finished_runs(tmp_path_factory.mktemp("shown"), TITLE).home
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(READ_ONLY_VARIABLE, "1")
        running = Server(home).start()
    yield running
    running.stop()


def test_a_stakeholder_reads_the_verdict_and_takes_the_report(new_page, tmp_path: Path):
    page = new_page()
    expect(page.get_by_text("Read-only look")).to_be_visible()
    menu = page.locator(".st-key-side_pages")
    expect(menu.get_by_role("link", name="Results")).to_be_visible()
    for hidden in ("Task", "Examples", "Metric", "Tune", "Settings"):
        expect(menu.get_by_role("link", name=hidden)).to_have_count(0)
    expect(page.locator(".st-key-start_box")).to_have_count(0)

    to_page(page, "results")
    expect(page.locator(".st-key-verdict")).to_contain_text("test rows")
    verdict = page.locator(".st-key-verdict").inner_text().splitlines()[0].strip()
    shoot(page, "read_only_results")

    to_page(page, "export")
    expect(page.locator(".st-key-keep_version")).to_have_count(0)
    with page.expect_download() as started:
        press(page, "download_report_html")
    file = tmp_path / "report.html"
    started.value.save_as(file)
    report = page.context.new_page()
    report.goto(file.as_uri())
    expect(report.locator(".verdict .said")).to_have_text(verdict)
    with page.expect_download() as started:
        press(page, "download_results_json")
    rows = json.loads(Path(started.value.path()).read_text())
    assert f"{len(rows)} rows" in verdict


def test_nothing_can_be_changed_or_started(new_page):
    page = new_page("tune")
    expect(page.locator(".st-key-only_looking")).to_contain_text("This is a read-only look")
    expect(page.get_by_role("button", name="Start tuning")).to_have_count(0)
    to_page(page, "run")
    expect(page.locator(".st-key-page_line")).to_contain_text(TITLE)
    expect(page.locator(".st-key-verdict")).to_be_visible()
    expect(page.locator(".st-key-run_actions")).to_have_count(0)
    to_page(page, "history")
    expect(page.locator(".st-key-history_table")).to_contain_text(TITLE)
    press_first_row(page, ".st-key-history_table")
    expect(page.locator(".st-key-run_card")).to_contain_text(TITLE)
    expect(page.locator(".st-key-run_card input")).to_have_count(0)
    expect(page.locator(".st-key-settings_again")).to_have_count(0)
