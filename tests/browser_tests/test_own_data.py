"""A person's own table: from the file to results, and what the page says about files that cannot be used."""

from __future__ import annotations

import random
import re
from pathlib import Path

from playwright.sync_api import Page, expect
from support.pages.browser_frame import bring_rows, empty_project, other_way, press, settled, shoot, to_page

from engine.dataset.reading import LARGEST_FILE

WORDS = {
    "alpha": ("kettle", "teapot", "mug", "saucer", "spoon"),
    "beta": ("hammer", "wrench", "nail", "drill", "saw"),
    "gamma": ("violin", "cello", "flute", "drum", "harp"),
}


def unseen(rows: int = 90) -> str:
    """A table the product has never seen, with labels that mean nothing until they are shown."""
    rng = random.Random(7)
    lines = ["Item description,Shelf code"]
    for _ in range(rows):
        label = rng.choice(list(WORDS))
        thing = rng.choice(WORDS[label])
        lines.append(
            f'"{rng.choice(["A small", "One used", "Our best"])} {thing}, {rng.randint(1, 40)} left",{label}'
        )
    return "\n".join(lines) + "\n"


def open_examples(page: Page) -> None:
    empty_project(page)
    expect(page.get_by_text("Bring examples")).to_be_visible()


def test_a_table_of_the_largest_size_is_taken_by_the_page_and_both_servers(new_page, tmp_path: Path):
    table = tmp_path / "large.csv"
    table.write_bytes(b"text,team\nhello,a\n")
    with table.open("r+b") as file:
        file.truncate(LARGEST_FILE)
    page = new_page()
    with page.expect_response(lambda got: "upload_file" in got.url and got.request.method == "PUT") as put:
        page.locator("[class*=st-key-box_files_] input[type=file]").set_input_files(table)
    assert put.value.status == 204


def test_an_unseen_table_in_the_box_is_reviewed_and_becomes_a_tuned_task(new_page, tmp_path: Path):
    table = tmp_path / "shelves.csv"
    table.write_text(unseen())
    page = new_page()
    shoot(page, "box_home")
    page.locator("[class*=st-key-box_files_] input[type=file]").set_input_files(table)
    settled(page)
    press(page, "box_use")
    expect(page.get_by_text("Is this what you mean?")).to_be_visible()
    expect(page.get_by_text("Recognised: the table 'shelves.csv'.")).to_be_visible()
    expect(page.locator(".st-key-review_task")).to_contain_text("alpha, beta, gamma")
    expect(page.locator(".st-key-review_examples")).to_contain_text("90 rows")
    expect(page.locator(".st-key-review_metric")).to_contain_text("Fits your answers")
    shoot(page, "box_review")
    press(page, "looks_right")
    expect(page.locator(".st-key-plan_Balanced")).to_contain_text("Chosen")
    shoot(page, "own_plans")
    other_way(page, "all optimizers")
    needs = page.locator("[class*=st-key-optimizer_need_]")
    needs.get_by_text("The model itself").click()
    expect(page.locator(".st-key-optimizer_body_BootstrapFinetune")).to_contain_text("teacher")
    needs.get_by_text("Solved examples", exact=True).click()
    settled(page)
    press(page, "choose_BootstrapFewShotWithRandomSearch")
    settled(page)
    shoot(page, "own_tune")
    expect(page.locator(".st-key-start_run button").first).to_be_enabled()
    press(page, "start_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished", timeout=300_000)
    to_page(page, "results")
    expect(page.locator(".st-key-verdict")).to_contain_text("Better:")
    shoot(page, "own_results")


def test_a_project_that_takes_its_files_name_stays_open_beside_an_older_one_without_a_name(
    new_page, tmp_path: Path
):
    table = tmp_path / "shelves.csv"
    table.write_text(unseen(30))
    page = new_page()
    for _ in range(2):
        page.get_by_role("link", name="Home").first.click()
        settled(page)
        open_examples(page)
    address = page.url
    bring_rows(page, table)
    to_page(page, "examples")
    expect(page.get_by_text("How the rows are divided")).to_be_visible()
    assert page.url == address
    expect(page.get_by_role("combobox", name="Project")).to_have_value(re.compile(r"^Shelves( \(\d+\))?$"))


def test_files_that_cannot_be_used_are_explained_and_nothing_is_lost(new_page, tmp_path: Path):
    page = new_page()
    open_examples(page)
    for name, content, words in (
        ("empty.csv", b"", "empty"),
        ("header.csv", b"text,label\n", "no rows"),
        ("nothing.json", b"{not json", "JSON"),
    ):
        file = tmp_path / name
        file.write_bytes(content)
        bring_rows(page, file)
        problem = page.locator("[class*=st-key-source_][class*=_problem_line]")
        expect(problem).to_contain_text(words, ignore_case=True)
        shoot(page, f"refused_{file.stem}")
    good = tmp_path / "good.csv"
    good.write_text(unseen(30))
    bring_rows(page, good)
    expect(page.get_by_text("Is this what you mean?")).to_be_visible()


def test_rows_with_problems_are_listed_by_number(new_page, tmp_path: Path):
    file = tmp_path / "ragged.csv"
    file.write_text(unseen(30) + "only one cell\n" + '"A small mug, 3 left",\n')
    page = new_page()
    open_examples(page)
    bring_rows(page, file)
    to_page(page, "examples")
    expect(page.locator(".st-key-row_problems")).to_contain_text("2")
    shoot(page, "own_problems")


def test_markup_in_the_data_is_shown_as_text(new_page, tmp_path: Path):
    file = tmp_path / "markup.csv"
    rows = [
        f'"<img src=x onerror=alert(1)> ![x](http://example.invalid/{i}.png) =cmd|calc",{"yes" if i % 2 else "no"}'
        for i in range(24)
    ]
    file.write_text("text,<b>flag</b>\n" + "\n".join(rows) + "\n")
    page = new_page()
    open_examples(page)
    bring_rows(page, file)
    for name in ("task", "examples", "tune"):
        to_page(page, name)
    assert page.locator("img[src*='example.invalid'], img[onerror]").count() == 0
