"""Part of the script that stands alone: which solved examples are most like an input.

The code below the imports is copied into exported scripts whose steps choose their examples by the input. It gives the
order that `engine.modules.predict` gives, without numpy.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from engine.export.standalone.steps import SEARCHES


class Nearest:
    """Texts whose words and three-letter parts are weighed by how rare they are; compared by cosine."""

    def __init__(self, texts: list[str]) -> None:
        counts = [parts(text) for text in texts]
        known = Counter(part for count in counts for part in count)
        self.size = len(texts)
        self.rarity = {part: math.log((1 + len(texts)) / n) for part, n in known.items()}
        self.shares: dict[str, list[tuple[int, float]]] = {}
        for place, count in enumerate(counts):
            weights = {part: (1 + math.log(n)) * self.rarity[part] for part, n in count.items()}
            length = math.sqrt(sum(w * w for w in weights.values())) or 1.0
            for part, weight in weights.items():
                self.shares.setdefault(part, []).append((place, weight / length))

    def nearest(self, text: str, k: int) -> list[int]:
        """Return the places of the `k` texts most like this one, the nearest first."""
        closeness = [0.0] * self.size
        for part, n in parts(text).items():
            weight = (1 + math.log(n)) * self.rarity.get(part, 0.0)
            for place, share in self.shares.get(part, ()):
                closeness[place] += weight * share
        return sorted(range(self.size), key=lambda place: -closeness[place])[:k]


def parts(text: str) -> Counter[str]:
    """Return the words of a text and their three-letter parts, counted."""
    words = re.findall(r"\w+", text.lower())
    found = Counter(words)
    for word in words:
        found.update(f"~{word[i : i + 3]}" for i in range(len(word) - 2))
    return found


SEARCHES["nearest"] = Nearest
