"""The estimate of a run: the same search, driven with invented answers, before anything is paid for.

Prompts are rendered by the program and the adapter that the run will use; answers have the right types and
typical lengths. Three simulations give the ranges: everything is right at once, most rows are right, and no
row can be solved while a better candidate is found.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from heapq import heapreplace
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

from engine import evaluate, loop, runtime
from engine.basics.data import JsonObject
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.lm.calls.speeds import Speed
from engine.lm.choice import is_offline
from engine.metrics.base import any_answer
from engine.modules.module import Module
from engine.modules.predict import Predict
from engine.records import Candidate, Evaluation, Outcome, Usage, content_hash
from engine.search.budget import Amount, Budget, Ledger
from engine.search.contract import (
    Ask,
    Keep,
    MakeSearch,
    Problem,
    Proposal,
    Propose,
    Score,
    Train,
    Training,
    drive,
)
from engine.search.judging.model_choice import with_objective
from engine.search.judging.verdict import retrieves
from engine.search.settings import Settings, make_problem, seed_of
from engine.search.stand_ins import StandInLM, price_of, with_stand_ins
from engine.search.trainers import Trained, TrainingEstimate
from engine.search.training import order_of, trainer_of, with_weights

if TYPE_CHECKING:
    from engine.lm.exchange import Send


# Tokens of a judge's call besides what it judges, and of its verdict.
_JUDGE_READS, _JUDGE_WRITES = 350, 120

Calls = Literal["least", "usual", "most"]


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of rows that are right: solved for examples, with the start, with another prompt; and calls of agents' steps."""

    solved: float
    seed: float
    other: float
    calls: Calls = "usual"


OPTIMISTIC = Rates(1.0, 1.0, 1.0, "least")
TYPICAL = Rates(0.6, 0.4, 0.7)
PESSIMISTIC = Rates(0.0, 0.0, 0.4, "most")

# Calls of a training that are written out; the others are taken to be like them.
_ROWS_WRITTEN = 200

# Rows rendered for each candidate; the others are taken to be like them.
_SAMPLE = 3

# Standard deviation of a call's seconds, as a share of them; seconds of this process for each call of a run.
_SPREAD, _WORK_SECONDS = 0.25, 0.003

# Rows of a batch for each slot that are put on slots one by one; those before them are taken together.
_WAVES_ONE_BY_ONE = 4

_Job = tuple[float, int]
"""Seconds of one row or proposal, and how many there are."""

_Cost = tuple[float, float, float, float]
"""Calls, tokens in, tokens out and US dollars; NaN once a model was asked whose price is unknown."""


