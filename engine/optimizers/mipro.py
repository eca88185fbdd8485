"""MIPROv2: search instructions and examples together, proposals grounded in the data, sampling by TPE.

Source: Opsahl-Ong et al. 2024, "Optimizing Instructions and Demonstrations for Multi-Stage Language
Model Programs", arXiv 2406.11695; constants after DSPy's MIPROv2. Unlike there, independent work runs
together, minibatch scores are compared with the starting prompt's on the same rows, and a search whose
combinations run out ends with what it has.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.errors import ConfigurationError
from engine.modules.reasoning import FIELD
from engine.optimizers.base import Optimizer, Options
from engine.optimizers.bootstrap_few_shot import Rules, accepted_from, bootstrap, teacher_of
from engine.optimizers.demos import with_labeled, with_solved
from engine.optimizers.mipro_trials import Plan, Space, Trials
from engine.optimizers.proposals import (
    Grounding,
    propose_instructions,
    proposed_texts,
    summarize_data,
)
from engine.records import Candidate, Evaluation, Example, Outcome
from engine.search.contract import Ask, Keep, Problem, Score, Search, together

_AUTO: dict[str, tuple[int, int]] = {"light": (6, 100), "medium": (12, 300), "heavy": (18, 1000)}
"""Setting -> how many candidates, and at most how many validation rows."""

_SMALL_VALIDATION = 50
_TRIALS_A_WAVE = 5

# Solved runs that a proposal for one of several steps is shown, and that are looked for where none are needed as examples.
_SHOWN_RUNS = 8

Solved = dict[int, Outcome]
"""Solved rows and their runs."""


class MIPROv2Options(Options):
    """Options of MIPROv2."""

    auto: Literal["light", "medium", "heavy"] | None = Field(
        "light", title="Effort", description="How much is tried; empty: set candidates and trials yourself."
    )
    num_candidates: int | None = Field(
        None, ge=1, title="Candidates", description="Instructions and example sets tried for each step."
    )
    num_trials: int | None = Field(None, ge=1, title="Trials", description="Combinations that are scored.")
    max_bootstrapped_demos: int = Field(
        4, ge=0, title="Solved examples", description="At most this many rows the model solved are shown."
    )
    max_labeled_demos: int = Field(
        4,
        ge=0,
        title="Examples in all",
        description="Labelled rows fill the examples up to this many; with both at 0 only wording is tuned.",
    )
    seed: int = Field(9, title="Seed", description="Another number draws other rows and combinations.")
    init_temperature: float = Field(
        1.0,
        ge=0,
        le=2,
        title="Boldness of proposals",
        description="Temperature the instructions are written at.",
    )
    metric_threshold: float | None = Field(
        None, title="Score that counts as solved", description="0 to 1; empty: any score above 0."
    )
    max_errors: int | None = Field(
        None, ge=1, title="Errors to accept", description="While looking for solved rows; empty: any number."
    )
    minibatch: bool = Field(
        True,
        title="Try on a few rows first",
        description="Score trials on some validation rows, the best on all.",
    )
    minibatch_size: int = Field(
        35, ge=1, title="Rows a trial", description="How many rows a first try takes."
    )
    minibatch_full_eval_steps: int = Field(
        5,
        ge=1,
        title="Trials between full scores",
        description="After so many trials the best is scored in full.",
    )
    program_aware_proposer: bool = Field(
        True, title="Proposals see the program", description="Show the prompt model the program's steps."
    )
    data_aware_proposer: bool = Field(
        True,
        title="Proposals see a data summary",
        description="Let the prompt model summarize the data first.",
    )
    view_data_batch_size: int = Field(
        10, ge=1, title="Rows a summary call", description="Rows shown at once when the data are summarized."
    )
    tip_aware_proposer: bool = Field(
        True, title="Vary the advice", description="Give each proposal another piece of advice."
    )
    fewshot_aware_proposer: bool = Field(
        True, title="Proposals see examples", description="Show the prompt model labelled and solved rows."
    )

    tune_reasoning: bool = Field(
        False,
        title="Reason first or not",
        description="Also try each step with reasoning before its answer, or without where it has it now.",
    )

    @model_validator(mode="after")
    def _effort(self) -> Self:
        given = self.num_candidates is not None, self.num_trials is not None
        if self.auto is not None and any(given):
            raise ValueError("num_candidates and num_trials need auto=None")
        if self.auto is None and self.num_candidates is None:
            raise ValueError("auto=None needs num_candidates")
        return self

    @property
    def zero_shot(self) -> bool:
        """Whether only wording is tuned."""
        return not self.max_bootstrapped_demos and not self.max_labeled_demos


class MIPROv2(Optimizer):
    """Proposes instructions from the data, solves rows for examples, and searches the combinations.

    Calls, with c calls a row, V validation rows (at most 100, 300 or 1,000 by `auto`), M rows a
    minibatch, T trials, P steps and n candidates: (1 + T/5) V c + T M c at most for trials (T V c
    without minibatches), P (k - 1) + 6 for proposals (k = n/2, or n without examples), and at most train
    rows x c to solve rows. T = max(2 x variables x log2 n, 1.5 n). A budget in calls shrinks V and T.
    Source: arXiv 2406.11695.

    >>> MIPROv2(auto="medium").options.seed
    9
    """

    name: ClassVar[str] = "MIPROv2"
    title: ClassVar[str] = "Tune wording and examples together"
    options_model: ClassVar[type[Options]] = MIPROv2Options
    changes: ClassVar[Literal["nothing", "examples", "wording", "both"]] = "both"

    options: MIPROv2Options

    def search(self, problem: Problem) -> Search:
        """Prepare baseline, examples and summary at once; propose at once; then try combinations in waves."""
        o = self.options
        rng = random.Random(f"{o.seed}:{problem.rng.getrandbits(64)}")
        problem = replace(problem, rng=rng)
        plan = make_plan(o, problem)
        validation = tuple(sorted(rng.sample(problem.validation, plan.validation)))
        baseline, summary, solved = yield from self._prepare(problem, plan, validation)
        if len(baseline.outcomes) < len(validation):
            return
        keep = Keep(problem.seed, baseline.score)
        demo_sets = self._demo_sets(problem, solved)
        texts = yield from self._propose(problem, plan, summary, solved, keep)
        fixed = frozenset(path for path in texts if not problem.may_change(path, "demos"))
        space = Space(
            problem.seed, tuple(texts.items()), tuple(demo_sets), o.zero_shot, fixed, self._thinking(problem)
        )
        trials = Trials(space, plan, validation, baseline, rng, rehearsal=problem.rehearsal)
        yield from trials.search()

    def split(
        self, trainset: Sequence[Example], valset: Sequence[Example] | None
    ) -> tuple[Sequence[Example], Sequence[Example]]:
        """Without a valset, a random 80 % of the trainset (at most 1,000) validates and the rest trains."""
        if valset is not None:
            return trainset, valset
        if len(trainset) < 2:
            raise ConfigurationError("MIPROv2 needs at least 2 examples, or a valset.")
        order = list(trainset)
        random.Random(self.options.seed).shuffle(order)
        size = min(1000, max(1, int(0.8 * len(order))))
        return order[size:] or order[:1], order[:size]

    def _prepare(
        self, problem: Problem, plan: Plan, validation: tuple[int, ...]
    ) -> Generator[Sequence[Ask], Sequence[Any], tuple[Evaluation, str, list[Solved]]]:
        """Score the starting prompt, summarize the data and solve rows, all in shared batches."""
        o = self.options
        rules = Rules(1, accepted_from(self), o.max_errors, hurry=True)
        jobs: list[Generator[Sequence[Ask], Sequence[Any], Any]] = [
            summarize_data(problem, rows_a_batch=o.view_data_batch_size)
            if o.data_aware_proposer and problem.worded
            else _nothing(problem.data)
        ]
        orders: list[tuple[list[int], int]] = []
        if o.zero_shot and len(problem.signatures) > 1 and o.fewshot_aware_proposer:
            # Only runs show what goes from one step to the next: labels do not know of it.
            jobs.append(bootstrap(problem.seed, problem.train, _SHOWN_RUNS, rules))
        elif not o.zero_shot and o.max_bootstrapped_demos:
            teacher = teacher_of(problem, o.max_labeled_demos, problem.rng)
            fixed = 2 if o.max_labeled_demos else 1
            for number in range(max(1, plan.candidates - fixed)):
                order = list(problem.train)
                wanted = o.max_bootstrapped_demos
                if number:
                    problem.rng.shuffle(order)
                    wanted = problem.rng.randint(1, o.max_bootstrapped_demos)
                orders.append((order, wanted))
            jobs += [bootstrap(teacher, order, wanted, rules) for order, wanted in orders]
        # Last, because nothing waits for it: what takes several rounds goes first.
        jobs.append(_baseline(Score(problem.seed, validation, label="starting prompt")))
        summary, *solved, baseline = yield from together(jobs)
        return baseline, summary, solved

    def _thinking(self, problem: Problem) -> tuple[tuple[str, bool], ...]:
        """Steps that may reason first or not, with what is other than now."""
        if not self.options.tune_reasoning:
            return ()
        steps = problem.signatures
        if FIELD in problem.output_fields or any(FIELD in s.input_fields for s in steps.values()):
            return ()  # something depends on it
        return tuple(
            (path, FIELD not in own.output_fields)
            for path, own in steps.items()
            if problem.may_change(path, "step")
            and (FIELD not in own.output_fields or len(own.output_fields) > 1)
        )

    def _demo_sets(self, problem: Problem, solved: Sequence[Solved]) -> list[Candidate]:
        """Example sets, each content once: the starting one, none, labelled rows, and the solved ones."""
        o, seed = self.options, problem.seed
        if o.zero_shot:
            return []
        none = {
            path: replace(s, demos=()) if problem.may_change(path, "demos") else s
            for path, s in seed.steps.items()
        }
        sets = [seed, replace(seed, steps=none)]
        if o.max_labeled_demos:
            sets.append(with_labeled(problem, seed, o.max_labeled_demos, problem.rng))
        sets += [with_solved(problem, seed, rows, o.max_labeled_demos, problem.rng) for rows in solved]
        return list({s.id: s for s in sets}.values())

    def _propose(
        self, problem: Problem, plan: Plan, summary: str, solved: Sequence[Solved], keep: Keep
    ) -> Generator[Sequence[Ask], Sequence[Any], dict[str, tuple[str, ...]]]:
        """Step path -> instructions, the current ones first."""
        o = self.options
        grounding = Grounding(
            data_summary=summary,
            show_program=o.program_aware_proposer,
            show_rows=40 if o.fewshot_aware_proposer else 0,
            use_tips=o.tip_aware_proposer,
            temperature=o.init_temperature,
        )
        runs: Solved = {row: outcome for some in solved for row, outcome in some.items()}
        shown = tuple(runs.values()) if o.fewshot_aware_proposer else ()
        asks = {
            path: propose_instructions(problem, path, shown, plan.instructions - 1, problem.rng, grounding)
            for path in problem.worded
        }
        _, *answers = yield [keep, *(ask for some in asks.values() for ask in some)]
        texts: dict[str, tuple[str, ...]] = {
            path: (problem.seed.steps[path].instructions,) for path in problem.signatures
        }
        for path, some in asks.items():
            mine, answers = answers[: len(some)], answers[len(some) :]
            current = problem.seed.steps[path].instructions
            texts[path] = (current, *(t for t in proposed_texts(mine) if t != current))
        return texts


def make_plan(o: MIPROv2Options, problem: Problem) -> Plan:
    """Return the plan of the options, shrunk to what a budget in calls allows."""
    n, cap = (o.num_candidates or 1, 10**9) if o.auto is None else _AUTO[o.auto]
    steps = len(problem.worded)
    shown = 0 if o.zero_shot else sum(problem.may_change(path, "demos") for path in problem.signatures)
    variables = max(1, steps + shown + (len(problem.signatures) if o.tune_reasoning else 0))
    trials = o.num_trials or int(max(2 * variables * math.log2(max(2, n)), 1.5 * n))
    instructions = n if o.zero_shot else max(2, n // 2)
    rows = min(cap, len(problem.validation))

    def plan(rows: int, trials: int) -> Plan:
        small = o.auto is not None and rows <= _SMALL_VALIDATION
        mini = 0 if not o.minibatch or small or o.minibatch_size >= rows else o.minibatch_size
        wave = o.minibatch_full_eval_steps if mini else _TRIALS_A_WAVE
        return Plan(n, instructions, trials, rows, mini, wave)

    calls = problem.allowance.calls
    if calls is None:
        return plan(rows, trials)
    wanted = (_SHOWN_RUNS if steps > 1 else 0) if o.zero_shot else n * max(1, o.max_bootstrapped_demos)
    solving = min(len(problem.train), 2 * wanted)
    summary = min(6, -(-len(problem.train) // o.view_data_batch_size) + 1) * o.data_aware_proposer
    calls -= steps * (instructions - 1) + summary + solving * problem.calls_per_row
    # First fewer rows, while they can still tell prompts apart, then fewer trials.
    while _cost(plan(rows, trials), problem) > calls and rows > 24:
        rows = max(24, rows * 4 // 5)
    while _cost(plan(rows, trials), problem) > calls and trials > 1:
        trials -= 1
    return plan(rows, trials)


def _cost(plan: Plan, problem: Problem) -> int:
    waves = -(-plan.trials // plan.wave)
    full = 1 + (waves if plan.minibatch else plan.trials)
    tried = plan.trials * plan.minibatch
    return (full * plan.validation + tried) * problem.calls_per_row


def _baseline(ask: Score) -> Generator[Sequence[Ask], Sequence[Any], Evaluation]:
    (evaluation,) = yield [ask]
    return evaluation  # type: ignore[no-any-return]  # the driver answers a Score with an Evaluation


def _nothing(value: Any) -> Generator[Sequence[Ask], Sequence[Any], Any]:
    return value
    yield []  # a generator that asks nothing
