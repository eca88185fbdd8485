"""Text similarity without a model: words of a text, the nearest texts, texts as vectors, texts that nearly repeat another.

It needs nothing of the engine: exported scripts carry this code.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]


DIMENSIONS = 1024
"""Length of a hashed vector."""


def words(text: str) -> list[str]:
    """Return a text's words in lower case.

    >>> words("Two Parcels, late!")
    ['two', 'parcels', 'late']
    """
    return re.findall(r"\w+", text.lower())


def search_words(text: str) -> list[str]:
    """Return a text's words as a search compares them: without case, accents, function words and plural endings.

    >>> search_words("The Refunds of two Bus lines, déjà vu")
    ['refund', 'two', 'bus', 'line', 'deja', 'vu']
    """
    folded = unicodedata.normalize("NFKD", text.casefold())
    if not text.isascii():
        folded = "".join(c for c in folded if not unicodedata.combining(c))
    return [stem for stem in map(_stem, re.findall(r"\w+", folded)) if stem]


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    """Return a word without its plural ending; "" for a function word. Harman's S-stemmer: it rarely confuses words."""
    if word in FUNCTION_WORDS:
        return ""
    if len(word) > 3 and word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("us", "ss", "is")):
        return word[:-1]
    return word


FUNCTION_WORDS = frozenset(
    words(
        "a an and are as at be but by do does for from had has have how i if in into is it its me my not of on or our so "
        "that the their then there these they this to was we were what when where which who will with you your"
    )
)


def rarity(texts: Sequence[Iterable[str]]) -> dict[str, float]:
    """Return the weight of each word of some texts, each given as its distinct words: inverse document frequency."""
    known = Counter(word for text in texts for word in text)
    return {word: math.log((1 + len(texts)) / n) for word, n in known.items()}


def shared(
    one: Collection[str], other: Collection[str], weights: Mapping[str, float], unknown: float
) -> float:
    """Return the weight of the words of both over that of the words of either, 0 to 1."""
    either = total_weight({*one, *other}, weights, unknown)
    return total_weight({*one} & {*other}, weights, unknown) / either if either else 0.0


def total_weight(found: Iterable[str], weights: Mapping[str, float], unknown: float = 0.0) -> float:
    """Return the exact sum of the words' weights: the order of a set's words is another in each process."""
    return math.fsum(weights.get(word, unknown) for word in found)


class NearestTexts:
    """Texts, indexed so that the nearest to another text are found quickly.

    Words and their three-letter parts are weighed by how rare they are among the texts (TF-IDF) and compared by cosine.

    >>> near = NearestTexts(["the parcel is late", "my password is wrong", "where is my parcel"])
    >>> near.nearest("a parcel that never came", 2)
    [2, 0]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [_word_parts(text) for text in texts]
        self._rarity = rarity(counts)
        postings: dict[str, tuple[list[int], list[float]]] = {}
        for place, count in enumerate(counts):
            weights = {part: (1 + math.log(n)) * self._rarity[part] for part, n in count.items()}
            length = math.sqrt(sum(w * w for w in weights.values())) or 1.0
            for part, weight in weights.items():
                places, shares = postings.setdefault(part, ([], []))
                places.append(place)
                shares.append(weight / length)
        self._postings = {part: _posting(places, shares) for part, (places, shares) in postings.items()}
        self._size = len(texts)

    def nearest(self, text: str, k: int) -> list[int]:
        """Return the places of the `k` texts most like this one, the nearest first; ties keep their order."""
        weighed = (
            ((1 + math.log(n)) * self._rarity[part], self._postings[part])
            for part, n in _word_parts(text).items()
            if part in self._postings
        )
        return _ranked(self._size, weighed)[:k]


def _posting(places: list[int], shares: list[float]) -> tuple[object, object]:
    """Return the texts that hold a part, by place, and its share of each; as arrays, since sums of lists are slow."""
    import numpy as np  # only where texts are compared: it takes long to load

    return np.array(places), np.array(shares)


def _ranked(size: int, weighed: Iterable[tuple[float, tuple[Any, Any]]]) -> list[int]:
    """Return the places of all texts by the sums of weighed shares, the largest first; ties keep their order."""
    import numpy as np

    closeness = np.zeros(size)
    for weight, (places, shares) in weighed:
        closeness[places] += weight * shares
    ranked: list[int] = np.argsort(-closeness, kind="stable").tolist()
    return ranked


def _word_parts(text: str) -> Counter[str]:
    """Return the words of a text and their three-letter parts, counted."""
    found = words(text)
    parts = Counter(found)
    for word in found:
        parts.update(f"~{word[i : i + 3]}" for i in range(len(word) - 2))
    return parts


def text_of_values(values: Mapping[str, object], names: Sequence[str]) -> str:
    """Return some of the values as one text."""
    return "\n".join(str(values[name]) for name in names if values.get(name) is not None)


def hashed(texts: Sequence[str]) -> Vectors:
    """Return vectors of length 1 of hashed words and letter runs; the same on every machine.

    They compare spelling and wording, not meaning.
    Source of the method: Weinberger et al. 2009, "Feature hashing for large scale multitask learning".

    >>> late, also_late, fine = hashed(["the parcel is late", "the parcels are late", "a fine day"])
    >>> bool(late @ also_late > late @ fine)
    True
    """
    import numpy as np

    made = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in enumerate(texts):
        made[row] = _hashed(text[:_LONGEST])
    return made


def unit(vectors: Vectors) -> Vectors:
    """Return vectors with length 1, so that their dot products are cosines."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    made: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return made


