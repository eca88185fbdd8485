"""Which prompt is recommended after a run, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.search.judging.recommendation import DOLLARS, PricedPrompt, recommended, recommended_at
from engine.search.result import NotTested, PromptFigures, RunResult, StaticFigures, Verdict


def verdict(kind, before, after):
    return Verdict(kind, "", before, after, after - before, 0.0, 0.0, 40, 0, 0)


def run(kind, before=0.5, after=0.8, tokens=250.0):
    return RunResult(
        best_candidate="best",
        seed_candidate="start",
        verdict=verdict(kind, before, after),
        baseline=PromptFigures("start", test=before, tokens_per_row=100),
        best=PromptFigures("best", test=after, tokens_per_row=tokens),
    )


def test_a_fixed_prompt_that_is_surely_better_is_recommended():
    fixed = StaticFigures("fixed", test=0.97, tokens_per_row=575, against_best=verdict("better", 0.88, 0.97))
    advice = recommended(replace(run("better", after=0.88), static=fixed))
    assert advice.candidate == "fixed"
    assert (
        advice.sentence
        == "Take the fixed prompt: 97 %, 9 points more than the looked-up one, 2.3 times the tokens."
    )


def test_of_a_fixed_prompt_that_is_not_surely_better_the_searchs_choice_stays_recommended():
    fixed = StaticFigures("fixed", test=0.9, against_best=verdict("too_close", 0.88, 0.9))
    advice = recommended(replace(run("better", after=0.88), static=fixed))
    assert advice.candidate == "best"
    assert advice.sentence.startswith("Take the search's choice: 88 %, 38 points more than the start")


@pytest.mark.parametrize(
    ("kind", "after", "tokens", "candidate", "words"),
    [
        ("better", 0.8, 250.0, "best", "80 %, 30 points more than the start, 2.5 times the tokens."),
        (
            "too_close",
            0.5,
            60.0,
            "best",
            "50 %, not surely better or worse than the start, 40 % fewer tokens.",
        ),
        ("too_close", 0.55, 250.0, "start", "and the best prompt is not surely better with 55 %."),
        ("not_enough", 0.9, 50.0, "start", "and the best prompt is not surely better with 90 %."),
        ("worse", 0.3, 50.0, "start", "and the best prompt is worse with 30 %."),
    ],
)
def test_what_is_not_surely_better_is_not_recommended_unless_it_is_cheaper(
    kind, after, tokens, candidate, words
):
    advice = recommended(run(kind, after=after, tokens=tokens))
    assert advice.candidate == candidate
    assert advice.sentence.endswith(words)


def test_a_price_is_named_where_it_is_known():
    result = run("better")
    advice = recommended(
        replace(
            result,
            baseline=replace(result.baseline, cost_per_row=0.001),
            best=replace(result.best, cost_per_row=0.0005),
        )
    )
    assert advice.sentence.endswith("30 points more than the start, 50 % cheaper.")


def test_nothing_is_recommended_before_the_final_test_and_where_nothing_was_found():
    assert recommended(replace(run("better"), verdict=NotTested("Not tested yet."))) is None
    assert recommended(run("unchanged")) is None


PRICED = [
    PricedPrompt("start", 0, "the starting prompt on small", 0.5, 0.1),
    PricedPrompt("cheap", 4, "prompt 4 on small", 0.8, 0.4),
    PricedPrompt("equal", 5, "prompt 5 on large", 0.8, 0.9),
    PricedPrompt("top", 7, "prompt 7 on large", 0.88, 2.5),
]


@pytest.mark.parametrize(
    ("most", "candidate", "words"),
    [
        (0.05, "start", "38 points less than prompt 7 on large for $2.50 for 1,000 rows."),
        (0.4, "cheap", "Prompt 4 on small: 80 % in practice for $0.40 for 1,000 rows, 8 points less than"),
        (2.0, "cheap", "8 points less than prompt 7 on large"),
        (2.5, "top", "88 % in practice for $2.50 for 1,000 rows, the best of all."),
    ],
)
def test_the_best_at_a_price_moves_with_the_price_and_names_the_points_lost(most, candidate, words):
    advice = recommended_at(PRICED, most, DOLLARS)
    assert advice.candidate == candidate
    assert words in advice.sentence
