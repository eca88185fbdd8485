"""The ready sample, without a key: from a fresh start to the exported program, and what a person does after the run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, press_first_row, settled, shoot, to_page, to_tab

from engine.store.store import Store

TICKETS = Path(__file__).parents[2] / "sample_data" / "support_tickets.csv"


@pytest.fixture(scope="module")
def finished(run_page) -> Page:
    """A page that has come from the first page to the end of the sample's run in three clicks."""
    page = run_page
    expect(page.get_by_text("Better prompts, measured")).to_be_visible()
    press(page, "first_run")
    settled(page)
    expect(page.get_by_text("What this will take")).to_be_visible()
    press(page, "start_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished", timeout=300_000)
    return page


def test_every_set_up_step_of_the_sample_is_complete(new_page):
    page = new_page()
    expect(page.get_by_text("Route support tickets").first).to_be_visible()
    shoot(page, "home")
    open_project(page)
    for name in ("task", "examples", "metric", "tune"):
        to_page(page, name)
        expect(page).to_have_title(f"{name.title()} - Route support tickets - Tuneboard")
        line = page.locator(".st-key-page_line").bounding_box()
        assert line["y"] + line["height"] <= 96, "the page's content begins too low"
        shoot(page, name)
    side = page.locator(".st-key-side_pages")
    for words in ("Run · next", "Results · locked", "Export · locked"):
        expect(side.get_by_role("link", name=words)).to_be_visible()
    expect(page.locator(".st-key-start_run button")).to_be_enabled()


def test_the_prompt_preview_follows_the_form(new_page, server):
    wanted = "Send each message to the right team, please."
    page = new_page()
    to_page(page, "task")
    box = page.get_by_role("textbox", name="Instruction", exact=True)
    box.fill(wanted)
    box.press("Control+Enter")
    expect(page.locator(".st-key-prompt_text")).to_contain_text(wanted)
    assert stored_instruction(server.home) == wanted
    page.reload()
    settled(page)
    assert stored_instruction(server.home) == wanted
    expect(page.get_by_role("textbox", name="Instruction", exact=True)).to_have_value(wanted)


def test_the_run_is_drawn(finished):
    expect(finished.locator(".plot[data-points]")).to_be_visible()
    finished.wait_for_function("Number(document.querySelector('.plot').dataset.points) > 10")
    tools = finished.locator(".plot .modebar-btn").evaluate_all("all => all.map((b) => b.dataset.title)")
    assert {"Zoom", "Download plot as a PNG"} <= set(tools)
    assert not any("hare" in tool for tool in tools), "a chart leaves this machine only as a download"
    expect(finished.locator("[data-meter=calls]")).to_contain_text("of 950")
    shoot(finished, "run")
    for width in (1920, 1280):
        finished.set_viewport_size({"width": width, "height": 900})
        finished.wait_for_function(
            """(width) => { const [key, plot] = ['.legend', '.nsewdrag'].map((part) =>
            document.querySelector('.plot ' + part).getBoundingClientRect());
            return key.bottom <= plot.top && plot.width > width / 3; }""",
            arg=width,
        )


def test_the_verdict_comes_first_and_prompts_are_compared(finished):
    to_page(finished, "results")
    expect(finished.locator(".st-key-verdict")).to_contain_text("Better:")
    expect(finished.locator(".hero-scores")).to_contain_text("points")
    expect(finished.locator(".hero-dots .good").first).to_be_visible()
    # What the best prompt has that the start had not: other words, or solved examples.
    expect(finished.locator(".diff").first).to_be_visible()
    changed = finished.locator(".diff ins:not(:empty)").or_(
        finished.get_by_text(re.compile(r"0 on the left, \d+ on the right"))
    )
    expect(changed.first).to_be_visible()
    shoot(finished, "results")


def test_the_prompt_can_be_copied_and_another_one_taken(finished):
    to_page(finished, "results")
    finished.context.grant_permissions(["clipboard-read", "clipboard-write"])
    finished.get_by_role("button", name="Copy the prompt").click()
    expect(finished.get_by_role("button", name="Copied")).to_be_visible()
    assert "--- system ---" in finished.evaluate("navigator.clipboard.readText()")
    offers = finished.locator("[class*=st-key-offer_]:has(button)")
    start = offers.filter(has_text="The starting prompt").last
    expect(finished.locator(".st-key-offers")).to_contain_text("points more than the start")
    start.get_by_role("button", name="Choose").click()
    settled(finished)
    expect(finished.locator(".st-key-offers")).to_contain_text("Chosen")
    to_page(finished, "export")
    expect(finished.locator(".st-key-taken_note")).to_contain_text(
        "This is the starting prompt, as you decided"
    )
    to_page(finished, "results")
    finished.get_by_role("button", name="Take it", exact=True).click()
    settled(finished)
    to_page(finished, "export")
    expect(finished.locator(".st-key-taken_note")).to_have_count(0)


def test_a_rule_struck_out_makes_the_score_an_estimate(finished):
    to_page(finished, "results")
    finished.get_by_role("radio", name="With a red pen").click()
    settled(finished)
    pen, hero = finished.locator(".st-key-red_pen"), finished.locator(".st-key-hero")
    known = pen.locator("[class*=st-key-line_part]", has_text=re.compile("✓ fixes|✗ breaks|turns no row"))
    box = known.first.get_by_role("checkbox")
    box.focus()
    finished.keyboard.press("Space")
    settled(finished)
    expect(hero).to_contain_text("an estimate, without 1 part")
    expect(
        finished.get_by_role("button", name=re.compile(r"Score this version \(\d+ rows, free\)"))
    ).to_be_enabled()
    shoot(finished, "results_red_pen")
    box.focus()
    finished.keyboard.press("Space")
    settled(finished)
    expect(hero).not_to_contain_text("an estimate")


