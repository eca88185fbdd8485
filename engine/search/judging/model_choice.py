"""The choice among models after a search: what it found is asked of each model, and the objective decides.

Candidates are compared on the rows that both ran, by score, price and time. The comparison goes round any optimizer's
search: a search for the best score needs to know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from typing import Any

from engine.basics.statistics import mean_interval, paired_interval, unbeaten
from engine.basics.text import listed
from engine.records import Candidate, Evaluation, Outcome
from engine.search.contract import Ask, Keep, MakeSearch, Problem, Score, Search, relay
from engine.search.judging.objective import Objective
from engine.search.judging.wording import choice_sentence, good_enough_sentence
from engine.search.result import ComparedFigures, ModelComparison

# Rows of the first look, after which models that are surely too bad are left out.
_FIRST_LOOK = 24
# The largest share of the calls that is reserved for the comparison.
_MOST_RESERVED = 0.5


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
        prompt = self.keep.candidate if self.keep is not None else self.problem.seed
        variants = list(self._variants(prompt))
        rows = self.problem.validation
        if len(rows) > 1.5 * _FIRST_LOOK and len(variants) > 1:
            first = tuple(sorted(self.problem.rng.sample(rows, _FIRST_LOOK)))
            yield from self._score([prompt, *variants], first)
            variants = [v for v in variants if not self._is_surely_too_bad(v, prompt, first)]
        if (yield from self._score([prompt, *variants], rows)) and (
            compared := figures(self.scored, prompt.id)
        ):
            best = chosen(compared, self.problem.objective)
            if best.candidate != prompt.id:
                candidate = self.scored[best.candidate][0]
                yield [replace(self.keep or Keep(candidate), candidate=candidate, score=best.score)]
                reason = choice_sentence(compared[0], best, self.problem.objective)
                return f"{message} {reason}" if isinstance(message, str) and message else reason
        return message

    def _within_calls(self) -> Problem:
        """Return the problem with fewer calls: the others are reserved for the comparison."""
        meter, rows = self.problem.meter, len(self.problem.validation)
        if meter.limit is None:
            return self.problem
        variants = 1 + len(list(self._variants(self.problem.seed)))
        need = variants * rows * meter.most_per_row
        limit = int(max(meter.limit * (1 - _MOST_RESERVED), meter.limit - need))
        return replace(self.problem, meter=meter.split(max(1, limit), 1)[0])

    def _variants(self, prompt: Candidate) -> Iterator[Candidate]:
        """Iterate over a prompt with each other model: in all steps, and in one step where there are several."""
        groups: dict[str, list[str]] = {}
        for path in prompt.steps:
            if self.problem.may_change(path, "weights"):
                # The parts of a step of a pipeline, such as an agent's, are answered by the same model.
                groups.setdefault(path.partition(".")[0], []).append(path)
        wholes = [[path for paths in groups.values() for path in paths]]
        parts = [*wholes, *(groups.values() if len(groups) > 1 else ())]
        for paths in parts:
            for name in (None, *self.problem.models):
                variant = prompt
                for path in paths:
                    variant = variant.with_step(path, weights=name)
                if variant.id != prompt.id:
                    where = "" if paths == wholes[0] else f" in {listed(paths)}"
                    yield variant.derived(
                        f"The best prompt, answered by {name or 'the first model'}{where}.", prompt
                    )

    def _score(self, candidates: Sequence[Candidate], rows: Sequence[int]) -> Any:
        """Score candidates on rows and return whether all were answered; a row never sees itself as an example."""
        asks = [Score(c, tuple(rows), "which model is good enough", hide_own_row=True) for c in candidates]
        answers = yield asks
        self._note_scores(asks, answers)
        return all(len(a.outcomes) == len(rows) for a in answers)

    def _is_surely_too_bad(self, variant: Candidate, prompt: Candidate, rows: Sequence[int]) -> bool:
        both = {c.id: (c, {r: self.scored[c.id][1][r] for r in rows}) for c in (prompt, variant)}
        allowed = self.problem.objective.within / 100 if self.problem.objective.chooses_by_use else 0.0
        return figures(both, prompt.id)[-1].high < -allowed

    def _note_keep(self, asks: Sequence[Ask]) -> None:
        self.keep = next((ask for ask in reversed(asks) if isinstance(ask, Keep)), self.keep)

    def _note_scores(self, asks: Sequence[Ask], answers: Sequence[object]) -> None:
        chosen_from = set(self.problem.validation)
        for ask, answer in zip(asks, answers, strict=True):
            if not isinstance(ask, Score) or ask.teacher or ask.rollout:
                continue
            if isinstance(answer, Evaluation):
                add_scores(self.scored, ask.candidate, (o for o in answer.outcomes if o.row in chosen_from))


# Figures of candidates next to each other

Scored = Mapping[str, tuple[Candidate, Mapping[int, Outcome]]]
"""Candidate's id -> the candidate, and its outcomes by row."""