class _Renderer:
    """Runs each candidate once over a few rows with stand-ins, for all simulations."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._costs: dict[tuple[str, bool | str], tuple[dict[Calls, _Cost], tuple[Outcome, ...]]] = {}
        self._problem: Problem | None = None
        self._labels: dict[str, list[Any]] = {}
        self.speed = cache(lambda lm: lm.speed())  # read once for all simulations
        for row in (settings.train or settings.validation)[:200]:
            for name, value in settings.rows[row].labels().items():
                self._labels.setdefault(name, []).append(value)

    def problem(self, calls: int | None) -> Problem:
        """Return the problem of one simulation; the rows of a large table are described once for all of them."""
        if self._problem is None:
            self._problem = make_problem(self._settings)
        meter = replace(self._problem.meter, limit=calls)
        return replace(self._problem, rng=random.Random(self._settings.seed), meter=meter, simulated=True)

    async def row_costs(
        self, candidate: Candidate, rows: Sequence[int], *, teacher: bool | str
    ) -> tuple[dict[Calls, _Cost], tuple[Outcome, ...]]:
        """Return the costs of a row of this candidate, and some outcomes with traces; `rows` are some to render."""
        if known := self._costs.get((candidate.id, teacher)):
            return known
        settings = self._settings
        part = settings.part(str(teacher))
        program = (teacher and part.teacher) or settings.program
        adapter = (part.teacher_adapter if teacher else None) or settings.adapter
        stand_in = with_stand_ins(
            program.with_candidate(candidate), adapter, self._labels, models=settings.models
        )
        lm = (part.teacher_lm if teacher else None) or settings.lm or StandInLM()
        with runtime.context(lm=lm, middleware=(_only_stand_ins,), trace=None, history=False):
            outcomes = await evaluate.run_rows(
                stand_in,
                [(row, settings.rows[row]) for row in rows[:_SAMPLE]],
                any_answer,
                limit=_SAMPLE,
                trace=True,
            )
        usage = sum((o.usage for o in outcomes), Usage())
        n = max(1, len(outcomes))
        judge = settings.judge_calls
        rendered = usage.calls / n or float(max(1, program.calls_a_row))
        calls = rendered + judge
        # A judge reads about what a step of the program reads, and its own instruction.
        judged = judge * (_JUDGE_READS + usage.input_tokens / n / max(1, calls - judge))
        read = usage.input_tokens / n + judged
        written = usage.output_tokens / n + judge * _JUDGE_WRITES
        usd = (usage.cost or 0.0) / n + (price_of(lm, judged, judge * _JUDGE_WRITES) if judge else 0.0)
        costs: dict[Calls, _Cost] = {}
        for name, number in _calls_a_row(program, rendered).items():
            share = (number + judge) / calls
            costs[name] = number + judge, read * share, written * share, usd * share
        self._costs[candidate.id, teacher] = costs, tuple(outcomes)
        return costs, tuple(outcomes)

    async def proposal(self, ask: Propose, number: int) -> tuple[JsonObject, Usage]:
        """Return invented outputs for a proposal, and its usage."""
        program = with_stand_ins(Predict(ask.signature), self._settings.adapter, {}, number=number)
        lm = self._settings.part(ask.part).prompt_lm or self._settings.lm or StandInLM()
        with runtime.context(lm=lm, middleware=(), history=False), runtime.noted_replies() as replies:
            prediction = await program.acall(**ask.inputs)
        return dict(prediction), sum((r.usage for r in replies), Usage())


def makespan(work: Sequence[_Job], slots: int, spread: float = 0.0) -> float:
    """Return the seconds until the last of some jobs has ended, each begun as soon as a slot is free.

    The last ones end later than usual by a few times the `spread` of their seconds, as a share: more of them, later.

    >>> makespan([(2.0, 5), (1.0, 3)], slots=4), round(makespan([(1.0, 16)], 16, spread=0.25), 1)
    (4.0, 1.4)
    """
    ends = [0.0] * slots
    for seconds, jobs in work:
        waves = max(0, jobs // slots - _WAVES_ONE_BY_ONE)
        ends = [end + seconds * waves for end in ends]
        for _ in range(jobs - waves * slots):
            heapreplace(ends, ends[0] + seconds)
    last = min(slots, sum(jobs for _, jobs in work))
    longest = max((seconds for seconds, _ in work), default=0.0)
    # The mean of the latest of equally spread times.
    return max(ends) + longest * spread * math.sqrt(3) * max(0, last - 1) / (last + 1)


def _calls_a_row(program: Module, rendered: float) -> dict[Calls, float]:
    """Return the calls a row may take: as rendered, unless the program declares a range."""
    declared = program.call_range
    if declared.least == declared.most:
        return dict.fromkeys(("least", "usual", "most"), rendered)
    # More than it declares at most: its own code runs its parts in a loop.
    times = max(1.0, rendered / declared.most)
    least, usual, most = (times * n for n in (declared.least, program.calls_a_row, declared.most))
    return {"least": least, "usual": usual, "most": most}


class _Reuse:
    """Counts, candidate by candidate, the rows that are new and the calls that the call cache does not answer.

    A step's call is new unless the step and all before it were the same when the row was run before. With `least`, a
    step is taken to write the same with any wording, and a step that reads no column of the data to have one input.
    """

    def __init__(self, settings: Settings, *, least: bool) -> None:
        steps = settings.program.named_predictors()
        self._cached = len(steps) > 1 and getattr(settings.lm, "caches", False)
        self._least = least
        row = next(iter(settings.rows.values()), None)
        columns = row.input_keys if row is not None and row.knows_inputs else frozenset()
        self._inner = {path for path, step in steps if columns.isdisjoint(step.signature.input_fields)}
        self._keys: dict[str, dict[str, str]] = {}
        self._seen: dict[tuple[str, bool | str, int], set[int]] = {}
        self._seen_by_step: dict[tuple[str, str, bool | str, int], set[int]] = {}

    def new(
        self, candidate: Candidate, rows: Sequence[int], taught: bool | str, rollout: int
    ) -> tuple[int, float]:
        """Return how many of these rows are new, and for how many rows' worth of calls; remember them."""
        seen = self._seen.setdefault((candidate.id, taught, rollout), set())
        fresh = [row for row in dict.fromkeys(rows) if row not in seen]
        seen.update(fresh)
        if not self._cached or not fresh:
            return len(fresh), len(fresh)
        calls = 0
        for path, key in self._keys_of(candidate).items():
            known = self._seen_by_step.setdefault((path, key, taught, rollout), set())
            once = self._least and path in self._inner
            asked = [] if once and known else [r for r in (fresh[:1] if once else fresh) if r not in known]
            known.update(asked)
            calls += len(asked)
        return len(fresh), len(fresh) * (calls / (len(candidate.steps) * len(fresh)))

    def _keys_of(self, candidate: Candidate) -> dict[str, str]:
        """Return the hash of what each step's call depends on in the candidate, by path."""
        if candidate.id not in self._keys:
            keys, before = dict[str, str](), ""
            for path, state in candidate.steps.items():
                state_hash = content_hash(state.as_dict())
                before = state_hash if self._least else content_hash([before, state_hash])
                keys[path] = before
            self._keys[candidate.id] = keys
        return self._keys[candidate.id]


