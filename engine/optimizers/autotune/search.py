"""The rounds of Autotune: a check, rounds that write rules and race at the same time, finals.

A generator under the search contract; it owns the plan (how many calls for what), never the budget.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.optimizers.autotune.levels import Added, Levels
from engine.optimizers.autotune.race import difference
from engine.optimizers.autotune.readers import readers
from engine.optimizers.autotune.rules import rules_of
from engine.optimizers.autotune.space import Combination
from engine.optimizers.autotune.standing import BLOCK, CLEAR, FINALS_SHARE
from engine.records import Evaluation
from engine.search.contract import Ask, Keep, Propose, Score

Steps = Generator[Sequence[Ask], Sequence[Any], Any]

# Whether to reason first is tried where it takes no more than this part of the calls.
_REASONING_WORTH = 12

# How the labels of runs on training rows begin.
LOOKING = "looking"

SURE, NEARLY_SURE, LARGE = 0.95, 0.8, 0.1
"""The probability of being better that the starting prompt's successor needs; less for a large gain where words tell of labels."""


class Tuning(Levels):
    """One search: the steps that ask, on top of what they know."""

    def search(self) -> Steps:
        """Check, go round while it pays, settle; returns a sentence on how it ended."""
        proposals = yield from self._check()
        for number in range(self.plan.max_rounds):
            if self.cut or (number and self._left() < self._block * self._per_row):
                break
            before = self._best()
            added = self._new(proposals, number)
            # Where nothing tells whether rules or examples can help at all, reasoning is part of the check.
            other = (
                self._add_reasoning()
                if number == (self.told is not None) and self._affords_reasoning()
                else []
            )
            others = [other] if other else []
            if not number:
                others += self._add_layouts()
            if not added and not others and number and not proposals:
                break
            proposals = yield from self._round(self._to_race(added, number, others), number)
            if not number and not self.cut:
                yield from self._look_again()
                if self.plan.parts.headroom and not self.cut and self._hopeless():
                    yield [self._settle(self._nothing_to_gain())]
                    return self.ended if self.kept == self.space.start else self._found()
            elif self._stale(before):
                self.ended = "The chance of a further useful gain became small, so the search stopped."
                break
        if not self.cut:
            yield from self._finals()
        yield [self._settle()]
        return self._found()

    def _new(self, proposals: Mapping[str, Sequence[Sequence[str]]], number: int) -> Added:
        added = self._add_rules(proposals)
        if number or self.hidden:
            added += self._add_examples()
        return added

    def _affords_reasoning(self) -> bool:
        return self.plan.calls >= _REASONING_WORTH * BLOCK * self.problem.calls_per_row

    def _check(self) -> Steps:
        """Score the starting prompt and labelled examples on some rows, and have rules written, all at once."""
        start = self.space.start
        rows = self._check_rows()
        asks: list[Ask] = [self._score(start, rows, "headroom check")]
        if examples := dict(self._add_examples()):
            shown = tuple(examples.get(place, at) for place, at in enumerate(start))
            asks.append(self._score(shown, rows, "examples"))
        if self.hidden:
            asks.append(self._run(start, min(2 * rows, 40), f"{LOOKING} for solved rows"))
        first = self._readers(start, number=0)
        answers = yield from self._batch([*asks, *(ask for some in first.values() for ask in some)])
        self._fresh_row = (self.spent - self._asked_for) / max(1, self.rows_run)
        return self._rules(first, answers[len(asks) :])

    def _round(self, wanted: Sequence[Combination], number: int) -> Steps:
        """Give each combination its next block of rows; meanwhile run the best for traces and have rules written."""
        block = self._check_rows() if not number else self._block
        room = int((self.plan.calls * (1 - FINALS_SHARE) - self.spent) / self._per_row / block)
        wanted = wanted[: max(1, room)] if number else wanted
        asks: list[Ask] = [self._settle()] if number else []
        for combination in wanted:
            upto = min(len(self.order), self.asked.get(combination, 0) + block)
            asks.append(self._score(combination, upto, f"race, {upto} rows"))
        more = number + 1 < self.plan.max_rounds and self._left() > 0.25 * self.plan.calls
        dear = len(wanted) * block * self._per_row + self._readers_calls
        if more and self._runs_help(number, dear):
            best = wanted[0] if wanted else self._best()
            asks.append(self._run(best, BLOCK, f"{LOOKING} for what still goes wrong"))
        some = self._readers(self._best(), number + 1) if more else {}
        answers = yield from self._batch([*asks, *(ask for each in some.values() for ask in each)])
        self._drop()
        return self._rules(some, answers[len(asks) :])

    def _runs_help(self, number: int, dear: float) -> bool:
        """Whether runs on training rows show what the rows do not, and there is room beside what a round takes anyway."""
        if not self.plan.parts.runs or not (self.hidden or self.open_ended):
            return False
        if number or self.told:
            return self._left() - dear > 3 * BLOCK * self._per_row
        return self._check_room() - dear > 2 * BLOCK * self._per_row

    def _look_again(self) -> Steps:
        """Where a gain is in doubt, score the start and what did best on as many more rows as the check may take."""
        start = self.space.start
        best = max((c for c in self.scores if c != start), key=self._better, default=start)
        settled = self._hopeless() or self._promise() >= CLEAR
        if best == start or (settled and self.told is not False):
            return
        other = self._add_reasoning() if self.told and self._affords_reasoning() else []
        more = int(self._check_room() / max(self._fresh_row, self._per_row) / (2 + bool(other)))
        if more < 1:
            return
        looked = {c: min(len(self.order), self.asked[c] + more) for c in (start, best)}
        if other:
            looked[self._with(other)] = min(len(self.order), more)
        yield from self._batch([self._score(c, n, f"a closer look, {n} rows") for c, n in looked.items()])

    def _finals(self) -> Steps:
        """Where it is in doubt which of the best few is best, score them on ever more rows, halving them."""
        yield from self._confirm(most=2 * BLOCK)
        while not self.cut:
            few = self._contenders()
            rows = int((self.plan.calls - self.spent) / self._per_row / max(1, len(few)))
            least = min((self.asked.get(c, 0) for c in few), default=0)
            goal = min(
                len(self.order), max(least, *(self.asked.get(c, 0) for c in few)) + BLOCK, least + rows
            )
            asks = [self._score(c, goal, f"finals, {goal} rows") for c in few if self.asked.get(c, 0) < goal]
            if len(few) < 2 or not asks or goal < least + 4:
                break
            yield from self._batch(asks)
            self._drop()
        if not self.cut:
            yield from self._confirm()

    def _confirm(self, most: int = 10**9) -> Steps:
        """Where it is in doubt that the best beats the start, score the start on the same rows."""
        best, start = self._best(), self.space.start
        if best == start or self._sure(best) >= (0.99 if most > len(self.order) else 0.95):
            return
        budget = int((self.plan.calls - self.spent) / self._per_row)
        goal = min(most, self.asked.get(best, 0), self.asked.get(start, 0) + max(0, budget))
        if goal > self.asked.get(start, 0):
            yield from self._batch([self._score(start, goal, "the starting prompt on the finals' rows")])

    # Asking

    def _batch(self, asks: Sequence[Ask]) -> Steps:
        """Yield asks, count what they cost and note every score."""
        answers = yield asks
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(ask, Propose):
                self.spent += ask.n
                self._asked_for += ask.n
            elif isinstance(ask, Score):
                self._note(ask, answer)
        self.spent = int(self.problem.meter.made)
        return answers

    def _note(self, ask: Score, evaluation: Evaluation) -> None:
        combination = self.by_id[ask.candidate.id]
        if len(evaluation.outcomes) < len(ask.rows):
            self.cut = True
            return
        validation = not ask.label.startswith(LOOKING)
        known = self.scores.setdefault(combination, {}) if validation else {}
        table = self.runs.setdefault(combination, {}) if ask.trace else {}
        for outcome in evaluation.outcomes:
            new = outcome.row not in (known if validation else table)
            if ask.trace:
                table[outcome.row] = outcome
            if validation:
                known[outcome.row] = outcome.score
            self.spent += new * max(1, self.problem.calls_per_row)
            self.rows_run += new
            # An answer that cannot be read is asked for again.
            asked = new * (outcome.usage.calls + outcome.usage.cached)
            self.garbled += asked > self.problem.calls_per_row
            self.calls_asked[combination] = self.calls_asked.get(combination, 0) + validation * asked
        if validation:
            self.asked[combination] = max(self.asked.get(combination, 0), len(ask.rows))

    def _score(self, combination: Combination, upto: int, label: str) -> Score:
        """The ask for the first rows of the shared order; an example never answers its own row."""
        candidate = self.space.candidate(combination)
        self.by_id[candidate.id] = combination
        rows = tuple(self.order[:upto])
        return Score(candidate, rows, label=label, trace=self.hidden, hide_own_row=True)

    def _run(self, combination: Combination, n: int, label: str) -> Score:
        """The ask for the next `n` training rows, with a trace."""
        candidate = self.space.candidate(combination)
        self.by_id[candidate.id] = combination
        n = min(n, len(self.train_order))
        rows = [self.train_order[(self._train_at + i) % len(self.train_order)] for i in range(n)]
        self._train_at += n
        return Score(candidate, tuple(rows), label=label, trace=True, hide_own_row=True)

    def _readers(self, combination: Combination, number: int) -> dict[str, list[Propose]]:
        """The asks for rules, by step. Before there are runs only steps that read the rows have something to read."""
        asks: dict[str, list[Propose]] = {}
        if not self.plan.parts.rules or not self.plan.readers:
            return asks
        candidate = self.space.candidate(combination)
        latest = {
            row: o for runs in self.runs.values() for row, o in runs.items() if row in self.learned_from
        }
        outcomes = list(latest.values()) if self.plan.parts.runs else []
        for path in self.problem.worded:
            reads = self.problem.signatures[path].input_fields
            if not number and not any(name in self.problem.input_fields for name in reads):
                continue
            self._rollout += self.plan.readers
            text = candidate.steps[path].instructions
            asks[path] = readers(
                self.problem,
                path,
                text,
                outcomes,
                n=self.plan.readers,
                rollout=self._rollout,
                rng=self.rng,
            )
        return asks

    def _rules(
        self, asks: Mapping[str, Sequence[Propose]], answers: Sequence[Any]
    ) -> dict[str, list[list[str]]]:
        found, at = {}, 0
        for path, some in asks.items():
            found[path] = rules_of(answers[at : at + len(some)])
            at += len(some)
        return found

    def _settle(self, why: str = "") -> Keep:
        """Keep the best if it is surely better than the start, else the start; `why` says why it is the start."""
        best = self._best()
        if best != self.space.start and (why or not self._proven(best)):
            best = self._readable()
        self.kept = best
        rows = self.order[: self.asked.get(best, 0)]
        known = self.scores.get(best, {})
        score = sum(known[r] for r in rows) / len(rows) if rows else None
        candidate = self.space.candidate(best)
        return Keep(replace(candidate, reason=why) if why and best == self.space.start else candidate, score)

    def _proven(self, best: Combination) -> bool:
        """Whether the evidence is good enough to leave the start for this."""
        gain, _ = difference(self.scores[best], self.scores.get(self.space.start, {}))
        return self._sure(best) >= (NEARLY_SURE if self.told and gain >= LARGE else SURE)

    def _found(self) -> str:
        """Say what was found, and why the search stopped."""
        kept, start = self.kept, self.space.start
        why = self.ended or "The calls that were planned are used."
        if kept == self._readable() != start:
            return f"Only the layout of the answers was broken: {'; '.join(self.space.titles(kept))}. {why}"
        if kept == start:
            return f"Nothing that was tried surely beats the starting prompt, so it is kept. {why}"
        rows = [row for row in self.scores[kept] if row in self.scores.get(start, {})]
        ours, theirs = (sum(self.scores[c][r] for r in rows) / max(1, len(rows)) for c in (kept, start))
        return (
            f"Found: {'; '.join(self.space.titles(kept))}. On the {len(rows)} validation rows that both ran it scores "
            f"{100 * ours:.0f} %, the starting prompt {100 * theirs:.0f} %. {why}"
        )

    def _nothing_to_gain(self) -> str:
        self.ended = (
            f"Nothing to gain was found: after {self.spent} calls neither rules nor examples did clearly better "
            f"than the starting prompt's {100 * self._mean(self.space.start):.0f} %, so it is kept."
        )
        return self.ended
