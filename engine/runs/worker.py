"""The process that carries out one run: claim, score the starting prompt, search, test, export, done.

Everything it learns goes to the store as it happens, and nothing is kept elsewhere: killed at any moment
and started again, it drives the search from its start, and every call that was paid for is answered
from the cache. It knows no page and no terminal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from engine import loop, parts
from engine.basics.text import change_in_percent
from engine.errors import EngineError, RunError, StoreError, first_problem
from engine.lm.calls import cache
from engine.lm.calls.limits import FOLDER, SharedLimit, shared_limit
from engine.metrics.whole_set import whole_set_figure
from engine.records import Candidate, Evaluation, Outcome, whole_trials
from engine.runs.log_file import LogFile
from engine.runs.prepare import Prepared, check_keys, check_other_models, prepare
from engine.runs.recorder import PatientWriter, RunControl, StoreRecorder, StoreRequests, report_silence
from engine.runs.results import more_scores
from engine.runs.results.exports import export_run, prove, take_prompt
from engine.runs.spec import RunSpec, no_gain_by_ray
from engine.runs.spending import limited_budget, used_up
from engine.runs.turn import Turn, patiently
from engine.search.backend import Backend, BackendChoice, BackendPart
from engine.search.budget import Amount
from engine.search.driver import Driver
from engine.search.judging.model_choice import add_scores, comparison
from engine.search.judging.objective import Objective
from engine.search.judging.verdict import best_static, verdict
from engine.search.judging.wording import untested_sentence
from engine.search.result import (
    ModelComparison,
    NotTested,
    PromptFigures,
    RunResult,
    SearchResult,
    StaticFigures,
    TeacherFigures,
    Trial,
    UnfinishedTest,
)
from engine.search.tuning import validation_score
from engine.store.rows import NOT_DONE, TESTING, RequestRow, RunRow, RunState
from engine.store.runs import CANCELLED
from engine.store.store import FILE_NAME, Store

BUSY_SECONDS = 5.0
LOOK_SECONDS = 1.0

_log = logging.getLogger("engine.runs")


def work(home: Path, run_id: str, backend: BackendChoice | None = None) -> int:
    """Carry out a run of the data folder's store, to its end; return 0, or 1 where it failed.

    `backend` is where its rows are answered, instead of where its settings say.

    It waits for its turn first. SIGTERM and SIGINT end the wait, or stop the run and keep the best so far; a second
    one gives up at once. Raises NotFoundError or RunError when there is no such run or another process works on it.
    Every other failure ends in the run's state and message, its traceback in `home/logs`.
    """
    with Store(home / FILE_NAME, busy_seconds=BUSY_SECONDS) as store, _log_file(home, run_id):
        turn = Turn(store, run_id)
        with _signals(turn, lambda: None):
            run = turn.wait()
        if run is None:
            patiently(lambda: _cancelled(store, run_id))
            return 0
        _log.info("Process %s works on run %s.", os.getpid(), run_id)
        writer = PatientWriter()
        job = _RunJob(home, store, run, writer, StoreRecorder(store, run_id, writer), backend)
        return job.carry_out()


def _cancelled(store: Store, run_id: str) -> None:
    """Store that a run gave up its place in the queue; one that has a result is over again as it says."""
    _log.info("Run %s was cancelled while it waited.", run_id)
    run = store.runs.get(run_id)
    if run.result is not None:
        more_scores.end_scoring(store, run, "it was cancelled while it waited for its turn.")
    elif run.state in ("queued", "running"):
        store.runs.set_phase(run_id, "")
        store.runs.set_state(run_id, "stopped", CANCELLED)


@dataclass
class _RunJob:
    home: Path
    store: Store
    run: RunRow
    writer: PatientWriter
    recorder: StoreRecorder
    backend: BackendChoice | None = None
    taken: bool = False

    def carry_out(self) -> int:
        run_id = self.run.id
        pending: list[Callable[[], object]] = []

        def cancel(*, taken: bool) -> None:
            self.taken = self.taken or taken
            for stop in pending:
                stop()

        with (
            RunControl(
                self.store,
                run_id,
                os.getpid(),
                lambda: cancel(taken=True),
                lambda: cancel(taken=False),
                writer=self.writer,
            ) as watch,
            _signals(watch, lambda: cancel(taken=False)),
        ):
            try:
                future = loop.submit(self._run(watch))
                pending.append(future.cancel)
                future.result()
            except (CancelledError, asyncio.CancelledError):
                if self.taken:
                    _log.warning("Run %s was deleted or taken over by another process.", run_id)
                    return 1
                if watch.failure is not None:
                    return self._failed(
                        f"{watch.failure} Go on from its new place or version: answers stay paid."
                    )
                cost = self.store.runs.get(run_id).test_cost
                words = f" The final test takes {cost.words}." if cost else ""
                return self._store_end(
                    "stopped", f"Stopped at once; it was not tested.{words} You can go on with it.", 0
                )
            except EngineError as error:
                return self._failed(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the run must not stay "running"
                return self._failed(f"Something inside Tuneboard went wrong: {type(error).__name__}: {error}")
        return 0 if self.store.runs.get(run_id).state != "failed" else 1

    def _failed(self, sentence: str) -> int:
        _log.exception("Run %s failed: %s", self.run.id, sentence)
        return self._store_end("failed", sentence, 1)

    def _store_end(self, state: RunState, sentence: str, code: int) -> int:
        try:
            if self.run.result is not None:
                patiently(lambda: more_scores.end_scoring(self.store, self.run, sentence))
                return code
            patiently(lambda: self.store.runs.set_state(self.run.id, state, sentence))
        except StoreError:
            _log.exception("The end of run %s could not be stored.", self.run.id)
            return 1
        return code

    async def _run(self, watch: RunControl) -> None:
        store, run_id = self.store, self.run.id
        requests = StoreRequests(store, run_id, watch, self.writer)
        cache.payer.set(run_id)
        shared_limit.set(SharedLimit(self.home / FOLDER, store.queue.limits().requests))
        if self.run.result is None:
            self.writer.write(lambda: store.events.clear(run_id))
        self._phase("Reading the data")
        prepared = await asyncio.to_thread(self._prepare)
        if (
            prepared.spec.pipeline.models or prepared.spec.models
        ) and not self.run.calls:  # a run that goes on has heard from them
            self._phase("Asking the other models for a word")
            await check_other_models(prepared.spec)
        if self.run.result is not None:  # only scores are wanted: see `engine.runs.results.more_scores`
            async with self._on_backend(prepared) as backend:
                await self._score_more(prepared, watch, backend)
            return
        for note in prepared.notes:
            self._note(note, "info")
        started = self.home / "training" / "started" / run_id
        async with self._on_backend(prepared) as backend:
            settings = replace(prepared.settings, seconds_before=self.run.seconds, started=started)
            tuning = replace(prepared.tuning, settings=settings)
            driver = tuning.driver(self.recorder, watch, requests, backend)
            driver.ledger.note_send, driver.ledger.lost = self.recorder.note_send, self.recorder.lost
            if self.run.claims > 1:
                driver.ledger.bought = await asyncio.to_thread(cache.default_cache().paid_by, run_id)
            if lost := int(self.recorder.lost.calls):
                self._note(f"Calls without an answer at an interruption count as made: {lost:,}.", "info")
            await self._attended(driver, self._drive(driver, prepared, watch, requests))
        if store.runs.get(run_id).state == "finished":  # it is not driven again
            shutil.rmtree(started, ignore_errors=True)

    @asynccontextmanager
    async def _on_backend(self, prepared: Prepared) -> AsyncIterator[Backend | None]:
        """Yield where rows are answered; None is this process."""
        choice = self.backend or prepared.spec.backend
        if choice.name == "local":
            yield None
            return
        part: BackendPart = parts.load(parts.BACKENDS, choice.name, "backend")()
        self._phase(part.phase)
        if note := no_gain_by_ray(prepared.spec.model_copy(update={"backend": choice})):
            self._note(note, "info")
        async with part.opened(choice, prepared.settings) as backend:
            yield backend

    async def _score_more(self, prepared: Prepared, watch: RunControl, backend: Backend | None) -> None:
        used, seconds = self.run.usage, self.run.seconds
        while (request := more_scores.next_request(self.store, self.run)) is not None:
            if watch.stopping:
                more_scores.end_scoring(self.store, self.run, "you stopped it.")
                return
            self._phase(more_scores.PHASE)
            self.recorder = StoreRecorder(self.store, self.run.id, self.writer, used)
            settings = more_scores.settings_for(request, prepared, seconds)
            driver = Driver(settings, self.recorder, watch, backend=backend)
            driver.ledger.patience = None  # a user waits for these scores, and may ask again
            if not request.content.get("candidate", True):
                work = self._finish_later(request, driver, prepared, watch)
            else:
                work = more_scores.answer_request(
                    request, driver, prepared, self.store, self.run, self.writer
                )
            await self._attended(driver, work)
            used, seconds = used + driver.ledger.spent, driver.ledger.seconds

    async def _finish_later(
        self, request: RequestRow, driver: Driver, prepared: Prepared, watch: RunControl
    ) -> None:
        """Finish the final test of a run that is over: score the rows that are missing, and write the result again."""
        result = self.store.runs.get(self.run.id).require_result()
        more_scores.begin(request, driver, self.store, self.run.id, self.writer)
        for candidate in filter(None, (driver.seed, *self._prompts(result))):
            known = more_scores.known_outcomes(self.store, self.run.id, candidate.id)
            driver.know(candidate, [*known.values()])
        done = await self._finish(driver, prepared, watch, result)
        answer = "Done: the verdict is written again." if done else f"{NOT_DONE}you stopped it."
        self.writer.write(partial(self.store.requests.answer, self.run.id, request.id, answer))

    async def _drive(
        self, driver: Driver, prepared: Prepared, watch: RunControl, requests: StoreRequests
    ) -> None:
        following = asyncio.create_task(self._follow_test_cost(driver, prepared))
        try:
            search = await prepared.tuning.search(driver, self._phase)
            await watch.no_trouble()
            await self._finish(driver, prepared, watch, self._untested(driver, prepared, search))
        finally:
            following.cancel()
        requests.close()

    async def _attended(self, driver: Driver, work: Awaitable[None]) -> None:
        """Await what a driver does, report silences meanwhile, and store everything at its end."""
        store, run_id = self.store, self.run.id
        silence = asyncio.create_task(
            report_silence(
                lambda: driver.ledger.replies,
                lambda: not driver.trainings.running and store.runs.get(run_id).state == "running",
                lambda message: self._note(message, "warning"),
            )
        )
        limits = asyncio.create_task(self._follow_limits(driver))
        try:
            await work
        finally:
            silence.cancel()
            limits.cancel()
            self.recorder.flush()
            driver.record_spending(always=True)
            await self.writer.all_written()

    async def _follow_limits(self, driver: Driver) -> None:
        """Follow changes of the limits, and what the user's other runs use, until it is cancelled."""
        shared = shared_limit.get()
        while shared is not None:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(StoreError):  # the watch reports it
                shared.set(self.store.queue.limits().requests)
                if reason := used_up(self.store, self.store.runs.get(self.run.id).started_by):
                    driver.ledger.close(reason, "budget")

    def _phase(self, phase: str) -> None:
        self.writer.write(lambda: self.store.runs.set_phase(self.run.id, phase))

    def _note(self, message: str, level: str) -> None:
        self.writer.write(lambda: self.store.events.add(self.run.id, "note", message, {"level": level}))

    def _prepare(self) -> Prepared:
        try:
            spec = RunSpec.model_validate(self.run.spec)
        except ValidationError as error:
            where, message = first_problem(error)
            raise RunError(f"The run's settings cannot be read at {where!r}: {message}.") from error
        check_keys(spec)
        if self.run.result is None:  # scores that are asked for later bring their own limit
            limited = spec.model_copy(update={"budget": limited_budget(self.store, self.run, spec.budget)})
            return replace(prepare(self.store, limited, payer=self.run.id), spec=spec)
        return prepare(self.store, spec, payer=self.run.id)

    def _untested(self, driver: Driver, prepared: Prepared, search: SearchResult) -> RunResult:
        """Return the result of a search as it is without the final test."""
        best, rows = search.best, len(prepared.split.validation)

        def validated(candidate: Candidate) -> PromptFigures:
            score = validation_score(driver.trials, candidate, rows)
            return PromptFigures.of(candidate.id, score, Evaluation(candidate.id, ()))

        before, after = validated(driver.seed), validated(best)
        static = static_to_test(driver, best)
        number = self.store.trials.add_candidate(self.run.id, best)
        sentence = untested_sentence(number, before.validation, after.validation, rows)
        return RunResult(
            best_candidate=best.id,
            seed_candidate=search.seed.id,
            verdict=NotTested(sentence),
            baseline=before,
            best=after,
            static=StaticFigures(**asdict(validated(static))) if static else None,
            tuned_models=tuple(best.tuned_models),
            models=compared_models(driver.trials, best, prepared.spec),
            credits=tuple(search.credits),
            stopped=search.stopped,
            reason=search.reason,
        )

    def _prompts(self, result: RunResult) -> tuple[Candidate, Candidate | None]:
        """Return the best prompt of a result, and the best static one where it has one."""
        stored = partial(self.store.trials.candidate, self.run.id)
        return stored(result.best_candidate), stored(result.static.candidate) if result.static else None

    async def _finish(
        self, driver: Driver, prepared: Prepared, watch: RunControl, untested: RunResult
    ) -> bool:
        """Test the best prompt, and the best static one, against the start; then write verdict, exports and proof.

        `untested` is the result so far. Returns False where a test that was asked for later was stopped: its rows are
        stored, and the run's result stays as it was.
        """
        seed, rows, later = driver.seed, prepared.split.test, self.run.result is not None
        best, static = self._prompts(untested)
        before, after = Evaluation(seed.id, ()), Evaluation(best.id, ())
        watch.testing, stopped = not later, watch.untested and not later
        if not stopped:
            self._phase(TESTING)
            before, after = await driver.compare(seed, best, rows, labels=("baseline", "best"), can_stop=True)
            _check_tested(before, after)
        scored, closed = len(before.scores.keys() & after.scores.keys()), driver.ledger.closed
        stopped = (stopped or driver.ledger.closing == "stopped") and scored < len(rows)
        if stopped and later:
            return False
        result = replace(untested, final_test=None)
        if scored < len(rows):
            why = "" if stopped else closed or "The limit of calls was reached."
            cost = await driver.test_cost(best, static, rows, limited=False)
            missing = UnfinishedTest(len(rows), scored, why, **asdict(cost.completed(self.run.estimate)))
            result = replace(result, final_test=missing)
        if not stopped:
            figures = untested.static
            result = replace(
                result,
                verdict=verdict(before, after),
                baseline=PromptFigures.of(seed.id, untested.baseline.validation, before),
                best=PromptFigures.of(best.id, untested.best.validation, after),
                teacher=await self._teacher(driver, prepared, best, untested.stopped),
                static=await self._tested_static(driver, after, static, figures)
                if static and figures
                else None,
                whole_set=await asyncio.to_thread(
                    whole_set_figure, prepared.settings.metric, prepared.settings.rows, before, after
                ),
            )
        usage = self.recorder.before + driver.ledger.spent
        result = replace(result, usage=usage, seconds=driver.ledger.seconds)
        await watch.no_trouble()
        self._phase("Writing the exports")
        # What is neither surely better nor what was asked for does not leave the house by itself; the user can take it.
        taken, tested = (best, after) if is_wanted(result, prepared.spec.objective) else (seed, before)
        result = replace(result, taken_candidate=taken.id)
        paths = export_run(self.home, self.run, prepared.spec, taken, result)
        self._phase("Checking that the exports answer the same")
        proof = () if stopped else await prove(Path(paths.program), driver.settings, tested)
        result = replace(result, export_path=paths.program, script_path=paths.script, proof=proof)
        self._conclude(result, driver)
        usual = best if is_wanted(untested, prepared.spec.objective) else seed
        if later and untested.taken_candidate != usual.id:  # the user has decided, and that stays
            await asyncio.to_thread(take_prompt, self.home, self.store, self.run.id, untested.taken_candidate)
        return True

    async def _follow_test_cost(self, driver: Driver, prepared: Prepared) -> None:
        """Store what the final test still takes whenever that changes, until it is cancelled."""
        words = ""
        while True:
            best = driver.likely_best
            cost = await driver.test_cost(best, static_to_test(driver, best), prepared.split.test)
            cost = cost.completed(self.run.estimate)
            if cost.words != words:
                words = cost.words
                self.writer.write(partial(self.store.runs.set_test_cost, self.run.id, cost))
            await asyncio.sleep(LOOK_SECONDS)

    async def _teacher(
        self, driver: Driver, prepared: Prepared, best: Candidate, stopped: str
    ) -> TeacherFigures | None:
        """Return what the model that taught a tuned one scores on the test rows; None for a run without one."""
        spec = prepared.spec
        choice = spec.teacher_model or (spec.model if prepared.settings.teacher else None)
        if choice is None or not best.tuned_models or stopped == "stopped":
            return None
        self._phase("Testing the teacher on the same rows")
        tested = await driver.score_teacher(prepared.split.test)
        title = spec.teacher_prompt.title if spec.teacher_prompt else ""
        return TeacherFigures.of(driver.seed.id, None, tested, model=choice.name, prompt=title)

    async def _tested_static(
        self, driver: Driver, after: Evaluation, static: Candidate, figures: StaticFigures
    ) -> StaticFigures:
        """Return the figures of the best static prompt, tested on the rows of the best one where what is left pays for it."""
        rows = [outcome.row for outcome in after.outcomes]
        need = Amount(len(rows) * driver.settings.calls_a_row, after.usage.tokens, after.usage.cost or 0.0)
        tested = Evaluation(static.id, ())
        if not driver.ledger.shortage(need):
            tested = await driver.score(static, rows, label="static")
        if len(tested.outcomes) < len(rows):  # a limit or a stop cut it short: a part says too little
            tested = Evaluation(static.id, ())
        whole = whole_trials(driver.trials, rows=len(driver.settings.validation))
        chosen_by = [whole[name].evaluation for name in (after.candidate_id, static.id) if name in whole]
        return StaticFigures.of(
            static.id,
            figures.validation,
            tested,
            against_best=verdict(after, tested) if tested.outcomes else None,
            validation_against_best=verdict(*chosen_by) if len(chosen_by) == 2 else None,
        )

    def _conclude(self, result: RunResult, driver: Driver) -> None:
        self.recorder.flush()
        driver.record_spending(always=True)
        self.writer.write(lambda: self._store_result(result))

    def _store_result(self, result: RunResult) -> None:
        store, run_id = self.store, self.run.id
        with store.transaction():
            if self.run.result is None:
                store.trials.drop_earlier(run_id)
            store.runs.set_test_cost(run_id, None)
            store.runs.save_result(run_id, result)
            store.runs.set_phase(run_id, "")
            store.events.add(run_id, "verdict", result.verdict.sentence, asdict(result.verdict))
            if self.run.result is None:  # else it is over once every request is answered
                store.runs.set_state(run_id, *more_scores.state_of(result))


