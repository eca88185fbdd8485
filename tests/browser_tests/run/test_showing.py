"""A finished run is shown to others: on a phone, to an audience, with more rows scored while the page is open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from support.pages.browser_frame import settled, shoot
from support.pages.dashboard_server import Server

from dashboard.state import candidates, launching, reading
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import Named, ProjectDraft
from engine.runs.worker import work

SEARCH = Named(name="BootstrapFewShotWithRandomSearch", options={"num_candidate_programs": 3})


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A finished run: its project, its id, the start against a prompt that was not tested."""
    home = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEBOARD_HOME", str(home))
        project = drafts.project_from_sample(SAMPLES[0])
        drafts.update(project, optimizer=SEARCH)
        with reading.open_store() as store:
            draft = ProjectDraft.model_validate(store.projects.get(project).draft)
        spec = draft.to_run(reading.datasets()[0].hash).model_dump(mode="json")
        run = launching.create(project, spec, "Tickets")
        assert work(home, run) == 0
        found = candidates.index(reading.run(run))
        other = next(c.id for c in found if c.tested is None)
    pair = f"{run}.{found[0].id},{run}.{other}"
    return {"home": str(home), "address": f"project={project}&run={run}", "pair": pair}


@pytest.fixture(scope="module")
def server(shown: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from pathlib import Path

    running = Server(Path(shown["home"])).start()
    yield running
    running.stop()


def test_an_audience_sees_the_result_alone_and_one_key_leads_there_and_back(new_page, shown):
    page = new_page(f"run?{shown['address']}", height=720)
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


def test_a_comparison_of_prompts_is_one_column_on_a_phone(new_page, shown):
    page = new_page(f"results?{shown['address']}&compare={shown['pair']}", width=400)
    cell = page.locator(".diff.split td:not(.n)").first
    expect(cell).to_be_visible()
    settled(page)
    box = page.locator(".tb-diff").first.bounding_box()
    inner = cell.bounding_box()
    assert box is not None
    assert inner is not None
    assert inner["width"] > 0.7 * box["width"]


def test_missing_rows_are_scored_while_the_page_is_open(new_page, shown):
    page = new_page(f"results?{shown['address']}&compare={shown['pair']}&results_tab=Rows")
    button = page.get_by_role("button", name="missing test rows (free)")
    expect(button).to_be_visible()
    settled(page)
    button.click()
    # Its progress comes and goes by itself; then the rows are there.
    expect(page.locator(".st-key-row_table")).to_be_visible()
    expect(page.get_by_text("looked at after the choice", exact=False).first).to_be_visible()
    settled(page)
    shoot(page, "scored_later")
