"""`Train` asks, carried out: chat rows as the steps will be asked, one training at a time, its checkpoints as trials.

It knows no algorithm, and no trainer but by the contract in `engine.search.trainers`.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from engine import evaluate
from engine.adapters.chat import ChatAdapter
from engine.basics.data import JsonObject, Values
from engine.errors import AdapterParseError, BudgetExhaustedError, ConfigurationError, EngineError
from engine.lm.calls.history import callers
from engine.records import Candidate, Evaluation, Outcome, TraceStep, Usage, content_hash, json_value
from engine.search import events
from engine.search.budget import FIRST, Amount, Ledger
from engine.search.contract import Score, Train, Training
from engine.search.scoring import Scoring, Slots
from engine.search.settings import Settings
from engine.search.trainers import (
    ChatRow,
    Order,
    Rollout,
    Trained,
    Trainer,
    TrainerProgress,
    TrainSettings,
    get_trainer,
    read_order,
    write_order,
)

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM, Reply, Request
    from engine.lm.exchange import Send
    from engine.modules.module import Module
    from engine.modules.step import Step

_POLL_SECONDS = 0.2
_SHOWN = 200
"""Steps of a training that become events, besides its checkpoints: enough for a curve."""


def chat_rows(
    program: Module, adapter: Adapter | None, calls: Iterable[tuple[int, TraceStep]]
) -> tuple[ChatRow, ...]:
    """Return calls of a program's steps as conversations to learn, each as its step would ask it, and answered as it was.

    A demonstration made from the very call is left out, or the answer would be copied. A call that lacks an output is skipped.
    """
    steps = dict(program.named_predictors())
    rows: list[ChatRow] = []
    for row, call in calls:
        step = steps.get(call.path)
        if step is None or not set(step.prompted().output_fields) <= call.outputs.keys():
            continue
        inputs = dict(call.inputs)
        demos = [demo for demo in step.demos_for(inputs) if not _same_inputs(demo, inputs)]
        asked = step.adapter or adapter or ChatAdapter()
        for messages, answer, other in asked.calls(step.prompted(), demos, inputs, dict(call.outputs)):
            if other is None:  # a second model's call is not this step's to learn
                learned = {"role": "assistant", "content": answer}
                rows.append(ChatRow((*messages, learned), call.path, row))
    return tuple(rows)


def _same_inputs(demo: Values, inputs: JsonObject) -> bool:
    values = dict(demo)
    return bool(inputs) and all(json_value(values.get(name)) == value for name, value in inputs.items())


def trainer_of(settings: Settings, name: str) -> Trainer:
    """Return a run's own trainer of this name, else the registered one. Raises UnknownNameError."""
    by_name = {trainer.name: trainer for trainer in settings.trainers}
    return by_name[name] if name in by_name else get_trainer(name)


def order_of(settings: Settings, ask: Train) -> Order:
    """Return what a trainer is asked for."""
    rows = chat_rows(settings.program.with_candidate(ask.candidate), settings.adapter, ask.calls)
    training, task = _with_base_model(settings, ask.settings), _task(settings, ask)
    return Order(training, rows, ask.rows, task, settings.payer or "")


def _task(settings: Settings, ask: Train) -> str:
    """Return a hash of what rewards and the scores of checkpoints depend on, the same in every process."""
    program = settings.program.with_candidate(ask.candidate)
    metric = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(settings.metric))  # a function's address in memory
    return content_hash(
        [
            ask.candidate.id,
            list(ask.steps),
            [[path, step.signature.dump_state()] for path, step in program.named_predictors()],
            [[row, json_value(dict(settings.rows[row]))] for row in (*ask.rows, *settings.validation)],
            metric,
            type(settings.adapter).__name__,
        ]
    )


def check_training(settings: Settings, training: TrainSettings) -> list[str]:
    """Return a trainer's notes on a training whose rows are not there yet. Raises ConfigurationError for what cannot work."""
    trainer, order = trainer_of(settings, training.trainer), Order(_with_base_model(settings, training))
    notes = trainer.check(order)
    if settings.budget.usd is not None and trainer.estimate(order).usd is None:
        raise ConfigurationError(
            f"The price of training {order.settings.base_model!r} is not known, so a budget in money cannot be kept. "
            "Set a budget in calls or tokens instead."
        )
    return notes


