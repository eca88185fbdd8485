"""Helpers for browser tests: wait, go to a page, take a picture."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright
from support.pages.page_traffic import is_answered
from support.pages.screenshots import TALLEST_HOLE, blank, faint_texts, spilled_texts, tallest_hole

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
SHOTS = Path(__file__).parents[3] / ".screenshots"
BACKSTOP = 120.0
"""Seconds after which something that is waited for will not come, on any machine."""

# Widgets wait up to 200 ms before they send; a timer that is set later and runs longer ends after theirs.
_MOMENT = "() => new Promise((done) => setTimeout(done, 250))"

_STILL = """() => new Promise((done) => {
  const quiet = 150, most = 5000, began = performance.now();
  let last = began;
  const seen = new MutationObserver(() => { last = performance.now(); });
  seen.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
  const loaded = () => document.fonts.status === 'loaded'
    && [...document.images].every((image) => image.complete)
    && [...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg') || plot.textContent);
  const look = () => {
    const now = performance.now();
    if ((now - last >= quiet && loaded()) || now - began >= most) { seen.disconnect(); done(); }
    else setTimeout(look, 30);
  };
  look();
})"""


def launch(playwright: Playwright) -> Browser:
    """Start the first browser that can be started, Playwright's own last. (Ubuntu's chromium-browser may be a note only.)"""
    named = os.environ.get("TUNEBOARD_CHROMIUM")
    paths = [named] if named else [*filter(None, map(shutil.which, BROWSERS)), None]
    for path in paths:
        try:
            return playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=1000 * BACKSTOP)
        except Error:
            if path == paths[-1]:
                raise
    raise AssertionError("there is always one to try")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser as long as the block runs."""
    with sync_playwright() as playwright, closing(launch(playwright)) as browser:
        yield browser


def settled(page: Page) -> None:
    """Wait until Streamlit is connected, has answered what it was asked, and has nothing to do."""
    in_page(page, _MOMENT)
    _idle(page)
    end = time.monotonic() + BACKSTOP
    while not is_answered(page) and time.monotonic() < end:
        page.wait_for_timeout(20)
    _idle(page)


def _idle(page: Page) -> None:
    page.locator(
        "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
    ).wait_for(state="attached")


def still(page: Page) -> None:
    """Wait until nothing on the page has changed for a moment, its fonts and pictures are there, and its charts are drawn."""
    # A table's script is loaded when the first table is shown; until then a grey bar stands in its place.
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    in_page(page, _STILL)


def in_page(page: Page, script: str) -> None:
    """Await something by the page's own clock, which a slow machine slows down too; again where the page is left meanwhile."""
    while True:
        try:
            page.evaluate(script)
            return
        except Error as error:
            if "context was destroyed" not in str(error) and "navigat" not in str(error):
                raise


def within(condition: Callable[[], Any], seconds: float, page: Page) -> bool:
    """Return whether a condition holds in time; the page lives on meanwhile."""
    end = time.monotonic() + seconds
    while not (held := bool(condition())) and time.monotonic() < end:
        page.wait_for_timeout(50)
    return held


def shoot(page: Page, name: str) -> None:
    """Save a picture of the whole page in .screenshots/; check that all of it is there, inside and readable.

    What moves is at its end.
    """
    SHOTS.mkdir(exist_ok=True)
    page.emulate_media(reduced_motion="reduce")
    still(page)
    size = page.viewport_size or {"width": 1280, "height": 900}
    whole = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(whole, 3000))})
    still(page)
    page.screenshot(path=SHOTS / f"{name}.png")
    spilled, faint = spilled_texts(page), faint_texts(page)
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.set_viewport_size(size)
    page.emulate_media(reduced_motion="no-preference")
    assert over <= 1, f"{name}: the page is {over} px too wide"
    assert not spilled, f"{name}: runs over the edge: {spilled}"
    assert not faint, f"{name}: too faint to read (WCAG AA): {faint}"
    left = int(page.evaluate("document.querySelector('[data-testid=stMain]').getBoundingClientRect().left"))
    assert not blank(SHOTS / f"{name}.png", left), f"{name}: the page is blank"
    hole = tallest_hole(SHOTS / f"{name}.png", left)
    assert hole <= TALLEST_HOLE, f"{name}: {hole} px of nothing in the middle of the page"


def to_page(page: Page, name: str) -> None:
    """Go to a page by the menu at the side."""
    title = name.replace("_", " ").capitalize()
    page.locator(".st-key-side_pages").get_by_role("link", name=title, exact=False).first.click()
    settled(page)


def other_way(page: Page, name: str) -> None:
    """Open one of the other ways of the Tune page, or close it."""
    page.locator(".st-key-other_ways").get_by_text(name, exact=True).click()
    settled(page)


def to_tab(page: Page, name: str) -> None:
    """Open a tab of the page."""
    page.get_by_role("tab", name=name, exact=True).click()
    settled(page)


def press(page: Page, key: str) -> None:
    """Press the button with this key. (Streamlit draws a button that has a tooltip twice.)"""
    page.locator(f".st-key-{key} button").first.click()


def start_sample(page: Page, name: str) -> None:
    """Make a project from a sample, from the first page."""
    page.locator(".st-key-samples summary").click()
    press(page, f"start_{name}")


def empty_project(page: Page) -> None:
    """Begin a project without anything, from the first page, and go to its Examples page."""
    press(page, "box_empty")
    settled(page)
    to_page(page, "examples")


def bring_rows(page: Page, files: Any) -> None:
    """Put files into the box of the Examples page and use them; wait until all of it is shown."""
    put_rows(page, files)
    settled(page)


def put_rows(page: Page, files: Any) -> None:
    """Put files into the box of the Examples page and press its button."""
    page.locator("[class*=st-key-source_] input[type=file]").set_input_files(files)
    settled(page)
    page.locator("[class*=st-key-source_][class*=_use] button").click()


def pick(page: Page, label: str, option: str) -> None:
    """Choose an option of the list with this label."""
    box = page.get_by_role("combobox", name=label, exact=True)
    wanted = page.get_by_role("option", name=option).first
    box.click()
    if not within(wanted.is_visible, BACKSTOP / 8, page):
        box.click()  # the page was drawn again meanwhile, which closes an open list
    wanted.click()
    settled(page)


def fill(page: Page, label: str, text: str) -> None:
    """Write a text into the field with this label."""
    box = page.get_by_label(label, exact=True)
    box.fill(text)
    box.press("Enter")
    settled(page)


def press_first_row(page: Page, table: str, x: float = 16) -> None:
    """Press a table's first row, `x` px from its left edge, or from its right one where `x` is negative."""
    still(page)
    canvas = page.locator(f"{table} canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box, table
    header, row = 35, 34
    page.mouse.click(box["x"] + x % box["width"], box["y"] + header + row / 2)
