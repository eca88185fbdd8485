"""Metrics on patterns and texts that would take very long."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from engine.basics.text import difference
from engine.errors import ConfigurationError
from engine.evaluate.rows import run_rows
from engine.metrics import Contains, ExactMatch, NumberWithin, TokenF1
from engine.metrics.base import LONGEST_FEEDBACK, Grade
from engine.metrics.matching import Regex
from engine.metrics.similarity import BLEU, ROUGE, ChrF, EditDistance
from engine.metrics.whole_set import Correlation
from engine.modules.module import Module
from engine.records import Example
from engine.signature.prediction import Prediction

SECONDS = 20
"""Each takes a second or two; the machine may be busy."""


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(r"(a|aa)+$", "a" * 60 + "b"), (r"(.*?,){30}x", "1," * 500)],
)
def test_a_pattern_that_goes_back_and_forth_is_stopped(pattern: str, text: str):
    began = time.monotonic()
    with pytest.raises(ConfigurationError, match="takes more than 1 second"):
        Regex(pattern=pattern).compare(None, text)
    assert time.monotonic() - began < SECONDS


def test_other_rows_go_on_and_the_loop_is_free_while_a_pattern_is_tried():
    class Answers(Module):
        async def aforward(self, text: str) -> Prediction:
            return Prediction(answer=text)

    rows = [(i, Example(text="a" * 60 + "b", answer="").with_inputs("text")) for i in range(5)]

    async def run() -> tuple[list[str | None], int]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0.05)
                beats += 1

        beating = asyncio.create_task(beat())
        outcomes = await run_rows(Answers(), rows, Regex(pattern=r"(a|aa)+$"), limit=1)
        beating.cancel()
        return [one.error for one in outcomes], beats

    errors, beats = asyncio.run(run())
    assert all("takes more than" in str(error) for error in errors)
    assert beats >= 10, "after a few slow rows the metric has left the loop"


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\{a}|{b}", "{b}", True),
        (r"id{e}", "ide", False),
        (r"id{e}", "id{e}", True),
        (r"x{,2}y", "xxy", True),
        (r"\N{DIGIT ONE}", "1", True),
        (r"(?P<q>['\"]).*(?P=q)", "say 'yes'", True),
        (r"(?<=no )\w++", "no 12", True),
        (r"[a-z&&x]", "&", True),
    ],
)
def test_patterns_mean_what_they_mean_to_python(pattern: str, text: str, found: bool):
    assert Regex(pattern=pattern).compare(None, text).score == found


@pytest.mark.parametrize("pattern", ["(", "a" * 10_001, "(" * 5000 + ")" * 5000, r"\q", "(?P<a>b)(?P<a>c)"])
def test_what_is_no_pattern_is_one_sentence(pattern: str):
    with pytest.raises(ConfigurationError, match="is no regular expression"):
        Regex(pattern=pattern)
    with pytest.raises(ConfigurationError, match="is no regular expression"):
        Regex().compare(pattern, "text")


@pytest.mark.parametrize(
    "metric",
    [
        ROUGE(),
        ROUGE(kind="rouge2"),
        BLEU(),
        ChrF(),
        EditDistance(),
        EditDistance(strict=True),
        TokenF1(),
        ExactMatch(),
        Contains(),
        NumberWithin(),
    ],
    ids=repr,
)
def test_very_long_texts_are_graded_in_seconds(metric):
    chance = random.Random(7)
    one, other = (" ".join(str(chance.randrange(3000)) for _ in range(100_000)) for _ in range(2))
    began = time.monotonic()
    assert 0 <= metric.compare(one, other).score <= 1
    assert time.monotonic() - began < SECONDS


def test_rouge_is_what_its_own_implementation_gives():
    from rouge_score.rouge_scorer import RougeScorer

    chance = random.Random(3)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    for _ in range(200):
        one, other = (
            " ".join(
                chance.choices(["bills", "billing", "a", "cat", "sat", "On", "é!"], k=chance.randrange(12))
            )
            for _ in range(2)
        )
        known = 1.0 if one == other else scorer.score(one, other)["rougeL"].fmeasure
        assert ROUGE().compare(one, other).score == pytest.approx(known)


def test_a_number_beyond_all_measure_is_no_number():
    with pytest.raises(ConfigurationError, match="is not a number"):
        NumberWithin().compare("1" * 400, 1)
    assert NumberWithin().compare(1, 10**400).score == 0


def test_answers_beyond_all_measure_have_no_correlation():
    huge = ["1" + "0" * 308] * 2
    assert Correlation(kind="pearson").total(list(zip([1, 2, 3], [*huge, "1"], strict=True))).score == 0


def test_long_feedback_is_kept_in_part():
    class Answers(Module):
        async def aforward(self, text: str) -> Prediction:
            return Prediction(answer=text)

    def metric(example, prediction, trace=None):
        return Grade(0.0, "x" * 10_000_000)

    (outcome,) = asyncio.run(
        run_rows(Answers(), [(0, Example(text="t", answer="a").with_inputs("text"))], metric)
    )
    assert len(outcome.feedback) < LONGEST_FEEDBACK + 200
    assert "characters left out" in outcome.feedback


@pytest.mark.parametrize("size", [400, 10_000, 60_000])
def test_the_difference_of_long_texts_is_found_in_seconds(size: int):
    chance = random.Random(1)
    before = [chance.choice(["a", "b", "c", "d"]) for _ in range(size)]
    after = [chance.choice(["a", "b", "c", "d"]) if chance.random() < 0.3 else word for word in before]
    began = time.monotonic()
    for space in (" ", "\n"):
        found = difference(space.join(before), space.join(after))
        assert (
            "".join(s.text for line in found.lines for s in line.before or ()).split()
            == " ".join(before).replace(" ", "" if space == "\n" else " ").split()
        )
        assert sum(len(s.text) for line in found.lines for s in line.after or ()) == len(
            space.join(after).replace("\n", "")
        )
    assert time.monotonic() - began < SECONDS


def test_the_difference_of_long_texts_keeps_what_is_equal():
    words = [f"w{i}" for i in range(3000)]
    changed = [*words[:1500], "new", *words[1501:]]
    found = difference(" ".join(words), " ".join(changed))
    assert (found.added, found.removed) == (1, 1)
