"""COPRO: coordinate ascent on instructions, each round written in the light of what scored how before.

Source: Khattab et al. 2023 (arXiv 2310.03714), DSPy's COPRO; the idea of showing scored attempts is that of
Yang et al. 2023 (OPRO, arXiv 2309.03409). Unlike there, all steps' proposals are scored at once, no text is
scored twice, proposals also see labelled rows, and no output prefix is searched: prompts have none.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.optimizers.base import Optimizer, Options
from engine.optimizers.board import Board
from engine.optimizers.proposals import describe_step, drawn_rows, labelled_rows
from engine.optimizers.reflection import text_of
from engine.records import Candidate
from engine.search.contract import Ask, Problem, Propose, Search
from engine.signature import InputField, OutputField, Signature


class COPROOptions(Options):
    """Options of COPRO."""

    breadth: int = Field(
        10, ge=2, title="Wordings a round", description="How many wordings of each step are compared."
    )
    depth: int = Field(3, ge=1, title="Rounds", description="How often new wordings are written.")
    init_temperature: float = Field(
        1.4, ge=0, le=2, title="Boldness of proposals", description="Temperature they are written at."
    )
    show_rows: int = Field(
        20, ge=0, title="Rows a proposal sees", description="Labelled training rows shown to the writer."
    )


class COPRO(Optimizer):
    """Writes new instructions for every step, scores them all, and writes better ones from the scores.

    Calls, with P steps, V validation rows and c calls a row: at most P x `breadth` x `depth` - P for
    proposals and (1 + P x `breadth` x `depth` + `depth`) x V x c for scores (the last term only for
    several steps). A budget in calls lowers breadth and depth. Source: DSPy's COPRO (arXiv 2310.03714).

    >>> COPRO(breadth=4, depth=2).options.breadth
    4
    """

    name: ClassVar[str] = "COPRO"
    title: ClassVar[str] = "Improve the wording round by round"
    options_model: ClassVar[type[Options]] = COPROOptions
    changes: ClassVar[Literal["nothing", "examples", "wording", "both"]] = "wording"

    options: COPROOptions

    def search(self, problem: Problem) -> Search:
        """Climb from the starting prompt: propose for all steps, score all, join the best of each step."""
        board = Board(problem)
        breadth, depth = self._plan(problem)
        tried: dict[str, dict[str, float]] = {path: {} for path in problem.worded}
        yield from board.validate([problem.seed], "starting prompt")
        for path in tried:
            tried[path][problem.seed.steps[path].instructions] = board.score or 0.0
        for round_ in range(depth):
            if not board.open or not tried:
                return
            n = breadth - 1 if round_ == 0 else breadth
            texts = yield from self._propose(problem, board.best, tried, n)
            yield from self._score(problem, board, tried, texts, round_)

    def _plan(self, problem: Problem) -> tuple[int, int]:
        """Breadth and depth, lowered to what the calls left pay for."""
        o, calls = self.options, problem.allowance.calls
        breadth, depth, steps = o.breadth, o.depth, len(problem.worded)
        if calls is None:
            return breadth, depth
        one = max(1, len(problem.validation) * problem.calls_per_row)

        def cost(breadth: int, depth: int) -> int:
            made = steps * breadth * depth
            return made + (1 + made - steps + (depth if steps > 1 else 0)) * one

        while cost(breadth, depth) > calls and depth > 2:
            depth -= 1
        while cost(breadth, depth) > calls and breadth > 2:
            breadth -= 1
        return breadth, depth if cost(breadth, depth) <= calls else 1

    def _propose(
        self, problem: Problem, current: Candidate, tried: dict[str, dict[str, float]], n: int
    ) -> Generator[Sequence[Ask], Sequence[Any], dict[str, list[str]]]:
        """Ask for `n` new wordings of every step at once; return the new ones by step."""
        asks = {path: self._asks(problem, path, current, tried[path], n) for path in problem.worded}
        answers = yield [ask for some in asks.values() for ask in some]
        texts: dict[str, list[str]] = {}
        at = 0
        for path, some in asks.items():
            found = [text_of(out) for a in answers[at : at + len(some)] for out in a.outputs]
            at += len(some)
            texts[path] = [t for t in dict.fromkeys(found) if t and t not in tried[path]]
        return texts

    def _asks(
        self, problem: Problem, path: str, current: Candidate, tried: dict[str, float], n: int
    ) -> list[Propose]:
        ranked = sorted(tried.items(), key=lambda item: item[1])[-self.options.breadth :]
        attempts = [{"instructions": text, "score": round(100 * score, 1)} for text, score in ranked]
        asks = []
        for _ in range(n):
            rows = drawn_rows(problem, self.options.show_rows, problem.rng)
            asks.append(
                Propose(
                    ImproveInstructions,
                    {
                        "program_description": problem.program,
                        "step": describe_step(path, problem.signatures[path]),
                        "labelled_examples": labelled_rows(problem, rows),
                        "attempts": attempts,
                        "current_instructions": current.steps[path].instructions,
                    },
                    temperature=self.options.init_temperature,
                    rollout=problem.rng.randrange(1, 1_000_000),
                    label=f"better instructions for the step {path}",
                )
            )
        return asks

    def _score(
        self,
        problem: Problem,
        board: Board,
        tried: dict[str, dict[str, float]],
        texts: dict[str, list[str]],
        round_: int,
    ) -> Search:
        """Score every new wording with the other steps at their best, then the best of all steps joined."""
        base, before = board.best, board.score or 0.0
        made = [
            (path, text, self._candidate(base, path, text, round_)) for path in texts for text in texts[path]
        ]
        evaluations = yield from board.validate([c for _, _, c in made])
        for (path, text, _), evaluation in zip(made, evaluations, strict=True):
            if len(evaluation.outcomes) == len(problem.validation):
                tried[path][text] = evaluation.score
        if not board.open:
            return
        joined, paths = base, list[str]()
        for path, some in texts.items():
            best = max(some, key=lambda t: tried[path].get(t, 0.0), default=None)
            if best is not None and tried[path].get(best, 0.0) > before:
                joined, paths = joined.with_step(path, instructions=best), [*paths, path]
        if len(paths) > 1:
            reason = f"Joins the best wordings of round {round_ + 1} for {', '.join(paths)}."
            yield from board.validate([joined.derived(reason, base)])

    def _candidate(self, base: Candidate, path: str, text: str, round_: int) -> Candidate:
        made = base.with_step(path, instructions=text)
        return made.derived(f"Round {round_ + 1}: new instructions for {path}.", base)


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
    labelled_examples: list[dict[str, Any]] = InputField(desc="Rows of the data: inputs and right outputs.")
    attempts: list[dict[str, Any]] = InputField(
        desc="Instructions tried so far with their scores, the best last; empty at first."
    )
    current_instructions: str = InputField(desc="The best instructions so far.")
    proposed_instructions: str = OutputField(desc="The new instructions, ready to be used as they are.")
