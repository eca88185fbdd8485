"""InferRules: read general rules off the labelled rows and add them to the instructions, with solved examples.

Unlike in DSPy's, all rule sets are written and scored at once, and each writer sees the rows in another order.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from engine.basics.data import JsonObject
from engine.errors import ConfigurationError
from engine.optimizers.base import Optimizer, option
from engine.optimizers.few_shot import BootstrapFewShotOptions, Rules, bootstrap, teacher_of, with_solved
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.texts import MAX_TEXT, drawn_rows, labelled_rows, proposed_text, step_values
from engine.records import Candidate, Example
from engine.search.contract import Problem, Propose, Score, Search, Steps, together
from engine.signature import InputField, OutputField, Signature


class InferRulesOptions(BootstrapFewShotOptions):
    """Options of InferRules."""

    num_candidates: int = option(10, "Sets of rules", "How many sets of rules are written and scored.", ge=1)
    num_rules: int = option(10, "Rules a set", "About how many rules a set has.", ge=1)


class InferRules(Optimizer):
    """Shows solved rows as examples and adds rules that were read off all training rows.

    Calls, with P steps, V validation rows and c calls a row: at most train rows x `max_rounds` x c to solve rows,
    P x `num_candidates` for rules, and (2 + `num_candidates`) x V x c for scores (the start, it with examples, and
    each set). A budget in calls lowers the number of sets. Source: DSPy's InferRules.

    >>> InferRules(num_candidates=4).options.num_rules
    10
    """

    name = "InferRules"
    title = "Read rules off the rows and state them"
    about = "States rules that were read off your rows, and shows solved rows."
    pace = "Quick"
    options_model = InferRulesOptions
    changes = "both"
    options: InferRulesOptions

    def split(self, trainset: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """Return the first half of the trainset to train on and the second half to validate with."""
        if len(trainset) < 2:
            raise ConfigurationError("InferRules needs at least 2 examples, or a valset.")
        half = len(trainset) // 2
        return trainset[:half], trainset[half:]

    def search(self, problem: Problem) -> Search:
        """Score the start, write all sets of rules and solve rows together; then score all at once."""
        o, rng = self.options, problem.rng
        leaderboard = Leaderboard(problem)
        teacher = teacher_of(problem, o.max_labeled_demos)
        rules = Rules.of(self, hurry=True)
        steps = len(problem.worded)
        solving = min(len(problem.train), 2 * o.max_bootstrapped_demos) * problem.meter.row_cost
        others = solving + steps * o.num_candidates
        room = problem.meter.affordable(o.num_candidates + 2, len(problem.validation), others)
        n = max(1, min(o.num_candidates, room - 2))
        asks = [self._ask(problem, path, rng) for _ in range(n) for path in problem.worded]
        solving_rows = bootstrap(teacher, problem.train, o.max_bootstrapped_demos, rules)
        answers, solved = yield from together(
            [self._score_and_write(problem, leaderboard, asks), solving_rows]
        )
        if not leaderboard.open:
            return
        shown = with_solved(problem, solved, o.max_labeled_demos)
        yield from leaderboard.validate([shown, *self._candidates(problem, shown, answers)])

    def _score_and_write(
        self, problem: Problem, leaderboard: Leaderboard, asks: Sequence[Propose]
    ) -> Steps[Sequence[Any]]:
        """Score the start, and if that goes well have the rules written; return the answers."""
        first = [Score(problem.seed, problem.validation, "starting prompt")]
        keep = leaderboard.note(first, (yield first))
        if not leaderboard.open or not asks:
            if keep:
                yield keep
            return ()
        answers = yield [*keep, *asks]
        return answers[len(keep) :]

    def _ask(self, problem: Problem, path: str, rng: random.Random) -> Propose:
        inputs = {
            **step_values(problem, path),
            "labelled_examples": labelled_rows(problem, drawn_rows(problem, len(problem.train), rng)),
            "current_instructions": problem.seed.steps[path].instructions,
            "number_of_rules": str(self.options.num_rules),
        }
        label, rollout = f"rules for the step {path}", rng.randrange(1, 1_000_000)
        return Propose(InferRulesFromRows, inputs, rollout=rollout, label=label)

    def _candidates(self, problem: Problem, shown: Candidate, answers: Sequence[Any]) -> list[Candidate]:
        """Return one candidate for each set of rules."""
        paths = list(problem.worded)
        candidates: dict[str, Candidate] = {}
        for at in range(0, len(answers), max(1, len(paths))):
            candidate = shown
            for path, answer in zip(paths, answers[at : at + len(paths)], strict=True):
                if text := proposed_text(answer):
                    whole = f"{shown.steps[path].instructions}\n\n{LEAD_IN}\n{text}"[: 2 * MAX_TEXT]
                    candidate = candidate.with_step(path, instructions=whole)
            if candidate.id != shown.id:
                number = at // len(paths) + 1
                reason = f"Set {number} of rules read off the training rows, added to the instructions."
                candidates.setdefault(candidate.id, candidate.derived(reason, shown))
        return list(candidates.values())


LEAD_IN = "Follow these rules, which hold for this task:"


class InferRulesFromRows(Signature):
    """
    You see labelled rows: inputs, and the outputs that were judged right.
    Write down the rules by which one gets from the inputs to the right outputs, about as many as asked for: one
    rule a line, short and exact, none saying again what another says, the most frequent cases first, and rare
    ones and exceptions after them. A rule names the sign in the input and the output value that follows.
    State only what the rows show, in general terms, without quoting rows.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step the rules are for: its fields and what they mean.")
    labelled_examples: list[JsonObject] = InputField(desc="Rows of the data: inputs and right outputs.")
    current_instructions: str = InputField(desc="The instructions that the rules will be added to.")
    number_of_rules: str = InputField(desc="About how many rules to write.")
    rules: str = OutputField(desc="The rules, one a line.")
