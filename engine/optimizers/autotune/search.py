"""Autotune's search: a check, rounds that write rules and race option sets at the same time, finals.

A generator under the search contract. It plans how many calls go into each part and never enforces the budget.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from engine.basics.text import counted, percent
from engine.optimizers.autotune.evidence import LEAST_ROWS, ScoreModel
from engine.optimizers.autotune.levels import LevelMaker
from engine.optimizers.autotune.options import AutotuneOptions
from engine.optimizers.autotune.rules import is_label, rule_asks, rules_of, words_predict_labels
from engine.optimizers.autotune.space import Added, Space
from engine.optimizers.shared.study import OptionSet
from engine.optimizers.shared.texts import answers_by_key
from engine.records import Evaluation
from engine.search.contract import Ask, Keep, Problem, Propose, Score, Search

# The thresholds below were set on the tasks of tests/benchmarks/README.md and on tasks where nothing can be learned
# (tests/engine_tests/optimizers/test_autotune_stops.py), which must end within the check's share of the calls.

# Rows that an option set gets in one race, where there are calls for it.
_BLOCK = 24
# Share of the calls left that one batch of finals plans with: rows may cost more than those before.
_FINALS_FILL = 0.85
# The shares of the calls that are kept for the finals, and that the check may take.
_FINALS_SHARE, _CHECK_SHARE = 0.05, 0.15
# The share of the calls that the check's runs on training rows may take.
_RUNS_SHARE = 0.25
# The share of the calls that each prompt made for readers may take, and the least rows it is worth having for.
_READABLE_SHARE, _LEAST_READABLE = 0.04, 8
# The share of the calls by which the check may take longer, so that rules written from runs are raced before it ends.
_INFORMED_SHARE = 0.1
# Reasoning first is tried where it takes no more than this part of the calls (one twelfth).
_REASONING_SHARE = 12
# Other layouts are tried when a larger share of the rows took more calls than the program makes.
_GARBLED_SHARE = 0.1
# A useful gain that is this likely after the check needs no closer look.
_CLEAR_CHANCE = 0.9
# With fewer rows in all, rules of several steps are written once.
_FEW_ROWS = 40
# The first word of the labels of runs on training rows.
_TRAIN_LABEL = "looking"


class AutotuneSearch:
    """One search: space, evidence and calls so far, and the generator `run`."""

    def __init__(self, problem: Problem, options: AutotuneOptions, rng: random.Random) -> None:
        self.problem, self.options, self.rng = problem, options, rng
        self.space = Space(problem)
        limit = problem.meter.limit
        usual = (250 + 4 * min(100, len(problem.validation))) * problem.calls_per_row
        planned = options.max_calls or limit or usual
        self.planned = max(1, planned if limit is None else min(planned, limit))
        # A small budget is for scoring, not for writing.
        self.readers = min(options.proposals, max(2, self.planned // 30))
        # No more rows than there can be calls for: a large table has a hundred thousand.
        most = max(self.planned, 2 * _BLOCK)
        self.order, self.train_order = (
            rng.sample(rows, min(most, len(rows))) for rows in (problem.validation, problem.train)
        )
        predicted = words_predict_labels(problem, random.Random(rng.random()))
        self.words_predict_labels = predicted
        self.evidence = ScoreModel(self.space, rng, predicted=predicted, use_model=options.uses("model"))
        self.levels = LevelMaker(problem, options, self.evidence, self.space, self.order, self.train_order)
        self.samples = self.rows_run = 0
        signatures = problem.signatures.values()
        row = problem.rows[self.order[0]] if self.order else {}
        # Fields that only runs show: what passes between steps, a reasoning.
        self.has_hidden_fields = any(
            n not in row and n not in problem.optional_inputs
            for s in signatures
            for n in (*s.input_fields, *s.output_fields)
        )
        # Of answers that are no labels, runs show more of a mistake than right and wrong.
        self.is_open_ended = not all(is_label(problem, n) for n in problem.output_fields)
        # Rules are written from runs where these show what the rows do not.
        self.learns_from_runs = options.uses("runs") and (self.has_hidden_fields or self.is_open_ended)
        # Few rows in all: rules are written once, when runs show what passes between the steps.
        self.writes_once = (
            self.has_hidden_fields
            and self.learns_from_runs
            and (self.planned < _FEW_ROWS * problem.calls_per_row)
        )
        self.has_labels = any(n in row for n in problem.output_fields)
        self.cut, self.kept, self._ending = False, self.space.start, ""
        self._rows_asked: dict[OptionSet, int] = {}
        self._reply_counts: dict[OptionSet, int] = {}
        self._by_candidate: dict[str, OptionSet] = {}
        self._garbled_rows = self._races_without_gain = self._next_train_row = self._rollout = 0
        self._cost_of_new_row = 0.0
        self._written_from_runs = self._judged = self._tried_reasoning = False

    @property
    def spent(self) -> int:
        """Calls made so far."""
        return int(self.problem.meter.made)

    @property
    def per_row(self) -> float:
        """Calls that a row takes: the program's own at first, then what rows have taken so far."""
        most = self.problem.calls_per_row
        if self.rows_run < _BLOCK:
            return float(most)
        # Where answers have to be asked for again it is more than the program's own calls.
        return min(3.0 * most, max(0.5, self.mean_per_row))

    @property
    def per_new_row(self) -> float:
        """Calls that a row takes of which no step is kept yet: as in the check, if rows take fewer by now."""
        return max(self.per_row, self._cost_of_new_row)

    @property
    def mean_per_row(self) -> float:
        """Mean calls of the rows so far."""
        return (self.spent - self.samples) / max(1, self.rows_run)

    @property
    def before_finals(self) -> int:
        """Calls left for racing."""
        return int(self.planned * (1 - _FINALS_SHARE)) - self.spent

    @property
    def for_check(self) -> float:
        """Calls left of the check's share."""
        return _CHECK_SHARE * self.planned - self.spent

    def run(self) -> Search:
        """Check, race in rounds while it pays, settle; return a closing message for the user."""
        proposals = yield from self._check()
        for number in range(self.options.max_rounds):
            if self.cut or (self._judged and self.before_finals < self._block * self.per_row):
                break
            before, from_runs = self.evidence.best(), self._written_from_runs
            added = self.levels.add_rules(proposals)
            if number or self.has_hidden_fields or not self.has_labels:
                added += self.levels.add_examples()
            others = self._others(number)
            if not added and not others and number and not proposals:
                self._ending = "The readers wrote nothing new, so the search stopped."
                break
            proposals = yield from self._round(self._racers(added, number, others), number)
            if self.cut or not (self._judged or from_runs or not self._may_race_again(proposals)):
                continue
            if not self._judged:
                self._judged = True
                yield from self._look_again()
                if self.options.stop_early and not self.cut and self._is_hopeless():
                    start = percent(self.evidence.mean(self.space.start), 0)
                    self._ending = (
                        f"Nothing to gain was found: after {self.spent} calls neither rules nor examples did clearly "
                        f"better than the starting prompt's {start}, so it is kept."
                    )
                    yield [self._settled(self._ending)]
                    return self._ending if self.kept == self.space.start else self._closing_message()
            elif self._is_stale(before):
                self._ending = "The chance of a further useful gain became small, so the search stopped."
                break
        if not self.cut:
            yield from self._make_readable()
        if not self.cut:
            yield from self._finals()
        yield [self._settled()]
        return self._closing_message()

    def _others(self, number: int) -> list[Added]:
        """Return what is tried apart from rules and examples: reasoning, other models, other layouts where answers are garbled."""
        # Where nothing says whether rules or examples can help at all, reasoning is part of the check.
        due = self._judged if self.words_predict_labels is not None else not number
        tries_reasoning = due and not self._tried_reasoning and self._affords_reasoning
        reasoning = self.levels.add_reasoning() if tries_reasoning else []
        self._tried_reasoning = self._tried_reasoning or tries_reasoning
        others = [reasoning] if reasoning else []
        others += [] if number else self.levels.add_models()
        if not number and self._garbled_rows > _GARBLED_SHARE * self.rows_run:
            others += self.levels.add_layouts()
        return others

    def _may_race_again(self, proposals: Mapping[str, Sequence[Sequence[str]]]) -> bool:
        """Return whether rules written from runs wait to be raced, and the check's share pays for that.

        Where words of the inputs say nothing of the labels, the share is kept; else it may be passed a little.
        """
        if not self.learns_from_runs or not self._written_from_runs or not any(proposals.values()):
            return False
        over = 0.0 if self.words_predict_labels is False else _INFORMED_SHARE * self.planned
        return self.for_check + over >= self._check_rows() * self.per_row + self._writing_calls

    # The parts of the search

    def _check(self) -> Search:
        """Score the start and labelled examples on some rows, and have rules written, all at once."""
        start = self.space.start
        rows = self._check_rows()
        asks: list[Ask] = [self._score(start, rows, "headroom check")]
        if examples := dict(self.levels.add_examples()):
            shown = tuple(examples.get(place, at) for place, at in enumerate(start))
            asks.append(self._score(shown, rows, "examples"))
        if self.has_hidden_fields or self.learns_from_runs:
            affordable = max(4, int(_RUNS_SHARE * self.planned / self.per_row))
            asks.append(self._run(start, min(2 * rows, 40, affordable), f"{_TRAIN_LABEL} for solved rows"))
        writing = self._rule_asks(start, number=0)
        answers = yield from self._batch([*asks, *chain.from_iterable(writing.values())])
        self._cost_of_new_row = self.mean_per_row
        if self._awaits_runs and not self.cut:
            # Rows without labels say nothing until they were run.
            asks, writing = [], self._rule_asks(start, number=1)
            answers = yield from self._batch([*chain.from_iterable(writing.values())])
        return _proposed_rules(writing, answers[len(asks) :])

    def _round(self, wanted: Sequence[OptionSet], number: int) -> Search:
        """Give each option set its next block of rows; meanwhile run the best for traces and have rules written."""
        block = self._block if self._judged else self._check_rows()
        room = int((self.planned * (1 - _FINALS_SHARE) - self.spent) / self.per_row / block)
        wanted = wanted[: max(1, room)] if self._judged else wanted
        asks: list[Ask] = [self._settled()] if self._judged else []
        for option_set in wanted:
            upto = min(len(self.order), self._rows_asked.get(option_set, 0) + block)
            asks.append(self._score(option_set, upto, f"race, {upto} rows"))
        more = number + 1 < self.options.max_rounds and self.before_finals > 0.25 * self.planned
        more = more and not self.writes_once
        cost = len(wanted) * block * self.per_row + self._writing_calls
        if more and self._needs_traces(cost):
            best = wanted[0] if wanted else self.evidence.best()
            asks.append(self._run(best, _BLOCK, f"{_TRAIN_LABEL} for what still goes wrong"))
        writing = self._rule_asks(self.evidence.best(), number + 1) if more else {}
        answers = yield from self._batch([*asks, *chain.from_iterable(writing.values())])
        self.evidence.drop_unlikely()
        return _proposed_rules(writing, answers[len(asks) :])

    def _needs_traces(self, cost: float) -> bool:
        """Return whether runs on training rows show what the rows do not, and calls suffice next to a round's own cost."""
        if not self.learns_from_runs:
            return False
        if self._judged or self.words_predict_labels:
            return self.before_finals - cost > 3 * _BLOCK * self.per_row
        return self.for_check - cost > 2 * _BLOCK * self.per_row

    def _look_again(self) -> Search:
        """Score the start and the best, if a gain is in doubt, on as many more rows as the check may take."""
        start, evidence = self.space.start, self.evidence
        tried = (c for c in evidence.scores if c != start)
        best = max(tried, key=evidence.chance_over_start, default=start)
        settled = self._is_hopeless() or evidence.useful_gain_chance() >= _CLEAR_CHANCE
        if best == start or (settled and self.words_predict_labels is not False):
            return
        tries_reasoning = self.words_predict_labels and self._affords_reasoning
        other = self.levels.add_reasoning() if tries_reasoning else []
        more = int(self.for_check / self.per_new_row / (2 + bool(other)))
        if more < 1:
            return
        looked = {c: min(len(self.order), self._rows_asked[c] + more) for c in (start, best)}
        if other:
            looked[self._best_with(other)] = min(len(self.order), more)
        yield from self._batch([self._score(c, n, f"a closer look, {n} rows") for c, n in looked.items()])

    def _make_readable(self) -> Search:
        """Race the best with fewer rules and with merged ones, and score it without retrieval, with half of the calls left.

        The finals have the other half.
        """
        best = self.evidence.best()
        levels = self.levels
        rows = min(_BLOCK, len(self.order), int(_READABLE_SHARE * self.planned / self.per_row))
        room = int((self.planned - self.spent) / 2 / max(1.0, rows * self.per_new_row))
        if rows < _LEAST_READABLE or not self.options.uses("readable") or not self.evidence.is_sure(best):
            return
        # Fewer rows cannot show that a shorter prompt is as good.
        races_shorter = rows >= min(LEAST_ROWS, len(self.order))
        others = levels.static(best)
        if pruned := levels.add_pruned(best) if races_shorter else []:
            others.append(self._best_with(pruned))
        others = [*others, *levels.without_each_step(best)][:room]
        writing = levels.merge_asks(best, self._rollout + 1) if races_shorter and len(others) < room else {}
        asks = [
            self._score(c, max(rows, self._rows_asked.get(c, 0)), f"readable, {rows} rows") for c in others
        ]
        # The finals do not wait for these.
        asked = sum(len(ask.rows) - self._rows_asked.get(c, 0) for ask, c in zip(asks, others, strict=True))
        asked += rows if writing else 0  # for the merged rules
        asks += self._final_asks(asked * self.per_new_row + len(writing))
        answers = yield from self._batch([*asks, *chain.from_iterable(writing.values())])
        merged = levels.add_merged(best, _proposed_rules(writing, answers[len(asks) :]))
        if merged and not self.cut:
            yield from self._batch([self._score(self._best_with(merged), rows, f"merged rules, {rows} rows")])

    def _finals(self) -> Search:
        """Score the few best on ever more rows while it is in doubt which is best, then confirm the winner."""
        yield from self._confirm(most=2 * _BLOCK)
        while not self.cut and (asks := self._final_asks()):
            yield from self._batch(asks)
            self.evidence.drop_unlikely()
        if not self.cut:
            yield from self._confirm()

    def _final_asks(self, other_calls: float = 0) -> list[Score]:
        """Return the asks for more rows of the few best next to other calls, none where there is one or no calls for it.

        The calls go to those with the fewest rows, so that few batches use them up.
        """
        few = self.evidence.finalists()
        asked = [self._rows_asked.get(c, 0) for c in few]
        rows = _FINALS_FILL * (self.planned - self.spent - other_calls) / self.per_new_row
        most = min(len(self.order), max(asked) + _BLOCK)
        goals = range(most, min(asked) + 3, -1)
        goal = next((g for g in goals if sum(g - n for n in asked if n < g) <= rows), 0)
        known = zip(few, asked, strict=True)
        return [self._score(c, goal, f"finals, {goal} rows") for c, n in known if n < goal and len(few) > 1]

    def _confirm(self, most: int = 10**9) -> Search:
        """Score the start on the rows of the best, if it is in doubt that the best beats it."""
        best, start = self.evidence.best(), self.space.start
        if best == start or self.evidence.certainty(best) >= (0.99 if most > len(self.order) else 0.95):
            return
        affordable = int((self.planned - self.spent) / self.per_row)
        asked = self._rows_asked.get(start, 0)
        goal = min(most, self._rows_asked.get(best, 0), asked + max(0, affordable))
        if goal > asked:
            yield from self._batch([self._score(start, goal, "the starting prompt on the finals' rows")])

    # Choosing option sets

    def _racers(self, added: Added, number: int, others: Sequence[Added] = ()) -> list[OptionSet]:
        """Return the next race: new levels with the best of the rest, `others` each on the best, then sampled option sets."""
        best = self.evidence.best()
        newest = dict(added)
        chosen: dict[OptionSet, None] = {}
        for places in self._groups_of_new(newest):
            chosen.setdefault(tuple(newest[p] if p in places else at for p, at in enumerate(best)))
        if newest and not number:
            # Rules and the examples of the check may only work together.
            examples = {p: len(self.space.levels[p]) - 1 for p in self.space.places("examples")}
            chosen.setdefault(tuple({**examples, **newest}.get(p, at) for p, at in enumerate(best)))
        chosen.pop(best, None)
        width = self._race_width() + len(others)
        if number or others:
            chosen = dict.fromkeys(list(chosen)[: max(1, width - max(1, len(others)))])
            for other in others:
                chosen.setdefault(self._best_with(other))
        if number:
            chosen.setdefault(best)
        for _ in range(40 if self.options.uses("model") and number else 0):
            if len(chosen) >= width:
                break
            sampled = self.evidence.sampled()
            if sampled not in self.evidence.dropped:
                chosen.setdefault(sampled)
        layout = self._readable_start()
        chosen = dict.fromkeys(
            tuple(level or other for level, other in zip(c, layout, strict=True)) for c in chosen
        )
        return [c for c in chosen if self._rows_asked.get(c, 0) < len(self.order)][:width]

    def _groups_of_new(self, newest: Mapping[int, int]) -> list[list[int]]:
        """Return which new levels to try together: all, all rules, all examples, each step's."""
        kinds = [[p for p in self.space.places(kind) if p in newest] for kind in ("rules", "examples")]
        steps = [[p for p in newest if self.space.factors[p][0] == path] for path in self.space.seed.steps]
        return [group for group in [list(newest), *kinds, *(steps if len(steps) > 1 else [])] if group]

    def _readable_start(self) -> OptionSet:
        """Return the start; where its answers are garbled, in the layout that does no worse and takes fewer calls."""
        start, layouts = self.space.start, set(self.space.places("layout"))
        rank = {
            c: (self.evidence.difference(c, start)[0], -self._reply_counts.get(c, 0) / max(1, len(known)))
            for c, known in self.evidence.scores.items()
            if not any(level for place, level in enumerate(c) if place not in layouts)
        }
        return max(rank, key=rank.__getitem__, default=start)

    def _best_with(self, added: Added) -> OptionSet:
        """Return the best option set with other levels of some factors."""
        return tuple(dict(added).get(place, at) for place, at in enumerate(self.evidence.best()))

    def _race_width(self) -> int:
        """Return how many option sets a race can take: a third of what is left, but of the first a sixth of the calls.

        Where no word predicts the labels, the check's share must leave room for a closer look, too.
        """
        if self._judged:
            # The new levels together, by kind and by step, the best and one that is drawn.
            several = len(self.space.seed.steps) * (len(self.space.seed.steps) > 1)
            return max(1, min(5 + several, int(self.before_finals / 3 / self.per_row / self._block)))
        room = (self.for_check - self._writing_calls) * 0.6
        most = self.planned / 6 if self.words_predict_labels else room
        return max(1, min(6, int(most / self.per_row / self._check_rows())))

    @property
    def _awaits_runs(self) -> bool:
        """True if the first rules are written from runs."""
        return self.learns_from_runs and (self.writes_once or not self.has_labels)

    @property
    def _affords_reasoning(self) -> bool:
        return self.planned >= _REASONING_SHARE * _BLOCK * self.problem.calls_per_row

    @property
    def _writing_calls(self) -> int:
        return self.readers * len(self.problem.worded)

    @property
    def _block(self) -> int:
        return max(8, min(_BLOCK, self.planned // 12))

    def _check_rows(self) -> int:
        """Return the rows of the check and of the first race, which with a closer look mostly take the check's share of calls."""
        share = _CHECK_SHARE * self.planned - 2 * self._writing_calls
        usual = int(share / self.problem.calls_per_row / (9 if self.learns_from_runs else 7))
        if self.words_predict_labels:
            usual = max(usual, min(16, self.planned // 12))
        return min(max(8, min(_BLOCK, usual)), len(self.order))

    # Asking

    def _batch(self, asks: Sequence[Ask]) -> Search:
        """Yield asks, count what they cost and note every score."""
        answers = yield asks
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(ask, Propose):
                self.samples += ask.n
            elif isinstance(ask, Score):
                self._note(ask, answer)
        return answers

    def _note(self, ask: Score, evaluation: Evaluation) -> None:
        option_set = self._by_candidate[ask.candidate.id]
        if len(evaluation.outcomes) < len(ask.rows):
            self.cut = True
            return
        validation = not ask.label.startswith(_TRAIN_LABEL)
        scores = self.evidence.scores.setdefault(option_set, {}) if validation else {}
        traces = self.levels.traces.setdefault(option_set, {}) if ask.trace else {}
        for outcome in evaluation.outcomes:
            new = outcome.row not in (scores if validation else traces)
            if ask.trace:
                traces[outcome.row] = outcome
            if validation:
                scores[outcome.row] = outcome.score
            self.rows_run += new
            # An answer that cannot be read is asked for again.
            replies = new * (outcome.usage.calls + outcome.usage.cached)
            self._garbled_rows += replies > self.problem.calls_per_row
            self._reply_counts[option_set] = self._reply_counts.get(option_set, 0) + validation * replies
        if validation:
            self._rows_asked[option_set] = max(self._rows_asked.get(option_set, 0), len(ask.rows))

    def _score(self, option_set: OptionSet, upto: int, label: str) -> Score:
        """Return the ask for the first rows of the shared order; an example never answers its own row."""
        return self._ask(option_set, self.order[:upto], label, trace=self.has_hidden_fields)

    def _run(self, option_set: OptionSet, n: int, label: str) -> Score:
        """Return the ask for the next `n` training rows, with a trace."""
        size = len(self.train_order)
        n = min(n, size)
        rows = [self.train_order[(self._next_train_row + i) % size] for i in range(n)]
        self._next_train_row += n
        return self._ask(option_set, rows, label, trace=True)

    def _ask(self, option_set: OptionSet, rows: Sequence[int], label: str, *, trace: bool) -> Score:
        candidate = self.space.candidate(option_set)
        self._by_candidate[candidate.id] = option_set
        return Score(candidate, tuple(rows), label=label, trace=trace, hide_own_row=True)

    def _rule_asks(self, option_set: OptionSet, number: int) -> dict[str, list[Propose]]:
        """Return the asks for rules, by step. Before there are runs only steps that read the rows get any."""
        asks: dict[str, list[Propose]] = {}
        if not self.options.uses("rules") or not self.readers:
            return asks
        if not number and self._awaits_runs:
            return asks
        candidate = self.space.candidate(option_set)
        learned_from = set(self.train_order)
        traces = self.levels.traces.values() if self.options.uses("runs") else ()
        latest = {row: o for runs in traces for row, o in runs.items() if row in learned_from}
        self._written_from_runs = bool(latest)
        for path in self.problem.worded:
            reads = self.problem.signatures[path].input_fields
            if not number and not any(name in self.problem.input_fields for name in reads):
                continue
            self._rollout += self.readers
            instructions, outcomes = candidate.steps[path].instructions, list(latest.values())
            asks[path] = rule_asks(
                self.problem,
                path,
                instructions,
                outcomes,
                n=self.readers,
                rollout=self._rollout,
                rng=self.rng,
                doubtful=self.levels.doubtful,
            )
        return asks

    # Stopping

    def _is_hopeless(self) -> bool:
        """Return whether a useful gain is unlikely; never in an estimate of a search that learns from runs."""
        evidence = self.evidence
        if self.problem.simulated and self.learns_from_runs and evidence.mean(self.space.start) < 1:
            return False  # invented answers do not get better where real ones are taught by feedback
        return evidence.is_hopeless(len(self.order))

    def _is_stale(self, before: OptionSet) -> bool:
        """Return whether two races in a row (three, if nothing helped yet) did not move the best by a useful amount.

        Never in an estimate: invented answers do not get better, and real ones mostly do until the calls are used.
        """
        if self.problem.simulated:
            return False
        self._races_without_gain = 0 if self.evidence.has_moved(before) else self._races_without_gain + 1
        return self._races_without_gain >= (2 if self.evidence.best() != self.space.start else 3)

    def _settled(self, why: str = "") -> Keep:
        """Return the ask to keep the best if it surely beats the start, else the start with the reason `why`."""
        best, start = self.evidence.best(), self.space.start
        if self.options.uses("readable") and self.evidence.is_sure(best):
            best = next(c for c in self.evidence.as_good() if self.evidence.is_sure(c))
        if best != start and (why or not self.evidence.is_sure(best)):
            best = self._readable_start()
        self.kept = best
        rows = self.order[: self._rows_asked.get(best, 0)]
        known = self.evidence.scores.get(best, {})
        score = sum(known[r] for r in rows) / len(rows) if rows else None
        candidate = self.space.candidate(best)
        candidate = replace(candidate, reason=why) if why and best == start else candidate
        return Keep(candidate, score, self.levels.credits(best))

    def _closing_message(self) -> str:
        """Return what was found, and why the search stopped."""
        kept, start = self.kept, self.space.start
        why = self._why_it_ended()
        if kept == self._readable_start() != start:
            return f"Only the layout of the answers was broken: {'; '.join(self.space.titles(kept))}. {why}"
        if kept == start:
            return f"Nothing that was tried surely beats the starting prompt, so it is kept. {why}"
        scores = self.evidence.scores
        rows = [row for row in scores[kept] if row in scores.get(start, {})]
        ours, theirs = (
            percent(sum(scores[c][r] for r in rows) / max(1, len(rows)), 0) for c in (kept, start)
        )
        short = (
            "" if kept == self.evidence.best() else "It is the shortest of those that score about as well. "
        )
        return (
            f"Found: {'; '.join(self.space.titles(kept))}. On the {len(rows)} validation rows that both ran it scores "
            f"{ours}, the starting prompt {theirs}. {short}{why}"
        )

    def _why_it_ended(self) -> str:
        """Return why the search ended, how many calls were not made, and which rows taught nothing."""
        left, hidden = self.planned - self.spent, len(self.levels.doubtful)
        note = f" {counted(hidden, 'row')} with a doubtful label taught no model." if hidden else ""
        if left <= 2 * _FINALS_SHARE * self.planned:
            return (self._ending or "The calls that were planned are used.") + note
        ending = self._ending or "All rounds are used, and no finalist is in doubt."
        return f"{ending} {left:,} of the {self.planned:,} planned calls were not needed.{note}"


def _proposed_rules(
    asks: Mapping[str, Sequence[Propose]], answers: Sequence[Any]
) -> dict[str, list[list[str]]]:
    """Return the rules that readers wrote, by step."""
    return {path: rules_of(proposals) for path, proposals in answers_by_key(asks, answers).items()}
