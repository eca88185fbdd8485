"""Solved examples most like an input, by text vectors made here without a model or a download.

Words and their three-letter parts are weighed by how rare they are among the examples (TF-IDF) and compared
by cosine. It knows texts and nothing of steps or prompts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class NearestTexts:
    """Texts, indexed so that the nearest to another text are found quickly.

    >>> near = NearestTexts(["the parcel is late", "my password is wrong", "where is my parcel"])
    >>> near.nearest("a parcel that never came", 2)
    [2, 0]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [_parts(text) for text in texts]
        known = Counter(part for count in counts for part in count)
        self._rarity = {part: math.log((1 + len(texts)) / n) for part, n in known.items()}
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
            for part, n in _parts(text).items()
            if part in self._postings
        )
        return _ranked(self._size, weighed)[:k]


def _posting(places: list[int], shares: list[float]) -> tuple[Any, Any]:
    """Return the texts that hold a part, by place, and its share of each; as arrays, since sums of lists are slow."""
    import numpy as np  # only where examples are compared: it takes long to load

    return np.array(places), np.array(shares)


def _ranked(size: int, weighed: Iterable[tuple[float, tuple[Any, Any]]]) -> list[int]:
    """Return the places of all texts by the sums of weighed shares, the largest first; ties keep their order."""
    import numpy as np

    closeness = np.zeros(size)
    for weight, (places, shares) in weighed:
        closeness[places] += weight * shares
    ranked: list[int] = np.argsort(-closeness, kind="stable").tolist()
    return ranked


def text_of_values(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return some of the values as one text."""
    return "\n".join(str(values[name]) for name in names if values.get(name) is not None)


def _parts(text: str) -> Counter[str]:
    words = _WORD.findall(text.lower())
    parts = Counter(words)
    for word in words:
        parts.update(f"~{word[i : i + 3]}" for i in range(len(word) - 2))
    return parts


_WORD = re.compile(r"\w+")
