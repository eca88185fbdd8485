"""The driver of searches, for all optimizers. It must not know any algorithm or store.

It drives one batch of asks at a time; everything inside a batch runs concurrently, up to `Settings.concurrency`
program rows. When the budget is spent or the run is stopped in a batch, calls in flight finish and the search still
receives what was scored, so that it can `Keep` what it learned; its next paid ask is not answered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, cast

from engine import loop
from engine.basics.data import Values
from engine.basics.text import cut
from engine.errors import AdapterParseError, BudgetExhaustedError, MetricError, RunError
from engine.lm.calls.waiting import Patience
from engine.modules.predict import Predict
from engine.records import Candidate, Evaluation, Outcome, PartCredit, Usage, whole_trials
from engine.search import events
from engine.search.backend import Backend
from engine.search.budget import FAILURES_AT_START, FIRST, Amount, Ledger, Place
from engine.search.contract import (
    Ask,
    Asked,
    Keep,
    MakeSearch,
    Problem,
    Proposal,
    Propose,
    Score,
    Train,
    drive,
)
from engine.search.judging.model_choice import with_objective
from engine.search.judging.wording import closing_message
from engine.search.requests import RequestHandler, UserRequests
from engine.search.result import FinalTestCost, SearchResult, Trial
from engine.search.scoring import Scoring, Slots
from engine.search.settings import Control, Recorder, Settings, make_problem, seed_of
from engine.search.training import Trainings

_log = logging.getLogger(__name__)

# Least seconds between two events of what is spent, so that a fast run does not flood its recorder.
_SPENDING_SECONDS = 0.25


class Driver:
    """One run: evaluations outside the search (`score`, `compare`) and the search, on one budget and memory of scores."""

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder | None = None,
        control: Control | None = None,
        requests: UserRequests | None = None,
        backend: Backend | None = None,
    ) -> None:
        if backend is not None:
            settings = replace(settings, trainers=(*backend.trainers, *settings.trainers))
        self.settings = settings
        self.ledger = Ledger(
            settings.budget,
            payer=settings.payer,
            seconds_before=settings.seconds_before,
            failures_later=max(25, 2 * settings.concurrency),
            spare=settings.models,
            calls_a_row=settings.calls_a_row,
        )
        settings.check_prices()
        self.seed = seed_of(settings.program)
        self.trials: list[Trial] = []
        self._recorder = recorder
        self._control, self._waits = control, {}  # type: Control | None, dict[str, str]
        self.ledger.patience = Patience(settings.longest_gap, self._look, self._note_wait)
        self._slots = Slots(settings.concurrency, control, self.ledger)
        self._numbers: dict[str, int] = {}
        self._answered: dict[Asked, Evaluation] = {}
        self._again: dict[Asked, Evaluation] = {}
        self._scoring = Scoring(settings, self.ledger, self._slots, backend)
        self.trainings = Trainings(
            settings, self.ledger, self._slots, self._scoring, self._score_now, self._record
        )
        self._validation, self._train = frozenset(settings.validation), frozenset(settings.train)
        self._train = self._train.union(*(part.train for part in settings.parts.values()))
        self._credits: tuple[PartCredit, ...] = ()
        self._best, self._best_score = self.seed, None  # type: tuple[Candidate, float | None]
        rows = settings.validation or settings.train
        self._handler = RequestHandler(
            requests, self.ledger, self.seed, rows, self._score_first, self._record
        )
        self._trials_started = self._texts_asked = self._texts_usable = self._test_rows = 0
        self._spending_recorded_at = 0.0

    @property
    def likely_best(self) -> Candidate:
        """The prompt kept so far, or the one that has scored higher on all validation rows in the batch under way."""
        whole = whole_trials(self.trials, rows=len(self.settings.validation))
        best = whole.get(self._best.id)
        top = max(whole.values(), key=lambda trial: trial.evaluation.score, default=best)
        if best is None or top is None or top.evaluation.score <= best.evaluation.score:
            return self._best
        return top.candidate

    # Evaluations outside the search

    def count_on(self, trials: int, numbers: Mapping[str, int]) -> None:
        """Number trials and candidates after those of a run that has ended: the number of its trials, and each candidate's number."""
        self._trials_started = trials
        self._numbers.update(numbers)

    def know(self, candidate: Candidate, outcomes: Sequence[Outcome]) -> None:
        """Remember a candidate's outcomes of an earlier process: these rows are not run again. Call it on the event loop."""
        self._scoring.know(candidate, outcomes)

    async def score(
        self, candidate: Candidate, rows: Sequence[int], *, label: str = "", hide_own_row: bool = False
    ) -> Evaluation:
        """Score a candidate on any rows, as a separate trial. Raises RunError if every row fails and no call has succeeded."""
        ask = Score(candidate, tuple(rows), label=label, hide_own_row=hide_own_row)
        (evaluation,) = await loop.here_or_there(self._batch([ask]))
        return cast(Evaluation, evaluation)

    async def compare(
        self,
        first: Candidate,
        second: Candidate,
        rows: Sequence[int],
        *,
        labels: tuple[str, str] = ("", ""),
        can_stop: bool = False,
    ) -> tuple[Evaluation, Evaluation]:
        """Score two candidates on the same rows, for the verdict; a spent or stopped search does not prevent it.

        Rows run side by side, so what a short budget leaves is still paired. The time limit does not apply here: the
        search has kept this time back. `can_stop`: the control knows that this is the test, and may stop it.
        """
        self.ledger.keep_back(Amount())
        if self.ledger.closing == "stopped" and not can_stop:
            self._slots.ignore_control()
        self.ledger.reopen()
        asked = self._rows_with_room(1 if first.id == second.id else 2, rows)
        if first.id == second.id:
            only = await self.score(first, asked, label=labels[0])
            return only, only
        asks = [Score(first, asked, labels[0]), Score(second, asked, labels[1])]
        answers = await loop.here_or_there(self._batch(asks, in_turn=False))
        return answers[0], answers[1]

    def _rows_with_room(self, prompts: int, rows: Sequence[int]) -> tuple[int, ...]:
        """Return the test rows that the limit of calls leaves room for; in the test what was kept back for it is used."""
        limit, a_row = self.ledger.budget.calls, self.settings.calls_a_row
        spent = self.ledger.spent.calls + int(self.ledger.lost.calls)
        left = len(rows) if limit is None else max(0, limit - spent) // (a_row * prompts)
        return tuple(rows[:left])

    async def test_cost(
        self, best: Candidate, static: Candidate | None, rows: Sequence[int], *, limited: bool = True
    ) -> FinalTestCost:
        """Return what the final test of the start, the best and the best static prompt still takes, by what rows took so far.

        With `limited` it is what the budget leaves room for. Call it on the event loop.
        """
        pair = tuple({self.seed.id: self.seed, best.id: best}.values())
        tested = self._rows_with_room(len(pair), rows) if limited else tuple(rows)
        usage = sum((trial.evaluation.usage for trial in self.trials), Usage())
        calls, each = 0, max(1, usage.calls)
        for candidate in filter(None, (*pair, static)):
            evaluations = [
                t.evaluation for t in self.trials if t.candidate_id == candidate.id and t.rows_total
            ]
            answered = sum(e.usage.calls + e.usage.cached for e in evaluations)
            a_row = (
                answered / sum(len(e.outcomes) for e in evaluations)
                if answered
                else self.settings.calls_a_row
            )
            more = calls + round(a_row * await self._scoring.unknown_rows(candidate, tested))
            need = Amount(more, more * usage.tokens / each, more * (usage.cost or 0.0) / each)
            if candidate in pair or not (limited and self.ledger.shortage(need, in_final_test=True)):
                calls = more
        usd = None if usage.cost is None or not usage.calls else calls * usage.cost / each
        latency = self.ledger.mean_latency
        return FinalTestCost(calls, usd, latency and latency * calls / self.settings.concurrency)

    async def score_teacher(self, rows: Sequence[int]) -> Evaluation:
        """Score the teacher on test rows, after `compare`: as many rows as the budget has left.

        A teacher without its own program answers with the starting prompt.
        """
        teacher = self.settings.teacher
        candidate = self.seed if teacher is None else teacher.candidate()
        ask = Score(candidate, tuple(rows), "teacher", teacher=True)
        answers = await loop.here_or_there(self._batch([ask]))
        return cast(Evaluation, answers[0])

    # The search

    async def search(self, make: MakeSearch, *, test_rows: int = 0) -> SearchResult:
        """Drive a search to its end, or to the end of the budget; what `compare` needs for `test_rows` rows is kept back."""
        return await loop.here_or_there(self._search(make, test_rows))

    async def _search(self, make: MakeSearch, test_rows: int) -> SearchResult:
        self._test_rows = test_rows
        self._keep_back()
        self._note_candidate(self.seed)
        message = ""
        try:
            message = await self._rounds(make) or ""
            better = await self._handler.better_rival(self._best, self._best_score, self.trials)
            if better is not None:
                await self._keep(better)
            # A closed ledger cut the search short, or at least its last batch.
            closing, cause = self.ledger.closing, self.ledger.closed or ""
        except (RunError, MetricError):
            raise
        except Exception as error:  # noqa: BLE001 - a defect of one algorithm must not lose the run's results
            _log.exception("The search failed.")
            closing, cause = "failed", f"The search failed: {error}"
        if closing == "failed" and not self.ledger.replies and self.ledger.closed:
            raise RunError(cause)
        result = SearchResult(
            best=self._best,
            seed=self.seed,
            score=self._best_score,
            trials=tuple(self.trials),
            stopped=closing or "finished",
            reason="",
            credits=self._credits,
            usage=self.ledger.spent,
            seconds=self.ledger.seconds,
        )
        reason = closing_message(message, cause, result, self._texts_asked, self._texts_usable)
        self._record(events.Note(reason, "info" if closing is None else "warning"))
        self.record_spending(always=True)
        return replace(result, reason=reason)

    def _keep_back(self) -> None:
        """Keep back what the final test of the start and of the best prompt so far takes."""
        tested = dict.fromkeys((self.seed.id, self._best.id))
        outcomes = [
            [o for t in self.trials if t.candidate_id == c for o in t.evaluation.outcomes] for c in tested
        ]
        self.settings.keep_back_final_test(self.ledger, self._test_rows, outcomes)

    async def _rounds(self, make: MakeSearch) -> str | None:
        """Drive a search to its end, and again if the budget was raised meanwhile, since it had planned for less.

        What it asks again is answered from memory without events, so the second time begins where the first ended.
        """
        batches, before = count(1), self.ledger.spent.calls
        while True:
            raised = self.ledger.raised
            left, spent = self.ledger.calls_left, self.ledger.spent.calls - before
            problem = make_problem(self.settings, calls=None if left is None else left + spent)
            reason = await self._drive(make, problem, batches, before)
            if self.ledger.closed is not None or self.ledger.raised == raised:
                return reason
            self._handler.add_rival(self._best, self.trials)
            self._again = dict(self._answered)
            self._record(events.Note("The search goes on: it has more to spend than it had planned with."))

    async def _drive(
        self, make: MakeSearch, problem: Problem, batches: Iterator[int], before: int
    ) -> str | None:
        """Drive a search to its end, or to its first paid ask after the ledger closed; return its closing message."""
        cut = False
        # A search that is driven again plans with the whole budget; what it has made counts from its first batch on.
        calls, rows = before, self._scoring.rows_run

        async def answer(asks: Sequence[Ask]) -> Sequence[Any] | None:
            nonlocal cut, calls, rows
            batch = next(batches)
            if self.ledger.closed is not None:
                await self._handler.handle(batch)  # a larger budget opens it again
            if self.ledger.closed is not None and any(not isinstance(ask, Keep) for ask in asks):
                for ask in asks:
                    if isinstance(ask, Keep):
                        await self._keep(ask)
                cut = True
                return None
            answers = await self._handler.handle_during(self._batch(asks), batch)
            self.trials.sort(key=lambda trial: trial.number)
            calls_now, rows_now = self.ledger.spent.calls, self._scoring.rows_run
            samples = sum(ask.n for ask in asks if isinstance(ask, Propose))
            problem.meter.note(calls_now - calls, rows_now - rows, samples)
            calls, rows = calls_now, rows_now
            self._keep_back()
            return answers

        message = await drive(with_objective(make), problem, answer)
        if not cut:
            await self._handler.handle(next(batches))
        return message if isinstance(message, str) else None

    async def _batch(self, asks: Sequence[Ask], *, in_turn: bool = True) -> list[Any]:
        """Answer asks that were yielded together, in their order; their rows start in turn or side by side."""
        self._check_readable(asks)
        jobs: list[Coroutine[object, object, object]] = []
        for number, ask in enumerate(asks):
            if isinstance(ask, Score) and (known := self._again.get(ask.asked)) is not None:
                jobs.append(asyncio.sleep(0, known))
            elif isinstance(ask, Score):
                rows = enumerate(dict.fromkeys(ask.rows))
                places = {row: (number, i, "row") if in_turn else (i, number, "row") for i, row in rows}
                self._trials_started += 1
                jobs.append(self._answer_score(ask, places, self._trials_started))
            elif isinstance(ask, Propose):
                jobs.append(self._answer_propose(ask, number))
            elif isinstance(ask, Train):
                jobs.append(self.trainings.answer(ask))
            else:
                jobs.append(self._keep(ask))
        trials_before = len(self.trials)
        answers = await asyncio.gather(*jobs, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer  # only now: every call in flight has finished and is recorded
        self.trials[trials_before:] = sorted(self.trials[trials_before:], key=lambda t: t.number)
        self.record_spending()
        for trial in self.trials[trials_before:]:
            self._check_setup(trial.evaluation)
        return list(answers)

    # Score

    async def _score_now(self, ask: Score) -> Evaluation:
        """Answer an ask of a training, in a batch that is under way."""
        if (known := self._answered.get(ask.asked)) is not None:
            return known
        return await self._score_first(ask)

    async def _score_first(self, ask: Score) -> Evaluation:
        self._trials_started += 1
        return await self._answer_score(ask, dict.fromkeys(ask.rows, FIRST), self._trials_started)

    async def _answer_score(self, ask: Score, places: Mapping[int, Place], number: int) -> Evaluation:
        self._note_candidate(ask.candidate)
        split = self._split(ask)
        self._record(events.TrialStarted(number, ask.candidate, ask.rows, split, ask.label))
        started = time.monotonic()
        scored: dict[int, Outcome] = {}
        total = 0.0

        def note(outcome: Outcome) -> None:
            nonlocal total
            was_cut = self.ledger.closed is not None and self.ledger.closed in (outcome.error or "")
            if was_cut or outcome.row in scored:
                return
            scored[outcome.row] = outcome
            total += outcome.score
            self._record(events.RowScored(number, outcome, len(scored), len(ask.rows), total / len(scored)))
            self.record_spending()

        await self._scoring.run(ask, places, note)
        evaluation = Evaluation(ask.candidate.id, tuple(scored[r] for r in ask.rows if r in scored))
        complete = len(scored) == len(set(ask.rows))
        if complete:
            self._answered[ask.asked] = evaluation
        self.trials.append(Trial(number, ask.candidate, ask.label, split, evaluation, complete))
        self._record(
            events.TrialFinished(number, evaluation, time.monotonic() - started, partial=not complete)
        )
        return evaluation

    def _check_readable(self, asks: Sequence[Ask]) -> None:
        """Raise RunError where no answer can be read so far, and these asks bring no other layout, model or training."""
        failure, rows = self._scoring.last_failure, self._scoring.rows_run
        if not isinstance(failure, AdapterParseError) or self._scoring.graded or rows < FAILURES_AT_START:
            return
        layouts = {state.adapter for trial in self.trials for state in trial.candidate.steps.values()}
        for ask in asks:
            if isinstance(ask, Train) or (
                isinstance(ask, Score) and ask.teacher and self.settings.part(ask.part).has_teacher
            ):
                return
            if isinstance(ask, Score) and {s.adapter for s in ask.candidate.steps.values()} - layouts:
                return
        words = f"No answer to the first {rows} rows can be read; choose another model."
        self.ledger.close(f"{words} One of them: {cut(failure.reply, 200)!r}", "failed")
        raise RunError(self.ledger.closed)

    def _check_setup(self, evaluation: Evaluation) -> None:
        """Raise RunError where nothing can work: every row fails and no model ever answered."""
        if self.ledger.replies == 0 and self.ledger.closing == "failed":
            raise RunError(self.ledger.closed or "")
        outcomes = evaluation.outcomes
        if not outcomes or any(o.error is None for o in outcomes):
            return
        if self.ledger.replies == 0 and (self.ledger.spent.calls or len({o.error for o in outcomes}) == 1):
            raise RunError(str(outcomes[0].error)) from self._scoring.last_failure
        self._record(events.Note(f"Every row of a trial failed. The first: {outcomes[0].error}", "warning"))

    # Propose and Keep

    async def _answer_propose(self, ask: Propose, number: int) -> Proposal:
        program = Predict(ask.signature)

        async def sample(i: int) -> Values | None:
            temperature = None if ask.writer is not None else ask.temperature  # its calls are the user's
            gate = self.ledger.gate(rollout=1000 * ask.rollout + i + 1, temperature=temperature)
            async with self._slots.at((number, i, "sample")):
                try:
                    with self._scoring.context(self.settings.part(ask.part).prompt_lm, gate):
                        if ask.writer is not None:
                            return dict(await loop.called(ask.writer))
                        prediction = await program.acall(**ask.inputs)
                except BudgetExhaustedError:
                    return None
                except Exception as error:  # noqa: BLE001 - one lost sample must not end the run
                    self._record(events.Note(f"A proposal failed: {error}", "warning"))
                    return None
            return dict(prediction)

        samples = await asyncio.gather(*(sample(i) for i in range(ask.n)))
        outputs = tuple(s for s in samples if s is not None)
        self._texts_asked += ask.n
        self._texts_usable += sum(any(str(v).strip() for v in output.values()) for output in outputs)
        self._record(events.Proposed(ask.label, ask.n, len(outputs)))
        return Proposal(outputs)

    async def _keep(self, ask: Keep) -> None:
        self._note_candidate(ask.candidate)
        changed = ask.candidate.id != self._best.id or ask.score != self._best_score
        self._best, self._best_score, self._credits = ask.candidate, ask.score, ask.credits
        if changed:
            self._record(events.NewBest(ask.candidate, ask.score))

    # Endpoints that are away

    async def _look(self) -> None:
        """Wait while the run is paused. Raises BudgetExhaustedError once it was stopped or has no budget left."""
        await self._slots.follow()
        self.ledger.check_time()
        if self.ledger.closed is not None:
            for endpoint in self._waits:
                self._note_wait(endpoint, "")
            raise BudgetExhaustedError(self.ledger.closed)

    def _note_wait(self, endpoint: str, message: str) -> None:
        """Report an endpoint that is away, or with "" that it is waited for no more."""
        before = " ".join(filter(None, self._waits.values()))
        self._waits[endpoint] = message
        now = " ".join(filter(None, self._waits.values()))
        if now != before and self._control is not None:
            self._control.note_wait(now)
            self.record_spending(always=True)
        if bool(now) != bool(before):
            text = now or "The run goes on: no call waits for an endpoint any more."
            self._record(events.Note(text, "warning" if now else "info"))

    # Events

    def _note_candidate(self, candidate: Candidate) -> None:
        if candidate.id not in self._numbers:
            self._numbers[candidate.id] = len(self._numbers)
            self._record(events.CandidateFound(candidate, self._numbers[candidate.id]))

    def _split(self, ask: Score) -> events.Split:
        # A search without separate validation rows uses the same rows for both; solving them is training.
        if self._validation.issuperset(ask.rows) and not ask.teacher:
            return "validation"
        if self._train.issuperset(ask.rows):
            return "train"
        return "teacher" if ask.teacher else "test"

    def record_spending(self, *, always: bool = False) -> None:
        """Report what the run has spent so far, at most a few times a second unless `always`."""
        now = time.monotonic()
        if always or now - self._spending_recorded_at >= _SPENDING_SECONDS:
            self._spending_recorded_at = now
            self._record(events.BudgetSpent(self.ledger.spent, self.ledger.seconds, self.ledger.replayed))

    def _record(self, event: events.Event) -> None:
        if self._recorder is not None:
            self._recorder.record(event)
