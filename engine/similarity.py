"""Text similarity without a model: words of a text, the texts nearest to another, texts as vectors.

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


def _posting(places: list[int], shares: list[float]) -> tuple[Any, Any]:
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
