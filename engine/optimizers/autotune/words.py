"""What the words of the inputs tell of the labels: for choosing rows to show, and for seeing whether there is anything to learn.

It counts words in rows; it knows no search and calls nothing.
"""

from __future__ import annotations

import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from engine.search.contract import Problem

# How often labels are shuffled, and how many standard deviations more than shuffled ones words must tell of them:
# where there is nothing to tell, 200 tables stayed under 3.
_SHUFFLES, _CLEARLY = 24, 4.0
_ROWS = 400


def row_words(problem: Problem, row: int) -> frozenset[str]:
    """Return the words of a row's inputs."""
    values = problem.rows[row]
    text = " ".join(str(values.get(name, "")) for name in problem.input_fields)
    return frozenset(re.findall(r"\w+", text.lower()))


def covering_rows(problem: Problem, rows: Sequence[int], k: int) -> list[int]:
    """Return up to `k` rows that between them show the most of what tells labels apart.

    Words weigh as much as they tell of the label beyond chance; each further row counts what is not covered yet.
    """
    words = {row: row_words(problem, row) for row in rows}
    weights = _telling(problem, words)
    left, covered = list(rows), Counter[str]()
    chosen: list[int] = []
    while left and len(chosen) < k:
        best = max(
            left, key=lambda row: math.fsum(weights.get(w, 0.0) * 0.2 ** covered[w] for w in words[row])
        )
        left.remove(best)
        chosen.append(best)
        covered.update(words[best])
    return chosen


def labels_are_told(problem: Problem, rng: random.Random) -> bool | None:
    """Whether words of the inputs tell of the labels clearly more than they would of shuffled ones.

    None where it cannot be said: outputs that are no labels.
    """
    rows = list(dict.fromkeys((*problem.train[:_ROWS], *problem.validation[:_ROWS])))[:_ROWS]
    words = {row: row_words(problem, row) for row in rows}
    found: bool | None = None
    for name in problem.output_fields:
        labels = [str(problem.rows[row].get(name)) for row in rows]
        if not 1 < len(set(labels)) <= max(2, 0.3 * len(rows)):
            continue
        found = False
        told = math.fsum(_surprises(words, dict(zip(rows, labels, strict=True))).values())
        shuffled = []
        for _ in range(_SHUFFLES):
            rng.shuffle(labels)
            shuffled.append(math.fsum(_surprises(words, dict(zip(rows, labels, strict=True))).values()))
        spread = statistics.stdev(shuffled)
        if told > statistics.fmean(shuffled) + _CLEARLY * max(spread, 0.05 * max(shuffled)):
            return True
    return found


def is_label(problem: Problem, name: str) -> bool:
    """Whether an output is a short label of a few values."""
    values: set[str] = set()
    for row in problem.train:
        values.add(str(problem.rows[row].get(name, "")))
        if len(values) > 20:
            return False
    return len(values) > 1 and all(len(v) <= 40 for v in values)


def _telling(problem: Problem, words: Mapping[int, frozenset[str]]) -> dict[str, float]:
    """How much each word tells of the labels: rows with the word, times how far from chance their labels are."""
    weights: dict[str, float] = {}
    for name in problem.output_fields:
        labels = {row: str(problem.rows[row].get(name)) for row in words}
        if not 1 < len(set(labels.values())) <= max(2, 0.6 * len(labels)):
            continue
        for word, told in _surprises(words, labels).items():
            weights[word] = weights.get(word, 0.0) + told
    return weights or {word: 1.0 for found in words.values() for word in found}


def _surprises(words: Mapping[int, frozenset[str]], labels: Mapping[int, str]) -> dict[str, float]:
    sizes = Counter(labels.values())
    by_word: dict[str, Counter[str]] = {}
    for row, found in words.items():
        for word in found:
            by_word.setdefault(word, Counter())[labels[row]] += 1
    surprises = {}
    for word, counts in by_word.items():
        n = sum(counts.values())
        if n > 1:
            told = sum(c * math.log((c / n) / (sizes[v] / len(labels))) for v, c in counts.items())
            surprises[word] = max(0.0, told - 1.0)
    return surprises
