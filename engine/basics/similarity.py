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
    text_words = words(text)
    parts = Counter(text_words)
    for word in text_words:
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

    vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in enumerate(texts):
        vectors[row] = _hashed(text[:_LONGEST])
    return vectors


def unit(vectors: Vectors) -> Vectors:
    """Return vectors with length 1, so that their dot products are cosines."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return units


def _hashed(text: str) -> Vectors:
    """Return the vector of one text."""
    import numpy as np

    text_words = re.findall(r"\w+", text.casefold())
    vector = np.zeros(DIMENSIONS, np.float64)
    for word in text_words:
        number = zlib.crc32(word.encode())
        weight = _WORD_WEIGHT if len(word) > 3 else _SHORT_WORD_WEIGHT
        vector[number % DIMENSIONS] += weight if number & 0x8000_0000 else -weight
    letters = np.frombuffer(f" {' '.join(text_words)} ".encode(), np.uint8).astype(np.uint64)
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
"""Rows whose answers are judged by their words; of more, as many evenly spread ones."""

_AT_ONCE = 1000
_HEAD = 240
# With fewer texts, or more labels, no label is odd.
_FEWEST, _MOST_LABELS = 20, 200
# Words that are used: those that tell most of the labels.
_MOST_WORDS = 2000
# Texts of a label that a word is given beforehand as often as in all texts; how much likelier (logarithm) another label must
# be; the share of texts whose words tell their label. Tuned on the samples with a tenth of the labels changed: 94 % of what
# is found is wrong, and 0.4 % of the rows are found where nothing was changed.
_SMOOTHED, _CLEARLY, _TOLD = 0.6, 4.0, 0.8
_NUMBERS = re.compile(r"\d+")
_WORDS = re.compile(r"\w+")


def nearest_choice(text: str, choices: Sequence[str]) -> str:
    """Return the allowed value that a text most likely means; "" where none is near.

    >>> nearest_choice("Biling", ["billing", "shipping"]), nearest_choice("moon", ["billing", "shipping"])
    ('billing', '')
    """
    from rapidfuzz import fuzz, process

    folded = [_folded(c) for c in choices]
    nearest = process.extractOne(_folded(text), folded, scorer=fuzz.ratio, score_cutoff=80)
    return choices[nearest[2]] if nearest else ""


def merged_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Return rare ways of writing an answer -> the frequent way: other case or marks, or a slip of a letter or two.

    >>> merged_spellings({"billing": 40, "Billing": 3, "biling": 1, "shipping": 30})
    {'Billing': 'billing', 'biling': 'billing'}
    """
    from rapidfuzz import fuzz

    usual_forms: dict[str, str] = {}
    merged: dict[str, str] = {}
    for text in sorted(counts, key=lambda text: -counts[text]):
        folded = _folded(text)
        slips = (
            original
            for known, original in usual_forms.items()
            if min(len(known), len(folded)) >= 5
            and not _NUMBERS.search(known + folded)
            and counts[text] <= max(2, counts[original] // 10)
            and fuzz.ratio(known, folded) >= 88
        )
        usual = usual_forms[folded] if folded in usual_forms else next(slips, None)
        if usual is None:
            usual_forms[folded] = text
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
    earlier: dict[int, int] = {}
    for at in map(int, np.flatnonzero(scores)):
        a, b = pairs[at]
        first, second = texts[a], texts[b]
        same = (
            _NUMBERS.findall(first) == _NUMBERS.findall(second)
            and first[first.rfind("\x1e") :] == second[second.rfind("\x1e") :]
        )
        if (
            b not in earlier
            and same
            and (len(first) <= _HEAD >= len(second) or fuzz.ratio(first[:4000], second[:4000]) >= NEAR)
        ):
            earlier[b] = a
    return sorted((a, b) for b, a in earlier.items())


def odd_labels(texts: Sequence[str], labels: Sequence[str]) -> tuple[dict[int, str], int]:
    """Return places whose label speaks against their words -> the label that the words go with; and how many were looked at.

    Naive Bayes over the words, each text judged by the others: another label must be about 50 times as likely, and no word
    may go with the given one. Where words do not tell labels (less than 80 % right), nothing is odd. Of more than 20,000
    texts as many are looked at, evenly spread. After confident learning (Northcutt, Jiang, Chuang 2021, arXiv 1911.00068).

    >>> texts = [f"parcel {i} is late" if i % 2 else f"invoice {i} is wrong" for i in range(40)]
    >>> odd_labels(texts, ["billing", *["shipping" if i % 2 else "billing" for i in range(1, 39)], "billing"])
    ({39: 'shipping'}, 40)
    """
    odd, right, judged, looked_at = _judged(texts, labels)
    return (odd if right >= _TOLD * max(judged, 1) else {}), looked_at


def told_share(texts: Sequence[str], labels: Sequence[str]) -> float:
    """Return the share of texts whose label the words tell, each text judged by the others; 0.0 of too few texts.

    >>> told_share(["sent out", "paid back"] * 30, ["shipping", "billing"] * 30)
    1.0
    """
    _, right, _, looked_at = _judged(texts, labels)
    return right / max(looked_at, 1)


def _judged(texts: Sequence[str], labels: Sequence[str]) -> tuple[dict[int, str], int, int, int]:
    """Return the odd labels, how many texts' labels the words tell, in how many texts they could, and how many were looked at."""
    import numpy as np

    places = range(0, len(texts), max(1, -(-len(texts) // LOOKED_AT)))
    names, label_of = np.unique(np.array([labels[i] for i in places], dtype=object), return_inverse=True)
    if len(places) < _FEWEST or not 1 < len(names) <= _MOST_LABELS:
        return {}, 0, 0, len(places)
    word_sets = [set(_words(texts[i])) for i in places]
    in_texts = Counter(word for words in word_sets for word in words)
    index = {word: i for i, word in enumerate(sorted(word for word, n in in_texts.items() if n > 1))}
    rows, words = (
        np.array(
            [(row, index[word]) for row, known in enumerate(word_sets) for word in known if word in index],
            dtype=int,
        )
        .reshape(-1, 2)
        .T
    )
    counts = np.bincount(words * len(names) + label_of[rows], minlength=len(index) * len(names))
    tells, *scores = _word_scores(counts.reshape(-1, len(names)), np.bincount(label_of))
    column = np.where(tells, np.cumsum(tells) - 1, -1)[words]
    odd: dict[int, str] = {}
    right = judged = 0
    for start in range(0, len(places), _AT_ONCE):
        mine = label_of[start : start + _AT_ONCE]
        here = (rows >= start) & (rows < start + _AT_ONCE) & (column >= 0)
        present = np.zeros((len(mine), int(tells.sum())))
        present[rows[here] - start, column[here]] = 1
        likely, without, speak = (present @ each for each in scores)
        own_place = np.arange(len(mine)), mine
        base = np.log(np.bincount(label_of) / len(places))
        likely = likely + base
        given = likely[own_place] = without[own_place] + base[mine]
        best = likely.argmax(axis=1)
        known = present.any(axis=1)
        right, judged = right + int((best == mine)[known].sum()), judged + int(known.sum())
        doubtful = (likely.max(axis=1) - given >= _CLEARLY) & (speak[own_place] == 0)
        odd |= {places[start + int(i)]: str(names[best[i]]) for i in np.flatnonzero(doubtful)}
    return odd, right, judged, len(places)


def _word_scores(counts: Any, sizes: Any) -> tuple[Any, Any, Any, Any]:
    """Return which words tell of labels, and of those, word x label: how likely, the same without one text of the label, whether they speak for it.

    `counts` is in how many texts of a label a word is, `sizes` how many texts a label has.
    """
    import numpy as np

    total = counts.sum(axis=1, keepdims=True)
    shares = sizes / sizes.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(counts > 0, counts * np.log(counts / total / shares), 0.0).sum(axis=1)
    beyond_chance = information - np.minimum(total[:, 0], len(sizes))
    tells = beyond_chance > np.sort(np.append(beyond_chance, [1.0] * _MOST_WORDS))[-_MOST_WORDS]
    counts, total = counts[tells], total[tells]
    usual = _SMOOTHED * total / sizes.sum()
    others = np.maximum(counts - 1, 0)
    likely = np.log((counts + usual) / (sizes + _SMOOTHED))
    without = np.log((others + usual) / (np.maximum(sizes - 1, 0) + _SMOOTHED))
    speaks = (others >= 2) & (others / np.maximum(total - 1, 1) >= np.minimum(0.9, 2 * shares))
    return tells, likely, without, speaks.astype(float)


def _words(text: str) -> list[str]:
    return _WORDS.findall(text[:2000].casefold())


def _folded(text: str) -> str:
    return "".join(_WORDS.findall(text.casefold())).replace("_", "")
