"""The rounds of Autotune: headroom check, proposing and racing in turn, finals. What is learned is in `Tuning`.

A generator under the search contract; it owns the plan (how many calls for what), never the budget.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.optimizers.autotune_model import FactorialModel
from engine.optimizers.autotune_race import chance_better, difference
from engine.optimizers.autotune_rules import failure_groups, merged_rules, propose_rules, rules_of
from engine.optimizers.autotune_space import Combination, Level, Space, covering_rows, labels_are_told
from engine.optimizers.demos import labeled_demo
from engine.records import Demo, Evaluation, Outcome
from engine.search.contract import Ask, Keep, Problem, Propose, Score

Steps = Generator[Sequence[Ask], Sequence[Any], Any]

SURE = 0.9
"""The probability of being better that the starting prompt's successor needs."""

_HOPELESS = 0.3
_USEFUL = 0.02
_BLOCK = 24
_FINALS_SHARE = 0.2
_CHECK_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of Autotune that an ablation can turn off."""

    rules: bool = True
    examples: bool = True
    model: bool = True
    failures: bool = True
    memory: bool = True
    finals: bool = True
    headroom: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done: calls in all, example set sizes, proposals a step and round, and the parts in use."""

    calls: int
    example_counts: tuple[int, ...] = (8, 16)
    proposals: int = 4
    max_rounds: int = 6
    parts: Parts = Parts()


