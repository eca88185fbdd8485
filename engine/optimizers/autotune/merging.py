"""Merging of rules: alike ones once, of those that contradict each other the one that rows or readers bear out.

Nothing here yields or calls.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from engine.basics.similarity import FUNCTION_WORDS, shared, words
from engine.optimizers.autotune.rules import is_label, row_words
from engine.records import TraceStep
from engine.search.contract import Problem

# Rows that a rule is checked against.
_ROWS_CHECKED = 2000
# The likeness from which on two rules count as the same; the least share of common input words of rules that are alike.
_SAME, _LEAST_OVERLAP = 0.5, 1 / 3


@lru_cache(maxsize=4096)
def text_words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words(text))


def _words_of(values: Mapping[str, object]) -> frozenset[str]:
    return text_words(" ".join(map(str, values.values())))


@dataclass(frozen=True, slots=True)
class _Reading:
    """A rule's words, the one output and its value that it names (None for none or several), and its telling words.

    Telling words are those that some of the inputs have, but few.
    """

    words: frozenset[str]
    named: tuple[str, str] | None
    telling: frozenset[str]


class RuleCheck:
    """A check of a step's rules against its inputs and the labelled rows, without a call.

    A rule is contradicted when none of its words goes with the label it names. Nothing is said about rules that
    name no label's value, or several, or no word of the inputs. For a step that reads what another one wrote, `runs`
    are its calls in runs, with the score of each run: what it wrote there is borne out by a good score.
    """

    def __init__(self, problem: Problem, runs: Sequence[tuple[TraceStep, float]] = ()) -> None:
        self._readings: dict[str, _Reading] = {}
        self._values: dict[tuple[str, str], frozenset[str]] = {}
        self._labels: dict[int, dict[str, str]] = {}
        self._rows: dict[str, set[int]] = {}
        known = {i: _words_of(call.inputs) for i, (call, _) in enumerate(runs)}
        self._wrote = [(_words_of(call.outputs), score) for call, score in runs]
        # A word that more of the inputs have tells nothing.
        self._most = len(known) // 2
        if not known:
            names = [n for n in problem.output_fields if is_label(problem, n)]
            rows = problem.train[:_ROWS_CHECKED]
            self._most = len(rows) // 4
            for row in rows:
                self._labels[row] = {n: str(problem.rows[row].get(n, "")).lower() for n in names}
                self._values.update({known: text_words(known[1]) for known in self._labels[row].items()})
                known[row] = row_words(problem, row)
        for row, found in known.items():
            for word in found:
                self._rows.setdefault(word, set()).add(row)

    def contradicted(self, rule: str) -> bool:
        """Return whether the rows contradict a rule, or runs in which the step wrote something else ended well."""
        if self._wrote:
            return self._better_written(rule)
        shares = [right / size for right, size in self._word_matches(rule)]
        return bool(shares) and max(shares) < 0.34

    def support(self, rule: str) -> int:
        """Return how many labelled rows have a rule's most telling word and the value it names; 0 for under half of the word's."""
        share, right = max(((n / size, n) for n, size in self._word_matches(rule)), default=(0.0, 0))
        return right if share >= 0.5 else 0

    def net_support(self, rule: str) -> int:
        """Return how many labelled rows, or runs that did as it says, bear a rule out less those that speak against it.

        0 for a rule that names no value.
        """
        rows, named = self._rows_of(rule), self.reading(rule).named
        if self._wrote:
            wrote = (self._wrote[row] for row in rows)
            return sum(
                1 if score >= 0.5 else -1 for said, score in wrote if said and said <= text_words(rule)
            )
        return sum(1 if self._labels[row][named[0]] == named[1] else -1 for row in rows) if named else 0

    def _better_written(self, rule: str) -> bool:
        """Return whether the step wrote something else than the rule says for the same inputs, in runs that mostly ended well."""
        rule_words, agreed = text_words(rule), 0
        others: Counter[frozenset[str]] = Counter()
        for row in self._rows_of(rule):
            wrote, score = self._wrote[row]
            if wrote <= rule_words:
                agreed += 1 if score >= 0.5 else -1
            else:
                others[wrote] += 1 if score >= 0.5 else -1
        says_one = any(wrote and wrote <= rule_words for wrote, _ in self._wrote)
        return says_one and max(others.values(), default=0) >= max(2, agreed + 1)

    def _rows_of(self, rule: str) -> set[int]:
        """Return the inputs with all telling words of a rule, or else those with any of them."""
        row_sets = [self._rows[w] for w in self.reading(rule).telling]
        return (set.intersection(*row_sets) or set.union(*row_sets)) if row_sets else set()

    def reading(self, rule: str) -> _Reading:
        """Return what a rule says; read once."""
        if rule not in self._readings:
            rule_words = text_words(rule)
            named = {
                known: value_words
                for known, value_words in self._values.items()
                if value_words and value_words <= rule_words
            }
            # "late" is not named where "very late" is.
            whole = [
                known
                for known, value_words in named.items()
                if not any(value_words < other for other in named.values())
            ]
            value = whole[0] if len(whole) == 1 else None
            others = rule_words - FUNCTION_WORDS - (self._values[value] if value else frozenset())
            telling = frozenset(w for w in others if 1 <= len(self._rows.get(w, ())) <= self._most)
            self._readings[rule] = _Reading(rule_words, value, telling)
        return self._readings[rule]

    def without_repeats(self, rules: Sequence[str]) -> tuple[str, ...]:
        """Return the rules without those that another one makes superfluous: it names the same value by fewer of the same words.

        Of rules with the same value and the same telling words the shortest stays.
        """
        readings = [(rule, known.named, known.telling) for rule in rules for known in [self.reading(rule)]]

        def implied(at: int) -> bool:
            rule, value, telling = readings[at]
            return any(
                other == value
                and bool(words)
                and (words < telling or (words == telling and (len(r), i) < (len(rule), at)))
                for i, (r, other, words) in enumerate(readings)
                if i != at
            )

        return tuple(rule for at, rule in enumerate(rules) if not readings[at][1] or not implied(at))

    def _word_matches(self, rule: str) -> list[tuple[int, int]]:
        """Return for each informative word of a rule how many of its rows have the value it names, and how many there are."""
        if (named := self.reading(rule).named) is None:
            return []
        name, value = named
        known = [self._rows[w] for w in text_words(rule) if 2 <= len(self._rows.get(w, ())) <= self._most]
        return [(sum(self._labels[row][name] == value for row in rows), len(rows)) for rows in known]


_MOST_CHARACTERS = 8000
"""Length of all rules of a step together."""


def merged_rules(
    current: Sequence[str], proposals: Sequence[Sequence[str]], check: RuleCheck
) -> tuple[str, ...]:
    """Return the current rules with the proposals' merged in: one of those that speak of the same thing.

    The one that most labelled rows bear out is kept, then a proposal's over the current, then the one most like the others:
    what several readers agree on wins. The oldest go first where there is no room.
    """
    weights = _weights([current, *proposals])
    proposed = {rule for rules in proposals for rule in rules}
    groups: list[list[str]] = []
    for rule in (*current, *(rule for rules in proposals for rule in rules)):
        homes = [g for g in groups if _same_subject(rule, g[0], check, weights)]
        if homes:
            max(homes, key=lambda g: _alike(rule, g[0], weights)).append(rule)
        else:
            groups.append([rule])

    def rank(rule: str, group: Sequence[str]) -> tuple[float, ...]:
        agreed = math.fsum(_alike(rule, other, weights) for other in group)
        return check.net_support(rule), rule in proposed, round(agreed, 9), -len(rule)

    merged = [max(group, key=lambda rule: rank(rule, group)) for group in groups]
    while merged and sum(map(len, merged)) > _MOST_CHARACTERS:
        merged.pop(0)
    return tuple(dict.fromkeys(merged))


def _same_subject(one: str, other: str, check: RuleCheck, weights: Mapping[str, float]) -> bool:
    """Return whether two rules speak of the same thing, be it with another value.

    Rules that name the same words of the inputs do, unless they name values of two outputs; rules with other words only
    where they name the same value, or none, and are alike.
    """
    a, b = check.reading(one), check.reading(other)
    if a.named and b.named and a.named[0] != b.named[0]:
        return False
    if not a.telling or not b.telling:
        return a.telling == b.telling and _alike(one, other, weights) >= _SAME
    common = a.telling & b.telling
    if a.telling == b.telling:
        return bool((a.words & b.words) - common - FUNCTION_WORDS) or _alike(one, other, weights) >= _SAME
    if a.named != b.named or not common:
        return False
    # Two lists of words for the same value.
    listed = a.named is not None and len(common) >= max(2, _SAME * min(len(a.telling), len(b.telling)))
    overlap = len(common) / len(a.telling | b.telling)
    return listed or (overlap >= _LEAST_OVERLAP and _alike(one, other, weights) >= _SAME)


def _weights(lists: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return words' weights: less the more rules of a list have a word, and 0 where an eighth of a long list do.

    Lists count apart: a word that each reader has in one rule is what they agree on, not mere wording.
    A word of one rule alone weighs less than one that two share: it may be mere wording.
    """
    everywhere = Counter(word for rules in lists for rule in rules for word in text_words(rule))
    shares: dict[str, float] = {}
    for rules in lists:
        total = len(rules) + 1
        least = max(2, total // 8) if total > 8 else total
        for word, n in Counter(word for rule in rules for word in text_words(rule)).items():
            shares[word] = max(shares.get(word, 0.0), n / total if n <= least else 1.0)
    weights = {word: math.log(1 / share) ** 2 + 1e-6 * (share < 1) for word, share in shares.items()}
    return {word: weight * (0.3 if everywhere[word] == 1 else 1.0) for word, weight in weights.items()}


def _alike(a: str, b: str, weights: Mapping[str, float]) -> float:
    """Return how much two rules share: the weight of common words over that of all, 0 to 1."""
    return shared(text_words(a), text_words(b), weights, 1.0)
