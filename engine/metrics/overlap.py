"""Shared words: `TokenF1`, and DSPy's `F1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.metrics.base import Grade, Metric, WorkedExample
from engine.metrics.text import as_text, missing_words, normalize_text, quoted, token_f1


class TokenF1(Metric):
    """How many words the answer and the expected text share, 0 to 1 (F1 of the SQuAD evaluation).

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

    def compare(self, expected: Any, answer: Any) -> Grade:
        """Grade one text by the words it shares with the one expected, or the best of several."""
        several = isinstance(expected, list | tuple) and not isinstance(answer, list | tuple)
        accepted = list(expected) if several else [expected]
        words = _words(answer)
        near = max(accepted, key=lambda one: _overlap(words, _words(one)), default="")
        score = _overlap(words, _words(near)) if accepted else 0.0
        if score == 1.0:
            return Grade(1.0, "Correct.")
        wanted = " or ".join(quoted(one) for one in accepted) or "nothing"
        lacks, extra = (
            missing_words(as_text(near), as_text(answer)),
            missing_words(as_text(answer), as_text(near)),
        )
        said = (f" It lacks: {lacks}." if lacks else "") + (f" It has too much: {extra}." if extra else "")
        return Grade(
            score, f"Expected {wanted}, got {quoted(answer)}: {100 * score:.0f} % of the words agree.{said}"
        )


def F1(prediction: str, answers_list: Sequence[str]) -> float:  # noqa: N802 - DSPy's name
    """Return the best token F1 of a text against several, after `normalize_text`; 0 when both are empty.

    >>> F1("a red scarf", ["red silk scarf"])
    0.8
    """
    words = normalize_text(str(prediction)).split()
    return max(token_f1(words, normalize_text(str(answer)).split()) for answer in answers_list)


def _overlap(answer: list[str], expected: list[str]) -> float:
    return 1.0 if not answer and not expected else token_f1(answer, expected)


def _words(value: Any) -> list[str]:
    text = as_text(value)
    # "A" or "..." would normalise to nothing, and then equal everything that does.
    return normalize_text(text).split() or text.lower().split()
