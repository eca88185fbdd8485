"""Texts made comparable, and values as text. Knows nothing of examples."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from typing import Any

from engine.text import as_text

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_EDGES = " \t\r\n.,;:!?\"'`*_()[]{}<>"
_LONGEST_SHOWN = 120


def normalize_text(text: str) -> str:
    """Return a text without case, ASCII punctuation, the words a/an/the and extra spaces, accents decomposed.

    This is the normalisation of the SQuAD evaluation script (Rajpurkar et al. 2016).

    >>> normalize_text("The  Quick, brown fox!")
    'quick brown fox'
    """
    lowered = unicodedata.normalize("NFD", text).lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", lowered).split())


def plain_text(value: object) -> str:
    """Return a value as text without case, extra spaces and the punctuation around it.

    What is inside stays, so that "-5" and "5", or "3.5" and "35", differ.

    >>> plain_text("  'Yes.' "), plain_text(True), plain_text("-3.5")
    ('yes', 'true', '-3.5')
    """
    text = unicodedata.normalize("NFKC", as_text(value)).casefold()
    return " ".join(text.split()).strip(_EDGES)


def quoted(value: object) -> str:
    """Return a value as it is shown in feedback, cut when it is long.

    >>> quoted("billing"), quoted(None), quoted(12)
    ("'billing'", 'nothing', '12')
    """
    if value is None or value == "":
        return "nothing"
    if isinstance(value, int | float):
        return str(value)
    text = as_text(value)
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "...")


def token_f1(answer: list[str], expected: list[str]) -> float:
    """Return the harmonic mean of precision and recall of words, counted with repeats; 0 without any in common."""
    shared = sum((Counter(answer) & Counter(expected)).values())
    return 2 * shared / (len(answer) + len(expected)) if shared else 0.0


def missing_words(expected: str, answer: str, most: int = 8) -> str:
    """Return the expected words that an answer lacks, quoted and cut to `most`; "" without any.

    >>> missing_words("red silk scarf", "a red scarf")
    "'silk'"
    """
    had = set(normalize_text(answer).split())
    missing = [word for word in dict.fromkeys(normalize_text(expected).split()) if word not in had]
    more = ", ..." if len(missing) > most else ""
    return ", ".join(repr(word) for word in missing[:most]) + more


def accepted_answers(expected: Any, answer: object) -> list[Any]:
    """Return the answers that count: a list expected where one value is given holds every accepted answer."""
    several = isinstance(expected, list | tuple | set | frozenset) and not isinstance(answer, list | tuple)
    return list(expected) if several else [expected]