def _with_base_model(settings: Settings, training: TrainSettings) -> TrainSettings:
    """Return a training's settings with the run's model as its base model where none is named."""
    if training.base_model or settings.lm is None:
        return training
    return training.model_copy(update={"base_model": settings.lm.model})


def with_weights(candidate: Candidate, steps: Sequence[str], model: str, reason: str) -> Candidate:
    """Return the candidate whose steps answer by a tuned model."""
    tuned = candidate
    for path in steps:
        tuned = tuned.with_step(path, weights=model)
    return tuned.derived(reason, candidate)


def _unwritable(error: OSError) -> str:
    return (
        f"{error.filename or 'The data folder'} cannot be written ({error.strerror or error}): free some space, or choose another "
        "data folder, and start the run again. What was trained before is kept."
    )


@dataclass
class Trainings:
    """The trainings of one run. `score` answers a `Score` ask as a trial; `running` is how many are under way.

    Trainings on this machine take turns, hosted ones run at once.
    """

    settings: Settings
    ledger: Ledger
    slots: Slots
    scoring: Scoring
    score: Callable[[Score], Awaitable[Evaluation]]
    record: Callable[[events.Event], None]
    running: int = 0
    _answers: dict[tuple[str, tuple[str, ...], str], asyncio.Task[Training]] = field(default_factory=dict)
    _promised: dict[DriverWatch, float] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _orders: dict[str, list[str]] = field(default_factory=dict)

    async def answer(self, ask: Train) -> Training:
        """Train, or return what the same training gave before. What goes wrong is the answer's `problem`."""
        order = order_of(self.settings, ask)
        file = self._order_file(order, ask.steps)
        started = read_order(file)
        order = started or order
        key = (ask.candidate.id, ask.steps, order.key)
        if key not in self._answers:
            # One that had started is ended by its trainer, which may have a job at a provider.
            if self.ledger.closed is not None and started is None:
                return Training(problem=self.ledger.closed)
            if not ask.steps:
                return Training(problem="Every step that would be trained is frozen.")
            watch = DriverWatch(self, ask, len(self._answers) + 1, again=started is not None)
            self._answers[key] = asyncio.create_task(self._answer(ask, order, watch, file))
        try:
            return await self._answers[key]
        except BaseException:
            if (task := self._answers.pop(key, None)) is not None:
                task.cancel()
            raise

    def _order_file(self, order: Order, steps: tuple[str, ...]) -> Path | None:
        """Return the file of an order for these steps: the same for a process that drives the run again.

        It depends on everything but the rows; of several such orders in a run it is the first's, the second's and so on.
        """
        if self.settings.started is None:
            return None
        asked = content_hash([order.task, list(steps), order.settings])[:12]
        orders = self._orders.setdefault(asked, [])
        if order.key not in orders:
            orders.append(order.key)
        return self.settings.started / f"{asked}-{orders.index(order.key) + 1}.json"

    async def _answer(self, ask: Train, order: Order, watch: DriverWatch, file: Path | None) -> Training:
        self.running += 1
        try:
            answer = await self._train(ask, order, watch, file)
        finally:
            self.running -= 1
        watch.end(answer, len(order.rows or order.row_ids))
        if answer.problem:
            _log.warning("The training failed: %s", answer.problem)
        return answer

    async def _train(self, ask: Train, order: Order, watch: DriverWatch, file: Path | None) -> Training:
        """Train in turn; the order of a training that had not started yet is stored in `file` before its start."""
        following = [
            asyncio.create_task(watch.follow(look)) for look in (self.slots.follow, self._look_at_time)
        ]
        try:
            trainer = trainer_of(self.settings, ask.settings.trainer)
            async with nullcontext() if getattr(trainer, "hosted", False) else self._turn:
                for note in trainer.check(order):
                    self.record(events.Note(note))
                if problem := self._too_dear(trainer, order, watch):
                    return Training(problem=problem)
                if not watch.again:
                    write_order(file, order)
                trained = await trainer.train(order, watch)
        except EngineError as error:
            return Training(problem=str(error))
        except OSError as error:
            return Training(problem=_unwritable(error))
        finally:
            self._promised.pop(watch, None)
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
        watch.spent(trained.tokens, trained.usd)
        if not trained.model:
            why = "" if trained.file else "It was stopped before there was a model."
            return Training(trained=trained, problem=why)
        return await self._judged(ask, trained, watch)

    async def _look_at_time(self) -> None:
        self.ledger.check_time()

    def _too_dear(self, trainer: Trainer, order: Order, watch: DriverWatch) -> str:
        """Return a message where the budget cannot pay for a training that has its price, or for the beginning of another.

        What trainings under way will still cost counts as spent. One that had started before goes on in any case.
        """
        forecast = trainer.estimate(order)
        promised = sum(max(0.0, usd - other.usd) for other, usd in self._promised.items())
        self._promised[watch] = forecast.usd or 0.0
        if watch.again:
            return ""
        if forecast.usd and (left := self.ledger.shortage(Amount(usd=forecast.usd + promised))):
            others = f", {promised:,.2f} of them for trainings under way" if promised else ""
            return (
                f"The training would cost about {forecast.usd:,.2f} US dollars, and {left} are left of the budget{others}. "
                "Raise the budget, or train on fewer rows or epochs."
            )
        self.ledger.spend(Usage(), ahead=forecast.tokens // 100 + 1)
        return self.ledger.closed or ""

    async def _judged(self, ask: Train, trained: Trained, watch: DriverWatch) -> Training:
        """Return the answer for a tuned model, scored: as its best checkpoint was, where one was."""
        reason = f"{ask.label or 'The tuned model'}: {', '.join(ask.steps)} by {trained.model}."
        candidate = with_weights(ask.candidate, ask.steps, trained.model, reason)
        if best := watch.best(trained.score):
            self.scoring.know(candidate, best.outcomes)
        if not best and self.ledger.closed is not None:
            return Training(candidate, trained)
        evaluation = await self.score(Score(candidate, self.settings.validation, ask.label or "tuned model"))
        whole = len(evaluation.outcomes) == len(set(self.settings.validation))
        return Training(candidate, trained, evaluation if whole else None)


class DriverWatch:
    """The run, as a trainer sees it: see `engine.search.trainers.TrainingMonitor`."""

    def __init__(self, trainings: Trainings, ask: Train, number: int, *, again: bool) -> None:
        self._run, self._ask, self._number = trainings, ask, number
        self.again = again
        """True if an earlier process had started it."""
        self._first_part_known = again  # the earlier process has counted it
        self._scored: list[Evaluation] = []
        self._tokens, self.usd = 0, 0.0
        self._last, self._shown_step = TrainerProgress(0, 0), -1
        self._samples = count(1)
        self._started = time.monotonic()

    @property
    def stopped(self) -> bool:
        """True once the user has stopped the run or the budget is spent."""
        return self._run.ledger.closed is not None

    def note(self, progress: TrainerProgress) -> None:
        """Count what the training has spent, and report how far it is."""
        ahead = max(0, progress.tokens - self._tokens)
        self.spent(progress.tokens, progress.usd, ahead)
        self._last = progress
        step = max(1, progress.steps // _SHOWN)
        last = progress.step >= progress.steps
        if progress.message or last or self._shown_step < 0 or progress.step >= self._shown_step + step:
            self._shown_step = progress.step
            self._report(progress)

    def spent(self, tokens: int, usd: float | None, ahead: int = 0) -> None:
        """Count what the whole training has spent so far, beyond what is counted already."""
        more, dollars = max(0, tokens - self._tokens), max(0.0, (usd or 0.0) - self.usd)
        self._tokens, self.usd = self._tokens + more, self.usd + dollars
        usage = Usage(input_tokens=more, cost=dollars if usd is not None else None)
        self._run.ledger.spend(usage, ahead)
        if self._first_part_known:
            self._run.ledger.replayed += usage
            self._first_part_known = False

    async def score(self, model: str, label: str) -> float | None:
        """Return the program's mean score on the validation rows with this model, a separate trial; None where it has none."""
        if self.stopped:
            return None
        reason = f"{self._ask.label or 'A training'}: {label or 'a checkpoint'}, {model}."
        candidate = with_weights(self._ask.candidate, self._ask.steps, model, reason)
        rows = self._run.settings.validation
        evaluation = await self._run.score(Score(candidate, rows, label or "checkpoint"))
        whole = len(evaluation.outcomes) == len(set(rows)) > 0
        if not whole or all(outcome.error is not None for outcome in evaluation.outcomes):
            return None
        self._scored.append(evaluation)
        self._report(replace(self._last, message=label), score=evaluation.score)
        return evaluation.score

    def best(self, score: float | None) -> Evaluation | None:
        """Return the evaluation of the checkpoint with this score, else of the best one."""
        same = [e for e in self._scored if score is not None and abs(e.score - score) < 1e-9]
        return same[0] if same else max(self._scored, key=lambda e: e.score, default=None)

    async def rollouts(self, model: BaseLM, rows: Sequence[int], group_size: int) -> Sequence[Rollout]:
        """Run the program several times on each row with this model, and return all calls of the steps it trains."""
        rounds = next(self._samples)
        program = self._sampled_by(model)
        runs = [
            self._sample(program, model, row, (rounds - 1) * group_size + n + 1)
            for row in rows
            for n in range(group_size)
        ]
        return [rollout for some in await asyncio.gather(*runs) for rollout in some]

    def _sampled_by(self, model: BaseLM) -> Module:
        """Return the program whose trained steps ask this model, and ask it once: an unreadable answer is to be seen."""
        run = self._run.settings
        program = run.program.with_candidate(self._ask.candidate)
        for path, step in program.named_predictors():
            if path in self._ask.steps:
                step.lm, step.weights = model, None
                step.adapter = _asked_once(step.adapter or run.adapter or ChatAdapter())
        return program

    async def _sample(self, program: Module, model: BaseLM, row: int, rollout: int) -> list[Rollout]:
        calls: list[tuple[object, Request, Reply]] = []
        failures: list[Exception] = []

        async def noting(lm: BaseLM, request: Request, send: Send) -> Reply:
            reply = await send(lm, request)
            if lm is model:
                calls.append((callers.get()[-1], request, reply))
            return reply

        run = self._run
        gate = run.ledger.gate(rollout=rollout, temperature=1.0)
        with run.scoring.context(None, gate, inside=noting):
            (outcome,) = await evaluate.run_rows(
                program,
                [(row, run.settings.rows[row])],
                run.settings.metric,
                limit=run.slots.at(FIRST),
                on_failure=failures.append,
            )
        if any(isinstance(failure, BudgetExhaustedError) for failure in failures):
            return []
        unread = any(isinstance(failure, AdapterParseError) for failure in failures)
        return _rollouts_of(dict(program.named_predictors()), calls, outcome, unread=unread)

    async def follow(self, look: Callable[[], Awaitable[None]]) -> None:
        """Notice a stop, or the time limit, while no row starts. A paused run's training goes on to its next checkpoint."""
        while not self.stopped:
            await asyncio.sleep(_POLL_SECONDS)
            await look()

    def end(self, answer: Training, rows: int) -> None:
        """Report the end of the training, with what it has spent."""
        trained = answer.trained
        self._run.record(
            events.TrainingEnded(
                self._number,
                self._ask.label,
                model=trained.model if trained else "",
                ended="failed" if answer.problem or trained is None else trained.ended,
                score=answer.evaluation.score if answer.evaluation else None,
                rows=rows,
                seconds=trained.seconds if trained else time.monotonic() - self._started,
                tokens=self._tokens,
                usd=self.usd or (trained.usd if trained else None),
                file=trained.file if trained else "",
                problem=answer.problem,
            )
        )

    def _report(self, progress: TrainerProgress, score: float | None = None) -> None:
        self._run.record(
            events.TrainingProgress(self._number, self._ask.label, score=score, **asdict(progress))
        )


def _asked_once(adapter: Adapter) -> Adapter:
    """Return an adapter that neither sends an unreadable answer back nor asks for another layout."""
    once = copy.copy(adapter)
    once.retries = 0
    with suppress(AttributeError):
        once.fallback = lambda: None  # type: ignore[method-assign]
    return once


def _rollouts_of(
    steps: dict[str, Step],
    calls: Sequence[tuple[object, Request, Reply]],
    outcome: Outcome,
    *,
    unread: bool,
) -> list[Rollout]:
    """Return a run's calls. Each step's n-th calls on a row are one group, so that a step is judged against itself.

    In a run that ended with an unreadable answer its last call is that answer.
    """
    paths = {id(step): path for path, step in steps.items()}
    reward = 0.0 if outcome.error is not None else outcome.score
    seen: dict[str, int] = {}
    rollouts = []
    for number, (step, request, reply) in enumerate(calls, 1):
        path = paths.get(id(step), "")
        seen[path] = seen.get(path, 0) + 1
        group = f"{outcome.row}/{path}" + (f"#{seen[path]}" if seen[path] > 1 else "")
        readable = not (unread and number == len(calls))
        rollouts.append(Rollout(group, tuple(request.messages), reply.text, reward, readable))
    return rollouts


_log = logging.getLogger(__name__)
