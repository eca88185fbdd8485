"""The space that Autotune searches: factors of each step, their levels, and candidates made of combinations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.records import Candidate, Demo
from engine.search.contract import Problem
from engine.search.freeze import Part

Combination = tuple[int, ...]
"""The level chosen for each factor, in the order of `Space.factors`."""


@dataclass(frozen=True, slots=True)
class Level:
    """One setting of one factor: rules added to the instructions, examples, whether to reason first, or an adapter.

    `origin` is the level it was made from; of the examples `nearest` are shown (0: all).
    """

    title: str
    rules: tuple[str, ...] = ()
    demos: tuple[Demo, ...] | None = None
    nearest: int = 0
    reason_first: bool | None = None
    adapter: str | None = None
    origin: int | None = None


@dataclass(frozen=True, slots=True)
class Factor:
    """A choice of a step: its "rules", "examples", "reasoning" or "layout"."""

    path: str
    kind: str


@dataclass
class Space:
    """The factors, their levels so far (level 0 is the starting prompt's), and candidates made of them."""

    problem: Problem
    levels: list[list[Level]] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts: tuple[tuple[str, Part], ...] = (
            ("rules", "instructions"),
            ("examples", "demos"),
            ("reasoning", "instructions"),
            ("layout", "instructions"),
        )
        self.seed = self.problem.seed
        self.factors = tuple(
            Factor(path, kind)
            for path in self.seed.steps
            for kind, part in parts
            if self.problem.may_change(path, part) and (kind != "layout" or path in self.problem.layouts)
        )
        self.levels = [[Level("as they were")] for _ in self.factors]
        self._candidates: dict[Combination, Candidate] = {}

    @property
    def start(self) -> Combination:
        """The starting prompt's combination."""
        return (0,) * len(self.factors)

    def places(self, kind: str, path: str = "") -> list[int]:
        """Return the places of the factors of a kind, of one step or of all."""
        return [i for i, f in enumerate(self.factors) if f.kind == kind and path in ("", f.path)]

    def add(self, place: int, level: Level) -> int:
        """Add a level to a factor, once by content, and return its number."""
        known = self.levels[place]
        for number, other in enumerate(known):
            if replace(other, title=level.title, origin=level.origin) == level:
                return number
        known.append(level)
        return len(known) - 1

    def rules(self, combination: Combination, path: str) -> tuple[str, ...]:
        """Return the rules that a combination adds to a step."""
        return tuple(r for p in self.places("rules", path) for r in self.levels[p][combination[p]].rules)

    def terms(self, combination: Combination) -> tuple[tuple[int, int], ...]:
        """Return the levels that make up a combination, each with those it was made from; the start has none."""
        found = []
        for place, number in enumerate(combination):
            at: int | None = number
            while at:
                found.append((place, at))
                at = self.levels[place][at].origin
        return tuple(found)

    def titles(self, combination: Combination) -> list[str]:
        """Return what a combination changes, in words, a step each; the only step goes without its name."""
        changed: dict[str, list[str]] = {}
        for place, number in enumerate(combination):
            if number:
                changed.setdefault(self.factors[place].path, []).append(self.levels[place][number].title)
        if len(self.seed.steps) == 1:
            return [title for titles in changed.values() for title in titles]
        return [f"{path}: {', '.join(titles)}" for path, titles in changed.items()]

    def candidate(self, combination: Combination) -> Candidate:
        """Return the candidate of a combination, with its lineage: it was made from the starting prompt."""
        if combination not in self._candidates:
            self._candidates[combination] = self._make(combination)
        return self._candidates[combination]

    def _make(self, combination: Combination) -> Candidate:
        made = self.seed
        for place, number in enumerate(combination):
            if not number:
                continue
            path, level = self.factors[place].path, self.levels[place][number]
            if level.demos is not None:
                made = made.with_step(path, demos=level.demos, nearest=level.nearest)
            elif level.reason_first is not None:
                made = made.with_step(path, reason_first=level.reason_first)
            elif level.adapter is not None:
                made = made.with_step(path, adapter=level.adapter)
            else:
                made = made.with_step(
                    path, instructions=with_rules(self.seed.steps[path].instructions, level.rules)
                )
        if made.id == self.seed.id:
            return self.seed
        return made.derived(f"{'; '.join(self.titles(combination))}.", self.seed)


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
