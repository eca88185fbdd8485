"""Lets demonstrations vote: how much like each label's demonstrations is a text?

A label's score mixes its nearest demonstration with the sum over all of its own (shrunk by their number), both by TF-IDF over stems, pairs and
word pieces, the weights taken from the demonstrations alone. Knows vectors and labels; nothing of prompts.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from engine.lm.offline.words import features

Fields = tuple[tuple[str, str], ...]
"""One row's inputs: (name, text) in order."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Demonstrations as unit vectors, ready to be compared with.

    `postings` maps a feature to (demonstration, weight) pairs.
    """

    idf: dict[str, float]
    postings: dict[str, tuple[tuple[int, float], ...]]
    labels: tuple[str, ...]
    sizes: dict[str, int]
    dim: frozenset[str]


@dataclass(frozen=True, slots=True)
class Votes:
    """Each label's score, 0 to 1, and its nearest demonstration (position, similarity)."""

    scores: dict[str, float]
    nearest: dict[str, tuple[int, float]]

    @property
    def closest(self) -> tuple[int, float]:
        """The demonstration most like the text, whatever its label: (position, similarity)."""
        return max(self.nearest.values(), key=lambda pair: (pair[1], -pair[0]), default=(-1, 0.0))


@lru_cache(maxsize=256)
def remember(rows: tuple[Fields, ...], labels: tuple[str, ...]) -> Memory:
    """Return the memory of labelled rows (`labels` beside `rows`)."""
    dim = _side_fields(rows)
    found = [_weights(row, dim) for row in rows]
    seen = Counter(f for row in found for f in row)
    idf = {f: math.log((len(rows) + 1) / (n + 0.5)) + 0.3 for f, n in seen.items()}
    postings: dict[str, list[tuple[int, float]]] = {}
    for i, row in enumerate(found):
        vector = {f: w * idf[f] for f, w in row.items()}
        norm = math.sqrt(sum(w * w for w in vector.values())) or 1.0
        for f, w in vector.items():
            postings.setdefault(f, []).append((i, w / norm))
    return Memory(idf, {f: tuple(p) for f, p in postings.items()}, labels, Counter(labels), dim)


def vote(row: Fields, memory: Memory) -> Votes:
    """Return the labels' scores for a row.

    >>> memory = remember(((("t", "my parcel is late"),), (("t", "wrong password"),)), ("post", "login"))
    >>> max(vote((("t", "forgot the password"),), memory).scores.items(), key=lambda item: item[1])[0]
    'login'
    """
    unseen = math.log(len(memory.labels) + 1.0) + 0.3
    vector = {f: w * memory.idf.get(f, unseen) for f, w in _weights(row, memory.dim).items()}
    norm = math.sqrt(sum(w * w for w in vector.values())) or 1.0
    similar = [0.0] * len(memory.labels)
    for f, w in vector.items():
        for i, other in memory.postings.get(f, ()):
            similar[i] += w * other
    total: dict[str, float] = dict.fromkeys(memory.sizes, 0.0)
    nearest: dict[str, tuple[int, float]] = {}
    for i, (label, value) in enumerate(zip(memory.labels, similar, strict=True)):
        value /= norm
        total[label] += value
        if label not in nearest or value > nearest[label][1]:
            nearest[label] = (i, value)
    scores = {
        label: 0.15 * nearest[label][1] + 0.85 * total[label] / math.sqrt(size)
        for label, size in memory.sizes.items()
    }
    return Votes(scores, nearest)


def _weights(row: Fields, dim: frozenset[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, text in row:
        scale = 0.3 if name in dim else 1.0
        for f, w in features(text).items():
            found[f] = max(found.get(f, 0.0), w * scale)
    return found


def _side_fields(rows: tuple[Fields, ...]) -> frozenset[str]:
    """Names of short fields with repeated values beside a longer one (a plan, a channel): they count for less."""
    length: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    for row in rows:
        for name, text in row:
            length[name] += len(text)
            values.setdefault(name, set()).add(text)
    if len(length) < 2:
        return frozenset()
    longest = max(length.values())
    return frozenset(
        n for n in length if length[n] < longest / 2 and len(values[n]) <= max(2, 0.7 * len(rows))
    )
