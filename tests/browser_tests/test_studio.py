"""What a person does after a run: try an input, send a report, look back, compare; and a project as a file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, press_first_row, settled, shoot, to_page


@pytest.fixture(scope="module")
def finished(run_page) -> Page:
    """A page on which the sample's run has ended."""
    page = run_page
    page.locator("[class*=st-key-open_] button").first.click()
    settled(page)
    press(page, "start_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Finished", timeout=300_000)
    return page


def test_a_test_row_is_answered_by_both_prompts(finished):
    to_page(finished, "Try it")
    finished.locator("[class*=st-key-try_row_] input").first.click()
    finished.get_by_role("option").nth(2).click()
    settled(finished)
    press(finished, "try_it")
    expect(finished.locator(".st-key-attempt_1")).to_contain_text("tokens")
    expect(finished.locator(".st-key-try_expected")).to_contain_text("The right answer")
    finished.locator(".st-key-messages_1 summary").first.click()
    expect(finished.locator(".st-key-attempt_1")).to_contain_text("What came back")
    shoot(finished, "try_it")


def test_the_report_opens_without_a_server(finished, tmp_path: Path, browser):
    to_page(finished, "export")
    with finished.expect_download() as started:
        press(finished, "download_report_html")
    file = tmp_path / "report.html"
    started.value.save_as(file)
    for theme in ("light", "dark"):
        context = browser.new_context(color_scheme=theme, java_script_enabled=False, offline=True)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(file.as_uri())
        expect(page.locator(".verdict .said").first).to_be_visible()
        expect(page.locator("svg circle").first).to_be_attached()
        assert asked == [file.as_uri()]
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
        context.close()


@pytest.mark.parametrize("form", ["csv", "xlsx", "json"])
def test_results_are_downloaded(finished, form: str, tmp_path: Path):
    to_page(finished, "export")
    with finished.expect_download() as started:
        press(finished, f"download_results_{form}")
    file = tmp_path / f"results.{form}"
    started.value.save_as(file)
    assert file.stat().st_size > 1000


def test_the_history_opens_a_run_and_keeps_a_note(finished):
    to_page(finished, "History")
    press_first_row(finished, ".st-key-history_table")
    settled(finished)
    note = finished.locator("[class*=st-key-note_] input")
    note.fill("for the board")
    note.press("Enter")
    settled(finished)
    shoot(finished, "history")
    press(finished, "settings_again")
    press(finished, "again_yes")
    expect(finished.get_by_text("What this will take", exact=True)).to_be_visible()
    to_page(finished, "History")
    expect(finished.locator(".st-key-history_table")).to_contain_text("for the board")


def test_a_version_is_kept_and_put_into_use_and_the_export_is_proven(finished):
    to_page(finished, "export")
    expect(finished.locator(".st-key-proof")).to_contain_text("every row as before")
    finished.locator("[class*=st-key-version_note_] input").fill("<b>first</b> ![x](http://a)")
    press(finished, "keep_version")
    expect(finished.locator(".st-key-version_1")).to_contain_text("<b>first</b> ![x]")
    press(finished, "version_use_1")
    expect(finished.locator(".st-key-version_1")).to_contain_text("In use")
    shoot(finished, "export_versions")
    finished.locator(".st-key-other_forms summary").click()
    with finished.expect_download() as started:
        press(finished, "download_container")
    assert started.value.suggested_filename == "program_container.zip"
    assert "Dockerfile" in zipfile.ZipFile(started.value.path()).namelist()
    with finished.expect_download() as started:
        press(finished, "download_training")
    lines = Path(started.value.path()).read_text().splitlines()
    assert all(json.loads(line)["messages"][-1]["role"] == "assistant" for line in lines)


def test_what_was_spent_and_what_is_there_stands_in_the_settings(finished):
    to_page(finished, "Settings")
    expect(finished.locator(".st-key-spending_card")).to_contain_text("Route support tickets")
    expect(finished.locator(".st-key-found_models")).to_contain_text("Found on this machine")
    shoot(finished, "settings_spent")


@pytest.mark.parametrize("tab", ["Rows by prompt", "Family and cost"])
def test_all_prompts_are_seen_at_a_glance(finished, tab: str):
    to_page(finished, "results")
    finished.get_by_role("tab", name=tab).click()
    settled(finished)
    expect(finished.locator(".plot[data-points]").first).to_be_visible()
    shoot(finished, f"results_{tab.split()[0].lower()}")


def choose(page: Page, what: str) -> None:
    """Choose from the menu of the first project."""
    page.locator("[class*=st-key-menu_] button").first.click()
    page.get_by_text(what, exact=True).click()
    settled(page)


def test_a_project_is_duplicated_renamed_put_away_saved_and_opened_again(finished, new_page, tmp_path: Path):
    page = new_page()
    choose(page, "Duplicate the set-up")
    expect(page.locator(".st-key-project_cards")).to_contain_text("Route support tickets (copy)")
    choose(page, "Rename")
    page.get_by_role("dialog").locator("input").fill("<b>Ours</b>")
    press(page, "rename_save")
    expect(page.locator(".st-key-project_cards")).to_contain_text("<b>Ours</b>")
    choose(page, "Put away")
    expect(page.locator(".st-key-archived_projects")).to_contain_text("Put away (1)")
    expect(page.locator(".st-key-project_cards")).not_to_contain_text("<b>Ours</b>")
    choose(page, "Save as a file")
    with page.expect_download() as started:
        press(page, "project_download")
    file = tmp_path / "project.json"
    started.value.save_as(file)
    assert json.loads(file.read_text())["format"] == "tuneboard.project"
    page.keyboard.press("Escape")
    page.locator("[class*=st-key-box_files_] input[type=file]").set_input_files(file)
    settled(page)
    press(page, "box_use")
    expect(page.get_by_text("Is this what you mean?")).to_be_visible()