class _Simulation:
    """One drive of the search, answered at these rates; `totals` is what it took, `final_calls` its final test."""

    def __init__(self, settings: Settings, renderer: _Renderer, rates: Rates) -> None:
        self.settings, self.renderer, self.rates = settings, renderer, rates
        self.totals, self.final_calls = Amount(), 0.0
        self.trainings: list[TrainingEstimate] = []
        self._rng = random.Random(0)
        self._reuse = _Reuse(settings, least=rates.calls == "least")
        self._proposals = self._rows_run = 0
        self._seed_id = seed_of(settings.program).id
        self._own_hosted = any(not is_offline(lm.model) for lm in settings.own_models)

    async def run(
        self,
        make: MakeSearch,
        budget: Budget,
        baseline_rows: tuple[int, ...],
        test_rows: tuple[int, ...],
        ceiling: float = math.inf,
    ) -> _Simulation:
        """Drive the search to its end, or past `ceiling` calls, with the evaluations around it."""
        seed = best = seed_of(self.settings.program)
        if baseline_rows:
            await self._batch([Score(seed, baseline_rows)])
        ledger = Ledger(budget)
        ledger.spent = Usage(int(self.totals.calls))
        self.settings.keep_back_final_test(ledger, len(test_rows))
        problem = self.renderer.problem(ledger.calls_left)
        calls, rows = self.totals.calls, self._rows_run

        async def answer(asks: Sequence[Ask]) -> list[Any] | None:
            nonlocal best, calls, rows
            best = next((a.candidate for a in reversed(asks) if isinstance(a, Keep)), best)
            answers = await self._batch(asks)
            samples = sum(ask.n for ask in asks if isinstance(ask, Propose))
            problem.meter.note(self.totals.calls - calls, self._rows_run - rows, samples)
            calls, rows = self.totals.calls, self._rows_run
            return answers if calls <= ceiling else None

        if calls <= ceiling:
            await drive(with_objective(make), problem, answer)
        if baseline_rows and best.id != seed.id:
            await self._batch([Score(best, baseline_rows)])
        before = self.totals.calls
        if test_rows:
            finals = [seed] if best.id == seed.id else [seed, best]
            if self.settings.tested_prompts > len(finals) and retrieves(best):  # the best static prompt, too
                finals.append(
                    replace(best, steps={p: replace(s, nearest=0, demos=()) for p, s in best.steps.items()})
                )
            await self._batch([Score(c, test_rows) for c in finals])
        self.final_calls = self.totals.calls - before
        return self

    async def _batch(self, asks: Sequence[Ask]) -> list[Any]:
        work: list[_Job] = []
        answers: list[object] = []
        before = self.totals.calls
        for ask in asks:
            if isinstance(ask, Score):
                answers.append(await self._score(ask, work))
            elif isinstance(ask, Propose):
                answers.append(await self._propose(ask, work))
            elif isinstance(ask, Train):
                answers.append(await self._train(ask, work))
            else:
                answers.append(None)
        waiting = makespan(work, self.settings.concurrency, _SPREAD)
        # What is not waiting is done by one process.
        self.totals += Amount(seconds=max(waiting, _WORK_SECONDS * (self.totals.calls - before)))
        return answers

    async def _score(self, ask: Score, work: list[_Job], *, free: bool = False) -> Evaluation:
        if not ask.rows:
            return Evaluation(ask.candidate.id, ())
        part = self.settings.part(ask.part)
        taught = ask.teacher and part.has_teacher and (ask.part or True)
        costs, known = await self.renderer.row_costs(ask.candidate, ask.rows, teacher=taught)
        rows, times = self._reuse.new(ask.candidate, ask.rows, taught, ask.rollout)
        self._rows_run += 0 if free else rows
        lm = (part.teacher_lm if taught else None) or self.settings.lm
        weights = {step.weights for step in ask.candidate.steps.values()}
        chosen = next((model for name, model in self.settings.models.items() if name in weights), None)
        asked = lm if taught or chosen is None else chosen
        self._spend(asked, costs[self.rates.calls], 0 if free else times, work, rows)
        rates = self.rates
        right_share = rates.seed if ask.candidate.id == self._seed_id else rates.other
        if rates.calls == "least" and chosen is not None:
            right_share = 0.0  # at the least, other models are left out of a comparison after its first look
        rate = rates.solved if ask.trace else right_share
        draw, likes = self._rng.random, cycle(known)
        # Built by position: a large table has millions of these.
        outcomes = [
            Outcome(row, float(draw() < rate), o.prediction, o.feedback, None, o.usage, o.seconds, o.trace)
            for row, o in zip(ask.rows, likes, strict=False)
        ]
        return Evaluation(ask.candidate.id, tuple(outcomes))

    async def _propose(self, ask: Propose, work: list[_Job]) -> Proposal:
        outputs = []
        for _ in range(ask.n):
            self._proposals += 1
            # At the least, a model that writes prompts repeats itself, and what repeats is not scored again.
            number = 0 if self.rates.calls == "least" else self._proposals
            values, usage = await self.renderer.proposal(ask, number)
            outputs.append(values)
            lm = self.settings.part(ask.part).prompt_lm or self.settings.lm
            self._spend(lm, (1, usage.input_tokens, usage.output_tokens, usage.cost or 0.0), 1, work)
        return Proposal(tuple(outputs))

    async def _train(self, ask: Train, work: list[_Job]) -> Training:
        """Count a training, its rollouts and the scores of its checkpoints."""
        shown = replace(ask, calls=ask.calls[:_ROWS_WRITTEN])
        order = order_of(self.settings, shown)
        forecast = trainer_of(self.settings, ask.settings.trainer).estimate(order)
        if ask.calls:
            forecast = _times(forecast, len(ask.calls) / len(shown.calls))
        self.trainings.append(forecast)
        usd = math.nan if forecast.usd is None else forecast.usd
        self.totals += Amount(tokens=forecast.tokens, usd=usd, seconds=forecast.seconds or 0.0)
        options = ask.settings
        # At the least nothing is gained after the first checkpoint, and the training ends early.
        least = min(options.checkpoints, 1 + options.patience)
        scored = least if self.rates.calls == "least" else options.checkpoints
        if ask.rows:
            costs, _ = await self.renderer.row_costs(ask.candidate, ask.rows, teacher=False)
            rounds = options.rounds * scored / options.checkpoints
            samples = rounds * min(options.batch_size, len(ask.rows)) * options.group_size
            self._spend(self.settings.lm, costs[self.rates.calls], samples, work)
        name = f"tuned/simulated-{len(self.trainings)}"
        names = [*(f"{name}@{n + 1}" for n in range(scored)), name]
        candidates = [with_weights(ask.candidate, ask.steps, n, "A tuned model.") for n in names]
        # The model answers as one of its checkpoints, so its own score is free.
        for candidate in candidates[:-1]:
            await self._score(Score(candidate, self.settings.validation), work)
        evaluation = await self._score(Score(candidates[-1], self.settings.validation), [], free=True)
        trained = Trained(name, tokens=forecast.tokens, usd=forecast.usd, seconds=forecast.seconds or 0.0)
        return Training(candidates[-1], trained, evaluation)

    def _spend(
        self, lm: BaseLM | None, cost: _Cost, times: float, work: list[_Job], rows: int | None = None
    ) -> None:
        if not times:
            return
        calls, input_tokens, output_tokens, usd = cost
        self.totals += Amount(calls * times, (input_tokens + output_tokens) * times, usd * times)
        rows = math.ceil(times if rows is None else rows)
        work.append((calls * self._latency(lm, output_tokens / max(calls, 1e-9)) * times / rows, rows))

    def _latency(self, lm: BaseLM | None, output_tokens: float) -> float:
        speed = Speed() if lm is None else self.renderer.speed(lm)
        # Before its first call a model that computes here is quick, if no step asks another one.
        quick = lm is not None and is_offline(lm.model) and not self._own_hosted and not speed.calls
        return _WORK_SECONDS if quick else speed.seconds_for(output_tokens)


