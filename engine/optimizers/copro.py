"""COPRO: coordinate ascent on instructions, each round written in the light of what scored how before.

The idea of showing scored attempts is that of Yang et al. 2023 (OPRO, arXiv 2309.03409). Unlike in DSPy's, all steps'
proposals are scored at once, no text is scored twice, and proposals also see labelled rows.
"""

from __future__ import annotations

from itertools import chain

from engine.basics.data import JsonObject
from engine.basics.text import listed
from engine.optimizers.base import TUNE_FIELDS, Optimizer, Options, option
from engine.optimizers.shared.leaderboard import Leaderboard, lowered
from engine.optimizers.shared.texts import (
    Component,
    answers_by_key,
    drawn_rows,
    labelled_rows,
    proposed_texts,
    step_values,
    tunable_parts,
)
from engine.records import Candidate
from engine.search.contract import Problem, Propose, Search
from engine.signature import InputField, OutputField, Signature


class COPROOptions(Options):
    """Options of COPRO."""

    breadth: int = option(10, "Wordings a round", "How many wordings of each step are compared.", ge=2)
    depth: int = option(3, "Rounds", "How often new wordings are written.", ge=1)
    init_temperature: float = option(
        1.4, "Boldness of proposals", "Temperature they are written at.", ge=0, le=2
    )
    show_rows: int = option(20, "Rows a proposal sees", "Labelled training rows shown to the writer.", ge=0)
    tune_fields: bool = TUNE_FIELDS


class COPRO(Optimizer):
    """Writes every step's instructions and tool descriptions, scores them all, and writes better ones from the scores.

    Calls, with P texts (a step's instructions, a tool's description), V validation rows and c calls a row: at most
    P x `breadth` x `depth` - P for proposals and (1 + P x `breadth` x `depth` + `depth`) x V x c for scores (the last
    term only for several texts). A budget in calls lowers breadth and depth. Source: DSPy's COPRO (arXiv 2310.03714).

    >>> COPRO(breadth=4, depth=2).options.breadth
    4
    """

    name = "COPRO"
    title = "Improve the wording round by round"
    about = "Writes several instructions, scores them, and writes better ones from the scores."
    pace = "Thorough"
    options_model = COPROOptions
    changes = "wording"
    options: COPROOptions

    def search(self, problem: Problem) -> Search:
        """Climb from the starting prompt: propose for all steps, score all, join the best of each step."""
        leaderboard = Leaderboard(problem)
        parts = tunable_parts(problem, fields=self.options.tune_fields)
        breadth, depth = self._plan(problem, len(parts))
        yield from leaderboard.validate([problem.seed], "starting prompt")
        tried: Tried = {part: {part.text(problem.seed): leaderboard.score or 0.0} for part in parts}
        for round_ in range(depth):
            if not leaderboard.open or not tried:
                return
            n = breadth - 1 if round_ == 0 else breadth
            asks = {part: self._asks(problem, part, leaderboard.best, tried[part], n) for part in tried}
            answers = yield list(chain.from_iterable(asks.values()))
            proposed = answers_by_key(asks, answers).items()
            new = {part: [t for t in proposed_texts(some) if t not in tried[part]] for part, some in proposed}
            yield from self._score(problem, leaderboard, tried, new, round_ + 1)

    def _plan(self, problem: Problem, parts: int) -> tuple[int, int]:
        """Return breadth and depth, lowered to what the calls left pay for."""
        o = self.options
        evaluation_calls = max(1, len(problem.validation) * problem.meter.row_cost)

        def cost(depth: int, breadth: int) -> float:
            proposals = parts * breadth * depth
            return proposals + (1 + proposals - parts + (depth if parts > 1 else 0)) * evaluation_calls

        depth, breadth = lowered(cost, problem.meter.calls_left, o.depth, o.breadth, least=2)
        return breadth, depth

    def _asks(
        self, problem: Problem, part: Component, current: Candidate, tried: dict[str, float], n: int
    ) -> list[Propose]:
        ranked = sorted(tried.items(), key=lambda item: item[1])[-self.options.breadth :]
        name = "description" if part.is_description else "instructions"
        attempts = [{name: text, "score": round(100 * score, 1)} for text, score in ranked]
        signature = ImproveDescription if part.is_description else ImproveInstructions
        temperature, label = self.options.init_temperature, f"better wording: {part.title}"
        asks = []
        for _ in range(n):
            rows = drawn_rows(problem, self.options.show_rows, problem.rng)
            inputs = {
                **step_values(problem, part.path),
                "labelled_examples": labelled_rows(problem, rows),
                "attempts": attempts,
                f"current_{name}": part.text(current),
                **({"text_wanted": part.title} if part.is_description else {}),
            }
            rollout = problem.rng.randrange(1, 1_000_000)
            asks.append(Propose(signature, inputs, temperature=temperature, rollout=rollout, label=label))
        return asks

    def _score(
        self, problem: Problem, leaderboard: Leaderboard, tried: Tried, texts: Texts, round_: int
    ) -> Search:
        """Score every new wording with the other texts at their best, then the best of all texts joined."""
        base, before, prefix = leaderboard.best, leaderboard.score or 0.0, f"Round {round_}: new wording of"
        wordings = [(part, text) for part, some in texts.items() for text in some]
        evaluations = yield from leaderboard.validate(
            [part.replaced(base, text).derived(f"{prefix} {part.title}.", base) for part, text in wordings]
        )
        for (part, text), evaluation in zip(wordings, evaluations, strict=True):
            if len(evaluation.outcomes) == len(problem.validation):
                tried[part][text] = evaluation.score
        if not leaderboard.open:
            return
        joined, better = base, list[str]()
        for part, some in texts.items():
            best = max(some, key=lambda t: tried[part].get(t, 0.0), default=None)
            if best is not None and tried[part].get(best, 0.0) > before:
                joined, better = part.replaced(joined, best), [*better, part.title]
        if len(better) > 1:
            reason = f"Joins the best wordings of round {round_}: {listed(better)}."
            yield from leaderboard.validate([joined.derived(reason, base)])


