"""The choice among models after a search: what it found is asked of each model, and the objective decides.

It goes round any optimizer's search: a search for the best score needs to know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.basics.text import listed
from engine.records import Candidate, Evaluation, Outcome
from engine.search.contract import Ask, Keep, MakeSearch, Problem, Score, Search, relay
from engine.search.objective import add_scores, chosen, figures
from engine.search.wording import kept_sentence

# Rows of the first look, after which models that are surely too bad are left out.
_FIRST_LOOK = 24
# The most that is kept back of the calls for the comparison.
_MOST_KEPT_BACK = 0.5


def with_objective(make: MakeSearch) -> MakeSearch:
    """Return a search with a comparison after it: of the prompt that it keeps with each model, by the problem's objective.

    Without other models, and for the best score, it is the same search.
    """

    def search(problem: Problem) -> Search:
        if not problem.models and not problem.objective.chooses_by_use:
            return (yield from make(problem))
        return (yield from _Comparison(problem).run(make))

    return search


@dataclass
class _Comparison:
    problem: Problem
    keep: Keep | None = None
    scored: dict[str, tuple[Candidate, dict[int, Outcome]]] = field(default_factory=dict)

    def run(self, make: MakeSearch) -> Search:
        message = yield from relay(make(self._within_calls()), self._note_keep, self._note_scores)
        kept = self.keep.candidate if self.keep is not None else self.problem.seed
        variants = list(self._variants(kept))
        rows = self.problem.validation
        if len(rows) > 1.5 * _FIRST_LOOK and len(variants) > 1:
            first = tuple(sorted(self.problem.rng.sample(rows, _FIRST_LOOK)))
            yield from self._score([kept, *variants], first)
            variants = [v for v in variants if not self._is_surely_too_bad(v, kept, first)]
        if (yield from self._score([kept, *variants], rows)) and (found := figures(self.scored, kept.id)):
            best = chosen(found, self.problem.objective)
            if best.candidate != kept.id:
                made = self.scored[best.candidate][0]
                yield [replace(self.keep or Keep(made), candidate=made, score=best.score)]
                reason = kept_sentence(found[0], best, self.problem.objective)
                return f"{message} {reason}" if isinstance(message, str) and message else reason
        return message

    def _within_calls(self) -> Problem:
        """Return the problem with fewer calls: the others are kept back for the comparison."""
        meter, rows = self.problem.meter, len(self.problem.validation)
        if meter.limit is None:
            return self.problem
        variants = 1 + len(list(self._variants(self.problem.seed)))
        need = variants * rows * meter.most_per_row
        limit = int(max(meter.limit * (1 - _MOST_KEPT_BACK), meter.limit - need))
        return replace(self.problem, meter=meter.split(max(1, limit), 1)[0])

    def _variants(self, kept: Candidate) -> Iterator[Candidate]:
        """Iterate over a prompt with each other model: in all steps, and in one step where there are several."""
        groups: dict[str, list[str]] = {}
        for path in kept.steps:
            if self.problem.may_change(path, "weights"):
                # The parts of a step of a pipeline, such as an agent's, are answered by the same model.
                groups.setdefault(path.partition(".")[0], []).append(path)
        wholes = [[path for paths in groups.values() for path in paths]]
        parts = [*wholes, *(groups.values() if len(groups) > 1 else ())]
        for paths in parts:
            for name in (None, *self.problem.models):
                made = kept
                for path in paths:
                    made = made.with_step(path, weights=name)
                if made.id != kept.id:
                    where = "" if paths == wholes[0] else f" in {listed(paths)}"
                    yield made.derived(
                        f"The best prompt, answered by {name or 'the first model'}{where}.", kept
                    )

    def _score(self, candidates: Sequence[Candidate], rows: Sequence[int]) -> Any:
        """Score candidates on rows and return whether all were answered; a row never sees itself as an example."""
        asks = [Score(c, tuple(rows), "which model is good enough", hide_own_row=True) for c in candidates]
        answers = yield asks
        self._note_scores(asks, answers)
        return all(len(a.outcomes) == len(rows) for a in answers)

    def _is_surely_too_bad(self, variant: Candidate, kept: Candidate, rows: Sequence[int]) -> bool:
        both = {c.id: (c, {r: self.scored[c.id][1][r] for r in rows}) for c in (kept, variant)}
        allowed = self.problem.objective.within / 100 if self.problem.objective.chooses_by_use else 0.0
        return figures(both, kept.id)[-1].high < -allowed

    def _note_keep(self, asks: Sequence[Ask]) -> None:
        self.keep = next((ask for ask in reversed(asks) if isinstance(ask, Keep)), self.keep)

    def _note_scores(self, asks: Sequence[Ask], answers: Sequence[object]) -> None:
        chosen_from = set(self.problem.validation)
        for ask, answer in zip(asks, answers, strict=True):
            if not isinstance(ask, Score) or ask.teacher or ask.rollout:
                continue
            if isinstance(answer, Evaluation):
                add_scores(self.scored, ask.candidate, (o for o in answer.outcomes if o.row in chosen_from))