def test_a_lower_price_names_another_prompt_by_keyboard(finished):
    to_page(finished, "results")
    finished.get_by_role("tab", name="Models and cost", exact=True).click()
    settled(finished)
    expect(finished.locator(".st-key-at_price")).to_contain_text("the best of all")
    finished.locator(".st-key-price_line input[type=range]").focus()
    finished.keyboard.press("Home")
    settled(finished)
    expect(finished.locator(".st-key-at_price")).to_contain_text("points less than")
    shoot(finished, "results_price")


def test_rows_can_be_filtered_to_what_changed(finished):
    to_page(finished, "results")
    finished.get_by_role("tab", name="Rows", exact=True).click()
    settled(finished)
    finished.get_by_role("radio", name="Improved").click()
    settled(finished)
    expect(finished.locator(".st-key-row_table [data-testid=glide-cell-2-0]")).to_contain_text("better")
    shoot(finished, "results_rows")


def test_every_candidate_says_why_it_exists(finished):
    to_page(finished, "results")
    finished.get_by_role("tab", name="Prompts", exact=True).click()
    settled(finished)
    finished.get_by_role("radio", name="All prompts").click()
    settled(finished)
    expect(finished.get_by_test_id("stDataFrame").last).to_be_visible()
    shoot(finished, "results_candidates")


def test_the_exported_program_gives_the_same_answers(finished, server, tmp_path: Path):
    to_page(finished, "export")
    shoot(finished, "export")
    to_tab(finished, "For developers")
    with finished.expect_download() as started:
        press(finished, "download_json")
    program = tmp_path / "program.json"
    started.value.save_as(program)
    tested = in_python(READ_RUN, server.home)
    assert len(tested) > 20
    assert in_python(ANSWER_ROWS, tmp_path, str(program), str(TICKETS), *tested) == tested
    with finished.expect_download() as started:
        press(finished, "download_script")
    with zipfile.ZipFile(started.value.path()) as packed:
        packed.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "run.py", "--message", "I was charged twice", "--plan", "team", "--channel", "email"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "queue" in done.stdout


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
    to_tab(finished, "For people")
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


def test_results_are_downloaded(finished, tmp_path: Path):
    to_page(finished, "export")
    for form in ("csv", "xlsx", "json"):
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
    to_tab(finished, "For people")
    expect(finished.locator(".st-key-proof")).to_contain_text("every row as before")
    to_tab(finished, "For developers")
    finished.locator("[class*=st-key-version_note_] input").fill("<b>first</b> ![x](http://a)")
    press(finished, "keep_version")
    expect(finished.locator(".st-key-version_1")).to_contain_text("<b>first</b> ![x]")
    press(finished, "version_use_1")
    expect(finished.locator(".st-key-version_1")).to_contain_text("In use")
    shoot(finished, "export_versions")
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


@pytest.mark.parametrize(
    ("tab", "view"), [("Rows", "By prompt"), ("Prompts", "What came from what"), ("Models and cost", "")]
)
def test_all_prompts_are_seen_at_a_glance(finished, tab: str, view: str):
    to_page(finished, "results")
    finished.get_by_role("tab", name=tab, exact=True).click()
    settled(finished)
    if view:
        finished.get_by_role("radio", name=view).click()
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
    expect(page.locator(".st-key-project_rows")).to_contain_text("Route support tickets (copy)")
    choose(page, "Rename")
    page.get_by_role("dialog").locator("input").fill("<b>Ours</b>")
    press(page, "rename_save")
    expect(page.locator(".st-key-project_rows")).to_contain_text("<b>Ours</b>")
    choose(page, "Put away")
    expect(page.locator(".st-key-archived_projects")).to_contain_text("Put away (1)")
    expect(page.locator(".st-key-project_rows")).not_to_contain_text("<b>Ours</b>")
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


@pytest.mark.parametrize(("theme", "width"), [("light", 1920), ("dark", 1280)])
def test_every_page_in_both_themes_and_widths(finished, new_page, theme: str, width: int):
    page = new_page(theme=theme, width=width)
    rows = page.locator("[class*=st-key-project_row_]")
    rows.filter(has_text="✓ Better").get_by_role("link").first.click()
    settled(page)
    for name in ("home", "task", "examples", "metric", "tune", "run", "results", "export", "settings"):
        to_page(page, name)
        shoot(page, f"{name}_{theme}_{width}")


def stored_instruction(home: Path) -> str:
    """Return the instruction of the project changed last, as it is stored."""
    with Store.open(home, read_only=True) as store:
        return str(store.projects.all()[0].draft["pipeline"]["steps"][0]["instructions"])


def open_project(page: Page) -> None:
    page.locator(".st-key-project_rows").get_by_role("link").first.click()
    settled(page)


READ_RUN = """
import json
from engine.store.store import Store
store = Store.open(read_only=True)
run = next(r for r in store.runs.all() if r.result)
trials = [t for t in store.trials.all(run.id) if t.split == "test" and t.candidate_id == run.result.best_candidate]
print(json.dumps({o.row: o.prediction["queue"] for o in store.trials.outcomes(run.id, trials[-1].number)}))
"""

ANSWER_ROWS = """
import csv, json, sys
import engine
program = engine.load(sys.argv[1])
with open(sys.argv[2], encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
print(json.dumps({i: program(**{k: rows[int(i)][k] for k in ("message", "plan", "channel")}).queue for i in sys.argv[3:]}))
"""


def in_python(code: str, home: Path, *arguments: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TUNEBOARD_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
