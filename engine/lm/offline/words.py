"""Text as a learner sees it: tokens, stems, and weighted features. Every result is remembered.

Knows English endings and its commonest words; knows nothing of labels, tasks or prompts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|\?")


@lru_cache(maxsize=16384)
def tokens(text: str) -> tuple[str, ...]:
    """Return a text's words in lower case, question marks among them; every number is "#".

    >>> tokens("We're 24 people!")
    ("we're", '#', 'people')
    """
    found = _TOKEN.findall(text.casefold().replace("\u2019", "'"))
    return tuple("#" if t[0].isdigit() else t for t in found)


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return a word without its commonest English endings.

    >>> [stem(w) for w in ("refunded", "cancellations", "deliveries", "charging")]
    ['refund', 'cancel', 'deliver', 'charg']
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    word = word.removesuffix("'s").replace("'", "")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    if len(word) > 4 and word[-1] in "ey" and word[-2] not in "aeiou":
        word = word[:-1]
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "sz":
        word = word[:-1]
    return word


@lru_cache(maxsize=16384)
def stems(text: str) -> tuple[str, ...]:
    """Return the stems of a text's words, in order."""
    return tuple(stem(t) for t in tokens(text))


@lru_cache(maxsize=16384)
def stem_set(text: str) -> frozenset[str]:
    """Return the different stems of a text, with joined pairs ("log in" also counts as "login")."""
    found = stems(text)
    return frozenset(found) | {a + b for a, b in pairwise(found) if len(a) < 5 and len(b) < 7}


@lru_cache(maxsize=16384)
def features(text: str) -> dict[str, float]:
    """Return a text's features with their weights before any corpus is known.

    Stems, pairs of stems, and pieces of four letters, which find kin of a word that the endings miss.
    """
    found: dict[str, float] = {}
    line = stems(text)
    for word in line:
        found[word] = max(found.get(word, 0.0), 0.12 if word in COMMON else 1.0)
        if word not in COMMON and len(word) > 5:
            for i in range(len(word) - 3):
                found["~" + word[i : i + 4]] = 0.18
    for first, second in pairwise(line):
        both = (first in COMMON) + (second in COMMON)
        found[f"{first} {second}"] = (0.6, 0.25, 0.06)[both]
    return found


_ENDINGS = (
    "ations",
    "ation",
    "ments",
    "ment",
    "ings",
    "ing",
    "edly",
    "ies",
    "ied",
    "ions",
    "ed",
    "es",
    "ly",
    "s",
)
_IRREGULAR = {
    "broke": "broken", "lost": "los", "lose": "los", "left": "left", "sent": "send", "paid": "pay", "was": "is",
    "are": "is", "were": "is", "been": "is", "has": "have", "had": "have", "bought": "buy", "went": "go",
    "gone": "go", "came": "come", "this": "this", "news": "news", "late": "late", "later": "late",
    "always": "always", "does": "do", "did": "do", "done": "do",
}  # fmt: skip


def word_stems(text: str) -> frozenset[str]:
    """Return the stems of words that are written with spaces between them.

    >>> sorted(word_stems("late refunds"))
    ['late', 'refund']
    """
    return frozenset(map(stem, text.split()))


COMMON = word_stems("""
    # a an the and or but nor so yet if then than that this these those there here it its it's i i'm i'd i've me my mine
    we we're we've we'd us our you you're your he she they they're their them his her who whom whose which what when
    where why how is are was were be been being am do does did doing have has had having will would can could shall
    should may might must not no don't doesn't didn't isn't wasn't can't won't of to in on at by for from with without
    about into onto over under after before since until till during between through up down out off again just only
    also too very really quite still even ever never always some any all each every both few more most other another
    such own same one two three four five six seven eight nine ten twelve hundred monday tuesday wednesday thursday
    friday saturday sunday january february march april may june july august september october november december get got getting go goes going gone come came make made take took put say says said
    tell told know want wants wanted need needs like look looks see seen please pls thanks thank thx hi hello hey dear
    team morning evening kind regards best cheers now today yesterday day days week weeks month time times
    because as while though although however maybe else anything something everything nothing someone anyone
    nobody way lot much many bit thing things people let lets us back new old first last next
    """)
