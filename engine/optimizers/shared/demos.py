"""Demonstrations made from rows and from traces: what the example-choosing optimizers share.

A demonstration shows a step its own inputs and outputs. It knows no search and calls nothing.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from engine.records import Candidate, Demo, Outcome
from engine.search.contract import Problem
from engine.similarity import rarity, total_weight, words


def labeled_demo(problem: Problem, path: str, row: int) -> Demo | None:
    """Return a row's own values as a demonstration of a step; None if it lacks every input or every output.

    A field the row does not know (a reasoning, an earlier step's output) is left out: the prompt says so.
    """
    signature = problem.signatures[path]
    values = {
        name: value
        for name, value in problem.rows[row].items()
        if name in signature.input_fields or name in signature.output_fields
    }
    read = any(name in values for name in signature.input_fields)
    written = any(values.get(name) is not None for name in signature.output_fields)
    return Demo(values) if read and written else None


def labeled_demos(
    problem: Problem, path: str, rows: Sequence[int], k: int, rng: random.Random | None
) -> tuple[Demo, ...]:
    """Return up to `k` rows as demonstrations of a step: the first ones, or with `rng` drawn so that they differ."""
    chosen = rows[:k] if rng is None else varied_rows(problem, rows, k, rng)
    demos = (labeled_demo(problem, path, row) for row in chosen)
    return tuple(d for d in demos if d is not None)


def varied_rows(problem: Problem, rows: Sequence[int], k: int, rng: random.Random) -> list[int]:
    """Draw up to `k` rows at random, but of a few drawn each time keep the one that has least in common with those kept.

    What rows have in common are words of their inputs and outputs; a rare one says more (inverse document frequency).
    So examples do not say the same thing twice, and frequent kinds of rows still come first. After Mitchell's
    best-candidate sampling (1991), with words in place of distances.
    """
    pool = rng.sample(list(rows), min(len(rows), max(_FEWEST_IN_POOL, _POOL_FOR_EACH * k)))
    words_of = {row: _row_words(problem, row) for row in pool}
    weights = rarity(list(words_of.values()))
    seen: set[str] = set()
    chosen: list[int] = []
    while pool and len(chosen) < k:
        drawn = pool[:_DRAWN_EACH]
        best = min(
            drawn,
            key=lambda row: (
                total_weight(words_of[row] & seen, weights) / (total_weight(words_of[row], weights) or 1.0)
            ),
        )
        pool.remove(best)
        chosen.append(best)
        seen |= words_of[best]
        rng.shuffle(pool)
    return chosen


def _row_words(problem: Problem, row: int) -> frozenset[str]:
    values = problem.rows[row]
    names = (*problem.input_fields, *problem.output_fields)
    text = " ".join(str(values[name])[:_READ] for name in names if name in values)
    return frozenset(words(text))


# Rows that examples are chosen among: for each example, at least, and drawn at once for each.
_POOL_FOR_EACH, _FEWEST_IN_POOL, _DRAWN_EACH = 16, 64, 4

# Characters of a value that are looked at.
_READ = 2000


def with_labeled(
    problem: Problem,
    candidate: Candidate,
    k: int,
    rng: random.Random | None,
    rows: Sequence[int] | None = None,
) -> Candidate:
    """Return the candidate with up to `k` training rows as the demonstrations of every step that may change them."""
    pool = problem.train if rows is None else rows
    steps = {
        path: replace(state, demos=labeled_demos(problem, path, pool, k, rng), nearest=0)
        if problem.may_change(path, "demos")
        else state
        for path, state in candidate.steps.items()
    }
    return replace(candidate, steps=steps)


def traced_demos(outcomes: Sequence[Outcome], path: str, rng: random.Random) -> list[Demo]:
    """Return each outcome's own call of a step as a demonstration.

    A step that ran several times in one row gives one: the last, or half of the time an earlier one.
    """
    demos = []
    for outcome in outcomes:
        calls = [step for step in outcome.trace if step.path == path]
        if len(calls) > 1 and rng.random() < 0.5:
            calls = [rng.choice(calls[:-1])]
        if calls:
            demos.append(Demo({**calls[-1].inputs, **calls[-1].outputs}, augmented=True))
    return demos


def with_solved(
    problem: Problem,
    candidate: Candidate,
    solved: Mapping[int, Outcome],
    max_labeled: int,
    rng: random.Random,
) -> Candidate:
    """Return the candidate with solved rows' traces as demonstrations, filled up with other training rows."""
    steps = dict(candidate.steps)
    for path, state in candidate.steps.items():
        if not problem.may_change(path, "demos"):
            continue
        traced = traced_demos(tuple(solved.values()), path, rng)
        rest = _others(problem.train, solved)
        raw = labeled_demos(problem, path, rest, max(0, max_labeled - len(traced)), rng)
        steps[path] = replace(state, demos=(*traced, *raw), nearest=0)
    return replace(candidate, steps=steps)


def _others(rows: Sequence[int], used: Collection[int]) -> list[int]:
    return [row for row in rows if row not in used]
