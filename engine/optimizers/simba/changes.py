"""SIMBA's changes: an example taken from a good run, or a rule written from a good and a bad run.

It plans changes and carries them out; who is changed and what becomes of it is decided in `simba`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.optimizers.shared.prompt_values import (
    MAX_TEXT,
    describe_step,
    proposed_text,
    run_values,
    worst_runs,
)
from engine.records import Candidate, Demo, Outcome
from engine.search.contract import Problem, Propose
from engine.signature import InputField, OutputField, Signature


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a row, and the place in the pool of the prompt that made it."""

    place: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Change:
    """A planned change of a prompt: `base` is `parent` with some examples dropped already."""

    parent: Candidate
    base: Candidate
    kind: Literal["example", "rule"]
    best: Outcome
    worst: Outcome
    others: tuple[Outcome, ...] = ()


def plan_change(
    problem: Problem,
    parent: Candidate,
    bucket: Sequence[Run],
    typical: float,
    faults: Sequence[Outcome],
    max_demos: int,
    rng: random.Random,
) -> Change | None:
    """Return a change that this row's runs (best first) can teach, or None when they teach nothing.

    An example needs a run that scored something and no less than usual; a rule needs a run with a fault, and is
    shown some `faults` of other rows of the minibatch too: they are paid for already.
    """
    best, worst = bucket[0].outcome, bucket[-1].outcome
    possible: list[Literal["example", "rule"]] = []
    shown = any(problem.may_change(path, "demos") for path in problem.signatures)
    right = best.error is None and not best.unmet and best.score > 0 and best.score >= typical
    if max_demos and shown and best.trace and right:
        possible.append("example")
    if worst.score < 1 and problem.worded:
        possible.append("rule")
    if not possible:
        return None
    kind = rng.choice(possible)
    rest = [o for o in faults if o.row != worst.row]
    others = tuple(rng.sample(rest, min(_OTHER_FAULTS, len(rest))))
    return Change(parent, _thinned(parent, max_demos, rng), kind, best, worst, others)


def propose_advice(
    problem: Problem, changes: Sequence[Change], rng: random.Random
) -> Generator[Sequence[Propose], Sequence[Any], list[Mapping[str, str]]]:
    """Ask for the advice of all rule changes at once; return step path -> advice for each change. Calls: steps x rules."""
    asks: list[Propose] = []
    owners: list[tuple[int, str]] = []
    for i, change in enumerate(changes):
        if change.kind != "rule":
            continue
        for path in problem.worded:
            asks.append(_advice(problem, change, path, rng.randrange(1, 1_000_000)))
            owners.append((i, path))
    found: list[dict[str, str]] = [{} for _ in changes]
    if not asks:
        return list(found)
    answers = yield asks
    for (i, path), answer in zip(owners, answers, strict=True):
        text = proposed_text(answer)
        if text:
            found[i][path] = text[:_MAX_ADVICE]
    return list(found)


def changed(change: Change, advice: Mapping[str, str], longest: int) -> Candidate | None:
    """Return the changed prompt with its lineage; None where nothing came of it."""
    made = change.base
    if change.kind == "example":
        for path, state in made.steps.items():
            calls = [s for s in change.best.trace if s.path == path]
            if calls:
                inputs = {n: v[:longest] if isinstance(v, str) else v for n, v in calls[-1].inputs.items()}
                demo = Demo({**inputs, **calls[-1].outputs}, augmented=True)
                if demo not in state.demos:
                    made = made.with_step(path, demos=(*state.demos, demo))
        reason = (
            f"Shows row {change.best.row}, which a run scored {100 * change.best.score:.0f} %, as an example."
        )
    else:
        for path, text in advice.items():
            old = made.steps[path].instructions
            if text not in old:
                made = made.with_step(path, instructions=f"{old}\n\n{text}"[-2 * MAX_TEXT :])
        reason = (
            f"Adds a rule from row {change.worst.row}, which a run scored {100 * change.worst.score:.0f} %."
        )
    if made.id == change.base.id:
        return None
    return made.derived(reason, change.parent)


def _thinned(candidate: Candidate, max_demos: int, rng: random.Random) -> Candidate:
    """Return the candidate with some examples dropped: a Poisson number, at least one when it is full."""
    shown = max((len(state.demos) for state in candidate.steps.values()), default=0)
    if not shown:
        return candidate
    dropped = max(_poisson(shown / max(1, max_demos), rng), int(shown >= max_demos))
    places = set(rng.sample(range(shown), min(dropped, shown)))
    made = candidate
    for path, state in candidate.steps.items():
        left = tuple(d for i, d in enumerate(state.demos) if i not in places)
        if len(left) != len(state.demos):
            made = made.with_step(path, demos=left)
    return made


def _poisson(mean: float, rng: random.Random) -> int:
    """Draw from a Poisson distribution (Knuth's method: the mean is small)."""
    limit, product, n = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        n += 1
    return n


def _advice(problem: Problem, change: Change, path: str, rollout: int) -> Propose:
    even = change.best.score <= change.worst.score
    return Propose(
        WriteAdvice,
        {
            "program_description": problem.program,
            "step": describe_step(path, problem.signatures[path]),
            "current_instructions": change.base.steps[path].instructions,
            "better_run": {} if even else run_values(problem, change.best, path),
            "worse_run": run_values(problem, change.worst, path),
            "other_bad_runs": worst_runs(problem, path, change.others),
        },
        rollout=rollout,
        label=f"a rule for the step {path}",
    )


_MAX_ADVICE = 1500
_OTHER_FAULTS = 8


class WriteAdvice(Signature):
    """
    The same input was run through one step of a program several times. You see a run that went well (empty when
    none did) and one that went badly: what was read, what would have been right, what came out and what was
    said about it. Other inputs that went badly stand beside them.
    Write advice that would have led to the right answers: a few short sentences that will stand below the current
    instructions. Say in which situation each holds, what to answer or heed then, and nothing that the
    instructions say already. State general rules, without quoting the runs.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step the advice is for: its fields and what they mean.")
    current_instructions: str = InputField(desc="The instructions the advice is added to.")
    better_run: dict[str, Any] = InputField(desc="A run that went well; empty when none did.")
    worse_run: dict[str, Any] = InputField(desc="A run that went badly.")
    other_bad_runs: list[dict[str, Any]] = InputField(desc="Runs of other inputs that went badly.")
    advice: str = OutputField(desc="The advice: a few short sentences.")
