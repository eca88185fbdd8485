"""MIPROv2: search instructions and examples together, proposals grounded in the data, sampling by TPE.

Source: Opsahl-Ong et al. 2024, "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs",
arXiv 2406.11695; constants after DSPy's MIPROv2. Unlike there, minibatch scores are compared with the starting
prompt's on the same rows, proposals see all notes on the data and the rows that went wrong while examples were looked
for, and no option set is tried twice.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import ClassVar

from engine.errors import ConfigurationError
from engine.optimizers.base import Optimizer, option
from engine.optimizers.few_shot import (
    Rules,
    bootstrap,
    teacher_of,
    with_demos,
    with_examples,
    with_solved,
)
from engine.optimizers.mipro.options import MIPROv2Options
from engine.optimizers.mipro.proposals import Runs, observe_data, propose_instructions
from engine.optimizers.mipro.trials import SHOWN_RUNS, TrialPlan, TrialSearch, make_plan, needs_runs
from engine.optimizers.shared.texts import answers_by_key, other_reasoning, proposed_texts
from engine.records import Candidate, Example
from engine.search.contract import Keep, Problem, Score, Search, Steps, together
from engine.search.freeze import Changes


class MIPROv2(Optimizer):
    """Proposes instructions from the data, solves rows for examples, and searches the option sets.

    Calls, with c calls a row, V validation rows (at most 100, 300 or 1,000 by `auto`), M rows a minibatch, T trials, P
    steps and n candidates: at most (1 + T/5) V c + T M c for trials (T V c without minibatches), P (k - 1) for
    proposals (k = n/2, or n without examples), 10 for notes on the data, and train rows x c to solve rows. T is
    max(2 x variables x log2 n, 1.5 n) draws; with examples as many as are expected to differ among T draws,
    K (1 - (1 - 1/K)^T) of K = (k n)^P. A budget in calls lowers V to a fifth of what it leaves, tries as long as it
    goes, and spends the rest on full scores. Source: arXiv 2406.11695.

    >>> MIPROv2(auto="medium").options.seed
    9
    """

    name = "MIPROv2"
    title = "Tune wording and examples together"
    about = "Writes new instructions, picks examples, and searches for the best pairing."
    pace = "Most thorough"
    options_model = MIPROv2Options
    changes: ClassVar[Changes] = "both"
    options: MIPROv2Options

    def search(self, problem: Problem) -> Search:
        """Score the start while examples and proposals are made; then try option sets in waves."""
        o = self.options
        problem = replace(problem, rng=random.Random(f"{o.seed}:{problem.rng.getrandbits(64)}"))
        plan = make_plan(o, problem)
        validation = tuple(sorted(problem.rng.sample(problem.validation, plan.validation)))
        # The starting prompt's score comes last, because nothing waits for it before the trials.
        (texts, demo_sets), baseline = yield from together(
            [self._prepare(problem, plan), _baseline(problem, validation, plan)]
        )
        if len(baseline.outcomes) < len(validation):
            return
        tuned = [path for path in problem.signatures if o.tune_reasoning and problem.may_change(path, "step")]
        choices = {p: first for p in tuned if (first := other_reasoning(problem, p)) is not None}
        yield from TrialSearch(problem, plan, baseline, texts, demo_sets, choices).search()

    def split(self, trainset: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """Return the trainset without a random 80 % (at most 1,000), and these to validate with."""
        if len(trainset) < 2:
            raise ConfigurationError("MIPROv2 needs at least 2 examples, or a valset.")
        order = list(trainset)
        random.Random(self.options.seed).shuffle(order)
        size = min(1000, max(1, int(0.8 * len(order))))
        return order[size:] or order[:1], order[:size]

    def _prepare(
        self, problem: Problem, plan: TrialPlan
    ) -> Steps[tuple[dict[str, list[str]], list[Candidate]]]:
        """Note what the data show and solve rows, then propose; return the texts of each step and the example sets."""
        wrong: Runs = {}
        jobs = [observe_data(problem, readers=plan.readers, rows_each=plan.rows_a_reader)]
        notes, *solved = yield from together([*jobs, *self._solving(problem, plan, wrong)])
        demo_sets = self._demo_sets(problem, solved)
        runs = {row: outcome for some in solved for row, outcome in some.items()}
        wrong = {row: outcome for row, outcome in wrong.items() if row not in runs}
        asks = {
            path: propose_instructions(problem, path, plan.instructions - 1, self.options, notes, runs, wrong)
            for path in problem.worded
        }
        every = list(chain.from_iterable(asks.values()))
        answers = (yield every) if every else []
        texts = {path: [problem.seed.steps[path].instructions] for path in problem.signatures}
        for path, proposals in answers_by_key(asks, answers).items():
            texts[path] += [text for text in proposed_texts(proposals) if text not in texts[path]]
        return texts, demo_sets

    def _solving(self, problem: Problem, plan: TrialPlan, wrong: Runs) -> list[Search]:
        """Return the searches for solved rows, one for each example set; rows that go wrong are added to `wrong`."""
        o = self.options
        rules = Rules.of(self, hurry=True)
        if o.zero_shot and o.fewshot_aware_proposer and needs_runs(problem):
            return [bootstrap(problem.seed, problem.train, SHOWN_RUNS, rules, wrong)]
        jobs: list[Search] = []
        if not o.zero_shot and o.max_bootstrapped_demos:
            teacher = teacher_of(problem, o.max_labeled_demos)
            for number in range(max(1, plan.candidates - (2 if o.max_labeled_demos else 1))):
                order, wanted = list(problem.train), o.max_bootstrapped_demos
                if number:
                    problem.rng.shuffle(order)
                    wanted = problem.rng.randint(1, o.max_bootstrapped_demos)
                jobs.append(bootstrap(teacher, order, wanted, rules, wrong))
        return jobs

    def _demo_sets(self, problem: Problem, solved: Sequence[Runs]) -> list[Candidate]:
        """Return example sets, each content once: the starting one, none, labelled rows, and the solved ones."""
        o, seed = self.options, problem.seed
        if o.zero_shot:
            return []
        sets = [seed, with_demos(problem, seed, lambda _: ())]
        if o.max_labeled_demos:
            sets.append(with_examples(problem, seed, o.max_labeled_demos, problem.rng))
        sets += [with_solved(problem, rows, o.max_labeled_demos) for rows in solved]
        return list({s.id: s for s in sets}.values())


def _baseline(problem: Problem, validation: tuple[int, ...], plan: TrialPlan) -> Search:
    """Score the starting prompt and keep it: a part of the rows in each batch, to fill the rounds in which rows are solved.

    Each ask has the rows of those before, which are known, so the last is a whole trial.
    """
    parts = (_PARTS if len(problem.signatures) == 1 else _PARTS_OF_SEVERAL) if plan.minibatch else 1
    size = len(validation)
    for part in range(1, parts + 1):
        rows = validation[: -(-size * part // parts)]
        (evaluation,) = yield [Score(problem.seed, rows, label="starting prompt")]
    if len(evaluation.outcomes) == size:
        yield [Keep(problem.seed, evaluation.score)]
    return evaluation


# Parts of the starting prompt's score; with several steps a batch waits for two calls in turn, and has time for more rows.
_PARTS, _PARTS_OF_SEVERAL = 3, 2


class BayesianSignatureOptions(MIPROv2Options):
    """Options of BayesianSignatureOptimizer: MIPROv2's, with no examples by default."""

    max_bootstrapped_demos: int = option(0, "Solved examples", "0: only the wording is tuned.", ge=0)
    max_labeled_demos: int = option(0, "Examples in all", "0: only the wording is tuned.", ge=0)


class BayesianSignatureOptimizer(MIPROv2):
    """Proposes instructions from the data and searches them; examples stay as they are.

    Calls: MIPROv2's without examples, T = max(2 P log2 n, 1.5 n). Source: arXiv 2406.11695.

    >>> BayesianSignatureOptimizer().options.max_labeled_demos
    0
    """

    name = "BayesianSignatureOptimizer"
    title = "Tune the wording alone"
    about = "Writes new instructions from your rows and searches them."
    pace = "Thorough"
    options_model = BayesianSignatureOptions
    changes = "wording"