def _hashed(text: str) -> Vectors:
    """Return the vector of one text."""
    import numpy as np

    found = re.findall(r"\w+", text.casefold())
    vector = np.zeros(DIMENSIONS, np.float64)
    for word in found:
        number = zlib.crc32(word.encode())
        weight = _WORD_WEIGHT if len(word) > 3 else _SHORT_WORD_WEIGHT
        vector[number % DIMENSIONS] += weight if number & 0x8000_0000 else -weight
    letters = np.frombuffer(f" {' '.join(found)} ".encode(), np.uint8).astype(np.uint64)
    for n in _GRAMS:
        count = len(letters) - n + 1
        if count < 1:
            continue
        runs: npt.NDArray[np.uint64] = np.full(count, n, np.uint64)
        for at in range(n):
            runs = (runs * np.uint64(1_099_511_628_211)) ^ letters[at : at + count]
        runs = runs ^ (runs >> np.uint64(29))
        sign = np.where((runs >> np.uint64(40)) & np.uint64(1), 1.0, -1.0)
        vector += np.bincount(
            (runs % np.uint64(DIMENSIONS)).astype(np.int64), weights=sign, minlength=DIMENSIONS
        )
    # Square roots: a word that comes ten times does not count ten times.
    vector = np.sign(vector) * np.sqrt(np.abs(vector))
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)


_LONGEST = 20_000
_GRAMS = (3, 4, 5)
_WORD_WEIGHT = 3.0
_SHORT_WORD_WEIGHT = 0.5


NEAR = 93
"""Percent of equal letters from which two texts are nearly the same."""

LOOKED_AT = 20_000
"""Rows whose answers are judged by their neighbours'; of more, as many evenly spread ones."""

_NEAR_BY = 2000
"""Rows among which neighbours are looked for, evenly spread."""

_AT_ONCE = 1000
_HEAD = 240
_WIDTH = 1024
_NEIGHBOURS = 7
_NUMBERS = re.compile(r"\d+")
_WORDS = re.compile(r"\w+")


def nearest_choice(text: str, choices: Sequence[str]) -> str:
    """Return the allowed value that a text most likely means; "" where none is near.

    >>> nearest_choice("Biling", ["billing", "shipping"]), nearest_choice("moon", ["billing", "shipping"])
    ('billing', '')
    """
    from rapidfuzz import fuzz, process

    folded = [_folded(c) for c in choices]
    found = process.extractOne(_folded(text), folded, scorer=fuzz.ratio, score_cutoff=80)
    return choices[found[2]] if found else ""


