"""The examples page in a real browser: rows edited in the grid, fixed, added and undone; many rows stay smooth."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, expect
from support.pages.browser_frame import (
    bring_rows,
    empty_project,
    press,
    press_first_row,
    settled,
    shoot,
    to_page,
    within,
)
from support.run_setup import wait_for
from support.servers.openai_server import OpenAIServer

from dashboard.state import reading
from dashboard.state.editing import drafts
from engine.runs.spec import ModelChoice

DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)


def dirty(rows: int = 60) -> str:
    rng = random.Random(1)
    lines = ["message,team"]
    for i in range(rows):
        thing = rng.choice(("bill", "parcel", "screen"))
        lines.append(
            f"the {thing} number {i} is {rng.choice(('late', 'wrong'))},{'billing' if thing == 'bill' else 'shipping'}"
        )
    return "\n".join([*lines, ",billing", "the same again,billing", "The same  again,billing"]) + "\n"


@pytest.fixture
def examples(new_page, home, tmp_path):
    """A page with uploaded rows and the task made of them, and its project."""

    def opened(content: str, name: str = "letters.csv", **how) -> tuple[Page, str]:
        file = tmp_path / name
        file.write_text(content)
        page = new_page(**how)
        empty_project(page)
        bring_rows(page, file)
        expect(page.get_by_text("Is this what you mean?")).to_be_visible()
        to_page(page, "examples")
        expect(page.locator("[class*=st-key-grid_] canvas").first).to_be_visible()
        return page, reading.projects()[0].id

    return opened


def stored(project: str):
    return reading.draft_of(next(p for p in reading.projects() if p.id == project))


def rows_of(project: str) -> list[dict[str, str]]:
    from engine.dataset import read_dataset

    with reading.open_store() as store:
        row = store.datasets.get(stored(project).dataset)
    return read_dataset(row.content, row.name).rows()


def grid(page: Page):
    return page.locator("[class*=st-key-grid_] [data-testid=stDataFrame]").first


def to_cell(page: Page, row: int, column: int) -> None:
    """Go to a cell of the grid with the keyboard; `column` counts the row's number as 0."""
    expect(page.locator(".st-key-preflight")).to_be_visible()
    press_first_row(page, "[class*=st-key-grid_]", 30)
    for _ in range(row):
        page.keyboard.press("ArrowDown")
    for _ in range(column):
        page.keyboard.press("ArrowRight")


def edit_cell(page: Page, row: int, column: int, text: str, landed: Callable[[], bool]) -> None:
    """Type a cell again, and once more where the page was drawn over it meanwhile, as a person would."""
    over = page.get_by_test_id("portal").locator(".gdg-input").first

    def typed() -> None:
        to_cell(page, row, column)
        page.keyboard.press("Enter")
        try:
            over.wait_for(timeout=5000)
        except Error:
            page.keyboard.press("Escape")
            return
        over.fill(text)
        over.press("Enter")

    until(page, landed, typed)


def until(page: Page, landed: Callable[[], bool], act: Callable[[], None]) -> None:
    """Do something on the page until it is seen in the store."""
    for _ in range(10):
        act()
        if within(landed, 30, page):
            return
    raise AssertionError("It did not happen in time.")


def test_a_cell_is_edited_saved_and_undone(examples):
    page, project = examples(dirty())
    before = rows_of(project)
    edit_cell(
        page, 0, 2, "a letter of my own", lambda: rows_of(project)[0]["message"] == "a letter of my own"
    )
    settled(page)
    edit_cell(page, 1, 2, "=cmd|' /C calc'!A0", lambda: rows_of(project)[1]["message"].startswith("=cmd"))
    settled(page)
    assert rows_of(project)[0]["message"] == "a letter of my own"
    assert rows_of(project)[2:] == before[2:]
    press(page, "undo_examples")
    settled(page)
    press(page, "undo_examples")
    settled(page)
    wait_for(lambda: rows_of(project) == before)


def test_a_row_is_left_out_with_a_click_and_taken_back(examples):
    page, project = examples(dirty())

    def ticked() -> None:
        to_cell(page, 0, 1)
        page.keyboard.press("Space")

    until(page, lambda: stored(project).excluded == {0: "left out by hand"}, ticked)
    settled(page)
    expect(page.locator(".st-key-file_line")).to_contain_text("1 row left out")
    press(page, "undo_examples")
    settled(page)
    wait_for(lambda: stored(project).excluded == {})


