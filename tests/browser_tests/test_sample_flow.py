"""From a fresh start to the exported program, on the ready sample, without a key: what a new user does."""

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
from support.pages.browser_frame import press, settled, shoot, to_page

from engine.store.store import Store

TICKETS = Path(__file__).parents[2] / "sample_data" / "support_tickets.csv"


@pytest.fixture(scope="module")
def finished(run_page) -> Page:
    """A page that has started the sample's run from the home page and waited for its end."""
    page = run_page
    expect(page.get_by_text("Better prompts, measured")).to_be_visible()
    open_project(page)
    expect(page.get_by_text("What this will take")).to_be_visible()
    press(page, "start_run")
    expect(page.locator(".st-key-run_head")).to_contain_text("Finished", timeout=300_000)
    return page


def test_home_offers_the_ready_sample(new_page):
    page = new_page()
    expect(page.get_by_text("Route support tickets").first).to_be_visible()
    shoot(page, "home")


def test_every_set_up_step_of_the_sample_is_complete(new_page):
    page = new_page()
    open_project(page)
    for name in ("task", "examples", "metric", "tune"):
        to_page(page, name)
        shoot(page, name)
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
    start.get_by_role("button", name="Choose").click()
    settled(finished)
    expect(finished.locator(".st-key-offers")).to_contain_text("Chosen")
    to_page(finished, "export")
    expect(finished.locator(".st-key-taken_note")).to_contain_text(
        "This is the starting prompt, as you decided"
    )
    to_page(finished, "results")
    best = offers.filter(has_text=re.compile("The best prompt|The search.s choice")).last
    best.get_by_role("button", name="Choose").click()
    settled(finished)
    to_page(finished, "export")
    expect(finished.locator(".st-key-taken_note")).to_have_count(0)


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
    finished.get_by_role("tab", name="All prompts", exact=True).click()
    settled(finished)
    expect(finished.get_by_test_id("stDataFrame").last).to_be_visible()
    shoot(finished, "results_candidates")


def test_the_exported_program_gives_the_same_answers(finished, server, tmp_path: Path):
    to_page(finished, "export")
    shoot(finished, "export")
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


def test_settings_can_test_the_offline_model(new_page):
    page = new_page("settings")
    shoot(page, "settings")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_in_both_themes_and_widths(finished, new_page, theme: str):
    page = new_page(theme=theme)
    open_project(page)
    for name in ("home", "task", "examples", "metric", "tune", "run", "results", "export", "settings"):
        to_page(page, name)
        for width in (1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            shoot(page, f"{name}_{theme}_{width}")


def stored_instruction(home: Path) -> str:
    """Return the instruction of the project changed last, as it is stored."""
    with Store.open(home, read_only=True) as store:
        return str(store.projects.all()[0].draft["pipeline"]["steps"][0]["instructions"])


def open_project(page: Page) -> None:
    page.locator("[class*=st-key-open_] button").first.click()
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
