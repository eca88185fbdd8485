"""Text as the offline model sees it: words, stems, sentences, numbers, and how alike texts are."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

from engine.basics import similarity, value_parsing


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return a word without its commonest English endings.

    >>> [stem(w) for w in ("refunded", "cancellations", "deliveries", "charging")]
    ['refund', 'cancel', 'deliver', 'charg']
    """
    word = word.removesuffix("'s").replace("'", "")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    if len(word) > 4 and word[-1] in "ey" and word[-2] not in "aeiou":
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "sz" else word


@lru_cache(maxsize=16384)
def tokens(text: str) -> tuple[str, ...]:
    """Return a text's words in lower case, question marks among them; every number is "#"."""
    words = _TOKEN.findall(text.casefold().replace("\u2019", "'"))
    return tuple("#" if token[0].isdigit() else token for token in words)


@lru_cache(maxsize=16384)
def stems(text: str) -> tuple[str, ...]:
    """Return the stems of a text's words, in order."""
    return tuple(map(stem, tokens(text)))


@lru_cache(maxsize=16384)
def content_words(text: str) -> frozenset[str]:
    """Return the stems of a text's words that carry meaning."""
    return frozenset(stems(text)) - COMMON


@lru_cache(maxsize=4096)
def sentences(text: str) -> tuple[str, ...]:
    """Return a text's sentences and lines."""
    return tuple(s.strip() for s in re.split(r"(?<=[.!?])\s+|\n+", text) if s.strip())


def first_sentence(text: str, limit: int = 160) -> str:
    """Return a text's first sentence, cut at `limit` characters."""
    head = re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0].replace("\n", " ")
    return head if len(head) <= limit else head[:limit].rsplit(" ", 1)[0] + " ..."


def number_places(text: str) -> list[tuple[int, int, float]]:
    """Return the start, the end and the value of each number of a text, those in words included."""
    text = text.casefold()
    words = [(m.start(), m.end(), _NUMBER_WORDS[m[0]]) for m in _NUMBER_WORD.finditer(text)]
    digits = [
        (number.start, number.end, value)
        for number in value_parsing.numbers_in(text, in_words=True)
        if abs(value := float(str(number.readings[0]))) < _LARGEST
        and not text[max(0, number.start - 1) : number.start].isalpha()
    ]
    return sorted(words + digits)


def numbers_in(text: str) -> tuple[float, ...]:
    """Return the numbers of a text in order.

    >>> numbers_in("Three boxes of 1,200 nails, 2.5 kg, twice")
    (3.0, 1200.0, 2.5, 2.0)
    """
    return tuple(value for _, _, value in number_places(text))


def plain_number(value: float) -> str:
    """Return a number without needless digits: "7", "2.5"."""
    rounded = round(value, 2)
    return str(int(rounded)) if rounded == int(rounded) else f"{rounded:g}"


def similarities(text: str, texts: tuple[str, ...]) -> list[float]:
    """Return how alike a text is to each of others: the share of their telling stems in it, rare ones counting more."""
    rarity, indexed = _index(texts)
    present = frozenset(stems(text))
    return [similarity.total_weight(present & words, rarity) / (whole or 1.0) for words, whole in indexed]


@lru_cache(maxsize=256)
def _index(texts: tuple[str, ...]) -> tuple[dict[str, float], list[tuple[frozenset[str], float]]]:
    """Return how rare each telling stem of some texts is, and each text's stems with the sum of their weights."""
    words = [content_words(text) for text in texts]
    rarity = similarity.rarity(words)
    return rarity, [
        (stems_of_text, similarity.total_weight(stems_of_text, rarity)) for stems_of_text in words
    ]


def vote(text: str, examples: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Return how much examples (text, label) speak for each label: 1 for the best, less where all are unlike the text.

    >>> shares = vote("forgot the password", [("my parcel is late", "post"), ("wrong password", "login")])
    >>> max(shares, key=shares.get)
    'login'
    """
    likeness: dict[str, list[float]] = {}
    for (_, label), value in zip(examples, similarities(text, tuple(t for t, _ in examples)), strict=True):
        likeness.setdefault(label, []).append(value)
    scores = {
        label: 0.15 * max(values) + 0.85 * sum(values) / math.sqrt(len(values))
        for label, values in likeness.items()
    }
    best = max(scores.values(), default=0.0) or 1.0
    trust = min(1.0, max(map(max, likeness.values()), default=0.0) / 0.3)
    return {label: trust * score / best for label, score in scores.items()}


def word_stems(text: str) -> frozenset[str]:
    """Return the stems of words that are written with spaces between them."""
    return frozenset(map(stem, text.split()))


_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|\?")
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
_LARGEST = 1e15
"""Numbers beyond it are no amounts."""

_COUNTED = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBER_WORDS = dict(zip(_COUNTED.split(), map(float, range(2, 21)), strict=True)) | {
    "zero": 0.0,
    "dozen": 12.0,
    "twice": 2.0,
    "double": 2.0,
    "triple": 3.0,
    "half": 0.5,
}
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBER_WORDS)})\b")
NUMBER = rf"\b\d[\d.,]{{0,14}}(?<![.,])|{_NUMBER_WORD.pattern}"
"""Form of a number in digits or in one English word, as a part of a longer pattern."""

COMMON = word_stems("""
    # a an the and or but nor so yet if then than that this these those there here it its it's i i'm i'd i've me my mine
    we we're we've we'd us our you you're your he she they they're their them his her who whom whose which what when
    where why how is are was were be been being am do does did doing have has had having will would can could shall
    should may might must not no don't doesn't didn't isn't wasn't can't won't of to in on at by for from with without
    about into onto over under after before since until till during between through up out just only
    also too very really quite even some any all each every both few more most other another
    such own same one two three four five six seven eight nine ten twelve hundred monday tuesday wednesday thursday
    friday saturday sunday january february march april may june july august september october november december get
    got getting go goes going gone come came come make made take took put say says said tell told know want wants wanted
    need needs like look looks see seen pls thx hi hello hey dear team morning evening kind regards
    best cheers now today yesterday day days week weeks month time times because as while though although however maybe
    else anything something everything someone anyone way lot much bit thing things people let lets
    us next
    """)
"""Words that say little of what a text is about."""
