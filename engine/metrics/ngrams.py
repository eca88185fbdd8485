"""Overlap of word and letter sequences: `ROUGE`, `BLEU` and `ChrF`, by the standard packages.

Sources: Lin 2004 (ROUGE), Papineni et al. 2002 (BLEU), Popović 2015 (chrF); computed by rouge-score and sacrebleu,
which are loaded on first use.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.text import accepted_answers, as_text, missing_words, quoted

_PERFECT = 0.9999


class ROUGEOptions(MetricOptions):
    """Which ROUGE."""

    kind: Literal["rouge1", "rouge2", "rougeL"] = Field(
        "rougeL",
        title="Kind",
        description="rouge1: words; rouge2: pairs of words; rougeL: the longest common order of words.",
    )
    stem: bool = Field(True, title="Word stems", description="'bills' and 'billing' count as one word.")


class ROUGE(Metric):
    """Overlap with the expected text as summaries are graded: the F-measure of words, pairs or the common order.

    >>> round(ROUGE().compare("the cat sat on the mat", "a cat sat").score, 2)
    0.44
    """

    name = "ROUGE"
    title = "ROUGE (summaries)"
    plain = "The score is how much of the expected text the answer repeats in the same order, 0 to 1."
    examples = (
        WorkedExample("the parcel came late", "the parcel came late", 1.0),
        WorkedExample("the parcel came late", "late came the parcel", 0.5),
        WorkedExample("the parcel came late", "a fine day", 0.0),
    )
    pros = ("The usual number for summaries.",)
    cons = ("A good summary in other words scores low.",)
    Options: ClassVar[type[MetricOptions]] = ROUGEOptions

    options: ROUGEOptions

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one text against the one expected, or the best of several."""
        scorer = _rouge(self.options.kind, self.options.stem)

        def score(wanted: str, got: str) -> float:
            return float(scorer.score(wanted, got)[self.options.kind].fmeasure)

        return _best(score, expected, answer)


class BLEU(Metric):
    """Overlap of one to four words in a row, as translations are graded (sentence BLEU, effective order).

    >>> BLEU().compare("the cat sat on the mat", "the cat sat on the mat").score
    1.0
    """

    name = "BLEU"
    title = "BLEU (translations)"
    plain = (
        "The score is how many runs of one to four words the answer shares with the expected text, 0 to 1."
    )
    examples = (
        WorkedExample("the cat sat on the mat", "the cat sat on the mat", 1.0),
        WorkedExample("the cat sat on the mat", "blue", 0.0),
    )
    pros = ("The usual number for translations; several accepted texts count together.",)
    cons = ("Says little about a single short sentence.",)

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one text against the one expected, or several together."""
        accepted = [as_text(one) for one in accepted_answers(expected, answer)]
        got = as_text(answer)
        if not got.strip() or not any(one.strip() for one in accepted):
            return _graded(float(got.strip() in [one.strip() for one in accepted]), accepted, got)
        return _graded(_sacrebleu("bleu").sentence_score(got, accepted).score / 100, accepted, got)


class ChrF(Metric):
    """Overlap of runs of up to six letters (chrF2): forgives endings and spelling, in any language.

    >>> ChrF().compare("colour", "color").score > 0.4
    True
    """

    name = "ChrF"
    title = "chrF (letters)"
    plain = "The score is how many short runs of letters the answer shares with the expected text, 0 to 1."
    examples = (
        WorkedExample("the parcel came late", "the parcel came late", 1.0),
        WorkedExample("abc", "xyz", 0.0),
    )
    pros = ("Fair to languages with many word endings.", "Close spellings score well.")
    cons = ("A wrong name that is spelt alike scores well too.",)

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one text against the one expected, or the best of several."""

        def score(wanted: str, got: str) -> float:
            if not wanted.strip() or not got.strip():
                return float(wanted.strip() == got.strip())
            return float(_sacrebleu("chrf").sentence_score(got, [wanted]).score / 100)

        return _best(score, expected, answer)


def _best(score: Any, expected: Any, answer: Any) -> Grade:
    accepted = [as_text(one) for one in accepted_answers(expected, answer)]
    got = as_text(answer)
    best = max((1.0 if got == one else score(one, got) for one in accepted), default=0.0)
    return _graded(best, accepted, got)


def _graded(score: float, accepted: list[str], got: str) -> Grade:
    score = 1.0 if score >= _PERFECT else max(0.0, score)
    if score == 1.0:
        return Grade(1.0, "Correct.")
    wanted = " or ".join(quoted(one) for one in accepted) or "nothing"
    missing = missing_words(accepted[0], got) if len(accepted) == 1 else ""
    lacks = f" It lacks: {missing}." if missing else ""
    return Grade(score, f"Expected {wanted}, got {quoted(got)}: {100 * score:.0f} % overlap.{lacks}")


@lru_cache(maxsize=8)
def _rouge(kind: str, stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # loads nltk

    return RougeScorer([kind], use_stemmer=stem)


@lru_cache(maxsize=2)
def _sacrebleu(kind: str) -> Any:
    from sacrebleu.metrics import bleu, chrf

    return bleu.BLEU(effective_order=True) if kind == "bleu" else chrf.CHRF()