async def _only_stand_ins(lm: BaseLM, request: Request, send: Send) -> Reply:
    """Middleware of an estimate: calls outside of the steps (a reward, a sub-model) ask no model and cost nothing."""
    if isinstance(lm, StandInLM):
        return await send(lm, request)
    return Reply((Choice(""),))


RETRIED, UNFORESEEN, UNSTEADY = 1.05, 1.15, 1.4
"""Room above the most that was simulated: for replies asked for again, and for a search that follows its scores; and
above and below the usual time: for a model that answers faster or slower than before.

Tuned on every optimizer and sample, see `tests/benchmarks/estimates.py`.
"""


@dataclass(frozen=True, slots=True)
class Range:
    """Least, typical and most."""

    low: float
    typical: float
    high: float

    def with_room(self, limit: float | None, widest: float) -> Range:
        """Return the range to show for a simulated one: with room above, within a limit, its ends a factor apart.

        >>> Range(100, 700, 900).with_room(1000, 4)
        Range(low=250.0, typical=700, high=1000)
        """
        high = self.high * (RETRIED if self.low == self.high else UNFORESEEN)
        if limit is not None:
            high = max(self.high, min(high, limit))
        return Range(max(self.low, high / widest), self.typical, high)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls, tokens, money and time of a run. `usd` is None where a price is unknown.

    `cut` is the message on what the budget will cut, "" if nothing; `final_calls` are those of the final test.
    `training` is what all trainings of weights take together, None without one; the other figures include it.
    """

    calls: Range
    tokens: Range
    usd: Range | None
    seconds: Range
    cut: str = ""
    final_calls: float = 0.0
    training: TrainingEstimate | None = None

    def with_room(self, budget: Budget, *, compares_models: bool = False) -> Estimate:
        """Return the estimate as it is shown before a run: its ranges hold in nine of ten runs.

        With several models to compare a search may end at once, with one that is right throughout: the low ends stay.
        """
        narrow, wide = (math.inf, math.inf) if compares_models else (3, 4)
        usual, limit = self.seconds.typical, budget.seconds or math.inf
        slowest = max(self.seconds.high, min(UNSTEADY * usual, limit))
        return Estimate(
            self.calls.with_room(budget.calls, narrow),
            self.tokens.with_room(budget.tokens, wide),
            None if self.usd is None else self.usd.with_room(budget.usd, wide),
            Range(min(self.seconds.low, usual / UNSTEADY), usual, slowest).with_room(budget.seconds, wide),
            self.cut,
            self.final_calls,
            self.training,
        )

    def as_dict(self) -> JsonObject:
        """Return the estimate as JSON-ready values."""
        return asdict(self)


def estimate(
    make: MakeSearch,
    settings: Settings,
    *,
    baseline_rows: Sequence[int] = (),
    test_rows: Sequence[int] = (),
) -> Estimate:
    """Return the estimate of driving this search with these settings.

    `baseline_rows` are scored with the starting prompt before the search and with the best one after it
    (rows that the search scored are free), `test_rows` with both.
    """
    renderer = _Renderer(settings)

    def simulate(rates: Rates, budget: Budget, ceiling: float) -> _Simulation:
        simulation = _Simulation(settings, renderer, rates)
        return loop.run(simulation.run(make, budget, tuple(baseline_rows), tuple(test_rows), ceiling))

    budget = settings.budget
    # Calls beyond the budget are cut, and with a large table it would take long to count them.
    most = math.inf if budget.calls is None else float(budget.calls)
    simulations = [simulate(r, budget, most) for r in (OPTIMISTIC, TYPICAL, PESSIMISTIC)]
    totals = [one.totals for one in simulations]
    limited = [_limited(t, budget) for t in totals]
    cut = ""
    if budget != Budget():
        free = simulate(TYPICAL, Budget(), most + FAR).totals
        far, left = free.calls > most + FAR, limited[1].calls
        if left < free.calls:
            cut = (
                f"Without a budget this would take {'more than' if far else 'about'} {free.calls:,.0f} calls; the budget "
                f"leaves about {left:,.0f}, so fewer candidates are tried or the search ends early with its best so far."
            )
    known = not any(math.isnan(t.usd) for t in totals)
    return Estimate(
        calls=_range([t.calls for t in limited]),
        tokens=_range([t.tokens for t in limited]),
        usd=_range([t.usd for t in limited]) if known else None,
        seconds=_range([t.seconds for t in limited]),
        cut=cut,
        final_calls=simulations[1].final_calls,
        training=_together(simulations[1].trainings),
    )


def _times(forecast: TrainingEstimate, share: float) -> TrainingEstimate:
    """Return the forecast of a training with `share` times the rows."""
    usd = None if forecast.usd is None else forecast.usd * share
    seconds = None if forecast.seconds is None else forecast.seconds * share
    return TrainingEstimate(round(forecast.rows * share), round(forecast.tokens * share), usd, seconds)


def _together(forecasts: Sequence[TrainingEstimate]) -> TrainingEstimate | None:
    """Return what some trainings take together; a figure that one lacks is not known of all."""
    if not forecasts:
        return None
    dollars, times = [f.usd for f in forecasts], [f.seconds for f in forecasts]
    usd = None if None in dollars else sum(d or 0.0 for d in dollars)
    seconds = None if None in times else sum(t or 0.0 for t in times)
    return TrainingEstimate(sum(f.rows for f in forecasts), sum(f.tokens for f in forecasts), usd, seconds)


def _limited(totals: Amount, budget: Budget) -> Amount:
    """Return the totals, all lowered alike until the budget covers them, in whole calls."""
    limits = [(limit, getattr(totals, name)) for name, limit in budget.model_dump(exclude_none=True).items()]
    share = min((limit / used for limit, used in limits if used > limit), default=1.0)
    calls = totals.calls if share == 1.0 else round(totals.calls * share)
    return Amount(calls, totals.tokens * share, totals.usd * share, totals.seconds * share)


FAR = 100_000.0
"""Calls beyond the budget for which a simulation goes on, to estimate the run without a budget."""


def _range(values: list[float]) -> Range:
    return Range(min(values), values[1], max(values))
