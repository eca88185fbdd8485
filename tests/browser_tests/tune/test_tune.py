"""The tune page in a browser: models chosen apart and really asked, parts of the prompt kept, the estimate that follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import other_way, pick, press, settled, shoot, still, within
from support.servers.openai_server import OpenAIServer, default_answer

from dashboard.state import launching
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import ModelChoice, Named
from engine.search.budget import Budget
from engine.store.store import Store

SENTENCE = "Read the customer's message and choose the queue."
NEW = "Choose with care."


def filled(body: dict[str, Any]) -> str:
    """Fill every field that is asked for: the queue with a label, all others with a sentence."""
    asked = re.findall(r"\[\[ ## (\w+) ## \]\]", default_answer(body))
    texts = ("billing" if name == "queue" else NEW for name in asked)
    return "\n\n".join(f"[[ ## {name} ## ]]\n{text}" for name, text in zip(asked, texts, strict=True))


@pytest.fixture
def endpoint() -> Iterator[OpenAIServer]:
    with OpenAIServer(filled) as running:
        yield running


@pytest.fixture
def project(home: Path, endpoint: OpenAIServer) -> str:
    """The sample task with three models to choose from, all at one server that no other test uses."""
    with Store.open(home) as store:
        store.settings.set("models", [])  # those of a try before, at a server that has gone
    for name in ("answers", "teaches", "writes"):
        drafts.add_model(ModelChoice(name=f"openai/{name}", base_url=endpoint.url))
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.update(project, optimizer=Named(name="MIPROv2"), budget=Budget(calls=2000))
    return project


@pytest.fixture
def page(new_page: Callable[..., Page], project: str) -> Page:
    # So high that nothing has to be scrolled to: a list that is open closes when its page is scrolled.
    page = new_page(f"tune?project={project}", height=1900)
    settled(page)
    other_way(page, "all optimizers")
    return page


def instruction(body: dict[str, Any]) -> str:
    """Return what a request says to the model about its task, without the row."""
    return str(body["messages"][0]["content"])


def test_three_models_are_asked_each_for_its_part_and_a_sentence_stays(page, project, endpoint):
    other_way(page, "several models")
    pick(page, "Model", "openai/answers")
    pick(page, "Writes new instructions", "openai/writes")
    pick(page, "Solves rows as examples", "openai/teaches")
    page.locator(".st-key-freeze_form summary").click()
    still(page)  # a press on what still opens is lost
    page.locator(".st-key-freeze_form label", has_text=SENTENCE).click()
    expect(page.locator(".st-key-freeze_form")).to_contain_text("1 sentence is kept as it is")
    shoot(page, "tune_models")
    page.reload()
    settled(page)
    expect(page.get_by_role("combobox", name="Solves rows as examples")).to_have_value(re.compile("teaches"))
    press(page, "start_run")
    expect(page).to_have_url(re.compile(r"/run\?"), timeout=60_000)
    with Store.open() as store:
        (run,) = store.runs.all(project)

    def tried() -> bool:
        # What was asked stays known, whether the run is over by then or not.
        return any(b["model"] == "answers" and NEW in instruction(b) for b in list(endpoint.requests))

    try:
        assert within(tried, 120, page), "no wording of the writing model was tried with the answering one"
    finally:
        launching.stop(run.id)
    asked = {
        name: [b for b in endpoint.requests if b["model"] == name]
        for name in ("answers", "teaches", "writes")
    }
    assert asked["teaches"]
    assert all("[[ ## queue ## ]]" in default_answer(b) for b in [*asked["answers"], *asked["teaches"]])
    assert not any("[[ ## queue ## ]]" in default_answer(b) for b in asked["writes"])
    assert all(SENTENCE in instruction(b) for b in asked["answers"])


def test_the_estimate_follows_the_budget_and_what_is_kept(page, project):
    calls = page.locator(".st-key-estimate_calls")
    expect(calls).to_contain_text("to")
    before = calls.inner_text()
    limit = page.locator("[class*=st-key-budget_calls_] input")
    limit.fill("300")
    limit.press("Enter")
    expect(calls).not_to_have_text(before, use_inner_text=True)
    expect(calls).to_contain_text("to 300")
    expect(page.locator(".st-key-start_card")).to_contain_text("Without a budget this would take about")
    limited = calls.inner_text()
    kept = page.locator(".st-key-freeze_form")
    kept.locator("summary").click()
    kept.get_by_text("Solved examples", exact=True).click()
    expect(calls).not_to_have_text(limited, use_inner_text=True)
    kept.get_by_text("Everything in it", exact=True).click()
    expect(page.locator(".st-key-why_not")).to_contain_text("Everything is frozen")
    expect(page.locator(".st-key-start_run button").first).to_be_disabled()
    shoot(page, "tune_frozen")
    kept.get_by_text("Everything in it", exact=True).click()
    expect(page.locator(".st-key-start_run button").first).to_be_enabled()
