"""Which solved examples are most like an input: text vectors made here, without a model or a download.

Words and their three-letter parts are weighed by how rare they are among the examples (TF-IDF) and compared
by cosine. It knows texts and nothing of steps or prompts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


class NearestTexts:
    """Texts, indexed so that the nearest to another text are found quickly.

    >>> near = NearestTexts(["the parcel is late", "my password is wrong", "where is my parcel"])
    >>> near.nearest("a parcel that never came", 2)
    [2, 0]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np  # only where examples are compared: it takes long to load

        self._np: Any = np
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
        self._postings = {part: (np.array(p), np.array(s)) for part, (p, s) in postings.items()}
        self._size = len(texts)

    def nearest(self, text: str, k: int) -> list[int]:
        """Return the places of the `k` texts most like this one, the nearest first; ties keep their order."""
        closeness = self._np.zeros(self._size)
        for part, n in _parts(text).items():
            weight = (1 + math.log(n)) * self._rarity.get(part, 0.0)
            if part in self._postings:
                places, shares = self._postings[part]
                closeness[places] += weight * shares
        ranked: list[int] = self._np.argsort(-closeness, kind="stable")[:k].tolist()
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