@dataclass
class Tuning:
    """One search: its space, every (combination, row) score so far, and the steps that add to them."""

    problem: Problem
    plan: Plan
    rng: random.Random
    spent: int = 0
    rows_run: int = 0
    cut: bool = False
    ended: str = ""
    scores: dict[Combination, dict[int, float]] = field(default_factory=dict)
    trained: dict[Combination, dict[int, Outcome]] = field(default_factory=dict)
    asked: dict[Combination, int] = field(default_factory=dict)
    rejected: dict[str, list[str]] = field(default_factory=dict)
    dropped: set[Combination] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.space = Space(self.problem.seed)
        self.order = self.rng.sample(self.problem.validation, len(self.problem.validation))
        self.train_order = self.rng.sample(self.problem.train, len(self.problem.train))
        self._train_at = 0
        self._shared = bool(set(self.problem.train) & set(self.problem.validation))
        self._rollout = 0
        signatures = self.problem.signatures.values()
        fields = [n for s in signatures for n in (*s.input_fields, *s.output_fields)]
        row = self.problem.rows[self.order[0]] if self.order else {}
        self._needs_traces = len(self.problem.signatures) > 1 or any(n not in row for n in fields)
        self.kept = self.space.start

    # The course of a search

    def search(self) -> Steps:
        """Check, go round while it pays, settle; returns a sentence on how it ended."""
        proposals = yield from self._check()
        for number in range(self.plan.max_rounds):
            if self.cut or self._left() <= 0:
                break
            before = self._best()
            added = self._add_levels(proposals, number)
            if not added and number:
                self.ended = "Proposals brought nothing new, so the search stopped."
                break
            wanted = self._to_race(added, number)
            proposals = yield from self._race(wanted, number)
            if not number and not self.cut:
                yield from self._look_again()
                if self.plan.parts.headroom and not self.cut and self._hopeless():
                    yield [self._settle(self._nothing_to_gain())]
                    return self.ended
            if self._stale(before, number):
                self.ended = "The chance of a further useful gain became small, so the search stopped."
                break
            if not self.cut and number + 1 < self.plan.max_rounds and self._left() > 0:
                proposals = yield from self._propose(self._best())
        if not self.cut:
            yield from self._finals()
        yield [self._settle()]
        return self.ended

    def _check(self) -> Steps:
        """Score the starting prompt on some rows, and have rules written from labelled rows, all at once."""
        rows = self._check_rows()
        start = self.space.start
        asks: list[Ask] = [self._score(start, rows, "headroom check")]
        if self._needs_traces:
            asks.append(self._train(start, rows, "looking for solved rows"))
        first = self._proposals(start, ()) if self.plan.parts.rules else []
        answers = yield from self._batch([*asks, *first])
        return self._by_path(first, answers[len(asks) :])

    def _check_rows(self) -> int:
        """Rows of the check: with the first races after it, it takes the check's share of the calls."""
        per_row = self.problem.calls_per_row
        share = _CHECK_SHARE * self.plan.calls - self._round_proposals()
        return min(
            max(8, min(_BLOCK, int(share / per_row / (7 if self._needs_traces else 6)))), len(self.order)
        )

    def _race(self, wanted: Sequence[Combination], number: int) -> Steps:
        """Give each combination its next block of rows; run the most promising on training rows too."""
        block = self._check_rows() if not number else _BLOCK
        asks: list[Ask] = []
        for combination in wanted:
            upto = min(len(self.order), self.asked.get(combination, 0) + block)
            asks.append(self._score(combination, upto, f"race, {upto} rows"))
        if number and number + 1 < self.plan.max_rounds and self._left() > self.plan.calls * 0.25:
            best = wanted[0] if wanted else self._best()
            asks.append(self._train(best, _BLOCK, "looking for what still goes wrong"))
        keep = [self._settle()] if number else []
        yield from self._batch([*keep, *asks])
        self._drop()
        return {}

    def _look_again(self) -> Steps:
        """Score the start and the best of the first race on as many rows again; look for what still goes wrong."""
        start, best = (
            self.space.start,
            max(
                (c for c in self.scores if c != self.space.start), key=self._better, default=self.space.start
            ),
        )
        if self._better(best) >= 0.95 or best == start:
            return
        upto = min(len(self.order), 2 * self._check_rows())
        yield from self._batch([self._score(c, upto, f"a closer look, {upto} rows") for c in (start, best)])

    def _propose(self, best: Combination) -> Steps:
        if not self.plan.parts.rules:
            return {}
        outcomes = tuple(self.trained.get(best, {}).values()) if self.plan.parts.failures else ()
        asks = self._proposals(best, outcomes)
        answers = yield from self._batch([self._settle(), *asks])
        return self._by_path(asks, answers[1:])

    def _finals(self) -> Steps:
        """Halve the best few over ever more validation rows, as far as the calls last."""
        yield from self._confirm(most=2 * _BLOCK)
        field_ = self._ranked()[: 4 if self.plan.parts.finals else 1]
        per_row = self._per_row
        while field_:
            total = len(self.order)
            goal = total if len(field_) <= 2 else max(total // 2, max(self.asked.get(c, 0) for c in field_))
            missing = sum(max(0, goal - self.asked.get(c, 0)) for c in field_) * per_row
            budget = self.plan.calls - self.spent
            if missing > budget and len(field_) > 1:
                field_ = field_[: len(field_) // 2]
                continue
            if missing > budget:
                goal = min(goal, self.asked.get(field_[0], 0) + max(0, int(budget // per_row)))
            asks = [self._score(c, goal, "finals") for c in field_ if self.asked.get(c, 0) < goal]
            if asks:
                yield from self._batch(asks)
            if self.cut or goal >= total or len(field_) == 1:
                break
            field_ = self._ranked(among=field_)[: max(1, len(field_) // 2)]
        if not self.cut:
            yield from self._confirm()

    def _confirm(self, most: int = 10**9) -> Steps:
        """Where it is in doubt that the best beats the start, score the start on the same rows."""
        best, start = self._best(), self.space.start
        if best == start or self._better(best) >= (0.99 if most > len(self.order) else 0.95):
            return
        budget = int((self.plan.calls - self.spent) / self._per_row)
        goal = min(most, self.asked.get(best, 0), self.asked.get(start, 0) + max(0, budget))
        if goal > self.asked.get(start, 0):
            yield from self._batch([self._score(start, goal, "the starting prompt on the finals' rows")])

    # Asking

    def _batch(self, asks: Sequence[Ask]) -> Steps:
        """Yield asks, count what they cost and note every score."""
        answers = yield asks
        made = self.problem.calls_made
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(ask, Propose):
                self.spent += ask.n
                self._asked_for += ask.n
            elif isinstance(ask, Score):
                self._note(ask, answer)
        if made is not None:
            self.spent = made()
        return answers

    def _note(self, ask: Score, evaluation: Evaluation) -> None:
        combination = self._of[ask.candidate.id]
        if len(evaluation.outcomes) < len(ask.rows):
            self.cut = True
            return
        table = self.trained.setdefault(combination, {}) if ask.trace else None
        known = self.scores.setdefault(combination, {})
        for outcome in evaluation.outcomes:
            if table is not None:
                new = outcome.row not in table
                table[outcome.row] = outcome
            else:
                new = outcome.row not in known
                known[outcome.row] = outcome.score
            self.spent += new * max(1, self.problem.calls_per_row)
            self.rows_run += new
        if table is None:
            self.asked[combination] = max(self.asked.get(combination, 0), len(ask.rows))

    def _score(self, combination: Combination, upto: int, label: str) -> Score:
        candidate = self.space.candidate(combination)
        self._of[candidate.id] = combination
        return Score(candidate, tuple(self.order[:upto]), label=label, hide_own_row=self._shared)

    def _train(self, combination: Combination, n: int, label: str) -> Score:
        """The ask for the next `n` training rows, with a trace; a demonstration never solves its own row."""
        candidate = self.space.candidate(combination)
        self._of[candidate.id] = combination
        n = min(n, len(self.train_order))
        rows = [self.train_order[(self._train_at + i) % len(self.train_order)] for i in range(n)]
        self._train_at += n
        return Score(candidate, tuple(rows), label=label, trace=True, hide_own_row=True)

    def _proposals(self, combination: Combination, outcomes: Sequence[Outcome]) -> list[Propose]:
        candidate = self.space.candidate(combination)
        asks: list[Propose] = []
        for path in self.problem.signatures:
            self._rollout += self.plan.proposals
            asks += propose_rules(
                self.problem,
                path,
                candidate.steps[path].instructions,
                n=self.plan.proposals,
                rollout=self._rollout,
                rng=self.rng,
                outcomes=outcomes,
                rejected=self.rejected.get(path, ()) if self.plan.parts.memory else (),
            )
        return asks

    @property
    def _per_row(self) -> float:
        """Calls that a row takes, from what rows have taken so far."""
        most = self.problem.calls_per_row
        if self.rows_run < 2 * _BLOCK:
            return float(most)
        return min(float(most), max(0.5, (self.spent - self._asked_for) / self.rows_run))

    def _round_proposals(self) -> int:
        return self.plan.proposals * len(self.problem.signatures) if self.plan.parts.rules else 0

    def _by_path(self, asks: Sequence[Propose], answers: Sequence[Any]) -> dict[str, list[list[str]]]:
        found: dict[str, list[list[str]]] = {path: [] for path in self.problem.signatures}
        each = max(1, self.plan.proposals)
        for i, path in enumerate(self.problem.signatures):
            found[path] = rules_of(answers[i * each : (i + 1) * each]) if asks else []
        return found

    # Levels

    def _add_levels(
        self, proposals: Mapping[str, Sequence[Sequence[str]]], number: int
    ) -> list[tuple[int, int]]:
        """Turn proposals into levels of rules, and what was solved or labelled into levels of examples."""
        best = self._best()
        added = []
        for path in self.problem.signatures:
            place = self.space.at(path, "rules")
            current = self.space.rules(best, path)
            rules = merged_rules(current, proposals.get(path, ()), self.rejected.get(path, ()))
            if rules and rules != current:
                title = (
                    f"{len(rules)} rules ({_new(rules, current)} new) from {_count(proposals.get(path, ()))}"
                )
                added.append((place, self.space.add(place, Level(title, rules, origin=best[place] or None))))
            if self.plan.parts.examples:
                added += self._add_examples(path, best, number)
        return added

    def _add_examples(self, path: str, best: Combination, number: int) -> list[tuple[int, int]]:
        place = self.space.at(path, "examples")
        pool = self._demo_pool(path)
        urgent = {row: 1.0 - o.score for row, o in self.trained.get(best, {}).items()}
        before = len(self.space.levels[place])
        added = []
        for k in self.plan.example_counts if not number else self.plan.example_counts[-1:]:
            rows = covering_rows(self.problem, list(pool), k, urgent)
            if rows:
                title = f"{len(rows)} examples that cover what went wrong"
                at = self.space.add(place, Level(title, demos=tuple(pool[row] for row in rows)))
                if at >= before:
                    added.append((place, at))
        return added

    def _demo_pool(self, path: str) -> dict[int, Demo]:
        """Training rows as demonstrations of a step: the rows' own values where they say all, else solved runs."""
        signature = self.problem.signatures[path]
        pool: dict[int, Demo] = {}
        for row in self.problem.train:
            if all(n in self.problem.rows[row] for n in (*signature.input_fields, *signature.output_fields)):
                demo = labeled_demo(self.problem, path, row)
                if demo is not None:
                    pool[row] = demo
        if pool:
            return pool
        for outcomes in self.trained.values():
            for row, outcome in outcomes.items():
                calls = [t for t in outcome.trace if t.path == path]
                if calls and outcome.score >= 1 and outcome.error is None:
                    pool[row] = Demo({**calls[-1].inputs, **calls[-1].outputs}, augmented=True)
        return pool

    # Choosing

    def _to_race(self, added: Sequence[tuple[int, int]], number: int) -> list[Combination]:
        """Return the combinations for the next race: the new levels with the best of the rest, then Thompson's."""
        best = list(self._best())
        newest = dict(added)
        whole = [newest.get(place, at) for place, at in enumerate(best)]
        chosen: dict[Combination, None] = {tuple(whole): None} if added else {}
        for kind in ("rules", "examples") if added else ():
            only = [
                newest.get(place, at) if self.space.factors[place].kind == kind else at
                for place, at in enumerate(best)
            ]
            chosen.setdefault(tuple(only))
        width = 3 if not number else self._width()
        if number:
            chosen = dict.fromkeys(list(chosen)[: max(1, width - 1)])
            if tuple(best) not in chosen and self.asked.get(tuple(best), 0) < len(self.order):
                chosen.setdefault(tuple(best))
        model = self._model() if self.plan.parts.model and number else None
        for _ in range(40):
            if len(chosen) >= width or model is None:
                break
            drawn = self._drawn(model)
            if drawn not in self.dropped and self.asked.get(drawn, 0) < len(self.order):
                chosen.setdefault(drawn)
        return [c for c in chosen if self.asked.get(c, 0) < len(self.order)][:width]

    def _width(self) -> int:
        """How many combinations a race can take: a third of what is left for racing, two to five."""
        rows = self._left() / 3 / self._per_row / _BLOCK
        return max(2, min(5, int(rows)))

    def _drawn(self, model: FactorialModel) -> Combination:
        draw = model.sample()
        chosen = []
        for place, levels in enumerate(self.space.levels):
            worth: dict[int, float] = {0: 0.0}
            for number, level in enumerate(levels):
                if number:
                    base = worth.get(level.origin or 0, 0.0)
                    own = draw.get((place, number))
                    worth[number] = base + (model.fresh() if own is None else own)
            chosen.append(max(worth, key=worth.__getitem__))
        return tuple(chosen)

    def _model(self) -> FactorialModel:
        cells = [
            (self.space.terms(c), c, row, score)
            for c, known in self.scores.items()
            for row, score in known.items()
        ]
        return FactorialModel(cells, self.rng.randrange(2**31))

    def _ranked(self, among: Sequence[Combination] | None = None) -> list[Combination]:
        """Combinations by what is expected of them, the best first."""
        known = [c for c in (among or self.scores) if self.scores.get(c)]
        if not known:
            return [self.space.start]
        start = self.space.start
        if self.plan.parts.model:
            model = self._model()
            worth = {c: model.gain(self.space.terms(c), c, self.space.terms(start), start) for c in known}
        else:
            worth = {c: difference(self.scores[c], self.scores.get(start, {}))[0] for c in known}
        return sorted(known, key=lambda c: -worth[c])

    def _best(self) -> Combination:
        alive = [c for c in self.scores if c not in self.dropped]
        return self._ranked(alive)[0] if alive else self.space.start

    def _better(self, combination: Combination, least: float = 0.0) -> float:
        return chance_better(self.scores.get(combination, {}), self.scores.get(self.space.start, {}), least)

    def _drop(self) -> None:
        """Drop what is unlikely to be better than the best; remember the rules that did harm."""
        best = self._best()
        for combination, known in self.scores.items():
            if combination in (best, self.space.start) or combination in self.dropped:
                continue
            if chance_better(known, self.scores[best]) < _HOPELESS:
                self.dropped.add(combination)
        for place, factor in enumerate(self.space.factors):
            if factor.kind != "rules":
                continue
            for combination in self.dropped:
                level = self.space.levels[place][combination[place]]
                parent = self.space.levels[place][level.origin or 0]
                twin = tuple(level.origin or 0 if p == place else n for p, n in enumerate(combination))
                if twin in self.scores and chance_better(self.scores[combination], self.scores[twin]) < 0.15:
                    bad = [r for r in level.rules if r not in parent.rules]
                    self.rejected.setdefault(factor.path, []).extend(bad)

    # Stopping

    def _left(self) -> int:
        """Calls left for racing: the finals' share is kept back."""
        finals = _FINALS_SHARE if self.plan.parts.finals else 0.1
        return int(self.plan.calls * (1 - finals)) - self.spent - self._round_proposals()

    def _hopeless(self) -> bool:
        """Whether what did best so far is unlikely to be usefully better than the start.

        Where no word of the inputs tells of the labels, more is asked of it; where some do and much is wrong, less.
        """
        own = self.scores.get(self.space.start, {})
        much_wrong = sum(own.values()) < 0.85 * len(own)
        needed = (0.15 if much_wrong else 0.4) if labels_are_told(self.problem, self.rng) else 0.85
        tried = [c for c in self.scores if c != self.space.start]
        return max((self._better(c, _USEFUL) for c in tried), default=0.0) < needed

    def _nothing_to_gain(self) -> str:
        known = self.scores.get(self.space.start, {})
        mean = sum(known.values()) / max(1, len(known))
        self.ended = (
            f"Nothing to gain was found: after {self.spent} calls neither rules nor examples did clearly better "
            f"than the starting prompt's {mean:.0%}, so it is kept."
        )
        return self.ended

    def _stale(self, before: Combination, number: int) -> bool:
        """Whether two races in a row did not move the best by a useful amount."""
        after = self._best()
        moved = (
            after != before
            and chance_better(self.scores[after], self.scores.get(before, {}), _USEFUL) >= 0.35
        )
        self._still = 0 if moved else self._still + 1
        return self._still >= 2

    _still: int = 0
    _asked_for: int = 0

    def _settle(self, why: str = "") -> Keep:
        """Keep the best if it is surely better than the start, else the start; `why` says why it is the start."""
        best = self._best()
        if best != self.space.start and (why or self._better(best) < SURE):
            best = self.space.start
        self.kept = best
        rows = self.order[: self.asked.get(best, 0)]
        known = self.scores.get(best, {})
        score = sum(known[r] for r in rows) / len(rows) if rows else None
        candidate = self.space.candidate(best)
        return Keep(replace(candidate, reason=why) if why else candidate, score)

    @property
    def _of(self) -> dict[str, Combination]:
        return self.__dict__.setdefault("_by_id", {})


def _new(rules: Sequence[str], current: Sequence[str]) -> int:
    return len(set(rules) - set(current))


def _count(proposals: Sequence[Sequence[str]]) -> str:
    n = sum(bool(p) for p in proposals)
    return f"{n} proposal{'' if n == 1 else 's'}"
