"""Autotune's readers: asks that have rules written down from labelled rows and from runs.

Several read side by side; each sees the labelled rows in an order of its own, and its share of the failures,
grouped by what went wrong, with the nearest successes (Contrastive Reflection, arXiv 2606.30840; the failure
modes of Opik's hierarchical optimizer). Of a pipeline they see whole runs. It yields nothing itself.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from engine.optimizers.autotune.words import row_words
from engine.optimizers.shared.proposals import describe_step, labelled_rows
from engine.optimizers.shared.reflection import feedback_of
from engine.records import Outcome
from engine.search.contract import Problem, Propose
from engine.signature import InputField, OutputField, Signature

# Runs that one reader sees, and successes beside them.
_RUNS_EACH, _SUCCESSES_EACH = 10, 6
# Labelled rows that one reader draws; its prompt has room for some hundred.
_ROWS_EACH = 2000


def readers(
    problem: Problem,
    path: str,
    instructions: str,
    outcomes: Sequence[Outcome],
    *,
    n: int,
    rollout: int,
    rng: random.Random,
) -> list[Propose]:
    """Return `n` asks for rules for a step, from its instructions and runs under them (or none). Calls: `n`."""
    solved = [o for o in outcomes if o.score >= 1 and o.error is None]
    shares = _dealt(failure_groups(problem, outcomes), n)
    asks = []
    for i in range(n):
        near = _nearest(problem, shares[i], solved)
        rows = rng.sample(problem.train, min(_ROWS_EACH, len(problem.train)))
        labelled = labelled_rows(problem, rows)
        labelled += labelled_rows(
            problem, rows[len(labelled) :]
        )  # two prompts' worth: rare things must be seen
        asks.append(
            Propose(
                WriteRules,
                {
                    "program_description": problem.program,
                    "step": describe_step(path, problem.signatures[path]),
                    "current_instructions": instructions,
                    "failed_runs": [shown_run(problem, o) for o in shares[i]],
                    "similar_successes": [shown_run(problem, o) for o in near],
                    "labelled_examples": labelled,
                },
                rollout=rollout + i,
                label=f"rules for {path}",
            )
        )
    return asks


def failure_groups(problem: Problem, outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes below 1 by what went wrong, the largest group first.

    What went wrong is an answer that could not be read, or the outputs that are wrong with what was expected.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.score < 1 or outcome.error is not None:
            groups.setdefault(_what_went_wrong(problem, outcome), []).append(outcome)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def _what_went_wrong(problem: Problem, outcome: Outcome) -> str:
    """A few words: the fields that are wrong, and for short labels what was confused with what."""
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


def shown_run(problem: Problem, outcome: Outcome) -> dict[str, Any]:
    """Return a whole run as a row: the program's inputs, what each step wrote, right outputs, what was said of it."""
    row = problem.rows[outcome.row]
    shown: dict[str, Any] = {"inputs": _short({n: row[n] for n in problem.input_fields if n in row})}
    if len(problem.signatures) > 1:
        shown["steps_wrote"] = {step.path: _short(step.outputs) for step in outcome.trace}
    shown["outputs"] = _short({n: row[n] for n in problem.output_fields if n in row})
    shown["answered"] = _short(outcome.prediction)
    shown["score"] = round(outcome.score, 3)
    shown["feedback"] = feedback_of(problem, outcome)
    return shown


def _dealt(groups: Mapping[str, Sequence[Outcome]], n: int) -> list[list[Outcome]]:
    """Deal the groups out so that a reader sees whole groups, and every failure is seen where there is room."""
    shares: list[list[Outcome]] = [[] for _ in range(n)]
    for group in groups.values():
        fewest = min(shares, key=len)
        for outcome in group:
            target = fewest if len(fewest) < _RUNS_EACH else min(shares, key=len)
            if len(target) < _RUNS_EACH:
                target.append(outcome)
    return shares


def _nearest(problem: Problem, failed: Sequence[Outcome], solved: Sequence[Outcome]) -> list[Outcome]:
    """The successes most like the failures, each once."""
    words = {o.row: row_words(problem, o.row) for o in (*failed, *solved)}
    near: dict[int, Outcome] = {}
    for outcome in failed:
        if not solved or len(near) >= _SUCCESSES_EACH:
            break
        best = max(solved, key=lambda s: len(words[outcome.row] & words[s.row]) / (1 + len(words[s.row])))
        near[best.row] = best
    return list(near.values())


def _short(values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v[:1500] if isinstance(v, str) else v for n, v in values.items()}


class WriteRules(Signature):
    """
    A language model runs one step of a program under the current instructions. You see labelled rows of the
    program's data and, where there are any, runs that went wrong with similar runs that went right.
    Write the rules that are missing: what separates the right outputs from the wrong ones, stated so that each
    rule stands alone and holds for rows that are not shown. Name the words or features that give a value away,
    and the exact value. Correct a current rule that rows speak against by writing it anew. Write only what at
    least one row shows, and nothing about the answer's layout.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step whose rules are wanted: its fields and what they mean.")
    current_instructions: str = InputField(desc="The instructions in use now.")
    failed_runs: list[dict[str, Any]] = InputField(
        desc="Runs that went wrong: inputs, what the steps wrote, right outputs, what was answered and said about it."
    )
    similar_successes: list[dict[str, Any]] = InputField(desc="Runs that are like them and went right.")
    labelled_examples: list[dict[str, Any]] = InputField(desc="Rows of the data with their right outputs.")
    rules: str = OutputField(desc="New and corrected rules, one a line.")