def static_to_test(driver: Driver, best: Candidate) -> Candidate | None:
    """Return the best static prompt that the final test scores next to the start and the best."""
    static = best_static((trial for trial in driver.trials if trial.complete), best)
    return None if static is None or static.id == driver.seed.id else static


def _check_tested(before: Evaluation, after: Evaluation) -> None:
    """Raise RunError when every row of the final test failed."""
    outcomes = (*before.outcomes, *after.outcomes)
    if outcomes and all(o.error is not None for o in outcomes):
        raise RunError(
            f"Every row of the final test failed. The first: {outcomes[0].error} What was found is kept: resume the run "
            "when that is fixed."
        )


@contextmanager
def _signals(watch: RunControl | Turn, give_up: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT ask for a stop; a second one gives up. Only a main thread can do this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        if watch.stopping:
            give_up()
        watch.stop()

    wanted = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, ask) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _log_file(home: Path, run_id: str) -> Iterator[None]:
    """Write what the engine logs to `home/logs/RUN_ID.log` meanwhile."""
    handler = LogFile(home, f"{run_id}.log", most=0)  # its process prints into it too
    logger = logging.getLogger("engine")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


def is_wanted(result: RunResult, objective: Objective) -> bool:
    """Return whether the best prompt is surely better than the start, or as good and cheaper or faster where that is the goal."""
    kind, before, after = result.verdict.kind, result.baseline, result.best
    if objective.goal == "cheapest":
        change = change_in_percent(before.cost_per_row, after.cost_per_row)
    else:
        change = change_in_percent(before.seconds_per_row, after.seconds_per_row)
    return kind == "better" or (kind == "too_close" and objective.chooses_by_use and change < 0)


def compared_models(trials: Iterable[Trial], best: Candidate, spec: RunSpec) -> ModelComparison | None:
    """Return how the models do that answered validation rows; None where there is nothing to compare."""
    if not spec.models and spec.objective == Objective():
        return None
    scored: dict[str, tuple[Candidate, dict[int, Outcome]]] = {}
    for trial in trials:
        if trial.split == "validation":
            add_scores(scored, trial.candidate, trial.evaluation.outcomes)
    return comparison(scored, best.id, spec.model.name)
