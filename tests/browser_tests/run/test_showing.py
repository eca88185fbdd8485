"""A finished run is shown to others: on a phone, to an audience, with more rows scored while the page is open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.pages.browser_frame import settled, shoot
from support.pages.finished_runs import FinishedRuns, finished_runs

from dashboard.state import candidates, reading
from engine.runs.spec import Named

SEARCH = Named(name="BootstrapFewShotWithRandomSearch", options={"num_candidate_programs": 3})


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> FinishedRuns:
    return finished_runs(tmp_path_factory.mktemp("shown"), "Tickets", optimizer=SEARCH)


@pytest.fixture(scope="module")
def folder(shown: FinishedRuns) -> Path:
    return shown.home


@pytest.fixture
def compared(home: Path, shown: FinishedRuns) -> str:
    """The address of the results where the start is compared with a prompt that was not tested."""
    (run,) = shown.runs
    ranked = candidates.index(reading.run(run))
    untested = next(c.id for c in ranked if c.tested is None)
    return f"results?{shown.address}&compare={run}.{ranked[0].id},{run}.{untested}"


def test_an_audience_sees_the_result_alone_and_one_key_leads_there_and_back(new_page, shown):
    page = new_page(f"run?{shown.address}", height=720)
    expect(page.locator(".st-key-present_run")).to_be_visible()
    settled(page)
    page.keyboard.press("p")
    expect(page.locator(".st-key-present_leave")).to_be_visible()
    expect(page.locator(".stHtml .hero")).to_be_visible()
    settled(page)
    assert "present=1" in page.url
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    fits = "document.querySelector('[data-testid=stMain]').scrollHeight <= innerHeight"
    assert page.evaluate(fits)
    shoot(page, "present")
    page.set_viewport_size({"width": 1920, "height": 1080})
    assert page.evaluate(fits)
    page.keyboard.press("p")
    expect(page.locator(".st-key-present_run")).to_be_visible()
    expect(page.get_by_test_id("stSidebar")).to_be_visible()


def test_a_comparison_of_prompts_is_one_column_on_a_phone(new_page, compared):
    page = new_page(compared, width=400)
    cell = page.locator(".diff.split td:not(.n)").first
    expect(cell).to_be_visible()
    settled(page)
    box = page.locator(".tb-diff").first.bounding_box()
    inner = cell.bounding_box()
    assert box is not None
    assert inner is not None
    assert inner["width"] > 0.7 * box["width"]


def test_missing_rows_are_scored_while_the_page_is_open(new_page, compared):
    page = new_page(f"{compared}&results_tab=Rows")
    button = page.get_by_role("button", name="missing test rows (free)")
    expect(button).to_be_visible()
    settled(page)
    button.click()
    # Its progress comes and goes by itself; then the rows are there.
    expect(page.locator(".st-key-row_table")).to_be_visible()
    expect(page.get_by_text("looked at after the choice", exact=False).first).to_be_visible()
    settled(page)
    shoot(page, "scored_later")


def test_a_finished_run_plays_again_on_the_page_and_as_a_file_without_a_request(
    new_page, shown, browser, tmp_path
):
    page = new_page(f"run?{shown.address}")
    page.get_by_role("button", name="Replay").click()
    time = page.get_by_role("slider", name="Time of the replay")
    expect(time).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    assert float(time.input_value()) < 20
    time.fill("20")
    expect(page.locator(".tb-replay .score")).to_contain_text("on the test rows")
    expect(page.locator(".tb-replay .caption")).to_contain_text("test rows")
    settled(page)
    shoot(page, "replay")
    with page.expect_download() as download:
        page.locator(".st-key-download_replay button").click()
    download.value.save_as(tmp_path / "replay.html")
    alone = browser.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto((tmp_path / "replay.html").as_uri())
    alone.locator(".tb-replay circle[r]:not([r='0'])").nth(1).wait_for()
    played = alone.get_by_role("slider", name="Time of the replay")
    expect(played).to_have_attribute("aria-valuetext", re.compile(r"0:0[1-9]\. "))
    assert len(asked) == 1, asked
    alone.emulate_media(reduced_motion="reduce")
    alone.reload()
    expect(alone.get_by_role("button", name="Play again")).to_be_visible()
    expect(alone.locator(".tb-replay .score")).to_contain_text("on the test rows")
    alone.close()
    page.get_by_role("button", name="Show the chart").click()
    expect(page.locator(".plot[data-points]")).to_be_visible()
