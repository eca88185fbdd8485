"""Autotune's rules: how they are read from proposals, merged, and held against the labelled rows.

A proposal writes rules, not a whole new instruction: small deltas can be merged across proposals (as the
playbooks of ACE, arXiv 2510.04618, are). It calls nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from engine.optimizers.autotune.words import is_label, row_words
from engine.search.contract import Problem, Proposal

# Characters of a rule; and from which likeness on two rules count as the same.
_MAX_RULE, _SAME = 400, 0.5

# Labelled rows that rules are held against.
_ROWS_CHECKED = 2000


def rules_of(proposals: Sequence[Proposal], *, most: int = 60) -> list[list[str]]:
    """Return each proposal's rules: a line each, marks off; a single line is taken apart at its sentences."""
    found = []
    for proposal in proposals:
        for output in proposal.outputs:
            text = str(output.get("rules") or "")[:16_000].strip().strip("`").strip()
            lines = [line for line in text.splitlines() if line.strip()]
            if len(lines) == 1:
                lines = re.split(r"(?<=[.!?])\s+(?=[A-Z])", lines[0])
            rules = [re.sub(r"^\s*(?:[-*•]|\d+[.)])\s*", "", line).strip()[:_MAX_RULE] for line in lines]
            found.append([r for r in rules if len(r) > 8][:most])
    return found


def merged_rules(
    current: Sequence[str], proposals: Sequence[Sequence[str]], *, characters: int = 8000
) -> tuple[str, ...]:
    """Return the current rules with the proposals' merged in: alike rules once, a proposal's wording over the current.

    Of alike proposed rules the one most like the others is kept, so that what several readers agree on wins.
    The oldest go first where there is no room.
    """
    proposed = [rule for rules in proposals for rule in rules]
    weights = _weights([*current, *proposed])
    groups: list[list[str]] = []
    for rule in proposed:
        home = max(groups, key=lambda g: _alike(rule, g[0], weights), default=None)
        if home is not None and _alike(rule, home[0], weights) >= _SAME:
            home.append(rule)
        else:
            groups.append([rule])
    new = [max(g, key=lambda r: sum(_alike(r, other, weights) for other in g)) for g in groups]
    merged: list[str] = []
    replaced: set[str] = set()
    for rule in current:
        like = max(new, key=lambda r: _alike(rule, r, weights), default=None)
        if like is not None and like not in replaced and _alike(rule, like, weights) >= _SAME:
            merged.append(like)
            replaced.add(like)
        elif like is None or _alike(rule, like, weights) < _SAME:
            merged.append(rule)
    merged += [rule for rule in new if rule not in replaced]
    while merged and sum(map(len, merged)) > characters:
        merged.pop(0)
    return tuple(dict.fromkeys(merged))


def _weights(rules: Sequence[str]) -> dict[str, float]:
    """A word weighs the less the more rules it stands in, and nothing where an eighth of them have it.

    A word of one rule alone weighs less than one that two share: it may be mere wording.
    """
    counts = Counter(word for rule in rules for word in rule_words(rule))
    total = len(rules) + 1
    least = max(2, total // 8) if total > 8 else total
    weights = {w: math.log(total / n) ** 2 + 1e-6 if n <= least else 0.0 for w, n in counts.items()}
    return {w: weight * (0.3 if counts[w] == 1 else 1.0) for w, weight in weights.items()}


class LabelCheck:
    """Rules held against the labelled rows, without a call: a rule none of whose words goes with its value is out.

    It says nothing of rules that name no label's value, or several, or no word of the inputs.
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
        """Whether the rows speak against a rule."""
        shares = [right / len(rows) for right, rows in self._told(rule)]
        return bool(shares) and max(shares) < 0.34

    def evidence(self, rule: str) -> int:
        """How many labelled rows have both a word of the rule and the value it names.

        Of the word that goes with the value most often; 0 where that is in less than half of its rows.
        """
        share, right = max(((n / len(rows), n) for n, rows in self._told(rule)), default=(0.0, 0))
        return right if share >= 0.5 else 0

    def _told(self, rule: str) -> list[tuple[int, list[dict[str, str]]]]:
        """For each telling word of a rule the rows with it, and how many of them have the value that it names."""
        words = rule_words(rule)
        said = [(name, value) for name, values in self._values.items() for value in values if value in words]
        if len(said) != 1:
            return []
        name, value = said[0]
        known = [self._rows[w] for w in words if 2 <= len(self._rows.get(w, ())) <= self._size // 4]
        return [(sum(labels[name] == value for labels in rows), rows) for rows in known]


def _alike(a: str, b: str, weights: Mapping[str, float]) -> float:
    """How much two rules share: the weight of common words over that of all, 0 to 1."""
    first, second = rule_words(a), rule_words(b)
    # Not sum: its last digit depends on the order of a set, which changes from process to process.
    every = math.fsum(weights.get(w, 1.0) for w in first | second)
    return math.fsum(weights.get(w, 1.0) for w in first & second) / every if every else 0.0


@lru_cache(maxsize=4096)
def rule_words(rule: str) -> frozenset[str]:
    """Return the words of a rule."""
    return frozenset(re.findall(r"\w+", rule.lower()))
