"""Every page of a stored run: the same figure reads the same, and what is shown adds up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.fixed_prompt_run import fixed_prompt_run
from support.pages.page_frame import open_page, said

from dashboard.state import reading
from engine.basics.text import in_points, percent, points_gained
from engine.runs.results.report import run_report

pytestmark = pytest.mark.usefixtures("home")

ROOT = Path(__file__).parents[2]
PAGES = ("run", "results", "try_it", "export", "history", "home")
VIEWS = (
    ("Prompts", "Word by word"),
    ("Prompts", "All prompts"),
    ("Rows", "Answers"),
    ("Rows", "By label"),
    ("Rows", "Scores"),
    ("Models and cost", ""),
)
DECIMAL = re.compile(r"\d\.\d+ (?:%|points)")


def texts(app):
    """What a page writes, without what is read on hover."""
    badges = [str(b.value) for b in app.get("badge")] if app.get("badge") else []
    pictures = [
        re.sub(r'title="[^"]*"', "", str(h.value))
        for h in app.get("html")
        if "<style" not in str(h.value)[:7]
    ]
    heroes = [
        re.sub(r'title="[^"]*"', "", str(h.value).partition("</style>")[2])
        for h in app.get("html")
        if "<style" in str(h.value)[:7]
    ]
    metrics = [f"{m.value} {m.delta}" for m in app.metric]
    return "\n".join([said(app), *badges, *pictures, *heroes, *metrics])


@pytest.fixture
def ids(home):
    return fixed_prompt_run(home)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_writes_whole_numbers(ids, page):
    assert DECIMAL.findall(texts(open_page(page, project=ids.project, run=ids.run))) == []


@pytest.mark.parametrize(("tab", "view"), VIEWS)
def test_a_tab_of_the_results_writes_whole_numbers(ids, tab, view):
    shown = {"results_tab": tab, f"{tab.lower()}_view": view}
    assert DECIMAL.findall(texts(open_page("results", project=ids.project, run=ids.run, **shown))) == []


def test_before_after_and_gain_read_the_same_on_every_page(ids):
    result = reading.run(ids.run).result
    change = result.verdict.printed
    before, after, gain = f"{change.before} %", f"{change.after} %", in_points(change.gain)
    assert percent(result.best.test) == after
    for page in ("results", "run"):
        words = texts(open_page(page, project=ids.project, run=ids.run))
        assert f"Better: {after} of test rows right against {change.before} % before" in words, page
    for words in (
        texts(open_page("results", project=ids.project, run=ids.run)),
        texts(open_page("run", project=ids.project, run=ids.run, present="1")),
        reading.read_store(run_report, ids.run),
    ):
        for figure in (before, after, gain):
            assert re.search(rf"<b[^>]*>{re.escape(figure)}</b>", words)
        won, lost, same = (
            int(re.search(rf"(\d+) {word}", words)[1]) for word in ("fixed", "broken", "as before")
        )
        assert won + lost + same == result.verdict.rows
    (line,) = [d.value for d in open_page("history").dataframe if "Gain" in d.value.columns]
    assert [f"{line[name][0]:g} %" for name in ("Before", "After")] == [before, after]
    assert in_points(line["Gain"][0]) == gain
    assert line["After"][0] - line["Before"][0] == line["Gain"][0]
    assert (
        line["Flattered by"][0]
        == result.best.flattered
        == points_gained(result.best.test, result.best.validation)
    )
    assert f"{before} → {after}" in texts(open_page("home"))


def test_pages_get_their_percent_and_points_from_one_place():
    written = re.compile(r"\b100 \* |\* 100\b|(?<!%)\{[^{}]*:\.[0-9]f\} ?%")
    allowed = {
        "dashboard/components/project_page.py": "the width of a bar",
        "dashboard/state/history.py": "the height of a column",
        "dashboard/home/projects.py": "the width of a bar",
        "dashboard/home/welcome.py": "the label of a chart, of its own percents",
        "dashboard/results/comparison.py": "the length of a bar",
        "dashboard/state/live/replay.py": "the places of dots",
        "dashboard/tune/final_test.py": "the places of a line",
        "dashboard/state/live/figures.py": "a range of scores",
        "dashboard/state/live/score_chart.py": "the places of dots",
        "dashboard/state/live/training.py": "the places of dots",
        "dashboard/examples/preflight.py": "the marks of a slider",
        "dashboard/metric/editors.py": "an example of a metric's code",
        "dashboard/state/live/snapshot.py": "a chart's point",
    }
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "dashboard").rglob("*.py")
        if written.search(path.read_text(encoding="utf-8"))
    }
    assert found <= set(allowed)
