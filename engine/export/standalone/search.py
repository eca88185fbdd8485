"""Part of the script that stands alone: the passages that share words with a query, best first (BM25).

The code below the imports is copied into exported scripts with steps that search. It finds what `engine.retrieval.bm25`
finds. Source: Robertson et al. 1994, "Okapi at TREC-3", in Lucene's variant.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from typing import Any

from engine.export.standalone.steps import SEARCHES
from engine.export.standalone.values import written


class Search:
    """Passages, counted once; what is too common to tell them apart is left out."""

    def __init__(self, step: dict[str, Any]) -> None:
        self.step = step
        self.passages: list[str] = step["passages"]
        self.common = frozenset(step["common_words"].split())
        self.counts = [Counter(self.words(passage)) for passage in self.passages]
        self.seen = Counter(word for count in self.counts for word in count)
        lengths = [sum(count.values()) for count in self.counts]
        usual = sum(lengths) / max(len(lengths), 1)
        self.held_back = [1.5 * (0.25 + 0.75 * length / usual) if usual else 0.0 for length in lengths]

    def answer(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the passages nearest to a step's first input, as its output."""
        query = given.get(self.step["takes"][0])
        text = " ".join(map(str, query)) if isinstance(query, (list, tuple)) else str(query)
        found = self.find(text) if query else []
        return {self.step["makes"][0]: found if self.step["as_list"] else written(found, True)}

    def find(self, query: str) -> list[str]:
        """Return the passages that share a word with a query, best first; equal ones in their own order."""
        scores = [0.0] * len(self.passages)
        for word in dict.fromkeys(self.words(query)):
            n = self.seen[word]
            weight = math.log(1 + (len(self.passages) - n + 0.5) / (n + 0.5))
            for place, count in enumerate(self.counts):
                if word in count:
                    scores[place] += weight * count[word] / (count[word] + self.held_back[place])
        best = [place for place, score in enumerate(scores) if score > 0]
        best.sort(key=lambda place: (-round(scores[place], 5), place))
        return [self.passages[place] for place in best[: self.step["k"]]]

    def words(self, text: str) -> list[str]:
        """Return a text's words as they are compared: without case, accents, common words and plural endings."""
        plain = unicodedata.normalize("NFKD", text.casefold())
        found = []
        for word in re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c))):
            if word in self.common:
                continue
            if len(word) > 3 and word.endswith("ies") and not word.endswith(("eies", "aies")):
                word = word[:-3] + "y"
            elif len(word) > 3 and word.endswith("s") and not word.endswith(("us", "ss", "is")):
                word = word[:-1]
            found.append(word)
        return found


SEARCHES["passages"] = Search
