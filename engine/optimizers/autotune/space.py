"""The space that Autotune searches: factors of each step, their levels, and candidates made of option sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.optimizers.shared.study import OptionSet
from engine.records import Candidate, Demo
from engine.search.contract import Problem
from engine.search.freeze import Part


@dataclass(frozen=True, slots=True)
class Level:
    """One setting of one factor: rules added to the instructions, examples, whether to reason first, an adapter, or a model.

    `origin` is the level it was made from; of the examples `nearest` are shown (0: all).
    """

    title: str
    rules: tuple[str, ...] = ()
    demos: tuple[Demo, ...] | None = None
    nearest: int = 0
    reason_first: bool | None = None
    adapter: str | None = None
    weights: str | None = None
    origin: int | None = None


class Space:
    """The factors, their levels so far (level 0 is the starting prompt's), and candidates made of them.

    A factor is a step's path and what is chosen: its "rules", "examples", "reasoning" or "layout". The "model" is chosen for
    all parts of a step, such as an agent's, together.
    """

    def __init__(self, problem: Problem) -> None:
        parts: tuple[tuple[str, Part], ...] = (
            ("rules", "instructions"),
            ("examples", "demos"),
            ("reasoning", "instructions"),
            ("layout", "instructions"),
        )
        self.seed = problem.seed
        self.factors = tuple(
            (path, kind)
            for path in self.seed.steps
            for kind, part in parts
            if problem.may_change(path, part) and (kind != "layout" or path in problem.layouts)
        )
        answerable = [
            path for path in self.seed.steps if problem.models and problem.may_change(path, "weights")
        ]
        self.factors += tuple(
            (whole, "model") for whole in dict.fromkeys(p.partition(".")[0] for p in answerable)
        )
        self.levels = [[Level("as they were")] for _ in self.factors]
        self._candidates: dict[OptionSet, Candidate] = {}

    @property
    def start(self) -> OptionSet:
        """The starting prompt's option set."""
        return (0,) * len(self.factors)

    def places(self, kind: str, path: str = "") -> list[int]:
        """Return the places of the factors of a kind, of one step or of all."""
        return [i for i, (own, k) in enumerate(self.factors) if k == kind and path in ("", own)]

    def add(self, place: int, level: Level) -> int:
        """Add a level to a factor, once by content, and return its number."""
        known = self.levels[place]
        for number, other in enumerate(known):
            if replace(other, title=level.title, origin=level.origin) == level:
                return number
        known.append(level)
        return len(known) - 1

    def rules(self, option_set: OptionSet, path: str) -> tuple[str, ...]:
        """Return the rules that an option set adds to a step."""
        return tuple(r for p in self.places("rules", path) for r in self.levels[p][option_set[p]].rules)

    def terms(self, option_set: OptionSet) -> tuple[tuple[int, int], ...]:
        """Return the levels that make up an option set, each with those it was made from; the start has none."""
        pairs = []
        for place, number in enumerate(option_set):
            at: int | None = number
            while at:
                pairs.append((place, at))
                at = self.levels[place][at].origin
        return tuple(pairs)

    def titles(self, option_set: OptionSet) -> list[str]:
        """Return what an option set changes, in words, a step each; the only step goes without its name."""
        changed: dict[str, list[str]] = {}
        for place, number in enumerate(option_set):
            if number:
                changed.setdefault(self.factors[place][0], []).append(self.levels[place][number].title)
        if len(self.seed.steps) == 1:
            return [title for titles in changed.values() for title in titles]
        return [f"{path}: {', '.join(titles)}" for path, titles in changed.items()]

    def size(self, option_set: OptionSet) -> int:
        """Return about how many characters an option set's prompts and reasoning have: texts, and the examples that one input is shown."""
        total = 0
        for state in self.candidate(option_set).steps.values():
            shown = min(state.nearest or len(state.demos), len(state.demos))
            examples = sum(len(str(dict(demo.values))) for demo in state.demos)
            total += len(state.instructions) + shown * examples // max(1, len(state.demos))
            if state.reason_first is not None:
                total += _REASONING if state.reason_first else -_REASONING
        return total

    def candidate(self, option_set: OptionSet) -> Candidate:
        """Return the candidate of an option set, with its lineage: it was made from the starting prompt."""
        if option_set in self._candidates:
            return self._candidates[option_set]
        candidate = self.seed
        for place, number in enumerate(option_set):
            if not number:
                continue
            path, level = self.factors[place][0], self.levels[place][number]
            if level.weights is not None:
                for part in (p for p in candidate.steps if p.partition(".")[0] == path):
                    candidate = candidate.with_step(part, weights=level.weights)
                continue
            changes: dict[str, object] = {"demos": level.demos, "nearest": level.nearest}
            if level.demos is None:
                changes = {"reason_first": level.reason_first, "adapter": level.adapter}
                if level.rules:
                    changes["instructions"] = with_rules(self.seed.steps[path].instructions, level.rules)
            candidate = candidate.with_step(path, **{n: v for n, v in changes.items() if v is not None})
        reason = f"{'; '.join(self.titles(option_set))}."
        with_lineage = self.seed if candidate.id == self.seed.id else candidate.derived(reason, self.seed)
        self._candidates[option_set] = with_lineage
        return with_lineage


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
    return "\n".join([instructions, "", "Rules:", *(f"- {rule}" for rule in rules)]).strip()


# Characters that a reasoning is taken to have.
_REASONING = 400

Added = list[tuple[int, int]]
"""(factor, level) of what is new."""
