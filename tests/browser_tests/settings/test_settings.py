"""The settings page in a browser: a key that is nowhere but in the page's memory, a price, what was spent, kept answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, settled, shoot, to_page
from support.servers.openai_server import OpenAIServer

from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import ModelChoice, Named

KEY = "sk-never-written-anywhere-4711"


@pytest.fixture
def endpoint() -> Iterator[OpenAIServer]:
    """A model that answers those who have the key, and costs what the test says it does."""
    with OpenAIServer(
        lambda body: "[[ ## queue ## ]]\nbilling\n\n[[ ## completed ## ]]", api_key=KEY
    ) as running:
        yield running


@pytest.fixture
def project(home: Path, endpoint: OpenAIServer) -> str:
    model = ModelChoice(name="openai/guarded", base_url=endpoint.url, key_env="TUNEBOARD_GUARDED_KEY")
    drafts.add_model(model)
    project = drafts.project_from_sample(SAMPLES[0])
    few = dict.fromkeys(range(60, 248), "left out by hand")
    drafts.update(project, model=model, optimizer=Named(name="LabeledFewShot"), excluded=few)
    return project


def in_files(home: Path, text: str) -> list[str]:
    return [p.name for p in home.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


def test_a_key_and_a_price_lead_to_a_run_whose_spending_and_answers_are_shown(
    new_page, home, project, endpoint
):
    page: Page = new_page(f"tune?project={project}")
    expect(page.locator(".st-key-why_not")).to_contain_text("No key yet")
    to_page(page, "settings")
    press(page, "model_1_test")
    expect(page.locator(".st-key-test_report")).to_contain_text("key")
    typed = page.locator(".st-key-model_1_typed input")
    expect(typed).to_have_attribute("type", "password")
    typed.fill(KEY)
    press(page, "model_1_submit")
    expect(page.locator(".st-key-model_1")).to_contain_text("in this page's memory")
    press(page, "model_1_test")
    expect(page.locator(".st-key-test_report")).to_contain_text("It works")
    page.locator(".st-key-model_1_price summary").click()
    for side in ("in", "out"):
        price = page.locator(f"[class*=st-key-model_1_price_{side}_] input")
        price.fill("1000")
        price.press("Enter")
        settled(page)
    press(page, "model_1_price_save")
    expect(page.locator(".st-key-model_1_head")).to_contain_text("$1,000.00 in")
    shoot(page, "settings_key_and_price")

    to_page(page, "tune")
    expect(page.locator(".st-key-estimate_money")).to_contain_text("$")
    press(page, "start_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished", timeout=120_000)
    to_page(page, "settings")
    spent = page.locator(".st-key-spending_card")
    expect(spent).to_contain_text("Route support tickets")
    expect(spent.locator("[data-testid=stMetricValue]")).to_have_text(re.compile(r"\$[1-9]"))
    kept = page.locator(".st-key-cache_figures [data-testid=stMetricValue]")
    expect(kept.first).not_to_have_text("0")
    expect(kept.last).to_have_text(re.compile(r"\$[1-9]"))
    press(page, "clear_cache")
    press(page, "clear_yes")
    expect(kept.first).to_have_text("0")
    expect(page.locator(".st-key-clear_cache button").first).to_be_disabled()

    assert KEY not in page.content()
    assert typed.count() == 0 or typed.input_value() == ""
    assert in_files(home, KEY) == []
    page.reload()
    settled(page)
    expect(page.locator(".st-key-model_1")).to_contain_text("No key yet")
    assert all(h.get("Authorization", "").endswith(KEY) for h in endpoint.headers[1:])
