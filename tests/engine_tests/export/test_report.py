"""The report of a run and its table of results: complete, self-contained, and harmless whatever the data holds."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import openpyxl
import pytest
from support.results import result_of, verdict_of
from support.run_setup import COLOURS, THINGS, add_data, spec

from engine.basics.statistics import Interval
from engine.errors import RunError, UnknownNameError
from engine.export.hero import hero, hero_html, interval_bar
from engine.export.report import HEIGHT, WIDTH, score_chart
from engine.export.tables import harmless
from engine.records import Candidate, StepState, Usage
from engine.runs.results.report import run_report, run_results
from engine.runs.worker import work
from engine.search.judging.leader import Lead
from engine.search.result import PromptFigures
from engine.store.rows import CandidateRow, TrialRow
from engine.store.store import Store

NASTY = (
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "![x](http://evil.example/a.png)",
    '"><img src=x onerror=alert(1)>',
    "@SUM(A1:A9)",
    "+1+1",
    "שלום 🎉",
    "\x07 bell",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["text", "shelf"])
    for i in range(48):
        thing = THINGS[i % len(THINGS)]
        writer.writerow([f"{NASTY[i % len(NASTY)]} {thing} {i}", COLOURS[THINGS.index(thing) % 3]])
    dataset = add_data(home, out.getvalue().encode(), "nasty.csv")
    with Store.open(home) as store:
        stored = store.datasets.get(dataset)
        made = spec(dataset, dataset_hash=stored.hash, seed=7)
        project = store.projects.create("<b>Shelves</b>", {})
        run = store.runs.create(project, made.model_dump(mode="json"), "Sort <i>things</i>")
    assert work(home, run) == 0
    return home, run


@pytest.fixture(scope="module")
def report(finished):
    home, run = finished
    with Store.open(home, read_only=True) as store:
        return run_report(store, run)


def results(finished, form):
    home, run = finished
    with Store.open(home, read_only=True) as store:
        return run_results(store, run, form)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.bad = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        names = {name for name, _ in attrs}
        if names & {"src", "href", "xlink:href"} or any(n.startswith("on") for n in names):
            self.bad.append((tag, attrs))
        if tag not in ("meta", "rect", "path", "circle", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("meta", "rect", "path", "circle", "line"):
            assert self.open.pop() == tag


def test_the_report_is_whole_and_asks_nobody_for_anything(report):
    tags = Tags()
    tags.feed(report)
    assert not tags.open
    assert not tags.bad
    assert not tags.seen & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert "url(" not in report
    assert "@import" not in report


def test_the_report_tells_everything_a_decision_needs(report, finished):
    home, run = finished
    with Store.open(home, read_only=True) as store:
        row = store.runs.get(run)
    assert row.result.verdict.sentence.split(":")[0] in report
    for words in (
        "the start",
        "the best prompt",
        "How the search went",
        "Rows fixed",
        "Rows broken",
        "To do it again",
    ):
        assert words in report, words
    assert row.spec["dataset_hash"] in report
    assert "<dt>Seed</dt><dd>7</dd>" in report
    assert "prefers-color-scheme:dark" in report
    assert "@media print" in report


def test_outside_text_is_shown_as_text(report):
    assert "<b>Shelves</b>" not in report
    assert "&lt;b&gt;Shelves&lt;/b&gt;" in report
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report


def test_no_formula_leaves_in_a_csv(finished):
    rows = list(csv.reader(io.StringIO(results(finished, "csv").decode("utf-8-sig"))))
    cells = [cell for row in rows for cell in row]
    assert len(rows) > 10
    assert any(cell.startswith("'=cmd") for cell in cells)
    assert not [c for c in cells if re.match(r"\s*[=@+]", c)]


def test_no_formula_leaves_in_an_excel_file(finished):
    sheet = openpyxl.load_workbook(io.BytesIO(results(finished, "xlsx"))).active
    cells = [cell for line in sheet.iter_rows() for cell in line]
    assert not [c for c in cells if c.data_type == "f"]
    assert any(isinstance(c.value, str) and c.value.startswith("=cmd") and c.quotePrefix for c in cells)


def test_json_results_hold_values_as_they_are(finished):
    rows = json.loads(results(finished, "json"))
    assert {r["change"] for r in rows} <= {"better", "worse", "same"}
    assert any(r["inputs"]["text"].startswith("=cmd") for r in rows)
    assert rows[0]["expected"]["shelf"] in COLOURS


def test_the_table_and_the_verdict_agree(finished):
    home, run = finished
    with Store.open(home, read_only=True) as store:
        verdict = store.runs.get(run).result.verdict
    rows = json.loads(results(finished, "json"))
    assert len(rows) == verdict.rows
    assert sum(r["change"] == "better" for r in rows) == verdict.won
    assert sum(r["change"] == "worse" for r in rows) == verdict.lost


def test_a_run_without_a_result_says_so(tmp_path):
    with Store.open(tmp_path) as store:
        run = store.runs.create(store.projects.create("P", {}), spec("x").model_dump(mode="json"), "A run")
        with pytest.raises(RunError, match="no result yet"):
            run_report(store, run)
        with pytest.raises(UnknownNameError, match="csv, json, xlsx"):
            run_results(store, run, "ods")


def test_a_report_outlives_its_data(finished):
    home, run = finished
    with Store.open(home) as store:
        dataset = store.runs.get(run).spec["dataset"]
        with store.transaction():
            store.connection.write("UPDATE datasets SET hash = 'other' WHERE id = ?", (dataset,))
        try:
            assert "Rows fixed" in run_report(store, run)
        finally:
            kept = store.runs.get(run).spec["dataset_hash"]
            store.connection.write("UPDATE datasets SET hash = ? WHERE id = ?", (kept, dataset))


@pytest.mark.parametrize("text", ["-5", "+3.5", "-1,000.5", "1e5", "12%", "plain", "", "a=b"])
def test_numbers_and_plain_texts_stay_as_they_are(text):
    assert harmless(text) == text


@pytest.mark.parametrize("text", ["=1", " =1", "\t=1", "@x", "-1+1", "+cmd", "\uff1d1", "\r\n=1", "\u200b=1"])
def test_formulas_are_made_harmless(text):
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("scores", [{}, {0: 1.0}, {0: 0.0, 7: 1.0}])
def test_the_chart_is_drawn_for_any_run(scores):
    prompts = {n: Candidate({"s": StepState(f"Version {n}.")}) for n in scores}
    entries = [CandidateRow(c.id, n, None, 0, None, c, 0.0) for n, c in prompts.items()]
    trials = [
        TrialRow(n, prompts[n].id, "validation", "", score, 8, 8, "finished", 0.0, 1.0, Usage(), 1.0)
        for n, score in scores.items()
    ]
    leads = [Lead(n, n, prompts[n].id, Interval(score, 0.0, 1.0, 8), 8) for n, score in scores.items()]
    chart = score_chart(trials, entries, leads, entries[-1].id if entries else "")
    assert [dot.text for dot in chart["dots"]] == [
        f"Prompt {n}: {100 * score:.1f} % on 8 rows" for n, score in scores.items()
    ]
    assert [dot.kind for dot in chart["dots"]] == ["whole", "chosen"][2 - len(scores) :]
    assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT for mark in (*chart["grid"], *chart["dots"]))
    assert chart["path"].count(",") == 2 * len(scores)
    assert chart["band"].count(",") == 4 * len(scores)
    if len(scores) > 1:
        start, last = (next(mark.x for mark in chart["numbers"] if mark.text == n) for n in ("0", "7"))
        assert [dot.x for dot in chart["dots"]] == [start, last], "a dot is at the number of its prompt"


@pytest.mark.parametrize("bounds", [(0.0, 0.0, 0.0), (-1.0, 1.0, 0.0), (0.1, 0.4, 0.25), (-0.4, -0.1, -0.2)])
def test_the_interval_is_drawn_inside_its_frame(bounds):
    bar = interval_bar(*bounds)
    assert 0 <= bar["low"] <= bar["gain"] <= bar["low"] + bar["width"] <= 100
    assert bar["zero"] == 50


def test_the_picture_shows_every_row_that_turned():
    verdict = verdict_of("better", 0.25, 0.75, low=0.1, high=0.8, rows=4)
    rows = [(1, 0.0, 1.0), (2, 0.0, 1.0), (3, 1.0, 0.0), (9, 0.0, 1.0)]
    shown = hero_html(result_of(verdict=verdict, best=PromptFigures(cost_per_row=0.00016)), rows)
    assert shown.count('<i class="good"') == 3
    assert shown.count('<i class="bad"') == 1
    assert 'title="Row 9: fixed, 0 % before, 100 % now"' in shown
    assert "3 fixed, 1 broken · $0.16 per 1,000 rows" in shown


@pytest.mark.parametrize(
    ("validation", "words", "gap"),
    [
        (0.56, "Practice flattered by 6 points: 56 % on the rows to choose by, 50 % on the test rows.", 6.0),
        (0.5, "Practice did not flatter: 50 % on the rows to choose by, 50 % on the test rows.", 0.0),
        (0.47, "Practice did not flatter: 47 % on the rows to choose by, 50 % on the test rows.", 3.0),
    ],
)
def test_the_picture_says_how_far_practice_and_test_part(validation, words, gap):
    best = PromptFigures(validation=validation, test=0.5)
    shown = hero(result_of(best=best), [])["practice"]
    assert (shown["words"], shown["gap"]) == (words, gap)
    assert words in hero_html(result_of(best=best), [])
    assert hero(result_of(), [])["practice"] is None


def test_a_kept_start_shows_one_figure():
    verdict = verdict_of("unchanged", 0.5, 0.5)
    said = hero(result_of(verdict=verdict, best=PromptFigures(cost_per_row=0.0)), [(1, 1.0, 1.0)])
    assert (said["before"], said["after"], said["bar"], said["line"]) == ("", "50 %", None, "free")
