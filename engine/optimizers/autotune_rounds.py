"""The rounds of Autotune: headroom check, proposing and racing in turn, finals. One method a step.

A generator under the search contract; it owns the plan (how many calls for what), never the budget.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from engine.optimizers.autotune_levels import Levels
from engine.optimizers.autotune_rules import Focus, propose_rules, rules_of
from engine.optimizers.autotune_space import Combination
from engine.optimizers.autotune_standing import BLOCK, FINALS_SHARE
from engine.records import Evaluation, Outcome
from engine.search.contract import Ask, Keep, Propose, Score

Steps = Generator[Sequence[Ask], Sequence[Any], Any]

SURE = 0.9
"""The probability of being better that the starting prompt's successor needs."""

_CHECK_SHARE = 0.15


class Tuning(Levels):
    """One search: the steps that ask, on top of what they know."""

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
            if self._stale(before):
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
            max(8, min(BLOCK, int(share / per_row / (7 if self._needs_traces else 6)))), len(self.order)
        )

    def _race(self, wanted: Sequence[Combination], number: int) -> Steps:
        """Give each combination its next block of rows; run the most promising on training rows too."""
        block = self._check_rows() if not number else BLOCK
        asks: list[Ask] = []
        dear = min(float(self.problem.calls_per_row), 1.5 * self._per_row)
        room = int((self.plan.calls * (1 - FINALS_SHARE) - self.spent) / dear / block)
        wanted = wanted[: max(1, room)] if number else wanted
        for combination in wanted:
            upto = min(len(self.order), self.asked.get(combination, 0) + block)
            asks.append(self._score(combination, upto, f"race, {upto} rows"))
        if number and number + 1 < self.plan.max_rounds and self._left() > self.plan.calls * 0.25:
            best = wanted[0] if wanted else self._best()
            asks.append(self._train(best, BLOCK, "looking for what still goes wrong"))
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
        yield from self._confirm(most=2 * BLOCK)
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
        combination = self.by_id[ask.candidate.id]
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
        self.by_id[candidate.id] = combination
        return Score(candidate, tuple(self.order[:upto]), label=label, hide_own_row=self._shared)

    def _train(self, combination: Combination, n: int, label: str) -> Score:
        """The ask for the next `n` training rows, with a trace; a demonstration never solves its own row."""
        candidate = self.space.candidate(combination)
        self.by_id[candidate.id] = combination
        n = min(n, len(self.train_order))
        rows = [self.train_order[(self._train_at + i) % len(self.train_order)] for i in range(n)]
        self._train_at += n
        return Score(candidate, tuple(rows), label=label, trace=True, hide_own_row=True)

    def _proposals(self, combination: Combination, outcomes: Sequence[Outcome]) -> list[Propose]:
        candidate = self.space.candidate(combination)
        asks: list[Propose] = []
        for path in self.problem.worded:
            self._rollout += self.plan.proposals
            memory = self.rejected.get(path, ()) if self.plan.parts.memory else ()
            focus = Focus(candidate.steps[path].instructions, tuple(outcomes), tuple(memory))
            asks += propose_rules(
                self.problem, path, focus, n=self.plan.proposals, rollout=self._rollout, rng=self.rng
            )
        return asks

    def _by_path(self, asks: Sequence[Propose], answers: Sequence[Any]) -> dict[str, list[list[str]]]:
        found: dict[str, list[list[str]]] = {path: [] for path in self.problem.signatures}
        each = max(1, self.plan.proposals)
        for i, path in enumerate(self.problem.worded):
            found[path] = rules_of(answers[i * each : (i + 1) * each]) if asks else []
        return found

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
