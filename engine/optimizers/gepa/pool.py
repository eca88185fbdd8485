"""GEPA's pool: candidates with their score on every validation row, and who is to be mutated or merged next.

It knows scores and descent, and nothing of prompts or asks. Source: Agrawal et al. 2025, arXiv 2507.19457.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

from engine.optimizers.shared.texts import Component, components_of
from engine.records import Candidate, Evaluation

Selection = Literal["pareto", "current_best", "epsilon_greedy", "top_k_pareto"]
Frontier = Literal["instance", "objective", "hybrid", "cartesian"]
"""The basis of comparison: rows, what the metric judges (its objectives), both, or each objective on each row."""

_MERGE_TRIES = 10


@dataclass(frozen=True)
class Member:
    """A candidate with its score by validation row, the places of its parents in the pool, and what its metric tells apart."""

    candidate: Candidate
    scores: Mapping[int, float]
    parents: tuple[int, ...] = ()
    objectives: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, candidate: Candidate, found: Evaluation, parents: tuple[int, ...] = ()) -> Self:
        """Return a member with what its evaluation found; a row that failed has met no objective."""
        names = dict.fromkeys(name for o in found.outcomes for name in o.objective_scores or ())
        failed: dict[str, float] = dict.fromkeys(names, 0.0)
        objectives = {o.row: failed if o.error else o.objective_scores or {} for o in found.outcomes}
        return cls(candidate, found.scores, parents, objectives if names else {})

    @cached_property
    def mean(self) -> float:
        """Mean score over the validation rows."""
        return sum(self.scores.values()) / max(1, len(self.scores))

    def marks(self, frontier: Frontier) -> dict[Any, float]:
        """Return the scores that a frontier compares, by what they are of."""
        by_cell = {(row, name): s for row, each in self.objectives.items() for name, s in each.items()}
        if frontier == "cartesian":
            return dict(by_cell)
        rows: dict[Any, float] = {} if frontier == "objective" else dict(self.scores)
        if frontier == "instance":
            return rows
        by_name: dict[str, list[float]] = {}
        for (_, name), score in by_cell.items():
            by_name.setdefault(name, []).append(score)
        return rows | {name: sum(some) / len(some) for name, some in by_name.items()}


class Pool:
    """Members in the order they were added; the first is the starting candidate."""

    def __init__(self, frontier_type: Frontier = "instance") -> None:
        self.members: list[Member] = []
        self._frontier_type = frontier_type
        self._ids: set[str] = set()
        self._merged: set[tuple[int, int]] = set()

    def add(self, member: Member) -> int:
        """Add a member and return its place."""
        self.members.append(member)
        self._ids.add(member.candidate.id)
        return len(self.members) - 1

    @property
    def frontier_type(self) -> Frontier:
        """The basis of comparison in use: the one asked for, or rows where the metric gives no objectives."""
        return self._frontier_type if any(m.objectives for m in self.members) else "instance"

    def holds(self, candidate: Candidate) -> bool:
        """Return whether a member has this content."""
        return candidate.id in self._ids

    @property
    def best(self) -> int:
        """The place of the best mean (the earliest of equals)."""
        return max(range(len(self.members)), key=lambda i: (self.members[i].mean, -i))

    def select(self, strategy: Selection, rng: random.Random, *, epsilon: float = 0.1, top_k: int = 5) -> int:
        """Return the place of the member to mutate next."""
        if strategy == "current_best":
            return self.best
        if strategy == "epsilon_greedy":
            return rng.randrange(len(self.members)) if rng.random() < epsilon else self.best
        among = list(range(len(self.members)))
        if strategy == "top_k_pareto":
            among = sorted(among, key=lambda i: (-self.members[i].mean, i))[:top_k]
        wins = self.frontier(among) or {self.best: 1}
        places = sorted(wins)
        return rng.choices(places, [wins[i] for i in places])[0]

    def frontier(self, among: Sequence[int] | None = None) -> dict[int, int]:
        """Return for each member that is not dominated the number of rows (or objectives) on which none beats it.

        A member is dominated when on every row it leads another remaining member leads too; the lowest
        means are taken out first.
        """
        places = list(range(len(self.members)) if among is None else among)
        marks = {i: self.members[i].marks(self.frontier_type) for i in places}
        fronts = []
        for at in dict.fromkeys(at for own in marks.values() for at in own):
            known = [own[at] for own in marks.values() if at in own]
            best = max(known)
            if not best and len(known) < len(places):
                continue  # a value that some have invented is nothing to lead in
            fronts.append({i for i in places if marks[i].get(at) == best})
        left = set().union(*fronts)
        for i in sorted(left, key=lambda i: (self.members[i].mean, -i)):
            if all(front & (left - {i}) for front in fronts if i in front):
                left.discard(i)
        return {i: sum(i in front for front in fronts) for i in left}

    def merge(self, rng: random.Random) -> tuple[Candidate, int, int] | None:
        """Return a candidate that joins two frontier members, with their places; None where there is no such pair.

        The two descend from one member that neither falls below, and each has changed a text the other has not.
        """
        places = sorted(self.frontier())
        if len(places) < 2:
            return None
        for _ in range(_MERGE_TRIES):
            one, other = sorted(rng.sample(places, 2))
            if (one, other) in self._merged:
                continue
            joined = self._join(one, other, rng)
            if joined is not None and not self.holds(joined):
                self._merged.add((one, other))
                return joined, one, other
        return None

    def _join(self, one: int, other: int, rng: random.Random) -> Candidate | None:
        shared = self._ancestors(one) & self._ancestors(other) - {one, other}
        a, b = self.members[one], self.members[other]
        roots = [i for i in sorted(shared) if self.members[i].mean <= min(a.mean, b.mean)]
        if not roots:
            return None
        root = self.members[roots[-1]].candidate
        joined, from_a, from_b = a.candidate, 0, 0
        three = (root, a.candidate, b.candidate)
        # A field is one of the texts once its description was written.
        written = [
            Component(p, field=n) for c in three for p, s in c.steps.items() for n in s.field_descriptions
        ]
        for part in dict.fromkeys([*(p for c in three for p in components_of(c)), *written]):
            mine, theirs, old = part.text(a.candidate), part.text(b.candidate), part.text(root)
            if mine == theirs:
                continue
            take_other = theirs != old and (
                mine == old or b.mean > a.mean or (b.mean == a.mean and rng.random() < 0.5)
            )
            from_b += take_other
            from_a += not take_other and mine != old
            if take_other:
                joined = part.replaced(joined, theirs)
        return joined if from_a and from_b else None

    def _ancestors(self, place: int) -> set[int]:
        """Return a member's parents, their parents and so on; each is visited once."""
        ancestors: set[int] = set()
        waiting = [place]
        while waiting:
            new = set(self.members[waiting.pop()].parents) - ancestors
            ancestors |= new
            waiting += new
        return ancestors

    def contested_rows(self, one: int, other: int, n: int, rng: random.Random) -> tuple[int, ...]:
        """Return up to `n` validation rows to judge a merge on: some that each side wins, some that are equal."""
        a, b = self.members[one].scores, self.members[other].scores
        groups = [
            [r for r in a if a[r] > b[r]],
            [r for r in a if a[r] < b[r]],
            [r for r in a if a[r] == b[r]],
        ]
        for group in groups:
            rng.shuffle(group)
        drawn: list[int] = []
        while len(drawn) < n and any(groups):
            drawn += [group.pop() for group in groups if group]
        return tuple(sorted(drawn[:n]))