def add_scores(
    scored: dict[str, tuple[Candidate, dict[int, Outcome]]], candidate: Candidate, outcomes: Iterable[Outcome]
) -> None:
    """Add a candidate's outcomes; one that replaces another must have asked a model, or it says nothing of the price."""
    known = scored.setdefault(candidate.id, (candidate, {}))[1]
    known.update((o.row, o) for o in outcomes if o.row not in known or o.usage.tokens)


def figures(scored: Scored, best: str, *, partial: bool = False) -> list[ComparedFigures]:
    """Return the figures of each candidate that ran every row of the best one (`partial`: any of them); the best comes first.

    >>> from engine.records import StepState
    >>> a, b = (Candidate({"s": StepState("Sort.", weights=name)}) for name in (None, "other/model"))
    >>> runs = {c.id: (c, {row: Outcome(row, 1.0, seconds=s) for row in range(8)}) for c, s in ((a, 2.0), (b, 1.0))}
    >>> [(one.models, one.difference, one.seconds, one.prompt == a.id) for one in figures(runs, a.id)]
    [((), 0.0, 2.0, True), (('other/model',), 0.0, 1.0, True)]
    """
    theirs = scored[best][1] if best in scored else {}
    compared = []
    for candidate, own in scored.values():
        pairs = [(own[row], theirs[row]) for row in theirs if row in own]
        if pairs and (partial or len(pairs) == len(theirs)):
            compared.append(_figures(candidate, pairs, is_best=candidate.id == best))
    return sorted(compared, key=lambda f: f.candidate != best)


def _figures(
    candidate: Candidate, pairs: Sequence[tuple[Outcome, Outcome]], *, is_best: bool
) -> ComparedFigures:
    """Return a candidate's figures from its outcomes, each with the best one's of the same row."""
    outcomes = [own for own, _ in pairs]
    differences = [own.score - their.score for own, their in pairs]
    binary = all(o.score in (0.0, 1.0) for pair in pairs for o in pair)
    low, high = (0.0, 0.0) if is_best else paired_interval(differences, binary=binary)
    score = mean_interval([o.score for o in outcomes])
    prompt = replace(candidate, steps={p: replace(s, weights=None) for p, s in candidate.steps.items()})
    return ComparedFigures(
        candidate.id,
        prompt.id,
        answering_models(candidate),
        score.mean,
        (max(0.0, score.low), min(1.0, score.high)),
        fmean(differences),
        low,
        high,
        _cost(outcomes),
        _seconds(outcomes),
        len(outcomes),
        sum(o.error is not None for o in outcomes),
    )


def _cost(outcomes: Sequence[Outcome]) -> float | None:
    """Return the mean price of a row; what was known already in this run, without tokens, says nothing of it."""
    asked = [o.usage.cost for o in outcomes if o.usage.tokens]
    known = [cost for cost in asked if cost is not None]
    return fmean(known) if known and len(known) == len(asked) else None


def _seconds(outcomes: Sequence[Outcome]) -> float | None:
    times = [o.seconds for o in outcomes if o.seconds and not o.usage.cached and o.error is None]
    return median(times) if times else None