def test_what_is_doubtful_is_fixed_by_one_click_and_a_text_of_a_megabyte_is_edited(examples):
    page, project = examples(dirty() + f"{'a long text ' * 83_400},billing\n")
    shoot(page, "examples_doubtful")
    page.locator("[class*=st-key-finding_duplicate_] summary").click()
    settled(page)
    press(page, "fix_duplicate_0")
    settled(page)
    wait_for(lambda: len(stored(project).excluded) == 1)
    expect(page.locator("[class*=st-key-finding_duplicate_]")).to_have_count(0)
    press(page, "undo_examples")
    settled(page)
    expect(page.locator("[class*=st-key-finding_duplicate_]").first).to_be_visible()
    find = page.locator("[class*=st-key-grid_find_] input")
    find.fill("a long text")
    find.press("Enter")
    settled(page)
    press(page, "open_long_cell")
    text = page.get_by_role("dialog").locator("textarea")
    expect(text).to_have_value("a long text " * 83_400)
    text.press("Control+End")
    text.type("and its end")
    press(page, "save_long_cell")
    expect(page.get_by_role("dialog")).to_have_count(0)
    wait_for(lambda: rows_of(project)[-1]["message"].endswith("a long text and its end"))
    press(page, "undo_examples")
    settled(page)
    wait_for(lambda: rows_of(project)[-1]["message"].endswith("a long text "))


def test_rows_are_pasted_and_rows_of_a_model_are_looked_at_first(examples, server):
    made = [{"message": f"made {i} by a model", "team": "billing"} for i in range(3)]
    page, project = examples(dirty())
    page.get_by_role("tab", name="Add rows").click()
    settled(page)
    page.get_by_text("Text or files", exact=True).click()
    settled(page)
    # The button is pressed at once: what counts is what the box holds.
    page.locator("[class*=st-key-add_][class*=_text_] textarea").fill(
        "message\tteam\nfrom a spreadsheet\tshipping"
    )
    page.locator("[class*=st-key-add_][class*=_use] button").click()
    wait_for(lambda: rows_of(project)[-1]["message"] == "from a spreadsheet")
    with OpenAIServer(answer=lambda _: f"[[ ## rows ## ]]\n{json.dumps(made)}") as model:
        drafts.update(project, model=ModelChoice(name="openai/test-model", base_url=model.url))
        page.reload()
        settled(page)
        page.get_by_role("tab", name="Add rows").click()
        settled(page)
        page.get_by_text("Written by a model", exact=True).first.click()
        settled(page)
        number = page.locator("[class*=st-key-made_count_] input")
        number.fill("3")
        number.press("Enter")
        settled(page)
        press(page, "write_rows")
        expect(page.locator(".st-key-add_made button").first).to_be_enabled()
        shoot(page, "examples_made")
        press(page, "add_made")
    wait_for(lambda: len(stored(project).synthetic) == 3)
    expect(page.get_by_text("never tested on").first).to_be_visible()


def test_a_workbook_is_read(new_page, tmp_path: Path):
    import pandas as pd

    file = tmp_path / "table.xlsx"
    rows = {"text": [f"line {i}" for i in range(30)], "kind": ["a", "b", "c"] * 10}
    pd.DataFrame(rows).to_excel(file, index=False)
    page = new_page()
    empty_project(page)
    bring_rows(page, file)
    to_page(page, "examples")
    expect(page.locator(".st-key-file_line")).to_contain_text("30 rows")


def test_a_hundred_thousand_rows_stay_smooth(examples):
    words = ("bill", "parcel", "screen", "door", "lamp")
    big = "message,team\n" + "".join(
        f"the {words[i % 5]} {words[i * 7 % 5]} number {i} is here,{'abc'[i % 3]}\n" for i in range(100_000)
    )
    page, project = examples(big, "many.csv")
    expect(page.locator(".st-key-split_card")).to_be_visible()
    edit_cell(page, 0, 2, "changed by hand", lambda: rows_of(project)[0]["message"] == "changed by hand")
    find = page.locator("[class*=st-key-grid_find_] input")
    find.fill("number 99999 ")
    find.press("Enter")
    expect(grid(page).locator("[data-testid='glide-cell-0-0']")).to_have_text("100001")


def test_pictures_are_uploaded_and_become_rows(new_page, server):
    page = new_page()
    empty_project(page)
    pictures = [
        {"name": f"<b>{i}.png", "mimeType": "image/png", "buffer": DOT + bytes([i])} for i in range(3)
    ]
    bring_rows(page, pictures)
    to_page(page, "examples")
    expect(page.locator(".st-key-file_line")).to_contain_text("3 rows")
    kept = sorted(file.name.partition("-")[2] for file in (server.home / "files").iterdir())
    assert kept == ["_b_0.png", "_b_1.png", "_b_2.png"]


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 1920)])
def test_the_page_in_both_themes_and_widths(examples, theme: str, width: int):
    page, _ = examples(dirty(), theme=theme, width=width)
    page.locator("[class*=st-key-finding_blank_] summary").click()
    settled(page)
    shoot(page, f"examples_{theme}_{width}")
