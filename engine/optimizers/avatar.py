"""AvatarOptimizer: contrast good with bad runs, find the difference, and rewrite instructions and tools.

Source: Wu et al. 2024, "AvaTaR: Optimizing LLM Agents for Tool Usage via Contrastive Reasoning", arXiv 2406.11200.
Works for any program: a step that has tools gets their descriptions rewritten as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import model_validator

from engine.basics.data import JsonObject
from engine.basics.text import listed
from engine.optimizers.base import TUNE_FIELDS, Optimizer, Options, option
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.texts import rewritten, step_values, tunable_parts, worst_runs
from engine.records import Candidate, Outcome
from engine.search.contract import Ask, Problem, Propose, Score, Search, Steps
from engine.signature import InputField, OutputField, Signature


class AvatarOptions(Options):
    """Options of AvatarOptimizer."""

    max_iters: int = option(10, "Rewrites", "How many rewritten prompts are scored in all.", ge=1)
    at_once: int = option(5, "Rewrites at once", "More is faster; fewer lets each learn from the last.", ge=1)
    lower_bound: float = option(0.0, "Bad at or below", "A run scoring at most this (0 to 1) is a bad one.")
    upper_bound: float = option(1.0, "Good from", "A run scoring at least this (0 to 1) is a good one.")
    max_positive_inputs: int = option(10, "Good runs shown", "At most this many for each rewrite.", ge=1)
    max_negative_inputs: int = option(10, "Bad runs shown", "At most this many for each rewrite.", ge=1)
    tune_fields: bool = TUNE_FIELDS

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.lower_bound >= self.upper_bound:
            raise ValueError("lower_bound must be below upper_bound")
        return self


class AvatarOptimizer(Optimizer):
    """Contrasts good and bad runs of the best prompt so far and rewrites its texts, several ways at once.

    Calls, with N = `max_iters`, V validation rows, n training rows, c calls a row and T texts (a step's
    instructions, a tool's description): at most (1 + N) x V x c for scores, N/`at_once` x n x c for runs to
    learn from (nothing where the training rows are the validation rows) and N x T for rewrites. A budget in
    calls lowers N. Source: AvaTaR, arXiv 2406.11200.

    >>> AvatarOptimizer(max_iters=4).options.max_positive_inputs
    10
    """

    name = "AvatarOptimizer"
    title = "Contrast good and bad runs"
    about = "Finds what good answers have that bad ones lack, and says so. Good for tools."
    pace = "Thorough"
    options_model = AvatarOptions
    changes = "wording"
    options: AvatarOptions

    def search(self, problem: Problem) -> Search:
        """Score the start, then rewrite in rounds: run the best, contrast its runs, score the rewrites."""
        o = self.options
        leaderboard = Leaderboard(problem)
        yield from leaderboard.validate([problem.seed], "starting prompt", trace=True)
        left = self._plan(problem)
        tried = {problem.seed.id}
        while left > 0 and leaderboard.open and tunable_parts(problem, fields=o.tune_fields):
            base, rows = leaderboard.best, problem.train or problem.validation
            (runs,) = yield [Score(base, rows, label="runs to contrast", trace=True)]
            # Where nothing is bad enough, whatever is not good counts as bad.
            good = [r for r in runs.outcomes if r.error is None and r.score >= o.upper_bound]
            bad = [r for r in runs.outcomes if r.error is not None or r.score <= o.lower_bound]
            bad = bad or [r for r in runs.outcomes if r.score < o.upper_bound]
            if not bad:
                return
            n = min(left, o.at_once)
            left -= n
            rewrites = yield from self._rewrite(problem, base, good, bad, n)
            fresh = {c.id: c for c in rewrites if c.id not in tried}
            tried |= fresh.keys()
            yield from leaderboard.validate(list(fresh.values()), trace=True)

    def _plan(self, problem: Problem) -> int:
        """Return how many rewrites the calls left can score, besides the runs to learn from."""
        o, n = self.options, self.options.max_iters
        rounds = -(-n // o.at_once)
        runs = 0 if problem.train == problem.validation else len(problem.train) * problem.meter.row_cost
        texts = len(tunable_parts(problem, fields=o.tune_fields))
        return problem.meter.affordable(n + 1, len(problem.validation), rounds * runs + n * texts) - 1

    def _rewrite(
        self, problem: Problem, base: Candidate, good: Sequence[Outcome], bad: Sequence[Outcome], n: int
    ) -> Steps[list[Candidate]]:
        """Ask for `n` rewrites of every text, each from its own draw of runs; return them as candidates."""
        o, rng = self.options, problem.rng
        parts = tunable_parts(problem, fields=o.tune_fields)
        asks: list[Ask] = []
        for _ in range(n):
            shown_good = rng.sample(list(good), min(o.max_positive_inputs, len(good)))
            shown_bad = rng.sample(list(bad), min(o.max_negative_inputs, len(bad)))
            for part in parts:
                inputs = {
                    **step_values(problem, part.path),
                    "text_wanted": part.title,
                    "bad_runs": worst_runs(problem, part.path, shown_bad),
                    "good_runs": worst_runs(problem, part.path, shown_good),
                    "current_instructions": part.text(base),
                }
                rollout = rng.randrange(1, 1_000_000)
                asks.append(Propose(ContrastRuns, inputs, rollout=rollout, label=part.title))
        answers = yield asks
        candidates = []
        for at in range(0, len(answers), len(parts)):
            candidate, changed = rewritten(base, parts, answers[at : at + len(parts)])
            if changed:
                titles = listed([part.title for part in changed])
                reason = f"Rewrote {titles}: {len(bad)} bad runs compared with {len(good)} good ones."
                candidates.append(candidate.derived(reason, base))
        return candidates


class ContrastRuns(Signature):
    """
    A language model runs one step of a program, perhaps with tools. You see runs that went well and runs that went
    badly: what was read, what would have been right, what came out and what was said about it.
    First compare the two groups: which kinds of input go badly, which rule, step or tool use the good runs have
    that the bad ones lack. Then write the text that is wanted anew so that the bad runs would go well and the good
    ones stay good: general rules, the exact output values and when each is right, and, for tools, when to use which
    and how. Keep what works. Do not quote runs, and do not describe the answer's layout: the program adds that.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step: its fields and what they mean.")
    text_wanted: str = InputField(desc="Which text is to be rewritten.")
    bad_runs: list[JsonObject] = InputField(desc="Runs that went badly, the worst first.")
    good_runs: list[JsonObject] = InputField(desc="Runs that went well; may be empty.")
    current_instructions: str = InputField(desc="The text in use now.")
    proposed_instructions: str = OutputField(desc="The new text, whole, ready to be used as it is.")
