"""Autotune's proposals: rules written down from labelled rows and from grouped failures, and how rules are merged.

A proposal writes rules, not a whole new instruction: small deltas can be merged across proposals, corrected
and thrown out one by one (as the playbooks of ACE, arXiv 2510.04618, are). Failures are grouped by what went
wrong, each with its nearest success beside it (Contrastive Reflection, arXiv 2606.30840; the failure
modes of Opik's hierarchical optimizer). It yields nothing itself and calls nothing.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.optimizers.proposals import describe_step, labelled_rows
from engine.optimizers.reflection import shown_run
from engine.records import Outcome
from engine.search.contract import Problem, Proposal, Propose
from engine.signature import InputField, OutputField, Signature

# Labelled rows and failed runs that one proposal sees: some 3,000 tokens.
_ROWS_EACH, _RUNS_EACH = 60, 10

# Characters of a rule; and from which likeness on two rules count as the same.
_MAX_RULE, _SAME = 400, 0.5


def failure_groups(problem: Problem, outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes below 1 by what went wrong, the largest group first.

    What went wrong is an answer that could not be read, or the outputs that are wrong with what was expected.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.score < 1 or outcome.error is not None:
            groups.setdefault(what_went_wrong(problem, outcome), []).append(outcome)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def what_went_wrong(problem: Problem, outcome: Outcome) -> str:
    """Return a few words: the fields that are wrong, and for short labels what was confused with what."""
    if outcome.error is not None:
        return "no answer could be read"
    row = problem.rows[outcome.row]
    parts = []
    for name in problem.output_fields:
        wanted, got = str(row.get(name, "")), str(outcome.prediction.get(name, ""))
        if name in row and wanted != got:
            short = len(wanted) <= 30 and len(got) <= 30 and not re.search(r"\d", wanted)
            parts.append(f"{name} {got!r} instead of {wanted!r}" if short else f"{name} wrong")
    return ", ".join(parts) or "a low score"


@dataclass(frozen=True, slots=True)
class Focus:
    """What proposals look at besides labelled rows: the instructions in use, runs under them, rules that did harm."""

    instructions: str
    outcomes: tuple[Outcome, ...] = ()
    rejected: tuple[str, ...] = ()


def propose_rules(
    problem: Problem, path: str, focus: Focus, *, n: int, rollout: int, rng: random.Random
) -> list[Propose]:
    """Return `n` asks for rules for a step: each sees other failures and other labelled rows. Calls: `n`."""
    groups = failure_groups(problem, focus.outcomes)
    solved = [o for o in focus.outcomes if o.score >= 1 and o.error is None]
    shares = _dealt(groups, n, _RUNS_EACH)
    rows = rng.sample(list(problem.train), len(problem.train))
    asks = []
    for i in range(n):
        mine = shares[i]
        near = _nearest(problem, mine, solved)
        start = i * _ROWS_EACH % max(1, len(rows))
        chunk = (rows + rows)[start : start + min(_ROWS_EACH, len(rows))]
        asks.append(
            Propose(
                WriteRules,
                {
                    "program_description": problem.program,
                    "step": describe_step(path, problem.signatures[path]),
                    "current_instructions": focus.instructions,
                    "failed_runs": [shown_run(problem, path, o) for o in mine],
                    "similar_successes": [shown_run(problem, path, o) for o in near],
                    "labelled_examples": labelled_rows(problem, chunk),
                    "rejected_rules": list(focus.rejected)[-12:],
                },
                rollout=rollout + i,
                label=f"rules for {path}",
            )
        )
    return asks


def _dealt(groups: Mapping[str, Sequence[Outcome]], n: int, each: int) -> list[list[Outcome]]:
    """Deal the groups out so that a proposal sees whole groups, and every failure is seen where there is room."""
    shares: list[list[Outcome]] = [[] for _ in range(n)]
    for group in groups.values():
        fewest = min(shares, key=len)
        for outcome in group:
            target = fewest if len(fewest) < each else min(shares, key=len)
            if len(target) < each:
                target.append(outcome)
    return shares


def _nearest(problem: Problem, failed: Sequence[Outcome], solved: Sequence[Outcome]) -> list[Outcome]:
    """The successes most like the failures, each once, at most six."""
    words = {o.row: row_words(problem, o.row) for o in (*failed, *solved)}
    near: dict[int, Outcome] = {}
    for outcome in failed:
        if not solved or len(near) >= 6:
            break
        best = max(solved, key=lambda s: len(words[outcome.row] & words[s.row]) / (1 + len(words[s.row])))
        near[best.row] = best
    return list(near.values())


def row_words(problem: Problem, row: int) -> frozenset[str]:
    """Return the words of a row's inputs."""
    values = problem.rows[row]
    text = " ".join(str(values.get(name, "")) for name in problem.input_fields)
    return frozenset(re.findall(r"\w+", text.lower()))


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
    current: Sequence[str],
    proposals: Sequence[Sequence[str]],
    rejected: Sequence[str] = (),
    *,
    characters: int = 8000,
) -> tuple[str, ...]:
    """Return the current rules with the proposals' merged in: alike rules once, a proposal's wording over the current.

    Of alike proposed rules the one most like the others is kept, so that what several readers agree on wins.
    Rules that are like a rejected one are left out, and the oldest go first where there is no room.
    """
    proposed = [rule for rules in proposals for rule in rules]
    weights = _weights([*current, *proposed, *rejected])
    groups: list[list[str]] = []
    for rule in proposed:
        if any(_alike(rule, r, weights) > 0.8 for r in rejected):
            continue
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
    """A word weighs the less the more rules it stands in, and nothing where a quarter of them have it.

    A word of one rule alone weighs less than one that two share: it may be mere wording.
    """
    counts = Counter(word for rule in rules for word in rule_words(rule))
    total = len(rules) + 1
    least = max(2, total // 4) if total > 8 else total
    weights = {w: math.log(total / n) ** 2 + 1e-6 if n <= least else 0.0 for w, n in counts.items()}
    return {w: weight * (0.3 if counts[w] == 1 else 1.0) for w, weight in weights.items()}


class LabelCheck:
    """Rules held against the labelled rows, without a call: a rule none of whose words goes with its value is out.

    It says nothing of rules that name no label's value, or several, or no word of the inputs.
    """

    def __init__(self, problem: Problem) -> None:
        self._values: dict[str, set[str]] = {}
        self._rows: dict[str, list[dict[str, str]]] = {}
        self._size = len(problem.train)
        names = [n for n in problem.output_fields if self._is_label(problem, n)]
        for row in problem.train:
            labels = {n: str(problem.rows[row].get(n, "")).lower() for n in names}
            for name, value in labels.items():
                self._values.setdefault(name, set()).add(value)
            for word in row_words(problem, row):
                self._rows.setdefault(word, []).append(labels)

    def contradicted(self, rule: str) -> bool:
        """Whether the rows speak against a rule."""
        words = rule_words(rule)
        said = [(name, value) for name, values in self._values.items() for value in values if value in words]
        if len(said) != 1:
            return False
        name, value = said[0]
        known = [self._rows[w] for w in words if 2 <= len(self._rows.get(w, ())) <= self._size // 4]
        shares = [sum(labels[name] == value for labels in rows) / len(rows) for rows in known]
        return bool(shares) and max(shares) < 0.34

    @staticmethod
    def _is_label(problem: Problem, name: str) -> bool:
        values = {str(problem.rows[row].get(name, "")) for row in problem.train}
        return 1 < len(values) <= 20 and all(len(v) <= 40 for v in values)


def _alike(a: str, b: str, weights: Mapping[str, float]) -> float:
    """How much two rules share: the weight of common words over that of all, 0 to 1."""
    first, second = rule_words(a), rule_words(b)
    every = sum(weights.get(w, 1.0) for w in first | second)
    return sum(weights.get(w, 1.0) for w in first & second) / every if every else 0.0


@lru_cache(maxsize=4096)
def rule_words(rule: str) -> frozenset[str]:
    """Return the words of a rule."""
    return frozenset(re.findall(r"\w+", rule.lower()))


class WriteRules(Signature):
    """
    A language model runs one step of a program under the current instructions. You see labelled rows of the
    program's data and, where there are any, runs that went wrong with similar runs that went right.
    Write the rules that are missing: what separates the right outputs from the wrong ones, stated so that each
    rule stands alone and holds for rows that are not shown. Name the words or features that give a value away,
    and the exact value. Correct a current rule that rows speak against by writing it anew. Write only what at
    least one row shows, nothing about the answer's layout, and none of the rejected rules.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step whose rules are wanted: its fields and what they mean.")
    current_instructions: str = InputField(desc="The instructions in use now.")
    failed_runs: list[dict[str, Any]] = InputField(
        desc="Runs that went wrong: inputs, right outputs, what was answered and what was said about it."
    )
    similar_successes: list[dict[str, Any]] = InputField(desc="Runs that are like them and went right.")
    labelled_examples: list[dict[str, Any]] = InputField(desc="Rows of the data with their right outputs.")
    rejected_rules: list[str] = InputField(desc="Rules that were tried and did harm.")
    rules: str = OutputField(desc="New and corrected rules, one a line.")