def chosen(found: Sequence[ComparedFigures], objective: Objective) -> ComparedFigures:
    """Return the candidate that an objective asks for among some; the first is the best so far.

    For the score, and for the front, another one must surely be better than the best. Otherwise it is the cheapest or
    fastest of those whose score is within the points allowed of that one's.
    """
    best = max((f for f in found if f is found[0] or f.printed.low > 0), key=lambda f: f.difference)
    if not objective.chooses_by_use:
        return best
    near = [
        f for f in found if f.answered and f.difference >= best.difference - objective.within / 100 - 1e-9
    ]
    known = [(value, -f.score, n, f) for n, f in enumerate(near) if (value := _use(f, objective)) is not None]
    if _use(best, objective) is None or not known:
        return best
    return min(known)[-1]


def _use(found: ComparedFigures, objective: Objective) -> float | None:
    return found.cost if objective.goal == "cheapest" else found.seconds


def front(candidates: Sequence[ComparedFigures]) -> list[ComparedFigures]:
    """Return the candidates that no other one beats: at least as good in score, price and time, and better in one."""
    answered = [f for f in candidates if f.answered]
    points = [(f.score, *(None if use is None else -use for use in (f.cost, f.seconds))) for f in answered]
    return [answered[place] for place in unbeaten(points)]


def comparison(scored: Scored, best: str, own: str) -> ModelComparison:
    """Return the comparison of a run's models; `own` is the run's own model."""
    every = figures(scored, best, partial=True)
    whole = [f for f in every if f.rows == every[0].rows]
    compared = {f.models for f in whole}
    others = [f for f in _by_models(every).values() if f.models not in compared]
    sentence, enough = good_enough(scored, best, own)
    return ModelComparison(
        sentence, enough, (*whole, *others), tuple(figures.candidate for figures in front(whole))
    )


def good_enough(scored: Scored, best: str, own: str) -> tuple[str, str]:
    """Return which models are the cheapest that are not surely worse than the best, in words, and that one's candidate.

    Of each choice of models the prompt with the highest score counts, on the rows of the candidate `best`. Both are "" where
    there is nothing to compare; no candidate is named where prices are unknown. `own` is the run's own model.
    """
    ranked = sorted(figures(scored, best), key=_by_score)
    if not ranked:
        return "", ""
    rows = scored[best][1]
    same = {n: (c, {r: known[r] for r in rows if r in known}) for n, (c, known) in scored.items()}
    by_models = _by_models(figures(same, ranked[0].candidate, partial=True))
    if len(by_models) < 2:
        return "", ""
    top = by_models[ranked[0].models]
    whole = [f for f in by_models.values() if f.answered and f.rows == top.rows]
    able = [f for f in whole if f is top or f.printed.high >= 0]
    priced = [f for f in able if f.cost is not None]
    cheapest = min(priced, key=lambda f: (f.cost or 0.0, -f.score)) if len(priced) == len(able) > 0 else None
    return good_enough_sentence(
        top, cheapest, list(by_models.values()), own
    ), cheapest.candidate if cheapest else ""


def _by_models(found: Sequence[ComparedFigures]) -> dict[tuple[str, ...], ComparedFigures]:
    """Return the figures of each choice of models: those on the most rows, of these with the highest score."""
    best: dict[tuple[str, ...], ComparedFigures] = {}
    for one in sorted(found, key=lambda f: (-f.rows, *_by_score(f))):
        best.setdefault(one.models, one)
    return best


def _by_score(found: ComparedFigures) -> tuple[bool, float, bool, float]:
    """Return a sort key: by score, of equal ones the cheaper first, those that never answered last."""
    return not found.answered, -found.score, found.cost is None, found.cost or 0.0


def answering_models(candidate: Candidate) -> tuple[str, ...]:
    """Return the models that answer in place of the run's: their name where one answers all steps, else with the steps."""
    names = {path: state.weights for path, state in candidate.steps.items()}
    if len(set(names.values())) == 1:
        return tuple(name for name in set(names.values()) if name)
    return tuple(f"{name} in {path}" for path, name in names.items() if name)
