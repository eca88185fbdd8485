"""Degrees of likeness to the expected text: words, letters, n-grams, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from engine.basics.similarity import unit
from engine.basics.text import as_text, normalize_text, percent, plain_text, quoted
from engine.lm.choice import OFFLINE_EMBEDDINGS
from engine.metrics.base import AwaitedMetric, Case, Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.matching import accepted_answers, missing_words, token_f1

LONGEST_GRADED = 50_000
"""Characters of a text that are compared: some comparisons take the product of both lengths."""


def _cut(value: object) -> str:
    return as_text(value)[:LONGEST_GRADED]


class EditDistanceOptions(MetricOptions):
    """Options of the comparison."""

    strict: bool = Field(
        False,
        title="Letter by letter",
        description="Also count capital letters, spaces and punctuation around the text.",
    )
    at_least: float = Field(
        0.0, ge=0, le=1, title="At least", description="A similarity below this counts as 0."
    )


class EditDistance(Metric):
    """1 minus the letters to change (Levenshtein distance) as a share of the longer text.

    >>> EditDistance().compare("kitten", "mitten").score.__round__(2)
    0.83
    """

    name = "EditDistance"
    title = "Spelling (edit distance)"
    plain = "The score says how few letters must be changed to make the answer the expected text, 0 to 1."
    examples = (
        WorkedExample("color", "colour", 0.8333333),
        WorkedExample("Berlin", "berlin", 1.0),
        WorkedExample("abc", "xyz", 0.0),
    )
    pros = ("Forgives a typing error.", "Right for codes, names and text read from scans.")
    cons = ("Two different numbers can be one letter apart.",)

    Options = EditDistanceOptions

    options: EditDistanceOptions

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one text by its distance to the one expected, or the nearest of several."""
        from rapidfuzz.distance import Levenshtein

        def form(value: object) -> str:
            return _cut(value if self.options.strict else plain_text(_cut(value)))

        accepted, got = accepted_answers(expected, answer), form(answer)
        near = max(accepted, key=lambda one: Levenshtein.normalized_similarity(form(one), got), default=None)
        if near is None:
            return Grade(0.0, f"Nothing was expected, got {quoted(answer)}.")
        wanted = form(near)
        score = Levenshtein.normalized_similarity(wanted, got)
        if score == 1.0:
            return Grade(1.0, "Correct.")
        letters = Levenshtein.distance(wanted, got)
        changed = "1 letter differs" if letters == 1 else f"{letters} letters differ"
        feedback = f"Expected {quoted(near)}, got {quoted(answer)}: {changed}."
        return Grade(score if score >= self.options.at_least else 0.0, feedback)


class TokenF1(Metric):
    """Share of words that answer and expected text have in common, 0 to 1 (F1 of the SQuAD evaluation).

    A list expected where the answer is one text holds every accepted answer; the best one counts.

    >>> TokenF1().compare("red silk scarf", "a red scarf").score
    0.8
    """

    name = "TokenF1"
    title = "Shared words (token F1)"
    plain = "The score is the share of words that the answer and the expected text have in common, 0 to 1."
    examples = (
        WorkedExample("red silk scarf", "a red scarf", 0.8),
        WorkedExample("red silk scarf", "Red silk scarf!", 1.0),
        WorkedExample("red silk scarf", "blue hat", 0.0),
    )
    pros = ("Partly right answers get part of the score.", "Right for short free text.")
    cons = ("Order and meaning do not count: 'dog bites man' equals 'man bites dog'.",)

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one text by the words it shares with the one expected, or the best of several."""
        accepted, words = accepted_answers(expected, answer), _words(answer)
        near = max(accepted, key=lambda one: _overlap(words, _words(one)), default="")
        score = _overlap(words, _words(near)) if accepted else 0.0
        if score == 1.0:
            return Grade(1.0, "Correct.")
        extra = missing_words(as_text(answer), as_text(near))
        feedback = _partly(accepted, answer, score, "of the words agree", near)
        return Grade(score, feedback + (f" It has too much: {extra}." if extra else ""))


def F1(prediction: str, answers_list: Sequence[str]) -> float:  # noqa: N802 - DSPy's name
    """Return the best token F1 of a text against several, after `normalize_text`; 0 when both are empty.

    >>> F1("a red scarf", ["red silk scarf"])
    0.8
    """
    words = normalize_text(str(prediction)).split()
    return max(token_f1(words, normalize_text(str(answer)).split()) for answer in answers_list)


def _overlap(answer: list[str], expected: list[str]) -> float:
    return 1.0 if not answer and not expected else token_f1(answer, expected)


def _words(value: object) -> list[str]:
    text = as_text(value)
    # "A" or "..." would normalise to nothing, and then equal everything that does.
    return normalize_text(text).split() or text.lower().split()


_PERFECT = 0.9999


class ROUGEOptions(MetricOptions):
    """Choice of the ROUGE variant."""

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

    Options = ROUGEOptions

    options: ROUGEOptions

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one text against the one expected, or the best of several."""
        kind, stem = self.options.kind, self.options.stem

        def score(wanted: str, got: str) -> float:
            if kind == "rougeL":
                return _common_order(wanted, got, stem)
            return float(_rouge(kind, stem).score(wanted, got)[kind].fmeasure)

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

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one text against the one expected, or several together."""
        accepted = [_cut(one) for one in accepted_answers(expected, answer)]
        got = _cut(answer)
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

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one text against the one expected, or the best of several."""

        def score(wanted: str, got: str) -> float:
            if not wanted.strip() or not got.strip():
                return float(wanted.strip() == got.strip())
            return float(_sacrebleu("chrf").sentence_score(got, [wanted]).score / 100)

        return _best(score, expected, answer)


