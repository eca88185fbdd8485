"""MIPROv2: search instructions and examples together, proposals grounded in the data, sampling by TPE.

Source: Opsahl-Ong et al. 2024, "Optimizing Instructions and Demonstrations for Multi-Stage Language
Model Programs", arXiv 2406.11695; constants after DSPy's MIPROv2. Unlike there, independent work runs
together, minibatch scores are compared with the starting prompt's on the same rows, proposals see all notes on
the data and the rows that went wrong while examples were looked for, no combination is tried twice, and a
search whose combinations run out ends with what it has.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar

from pydantic import Field

from engine.errors import ConfigurationError
from engine.modules.predict import FIELD
from engine.optimizers.base import Changes, Optimizer
from engine.optimizers.few_shot.bootstrap import Rules, bootstrap, teacher_of
from engine.optimizers.mipro.plan import SHOWN_RUNS, MIPROv2Options, Plan, make_plan
from engine.optimizers.mipro.proposals import Material, observe_data, propose_instructions, proposed_texts
from engine.optimizers.mipro.trials import Space, Trials
from engine.optimizers.shared.demos import with_labeled, with_solved
from engine.optimizers.shared.prompt_values import answers_by_key
from engine.records import Candidate, Evaluation, Example, Outcome
from engine.search.contract import Ask, Keep, Problem, Score, Search, relay, together

Solved = dict[int, Outcome]
"""Solved rows and their runs."""


class MIPROv2(Optimizer):
    """Proposes instructions from the data, solves rows for examples, and searches the combinations.

    Calls, with c calls a row, V validation rows (at most 100, 300 or 1,000 by `auto`), M rows a
    minibatch, T trials, P steps and n candidates: (1 + T/5) V c + T M c at most for trials (T V c
    without minibatches), P (k - 1) for proposals (k = n/2, or n without examples) and at most 10 for notes
    on the data, and at most train rows x c to solve rows. T is max(2 x variables x log2 n, 1.5 n) draws; with
    examples as many as are expected to differ among T draws, K (1 - (1 - 1/K)^T) of K = (k n)^P. A budget in calls
    lowers V to a fifth of what it leaves, tries as long as it goes, and spends what the last trial leaves on
    full scores.
    Source: arXiv 2406.11695.

    >>> MIPROv2(auto="medium").options.seed
    9
    """

    name = "MIPROv2"
    title = "Tune wording and examples together"
    options_model = MIPROv2Options
    changes: ClassVar[Changes] = "both"

    options: MIPROv2Options

    def search(self, problem: Problem) -> Search:
        """Prepare baseline, examples and summary at once; propose at once; then try combinations in waves."""
        o = self.options
        problem = replace(problem, rng=random.Random(f"{o.seed}:{problem.rng.getrandbits(64)}"))
        plan = make_plan(o, problem)
        validation = tuple(sorted(problem.rng.sample(problem.validation, plan.validation)))
        material = yield from self._prepare(problem, plan, validation)
        if len(material.baseline.outcomes) < len(validation):
            return
        demo_sets = self._demo_sets(problem, material.solved)
        texts = yield from self._propose(problem, plan, material)
        fixed = frozenset(path for path in texts if not problem.may_change(path, "demos"))
        zero_shot = self.options.zero_shot
        reasoning_choices = self._reasoning_choices(problem)
        space = Space(
            problem.seed, tuple(texts.items()), tuple(demo_sets), zero_shot, fixed, reasoning_choices
        )
        yield from Trials(problem, space, plan, material.baseline).search()

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
    ) -> Generator[Sequence[Ask], Sequence[Any], Material]:
        """Score the starting prompt, note what the data show and solve rows, all in shared batches."""
        o = self.options
        rules = Rules.of(self, hurry=True)
        wrong: Solved = {}
        jobs: list[Generator[Sequence[Ask], Sequence[object], object]] = [
            observe_data(problem, readers=plan.readers, rows_each=plan.rows_a_reader)
        ]
        orders: list[tuple[list[int], int]] = []
        if o.zero_shot and len(problem.signatures) > 1 and o.fewshot_aware_proposer:
            # Only runs show what passes between steps.
            jobs.append(
                _collecting_wrong(bootstrap(problem.seed, problem.train, SHOWN_RUNS, rules), rules, wrong)
            )
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
            jobs += [
                _collecting_wrong(bootstrap(teacher, order, n, rules), rules, wrong) for order, n in orders
            ]
        # Last, because nothing waits for it: what takes several rounds goes first.
        jobs.append(_baseline(Score(problem.seed, validation, label="starting prompt")))
        notes, *solved, baseline = yield from together(jobs)
        return Material(baseline, notes, solved, wrong)

    def _reasoning_choices(self, problem: Problem) -> tuple[tuple[str, bool], ...]:
        """Return the steps that may reason first or not, with the choice that differs from now."""
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

    def _demo_sets(self, problem: Problem, solved: Sequence[Mapping[int, Outcome]]) -> list[Candidate]:
        """Return example sets, each content once: the starting one, none, labelled rows, and the solved ones."""
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
        self, problem: Problem, plan: Plan, material: Material
    ) -> Generator[Sequence[Ask], Sequence[Any], dict[str, tuple[str, ...]]]:
        """Return step path -> instructions, the current ones first."""
        asks = {
            path: propose_instructions(problem, path, plan.instructions - 1, self.options, material)
            for path in problem.worded
        }
        keep = Keep(problem.seed, material.baseline.score)
        _, *answers = yield [keep, *chain.from_iterable(asks.values())]
        texts: dict[str, tuple[str, ...]] = {
            path: (problem.seed.steps[path].instructions,) for path in problem.signatures
        }
        for path, proposals in answers_by_key(asks, answers).items():
            current = problem.seed.steps[path].instructions
            texts[path] = (current, *(t for t in proposed_texts(proposals) if t != current))
        return texts


def _baseline(ask: Score) -> Generator[Sequence[Ask], Sequence[Any], Evaluation]:
    (evaluation,) = yield [ask]
    return evaluation  # type: ignore[no-any-return]  # the driver answers a Score with an Evaluation


def _collecting_wrong(
    search: Generator[Sequence[Ask], Sequence[Any], Solved], rules: Rules, wrong: Solved
) -> Generator[Sequence[Ask], Sequence[Any], Solved]:
    """Return the search for solved rows, which also collects the runs that did not solve theirs."""

    def note(_: Sequence[Ask], evaluations: Sequence[Evaluation]) -> None:
        outcomes = (o for evaluation in evaluations for o in evaluation.outcomes)
        wrong.update({o.row: o for o in outcomes if not rules.accept(o)})

    return relay(search, on_answers=note)


class BayesianSignatureOptions(MIPROv2Options):
    """Options of BayesianSignatureOptimizer: MIPROv2's, with no examples by default."""

    max_bootstrapped_demos: int = Field(
        0, ge=0, title="Solved examples", description="0: only the wording is tuned."
    )
    max_labeled_demos: int = Field(
        0, ge=0, title="Examples in all", description="0: only the wording is tuned."
    )


class BayesianSignatureOptimizer(MIPROv2):
    """Proposes instructions from the data and searches them; examples stay as they are.

    Calls: MIPROv2's without examples: (1 + T/5) V c + T M c at most for trials and P (n - 1) + 10 for
    proposals, with T = max(2 P log2 n, 1.5 n), and with several steps at most train rows x c for runs to
    learn from. Source: arXiv 2406.11695.

    >>> BayesianSignatureOptimizer().options.max_labeled_demos
    0
    """

    name = "BayesianSignatureOptimizer"
    title = "Tune the wording alone"
    options_model = BayesianSignatureOptions
    changes = "wording"