def merged_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Return rare ways of writing an answer -> the frequent way: other case or marks, or a slip of a letter or two.

    >>> merged_spellings({"billing": 40, "Billing": 3, "biling": 1, "shipping": 30})
    {'Billing': 'billing', 'biling': 'billing'}
    """
    from rapidfuzz import fuzz

    kept: dict[str, str] = {}
    merged: dict[str, str] = {}
    for text in sorted(counts, key=lambda text: -counts[text]):
        folded = _folded(text)
        slips = (
            original
            for known, original in kept.items()
            if min(len(known), len(folded)) >= 5
            and not _NUMBERS.search(known + folded)
            and counts[text] <= max(2, counts[original] // 10)
            and fuzz.ratio(known, folded) >= 88
        )
        usual = kept[folded] if folded in kept else next(slips, None)
        if usual is None:
            kept[folded] = text
        else:
            merged[text] = usual
    return merged


def near_pairs(texts: Mapping[int, str]) -> list[tuple[int, int]]:
    """Return pairs (earlier row, later row) of texts that differ by a few letters; each later row once.

    Texts are compared with their neighbours in two orders, from the front and from the back, so that a difference
    at either end is found. Texts with different numbers in them are different texts. (Sorted neighbourhood,
    Hernandez and Stolfo 1995.)

    >>> near_pairs({0: "please send me the invoice now", 1: "i like cats", 2: "please send me the invoise now"})
    [(0, 2)]
    """
    rows = [row for row, text in texts.items() if len(text) >= 20]
    if len(rows) < 2:
        return []
    candidates: dict[tuple[int, int], None] = {}
    for order in (sorted(rows, key=texts.__getitem__), sorted(rows, key=lambda r: texts[r][::-1])):
        for step in (1, 2):
            candidates |= dict.fromkeys(
                (a, b) if a < b else (b, a) for a, b in zip(order, order[step:], strict=False)
            )
    return _alike(texts, list(candidates))


def _alike(texts: Mapping[int, str], pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    import numpy as np
    from rapidfuzz import fuzz, process

    heads = {row: text[:_HEAD] for row, text in texts.items()}
    scores = process.cpdist(
        [heads[a] for a, _ in pairs],
        [heads[b] for _, b in pairs],
        scorer=fuzz.ratio,
        score_cutoff=NEAR,
        dtype=np.uint8,
    )
    found: dict[int, int] = {}
    for at in map(int, np.flatnonzero(scores)):
        a, b = pairs[at]
        one, other = texts[a], texts[b]
        same = (
            _NUMBERS.findall(one) == _NUMBERS.findall(other)
            and one[one.rfind("\x1e") :] == other[other.rfind("\x1e") :]
        )
        if (
            b not in found
            and same
            and (len(one) <= _HEAD >= len(other) or fuzz.ratio(one[:4000], other[:4000]) >= NEAR)
        ):
            found[b] = a
    return sorted((a, b) for b, a in found.items())


def odd_labels(texts: Sequence[str], labels: Sequence[str]) -> tuple[dict[int, str], int]:
    """Return places whose label differs from that of their neighbours -> the neighbours' label; and how many were looked at.

    Neighbours are the texts that share most rare words, among at most 2,000 of all. Where these do not tell each
    other's labels (less than 80 % right), nothing is odd: the labels follow something else than the words.
    """
    import numpy as np

    near = _spread(len(texts), _NEAR_BY)
    if len(near) < 20:
        return {}, len(near)
    names, own = np.unique(np.array(labels, dtype=object), return_inverse=True)
    weights = rarity([set(_words(texts[i])) for i in near])
    known = _vectors([texts[i] for i in near], weights)
    voting = np.eye(len(names), dtype=np.float32)[own[near]]

    def votes(vectors: object, places: Any) -> tuple[Any, Any]:
        """Return each text's share of votes by label, and whether it has near enough neighbours to say so."""
        alike = vectors @ known.T
        # No text votes for itself.
        itself = np.minimum(np.searchsorted(near, places), len(near) - 1)
        same = np.flatnonzero(near[itself] == places)
        alike[same, itself[same]] = 0
        nearest = np.argpartition(-alike, min(_NEIGHBOURS, alike.shape[1] - 1), axis=1)[:, :_NEIGHBOURS]
        weights = np.square(np.take_along_axis(alike, nearest, axis=1))
        found = np.einsum("rn,rnl->rl", weights, voting[nearest])
        total = found.sum(axis=1)
        return found / np.maximum(total, 1e-9)[:, None], total > _NEIGHBOURS * 0.09

    share, sure = votes(known, near)
    if sure.sum() < 20 or (share.argmax(axis=1) == own[near])[sure].mean() < 0.8:
        return {}, len(near)
    looked_at = _spread(len(texts), LOOKED_AT)
    odd: dict[int, str] = {}
    for start in range(0, len(looked_at), _AT_ONCE):
        places = looked_at[start : start + _AT_ONCE]
        share, sure = votes(_vectors([texts[i] for i in places], weights), places)
        best, mine = share.argmax(axis=1), share[np.arange(len(places)), own[places]]
        found = sure & (best != own[places]) & (share.max(axis=1) >= 0.8) & (mine <= 0.1)
        odd |= {int(places[i]): str(names[best[i]]) for i in np.flatnonzero(found)}
    return odd, len(looked_at)


def _spread(length: int, most: int) -> Any:
    """Return at most `most` evenly spread places."""
    import numpy as np

    return np.arange(0, length, max(1, -(-length // most)))


def _vectors(texts: Sequence[str], weights: Mapping[str, float]) -> Any:
    """Return unit vectors of words weighted by rarity, words folded into a fixed width; a word never seen is as rare as can be."""
    import numpy as np

    rarest = max(weights.values(), default=1.0)
    place: dict[str, int] = {}
    made = np.zeros((len(texts), _WIDTH), dtype=np.float32)
    for at, text in enumerate(texts):
        for word, times in Counter(_words(text)).items():
            if word not in place:
                place[word] = crc32(word.encode("utf-8", "replace")) % _WIDTH
            weight = weights.get(word, rarest)
            made[at, place[word]] += weight * (1 + np.log(times) if times > 1 else 1.0)
    return unit(made)


def _words(text: str) -> list[str]:
    return _WORDS.findall(text[:2000].casefold())


def _folded(text: str) -> str:
    return "".join(_WORDS.findall(text.casefold())).replace("_", "")