Texts = dict[Component, list[str]]
Tried = dict[Component, dict[str, float]]
"""Wordings by text: those to score, and those tried so far with their scores."""


class ImproveInstructions(Signature):
    """
    Write instructions for one step of a program that is run by a language model. You see labelled rows of the
    data, and instructions that were tried before with the score each reached (0 to 100), the best one last.
    Work out what made some attempts better than others and which rules link the inputs to the right outputs.
    Then write instructions that should score higher than all of them: state the rules in general terms, name
    the exact output values and when each is right. Do not repeat an attempt, do not mention the rows, and do
    not describe the answer's layout: the program adds that.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step whose instructions are wanted: its fields and what they mean.")
    labelled_examples: list[JsonObject] = InputField(desc="Rows of the data: inputs and right outputs.")
    attempts: list[JsonObject] = InputField(
        desc="Instructions tried so far with their scores, the best last; empty at first."
    )
    current_instructions: str = InputField(desc="The best instructions so far.")
    proposed_instructions: str = OutputField(desc="The new instructions, ready to be used as they are.")


class ImproveDescription(Signature):
    """
    A language model runs one step of a program. It goes by the descriptions of its fields, and of the tools it may
    call. You see labelled rows of the data, and descriptions that were tried before with the score the program
    reached with each (0 to 100), the best one last.
    Write a description of what is named that should score higher. Of a tool: what it does, when to call it and when
    not. Of a field: what it holds, which values it can have and when each is right. Do not repeat an attempt.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step: its fields and what they mean.")
    labelled_examples: list[JsonObject] = InputField(desc="Rows of the data: inputs and right outputs.")
    attempts: list[JsonObject] = InputField(
        desc="Descriptions tried so far with their scores, the best last."
    )
    text_wanted: str = InputField(desc="Which description is wanted.")
    current_description: str = InputField(desc="The description in use now; may be empty.")
    proposed_description: str = OutputField(desc="The new description, whole.")
