"""Labels and the words of the inputs: rows that cover most, words that predict labels, rules checked against rows.

It counts words in rows; it knows no search and calls nothing.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from engine.search.contract import Problem
from engine.similarity import words

# How often labels are shuffled, and by how many standard deviations words must say more of the real ones.
# Tuned on 200 tables whose labels are random: all stayed under 3.
_SHUFFLES, _CLEAR_DEVIATIONS = 24, 4.0
# Rows that are read to see whether words predict labels, and that a rule is checked against.
_ROWS, _ROWS_CHECKED = 400, 2000


def row_words(problem: Problem, row: int) -> frozenset[str]:
    """Return the words of a row's inputs."""
    values = problem.rows[row]
    text = " ".join(str(values.get(name, "")) for name in problem.input_fields)
    return frozenset(words(text))


def covering_rows(problem: Problem, rows: Sequence[int], k: int) -> list[int]:
    """Return up to `k` rows that together show most of what separates labels.

    Words weigh as much as they say about the label beyond chance; each further row counts what is not covered yet.
    """
    words = {row: row_words(problem, row) for row in rows}
    weights = _word_weights(problem, words)
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


def words_predict_labels(problem: Problem, rng: random.Random) -> bool | None:
    """Return whether words of the inputs say clearly more about the labels than about shuffled ones.

    None where outputs are not labels.
    """
    rows = list(dict.fromkeys((*problem.train[:_ROWS], *problem.validation[:_ROWS])))[:_ROWS]
    words = {row: row_words(problem, row) for row in rows}
    found: bool | None = None
    for name in problem.output_fields:
        labels = [str(problem.rows[row].get(name)) for row in rows]
        if not 1 < len(set(labels)) <= max(2, 0.3 * len(rows)):
            continue
        found = False
        real = math.fsum(_label_information(words, dict(zip(rows, labels, strict=True))).values())
        shuffled = []
        for _ in range(_SHUFFLES):
            rng.shuffle(labels)
            shuffled.append(
                math.fsum(_label_information(words, dict(zip(rows, labels, strict=True))).values())
            )
        spread = statistics.stdev(shuffled)
        if real > statistics.fmean(shuffled) + _CLEAR_DEVIATIONS * max(spread, 0.05 * max(shuffled)):
            return True
    return found


def is_label(problem: Problem, name: str) -> bool:
    """Return whether an output is a short label of a few values."""
    values: set[str] = set()
    for row in problem.train:
        values.add(str(problem.rows[row].get(name, "")))
        if len(values) > 20:
            return False
    return len(values) > 1 and all(len(v) <= 40 for v in values)


def _word_weights(problem: Problem, words: Mapping[int, frozenset[str]]) -> dict[str, float]:
    """Return by word how much it says about the labels; 1 for each where no output is a label."""
    weights: dict[str, float] = {}
    for name in problem.output_fields:
        labels = {row: str(problem.rows[row].get(name)) for row in words}
        if not 1 < len(set(labels.values())) <= max(2, 0.6 * len(labels)):
            continue
        for word, information in _label_information(words, labels).items():
            weights[word] = weights.get(word, 0.0) + information
    return weights or {word: 1.0 for found in words.values() for word in found}


def _label_information(words: Mapping[int, frozenset[str]], labels: Mapping[int, str]) -> dict[str, float]:
    """Return by word how much more its rows' labels say than chance (log-likelihood ratio, less 1)."""
    sizes = Counter(labels.values())
    by_word: dict[str, Counter[str]] = {}
    for row, its_words in words.items():
        for word in its_words:
            by_word.setdefault(word, Counter())[labels[row]] += 1
    found = {}
    for word, counts in by_word.items():
        n = sum(counts.values())
        if n > 1:
            information = sum(c * math.log((c / n) / (sizes[v] / len(labels))) for v, c in counts.items())
            found[word] = max(0.0, information - 1.0)
    return found


class LabelCheck:
    """A check of rules against the labelled rows, without a call.

    A rule is contradicted when none of its words goes with the label it names. Nothing is said about rules that
    name no label's value, or several, or no word of the inputs.
    """

    def __init__(self, problem: Problem) -> None:
        self._values: dict[str, set[str]] = {}
        self._rows: dict[str, list[dict[str, str]]] = {}
        rows = problem.train[:_ROWS_CHECKED]
        self._size = len(rows)
        names = [n for n in problem.output_fields if is_label(problem, n)]
        for row in rows:
            labels = {n: str(problem.rows[row].get(n, "")).lower() for n in names}
            for name, value in labels.items():
                self._values.setdefault(name, set()).add(value)
            for word in row_words(problem, row):
                self._rows.setdefault(word, []).append(labels)

    def contradicted(self, rule: str) -> bool:
        """Return whether the rows contradict a rule."""
        shares = [right / len(rows) for right, rows in self._word_matches(rule)]
        return bool(shares) and max(shares) < 0.34

    def support(self, rule: str) -> int:
        """Return how many labelled rows have both a word of the rule and the value it names.

        Of the word that goes with the value most often; 0 where that is in less than half of its rows.
        """
        share, right = max(((n / len(rows), n) for n, rows in self._word_matches(rule)), default=(0.0, 0))
        return right if share >= 0.5 else 0

    def _word_matches(self, rule: str) -> list[tuple[int, list[dict[str, str]]]]:
        """Return for each informative word of a rule the number of rows with the named value, and the rows."""
        words = text_words(rule)
        named = [(name, value) for name, values in self._values.items() for value in values if value in words]
        if len(named) != 1:
            return []
        name, value = named[0]
        known = [self._rows[w] for w in words if 2 <= len(self._rows.get(w, ())) <= self._size // 4]
        return [(sum(labels[name] == value for labels in rows), rows) for rows in known]


@lru_cache(maxsize=4096)
def text_words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words(text))