def _best(score: Any, expected: object, answer: object) -> Grade:
    accepted = [_cut(one) for one in accepted_answers(expected, answer)]
    got = _cut(answer)
    best = max((1.0 if got == one else score(one, got) for one in accepted), default=0.0)
    return _graded(best, accepted, got)


def _graded(score: float, accepted: list[str], got: str) -> Grade:
    score = 1.0 if score >= _PERFECT else max(0.0, score)
    if score == 1.0:
        return Grade(1.0, "Correct.")
    return Grade(score, _partly(accepted, got, score, "overlap", accepted[0] if len(accepted) == 1 else got))


def _partly(accepted: Sequence[object], answer: object, score: float, measure: str, near: object) -> str:
    """Return the feedback on an answer that is partly right; `near` is the accepted one whose words it should have."""
    wanted = " or ".join(map(quoted, accepted)) or "nothing"
    lacks = missing_words(as_text(near), as_text(answer))
    return f"Expected {wanted}, got {quoted(answer)}: {percent(score, 0)} {measure}." + (
        f" It lacks: {lacks}." if lacks else ""
    )


def _common_order(wanted: str, got: str, stem: bool) -> float:
    """Return ROUGE-L: the package fills a table in Python, which takes minutes on long texts."""
    from rapidfuzz.distance import LCSseq
    from rouge_score.scoring import fmeasure

    expected_words, answer_words = _tokenizer(stem).tokenize(wanted), _tokenizer(stem).tokenize(got)
    if not expected_words or not answer_words:
        return 0.0
    common = LCSseq.similarity(expected_words, answer_words)
    return float(fmeasure(common / len(answer_words), common / len(expected_words)))


@lru_cache(maxsize=2)
def _tokenizer(stem: bool) -> Any:
    from rouge_score.tokenizers import DefaultTokenizer  # loads nltk

    return DefaultTokenizer(use_stemmer=stem)


@lru_cache(maxsize=8)
def _rouge(kind: str, stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # loads nltk

    return RougeScorer([kind], use_stemmer=stem)


@lru_cache(maxsize=2)
def _sacrebleu(kind: str) -> Any:
    from sacrebleu.metrics import bleu, chrf

    return bleu.BLEU(effective_order=True) if kind == "bleu" else chrf.CHRF()


class EmbeddingSimilarityOptions(MetricOptions):
    """Choice of the embeddings, and the threshold from which an answer counts."""

    model: str = Field(
        OFFLINE_EMBEDDINGS,
        title="Embedding model",
        description="As in openai/text-embedding-3-small. The offline one compares words and letters only.",
    )
    at_least: float = Field(
        0.0, ge=0, le=1, title="At least", description="A similarity below this counts as 0."
    )


class EmbeddingSimilarity(AwaitedMetric):
    """The cosine between the embeddings of answer and expected text, not below 0. No model judges.

    >>> EmbeddingSimilarity().compare("the parcel is late", "the parcel is late").score
    1.0
    """

    name = "EmbeddingSimilarity"
    title = "Similar text (embeddings)"
    plain = "The score is how near the answer and the expected text are as embeddings, 0 to 1."
    examples = (
        WorkedExample("the parcel is late", "the parcel is late", 1.0),
        WorkedExample("the parcel is late", "", 0.0),
    )
    pros = ("Cheap next to a judge.", "Works offline, then on words and letters.")
    cons = ("'It is' and 'it is not' are near each other.",)

    Options = EmbeddingSimilarityOptions

    options: EmbeddingSimilarityOptions

    def __init__(self, *, embedder: Any = None, **options: object) -> None:
        from engine.lm.embedder import Embedder  # brings the network in

        super().__init__(**options)
        self._embedder = embedder or Embedder(self.options.model)

    async def acompare(self, case: Case) -> Grade:
        """Grade one text by the nearest of the accepted ones. Raises LMError as the embedding model does."""
        accepted = [as_text(one) for one in accepted_answers(case.expected, case.answer)]
        got = as_text(case.answer)
        if got in accepted:
            return Grade(1.0, "Correct.")
        if not accepted or not got.strip() or not any(one.strip() for one in accepted):
            return Grade(
                0.0, f"Expected {' or '.join(map(quoted, accepted)) or 'nothing'}, got {quoted(got)}."
            )
        vectors = unit(await self._embedder.acall([got, *accepted]))
        near = vectors[1:] @ vectors[0]
        best = int(near.argmax())
        score = min(1.0, max(0.0, float(near[best])))
        feedback = _partly([accepted[best]], got, score, "similar", accepted[best])
        return Grade(score if score >= self.options.at_least else 0.0, feedback)
