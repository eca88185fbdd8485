"""The metric page in a browser: ten rows tried, a judge written and checked, through a real server and real children."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import press, settled, shoot, still
from support.servers.openai_server import OpenAIServer

from dashboard.state import reading
from dashboard.state.editing import drafts
from engine.metrics.similarity import EditDistance
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import ModelChoice, Named


def judged(body):
    """Answer the task with "billing"; as a judge, mark what says billing as right."""
    text = str(body["messages"])
    if "[[ ## marks ## ]]" in text:
        said = re.search(r"## answer ## \]\]\\n(\w+)", str(body["messages"][-1]))
        mark = int(bool(said) and said[1] == "billing")
        return f"[[ ## reasoning ## ]]\nSo it is.\n\n[[ ## marks ## ]]\n[{mark}]\n\n[[ ## completed ## ]]"
    return "[[ ## queue ## ]]\nbilling\n\n[[ ## completed ## ]]"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[OpenAIServer]:
    with OpenAIServer(answer=judged) as server:
        yield server


@pytest.fixture
def page(new_page: Callable[..., Page], home: Path, endpoint: OpenAIServer) -> Page:
    project = drafts.project_from_sample(SAMPLES[0])
    model = ModelChoice(name="openai/test-model", base_url=endpoint.url)
    drafts.update(
        project, model=model, metric=Named(name="Rubric", options={"criteria": "The queue is right."})
    )
    return new_page(f"metric?project={project}")


def test_ten_rows_and_a_judge_are_tried_before_anything_is_spent(page):
    press(page, "try_metric")
    expect(page.locator(".st-key-metric_try")).to_contain_text("The mean score is 100 %")
    page.get_by_text("The prompt the judge gets").click()
    expect(page.locator(".st-key-judge_prompt")).to_contain_text("1. The queue is right.")
    press(page, "add_idea")
    expect(page.locator(".st-key-judge_prompt")).to_contain_text("2. The answer is correct.")
    expect(page.locator(".st-key-rescore_bar")).to_contain_text("old scores")
    shoot(page, "metric_judge")


def test_a_judge_is_checked_against_a_persons_grades(page):
    press(page, "bring_answers")
    expect(page.locator("[class*=st-key-grade_bar_]").first).to_be_visible()
    for graded in range(6):
        page.locator("[class*=st-key-grade_bar_]").first.get_by_role("radio", name="Wrong").first.click()
        expect(page.locator(".st-key-judge_check")).to_contain_text(f"{graded + 1} of 20 graded")
    expect(page.locator(".st-key-agreement")).to_contain_text("0 of 6 answers get the same grade")
    page.get_by_role("radio", name="Where you differ (6)").first.click()
    expect(page.locator(".st-key-judge_check")).to_contain_text("The metric says 100 %")
    shoot(page, "metric_judge_check")


def test_code_is_tested_in_the_sandbox(page):
    drafts.update(
        reading.projects()[0].id, metric=Named(name="PythonMetric", options={"code": "answer.no\n1"})
    )
    page.reload()
    settled(page)
    press(page, "test_code")
    expect(page.locator(".st-key-metric_options")).to_contain_text("Line 1:")
    shoot(page, "metric_code")


def test_several_metrics_are_weighed_and_the_same_answers_scored_again(page):
    page.locator("summary", has_text="more metrics").click()
    still(page)  # a press on what still opens is lost
    press(page, "use_WeightedSum")
    parts = page.locator(".st-key-metric_options")
    expect(parts.locator(".st-key-part_ExactMatch")).to_contain_text("50 %")
    weight = parts.get_by_role("spinbutton", name="Weight of Exact match")
    weight.fill("3")
    weight.press("Enter")
    expect(parts.locator(".st-key-part_ExactMatch")).to_contain_text("75 %")
    expect(parts.locator(".st-key-part_TokenF1")).to_contain_text("25 %")
    settled(page)
    more = parts.get_by_role("combobox").first
    more.click()
    more.fill(EditDistance.title)
    page.get_by_role("option", name=EditDistance.title).click()
    expect(parts.locator(".st-key-part_EditDistance")).to_contain_text("20 %")
    press(page, "drop_part_TokenF1")
    expect(parts.locator(".st-key-part_EditDistance")).to_contain_text("25 %")
    press(page, "try_metric")
    tried = page.locator(".st-key-metric_try")
    expect(tried).to_contain_text("The mean score is")
    before = tried.get_by_text("The mean score is").inner_text()
    shoot(page, "metric_weights")
    weight.fill("0")
    weight.press("Enter")
    expect(parts.locator(".st-key-part_EditDistance")).to_contain_text("100 %")
    press(page, "rescore")
    expect(page.locator(".st-key-rescore_bar")).to_have_count(0)
    expect(tried.get_by_text("The mean score is")).not_to_have_text(before)
