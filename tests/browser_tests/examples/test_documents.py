"""Records out of documents, in a browser: a zip becomes a task, is tuned with the stand-in, read field by field, corrected, exported."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, settled, shoot, to_page, to_tab

SHOPS = ("Ahorn", "Birke", "Eiche")
GOODS = ("tea", "cups", "plates", "trays", "spoons")
MARKUP = "<img src=x onerror=alert(1)>"


def pile(number: int = 36) -> bytes:
    """A zip of short bills with their answers, and a picture that no model can see."""
    out, answers = io.BytesIO(), []
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(number):
            shop, goods, pieces = SHOPS[n % 3], GOODS[n % 5], 2 + n % 7
            text = f"Bill of {shop} {MARKUP}\nFor {pieces} {goods}\nPlease pay {10 + n} euros\fThank you."
            archive.writestr(f"bills/bill-{n:02}.txt", text)
            lines = [{"article": goods, "pieces": pieces}]
            answers.append({"file": f"bill-{n:02}.txt", "shop": shop, "euros": 10 + n, "lines": lines})
        archive.writestr("bills/answers.json", json.dumps(answers))
        archive.writestr("bills/photo.heic", b"\0\0\0\x18ftypheic" + b"\0" * 40)
    return out.getvalue()


def start(page: Page, file: Path) -> None:
    page.locator("[class*=st-key-box_files_] input[type=file]").set_input_files(file)
    settled(page)
    press(page, "box_use")
    expect(page.get_by_text("Is this what you mean?")).to_be_visible()
    shoot(page, "documents_review")
    to_page(page, "examples")
    expect(page.locator(".st-key-import_problems")).to_contain_text("1 file has a problem")
    settled(page)


def correct_what_is_wrong(page: Page) -> tuple[str, str, str]:
    """Find a field by its mark, take a wrong answer for the right one; return the row's number, the path and the answer."""
    viewer = page.locator(".tb-document")
    viewer.locator("mark").first.click()
    expect(viewer.locator(".row.chosen")).to_have_count(1)
    row = viewer.locator(".row.leaf", has=page.get_by_role("button", name="The answer is right")).first
    expect(row.locator(".expected")).to_contain_text("right: ")
    path, answer = row.get_attribute("data-path") or "", row.locator(".answer").inner_text()
    worst = page.locator(".st-key-one_field [data-testid=stSelectbox] input").first.input_value()
    row.get_by_role("button", name="The answer is right").click()
    settled(page)
    expect(viewer.locator(f".row[data-path='{path}'] .expected")).to_have_count(0)
    found = re.match(r"Row ([\d,]+): ", worst)
    assert found, worst
    return found[1].replace(",", ""), path, answer


def test_a_zip_of_documents_is_read_tuned_corrected_and_exported(new_page, tmp_path: Path):
    file = tmp_path / "bills.zip"
    file.write_bytes(pile())
    page = new_page()
    start(page, file)
    page.get_by_role("tab", name="One by one").click()
    viewer = page.locator(".tb-document")
    viewer.get_by_role("button", name="euros").click()
    chosen = viewer.locator("mark.chosen")
    expect(chosen).to_have_text("10")
    # Text of a document is text, whatever it holds.
    expect(viewer).to_contain_text(MARKUP)
    assert viewer.locator("img[onerror]").count() == 0
    shoot(page, "documents_viewer")
    to_page(page, "task")
    expect(page.get_by_text("Inside lines")).to_be_visible()
    shoot(page, "documents_task")
    to_page(page, "tune")
    expect(page.locator(".st-key-start_run button").first).to_be_enabled()
    press(page, "start_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished", timeout=300_000)
    to_page(page, "results")
    page.get_by_role("tab", name="Rows", exact=True).click()
    page.get_by_role("radio", name="By field").click()
    expect(page.locator(".st-key-one_field")).to_be_visible()
    settled(page)
    shoot(page, "documents_by_field")
    number, path, answer = correct_what_is_wrong(page)
    to_page(page, "examples")
    expect(page.locator(".st-key-undo_examples button").first).to_be_enabled()
    page.get_by_role("tab", name="One by one").click()
    settled(page)
    page.get_by_role("combobox", name="Document", exact=True).fill(f"{number}: ")
    page.get_by_role("option").first.click()
    settled(page)
    expect(page.locator(f".tb-document .row[data-path='{path}'] .answer")).to_have_text(answer)
    to_page(page, "export")
    to_tab(page, "For developers")
    with page.expect_download() as download:
        press(page, "download_records")
    with zipfile.ZipFile(download.value.path()) as packed:
        text = packed.read("program_records.py").decode()
    assert "def extract(" in text
    assert "class Record(pydantic.BaseModel)" in text
    shoot(page, "documents_export")
