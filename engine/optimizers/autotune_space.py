"""What Autotune chooses between: levels of each step's rules and examples, and their combinations.

A level made from another one names it as its origin. It knows candidates and rows, and no search.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.records import Candidate, Demo
from engine.search.contract import Problem

Combination = tuple[int, ...]
"""The level chosen for each factor, in the order of `Space.factors`."""


@dataclass(frozen=True, slots=True)
class Level:
    """One setting of one factor: rules added to the instructions, or examples. `origin` is the level it was made from."""

    title: str
    rules: tuple[str, ...] = ()
    demos: tuple[Demo, ...] | None = None
    origin: int | None = None


@dataclass(frozen=True, slots=True)
class Factor:
    """Something to be chosen: a step's "rules" or "examples"."""

    path: str
    kind: str


@dataclass
class Space:
    """The factors, their levels so far (level 0 is the starting prompt's), and candidates made of them."""

    seed: Candidate
    factors: tuple[Factor, ...] = ()
    levels: list[list[Level]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.factors = tuple(Factor(path, kind) for path in self.seed.steps for kind in ("rules", "examples"))
        self.levels = [[Level("as they were")] for _ in self.factors]
        self._candidates: dict[Combination, Candidate] = {}

    @property
    def start(self) -> Combination:
        """The starting prompt's combination."""
        return (0,) * len(self.factors)

    def at(self, path: str, kind: str) -> int:
        """Return a factor's place."""
        return self.factors.index(Factor(path, kind))

    def add(self, place: int, level: Level) -> int:
        """Add a level to a factor, once by content, and return its number."""
        known = self.levels[place]
        for number, other in enumerate(known):
            if (other.rules, other.demos) == (level.rules, level.demos):
                return number
        known.append(level)
        return len(known) - 1

    def rules(self, combination: Combination, path: str) -> tuple[str, ...]:
        """Return the rules that a combination adds to a step."""
        place = self.at(path, "rules")
        return self.levels[place][combination[place]].rules

    def terms(self, combination: Combination) -> tuple[tuple[int, int], ...]:
        """Return the levels that make up a combination, each with those it was made from; the start has none."""
        found = []
        for place, number in enumerate(combination):
            at: int | None = number
            while at:
                found.append((place, at))
                at = self.levels[place][at].origin
        return tuple(found)

    def candidate(self, combination: Combination) -> Candidate:
        """Return the candidate of a combination, with its lineage: it was made from the starting prompt."""
        if combination not in self._candidates:
            self._candidates[combination] = self._made(combination)
        return self._candidates[combination]

    def _made(self, combination: Combination) -> Candidate:
        made, parts = self.seed, []
        for place, number in enumerate(combination):
            if not number:
                continue
            factor, level = self.factors[place], self.levels[place][number]
            if level.demos is not None:
                made = made.with_step(factor.path, demos=level.demos)
            else:
                text = with_rules(self.seed.steps[factor.path].instructions, level.rules)
                made = made.with_step(factor.path, instructions=text)
            parts.append(f"{factor.path}: {level.title}")
        if made.id == self.seed.id:
            return self.seed
        return made.derived(f"{'; '.join(parts)}.", self.seed)


def with_rules(instructions: str, rules: Sequence[str]) -> str:
    """Return instructions with rules as a list under them.

    >>> print(with_rules("Sort it.", ["Refunds are billing."]))
    Sort it.
    <BLANKLINE>
    Rules:
    - Refunds are billing.
    """
    if not rules:
        return instructions
    return "\n".join([instructions, "", RULES_HEADING, *(f"- {rule}" for rule in rules)]).strip()


RULES_HEADING = "Rules:"


def covering_rows(
    problem: Problem, rows: Sequence[int], k: int, urgent: Mapping[int, float] | None = None
) -> list[int]:
    """Return up to `k` rows that between them show the most of what tells labels apart.

    Words weigh as much as they tell of the label beyond chance and recur; each further row counts what is
    not covered yet. `urgent` rows (those that went wrong) weigh more.
    """
    words = {row: _words(problem, row) for row in rows}
    weights = _telling(problem, words)
    left, covered = list(rows), Counter[str]()
    chosen: list[int] = []
    while left and len(chosen) < k:

        def worth(row: int) -> float:
            new = sum(weights.get(w, 0.0) * 0.2 ** covered[w] for w in words[row])
            return new * (1.0 + (urgent or {}).get(row, 0.0))

        best = max(left, key=worth)
        left.remove(best)
        chosen.append(best)
        covered.update(words[best])
    return chosen


def _words(problem: Problem, row: int) -> frozenset[str]:
    values = problem.rows[row]
    text = " ".join(str(values.get(name, "")) for name in problem.input_fields).lower()
    return frozenset(re.findall(r"\w+", text))


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


def labels_are_told(problem: Problem, rng: random.Random) -> bool:
    """Whether words of the inputs tell of the labels more than they would of shuffled ones.

    True where it cannot be said: outputs that are no labels.
    """
    rows = list(dict.fromkeys((*problem.train, *problem.validation)))[:400]
    words = {row: _words(problem, row) for row in rows}
    unclear = True
    for name in problem.output_fields:
        labels = [str(problem.rows[row].get(name)) for row in rows]
        if not 1 < len(set(labels)) <= max(2, 0.3 * len(rows)):
            continue
        unclear = False
        told = _told(words, dict(zip(rows, labels, strict=True)))
        shuffled = []
        for _ in range(_SHUFFLES):
            rng.shuffle(labels)
            shuffled.append(_told(words, dict(zip(rows, labels, strict=True))))
        if told > _CLEARLY * max(shuffled):
            return True
    return unclear


def _told(words: Mapping[int, frozenset[str]], labels: Mapping[int, str]) -> float:
    """The sum of what each word tells beyond chance."""
    return sum(_surprises(words, labels).values())


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


# How often labels are shuffled: telling more than all of them happens by chance once in 20 times.
_SHUFFLES, _CLEARLY = 19, 1.3
