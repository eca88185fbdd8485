"""What browser tests do over and over: wait, go to a page, take a picture."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page
from screenshots import TALLEST_HOLE, blank, faint_texts, spilled_texts, tallest_hole

SHOTS = Path(__file__).parents[1] / ".screenshots"


def settled(page: Page) -> None:
    """Wait until Streamlit is connected and has nothing to do. (Widgets wait a moment before they send.)"""
    page.wait_for_timeout(250)
    page.locator(
        "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
    ).wait_for(state="attached", timeout=30_000)


def shoot(page: Page, name: str) -> None:
    """Save a picture of the whole page in .screenshots/; check that all of it is there, inside and readable."""
    SHOTS.mkdir(exist_ok=True)
    # A table's script is loaded when the first table is shown; until then a grey bar stands in its place.
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=30_000)
    size = page.viewport_size or {"width": 1280, "height": 900}
    whole = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(whole, 3000))})
    page.wait_for_timeout(150)
    page.screenshot(path=SHOTS / f"{name}.png")
    spilled, faint = spilled_texts(page), faint_texts(page)
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.set_viewport_size(size)
    assert over <= 1, f"{name}: the page is {over} px too wide"
    assert not spilled, f"{name}: runs over the edge: {spilled}"
    assert not faint, f"{name}: too faint to read (WCAG AA): {faint}"
    left = int(page.evaluate("document.querySelector('[data-testid=stMain]').getBoundingClientRect().left"))
    assert not blank(SHOTS / f"{name}.png", left), f"{name}: the page is blank"
    hole = tallest_hole(SHOTS / f"{name}.png", left)
    assert hole <= TALLEST_HOLE, f"{name}: {hole} px of nothing in the middle of the page"


def to_page(page: Page, name: str) -> None:
    """Go to a page by the menu at the side."""
    link = page.get_by_test_id("stSidebarNav").get_by_role("link", name=name.title(), exact=False)
    link.first.click()
    settled(page)


def press(page: Page, key: str) -> None:
    """Press the button with this key. (Streamlit draws a button that has a tooltip twice.)"""
    page.locator(f".st-key-{key} button").first.click()
