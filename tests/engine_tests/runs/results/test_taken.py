"""A prompt taken in the place of the search's: its figures are those of the result's texts, files and report."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from support.fixed_prompt_run import fixed_prompt_run

from engine.basics.text import percent
from engine.cli.tune import report
from engine.export.hero import result_sentences
from engine.records import Outcome
from engine.runs.results.exports import take_prompt
from engine.runs.results.more_scores import end_scoring
from engine.runs.results.report import hero_of, run_report, run_results
from engine.store.store import Store

CONTRADICTED = "On the test rows the fixed prompt was better: "


def printed(run):
    out = io.StringIO()
    report(run, Console(file=out, width=300))
    return out.getvalue()


def test_where_the_test_rows_surely_contradict_the_choice_the_result_says_so(home):
    ids = fixed_prompt_run(home)
    with Store.open(home) as store:
        run = store.runs.get(ids.run)
        (sentence,) = [s for s in result_sentences(run.result) if s.startswith(CONTRADICTED)]
        assert sentence == (
            f"{CONTRADICTED}98 against 88 %, surely (+4 to +15). It was not chosen by test rows; take it if you agree."
        )
        assert run.taken == ids.best, "the test rows choose nothing in silence"
        assert sentence in run_report(store, ids.run)
        assert sentence in printed(run)


def test_a_taken_prompt_is_what_every_text_and_file_of_the_run_shows(home):
    ids = fixed_prompt_run(home)
    with Store.open(home) as store:
        was = store.runs.get(ids.run)
        paths = take_prompt(home, store, ids.run, ids.fixed)
        run = store.runs.get(ids.run)
        own = run.result.shown
        assert (own.best_candidate, own.best.candidate) == (ids.fixed, ids.fixed)
        assert own.best.test == run.result.static.test
        assert run.result.verdict == was.result.verdict, "what the search found stays known"
        score, verdict = percent(own.best.test), own.verdict
        assert verdict.best == own.best.test
        assert verdict.sentence.startswith(f"Better: {score} of test rows right against 63 % before")
        hero, page, told = hero_of(store, run), run_report(store, ids.run), printed(run)
        for text in (hero, page):
            assert f">{score}</b><span>the prompt taken<" in text
            assert f">+{round(100 * verdict.best) - 63} points</b>" in text
        for text in (page, told, " ".join(result_sentences(run.result))):
            assert verdict.sentence in text
            assert was.result.verdict.sentence not in text
            assert CONTRADICTED not in text
            assert "the search&#39;s choice scores 88 %" in text or "the search's choice scores 88 %" in text
        assert "needs no discount" not in page
        rows = csv.DictReader(io.StringIO(run_results(store, ids.run, "csv").decode("utf-8-sig")))
        scores = [float(row["best score"]) for row in rows]
        assert sum(scores) / len(scores) == own.best.test
        metadata = json.loads(Path(paths.program).read_text())["metadata"]
        assert (metadata["score"], metadata["verdict"]) == (own.best.test, verdict.sentence)


def test_taking_the_search_s_choice_again_shows_its_figures_again(home):
    ids = fixed_prompt_run(home)
    with Store.open(home) as store:
        before = store.runs.get(ids.run)
        take_prompt(home, store, ids.run, ids.fixed)
        take_prompt(home, store, ids.run, ids.best)
        again = store.runs.get(ids.run)
        assert result_sentences(again.result) == result_sentences(before.result)
        assert again.result.shown.best == before.result.best


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        ("start", "The starting prompt is taken. These are the figures of the best one against it."),
        ("untested", "Another prompt was taken; these are the figures of the best one."),
    ],
)
def test_a_taken_prompt_without_figures_against_the_start_is_named(home, which, sentence):
    ids = fixed_prompt_run(home)
    with Store.open(home) as store:
        take_prompt(home, store, ids.run, getattr(ids, which))
        run = store.runs.get(ids.run)
        assert sentence in result_sentences(run.result)
        assert run.result.shown.best_candidate == ids.best


def test_a_taken_prompt_that_is_tested_later_is_shown_from_then_on(home):
    ids = fixed_prompt_run(home)
    with Store.open(home) as store:
        take_prompt(home, store, ids.run, ids.untested)
        run = store.runs.get(ids.run)
        test = next(t.number for t in store.trials.all(ids.run) if t.split == "test")
        rows = [o.row for o in store.trials.outcomes(ids.run, test)]
        store.trials.start(ids.run, 99, ids.untested, "test", "", len(rows))
        store.trials.add_outcomes(ids.run, 99, [Outcome(row, 1.0) for row in rows])
        store.trials.finish(ids.run, 99)
        end_scoring(store, run)
        own = store.runs.get(ids.run).result.shown
        assert (own.best_candidate, own.best.test) == (ids.untested, 1.0)
        assert own.verdict.sentence.startswith("Better: 100 % of test rows right")
