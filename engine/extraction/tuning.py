"""One optimization: rows and their split, the optimizer, the search, and the comparison on rows held out."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import (
    ConfigurationError,
    DatasetError,
    EngineError,
    RunError,
    UnknownNameError,
    first_problem,
)
from engine.extraction.examples import Example
from engine.extraction.fields import TextOutput
from engine.extraction.reading import (
    DOCUMENT,
    PICTURES,
    RECORD,
    STEP,
    TEXT,
    ReadRecord,
    inputs_of,
    placeholders_in,
)
from engine.extraction.results import FieldOptimizationProgress, FieldScore, OptimizationResult
from engine.extraction.scoring import RecordScore, dumped, field_errors, field_means, metric_for, wanted
from engine.optimizers.base import Optimizer
from engine.optimizers.better_together import BetterTogether
from engine.optimizers.choose import choose_optimizer
from engine.optimizers.field_by_field import FieldByField
from engine.records import Candidate, Evaluation, Usage, json_value
from engine.records import Example as Row
from engine.registry import OPTIMIZERS
from engine.search import events
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.search.estimate import Estimate, estimate
from engine.search.freeze import Freeze
from engine.search.settings import Recorder, SearchResult, Settings
from engine.search.verdict import Verdict, verdict
from engine.text import counted

_log = logging.getLogger(__name__)

OnProgress = Callable[[FieldOptimizationProgress], object]
ERRORS = ("wrong", "missing", "invented")
_EXAMPLES_FIRST = 20
"""Rows from which on descriptions are tuned last: measured on the sample's invoices, see the benchmarks' guide."""

PROMPTS = ("descriptions", "system_prompt", "instruction_prompt", "demos")
"""Parts that can be frozen by name, next to fields by path."""


class Plan(BaseModel):
    """The options of `Prompter.optimize`; see there."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    evaluate_fn: Any = None
    optimizer: Any = None
    optimizer_options: dict[str, Any] = Field(default_factory=dict)
    train_split: float = Field(0.8, gt=0, le=1)
    num_threads: int | None = Field(None, ge=1)
    verbose: bool = False
    exclude_fields: tuple[str, ...] | None = None
    include_fields: tuple[str, ...] | None = None
    evaluator_config: dict[str, Any] | None = None
    sequential: bool = False
    parallel_fields: bool = True
    max_val_examples: int | None = Field(None, ge=1)
    skip_score_threshold: float | None = Field(None, gt=0, le=1)
    on_progress: Any = None
    budget: Budget | None = None
    seed: int = 0
    frozen: tuple[str, ...] = ()
    prompt_lm: Any = None
    recorder: Any = None
    control: Any = None
    payer: str | None = None


def plan_of(options: Mapping[str, Any]) -> Plan:
    """Return the plan of some arguments. Raises ConfigurationError that names the first one that does not fit."""
    try:
        return Plan(**options)
    except ValidationError as error:
        name, message = first_problem(error)
        if error.errors()[0]["type"] == "extra_forbidden":
            raise ConfigurationError(
                f"optimize() takes no {name!r}. It takes: {', '.join(Plan.model_fields)}."
            ) from None
        raise ConfigurationError(f"optimize(): {name!r} does not fit: {message}.") from None


@dataclass(frozen=True)
class Rows:
    """Examples as rows that a program runs on, and their numbers (from 1) in the list that was given.

    `left_out` says which could not be used and why.
    """

    rows: tuple[Row, ...]
    sources: Mapping[int, Example]
    left_out: tuple[str, ...]
    labelled: bool
    numbers: tuple[int, ...]


def rows_of(examples: Sequence[Example], model: type[BaseModel] | None, program: ReadRecord) -> Rows:
    """Return examples as rows; one that cannot be used is left out, with a message that names row, field and reason.

    Raises ConfigurationError where none is left.
    """
    rows: list[Row] = []
    sources: dict[int, Example] = {}
    problems: list[str] = []
    numbers: list[int] = []
    labelled = any(example.expected_output is not None for example in examples)
    for number, example in enumerate(examples, start=1):
        try:
            values = inputs_of(example, program)
            if labelled:
                values[TEXT if model is None else RECORD] = label_of(example.expected_output, model)
        except (DatasetError, ValueError) as error:
            problems.append(f"Row {number} is left out: {error}")
            continue
        rows.append(Row(values).with_inputs(DOCUMENT, PICTURES, "placeholders"))
        sources[id(rows[-1])] = example
        numbers.append(number)
    for problem in problems:
        _log.warning("%s", problem)
    if not rows:
        first = problems[0] if problems else "The list is empty."
        raise ConfigurationError(f"There is no example to tune with. {first}")
    return Rows(tuple(rows), sources, tuple(problems), labelled, tuple(numbers))


def label_of(expected: Any, model: type[BaseModel] | None) -> Any:
    """Return a right answer as JSON values by the keys of the model's schema. Raises ValueError naming the field."""
    if expected is None:
        raise ValueError("it has no expected output, and others have one.")
    if model is None:
        if isinstance(expected, BaseModel):
            expected = expected.model_dump()
        return str(expected.get(TEXT, expected)) if isinstance(expected, Mapping) else str(expected)
    record = expected if isinstance(expected, model) else _validated(expected, model)
    try:
        return record.model_dump(mode="json", by_alias=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"its expected output cannot be written as JSON: {error}") from None


def _validated(expected: Any, model: type[BaseModel]) -> BaseModel:
    given = expected.model_dump() if isinstance(expected, BaseModel) else expected
    try:
        if isinstance(given, str):
            return model.model_validate_json(given)
        return model.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    try:
        if isinstance(given, str):
            return model.model_validate_json(given, by_name=True, by_alias=True)
        return model.model_validate(given, by_name=True, by_alias=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "the whole record"
    raise ValueError(
        f"field {where!r} of its expected output does not fit: {problem['msg']}, but is {str(problem['input'])[:80]!r}."
    )


@dataclass(frozen=True)
class Split:
    """Row ids by what they are for. `held_out` is False where too few rows are there to keep any back."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    held_out: bool


def divided(rows: int, plan: Plan) -> Split:
    """Return the split of a number of rows: a share held out for the score, the rest halved into training and validation.

    >>> split = divided(10, Plan())
    >>> len(split.train), len(split.validation), len(split.test), split.held_out
    (4, 4, 2, True)
    """
    ids = list(range(rows))
    random.Random(plan.seed).shuffle(ids)
    size = (
        min(rows - 1, max(1, round((1 - plan.train_split) * rows)))
        if rows >= 3 and plan.train_split < 1
        else 0
    )
    test, rest = tuple(ids[:size]), ids[size:]
    half = len(rest) // 2
    train, validation = (rest[:half], rest[half:]) if len(rest) >= 4 else (rest, rest)
    if plan.max_val_examples:
        validation = validation[: plan.max_val_examples]
    return Split(tuple(train), tuple(validation), test or tuple(validation), bool(test))


def frozen_parts(program: ReadRecord, plan: Plan) -> tuple[Freeze, ...]:
    """Return what an optimizer must leave alone: fields not asked for, prompts that are frozen, sentences with placeholders.

    Raises ConfigurationError for a field that does not exist.
    """
    signature = program.read.signature
    output = next(iter(signature.output_fields))
    inside = {
        name.partition(".")[2]: name for name in signature.described_fields if name.startswith(f"{output}.")
    }
    named = [name for name in plan.frozen if name not in PROMPTS]
    for path in (*named, *(plan.include_fields or ()), *(plan.exclude_fields or ())):
        if path not in inside:
            raise ConfigurationError(
                f"There is no field {path!r}. The fields: {', '.join(inside) or 'none'}."
            )
    open_paths = wanted(tuple(inside), plan.include_fields, (*(plan.exclude_fields or ()), *named))
    closed = [
        name for path, name in inside.items() if path not in open_paths or "{" in signature.description(name)
    ]
    if "descriptions" in plan.frozen:
        closed = [*inside.values(), output]
    closed.append(PICTURES)
    if "instruction_prompt" in plan.frozen or placeholders_in(signature.description(DOCUMENT)):
        closed.append(DOCUMENT)
    found = [Freeze(step=STEP, part="field", text=name) for name in closed]
    if "system_prompt" in plan.frozen:
        found.append(Freeze(step=STEP, part="instructions"))
    if "demos" in plan.frozen:
        found.append(Freeze(step=STEP, part="demos"))
    sentences = re.split(r"(?<=[.!?])\s+|\n+", signature.instructions)
    found += [Freeze(step=STEP, part="sentence", text=s) for s in sentences if placeholders_in(s)]
    return tuple(found)


def optimizer_for(plan: Plan, metric: Any, rows: int) -> tuple[Optimizer, str]:
    """Return the optimizer of a plan and why it was chosen. Raises ConfigurationError for a name that is none."""
    fields = FieldByField(
        sequential=plan.sequential,
        good_enough=plan.skip_score_threshold or 1.0,
    )
    if isinstance(plan.optimizer, Optimizer):
        made, why = plan.optimizer, ""
    elif plan.optimizer is None:
        explains = metric.inner if isinstance(metric, RecordScore) else metric
        name, why = choose_optimizer(rows, explains, budget=plan.budget)
        chosen = _by_name(name)(**plan.optimizer_options)
        first, then = ("examples", "fields") if rows >= _EXAMPLES_FIRST else ("fields", "examples")
        made = BetterTogether(None, fields=fields, examples=chosen, strategy=f"{first} -> {then}")
        if rows <= 2:
            made = fields
            why = "Descriptions are tuned field by field: the rows are too few for more."
        elif first == "fields":
            why = f"Descriptions are tuned field by field, then {name}: {why[:1].lower()}{why[1:]}"
        else:
            why = f"{name}, then descriptions are tuned field by field. {why}"
    else:
        kind, why = _by_name(str(plan.optimizer)), ""
        options = dict(plan.optimizer_options)
        if "tune_fields" in kind.options_model.model_fields:
            options.setdefault("tune_fields", True)
        made = fields if kind is FieldByField and not options else kind(**options)
    if type(made).search is Optimizer.search:
        raise ConfigurationError(
            f"{made.name} cannot tune a Prompter: it defines no search. Give one of the engine's optimizers."
        )
    return made, why


def _by_name(name: str) -> type[Optimizer]:
    known = {kind.name.lower(): kind for kind in OPTIMIZERS}
    known["miprov2zeroshot"] = known["bayesiansignatureoptimizer"]
    known["mipro"] = known["miprov2"]
    found = known.get(name.lower().replace("_", ""))
    if found is None:
        raise UnknownNameError("optimizer", name, [*(kind.name for kind in OPTIMIZERS), "miprov2zeroshot"])
    return found


@dataclass(frozen=True)
class Task:
    """An optimization that is ready to run, or to be estimated."""

    program: ReadRecord
    optimizer: Optimizer
    why: str
    settings: Settings
    split: Split
    rows: Rows
    plan: Plan
    metric: RecordScore

    def estimate(self) -> Estimate:
        """Return what the optimization will take: calls, tokens, money, time; nothing is asked."""
        return estimate(self.optimizer.search, self.settings, test_rows=self.split.test)

    async def run(self) -> OptimizationResult:
        """Search, then compare on the rows held out. Raises RunError where no row can be run at all."""
        started = time.monotonic()
        recorder = _Progress(self.plan.on_progress, self.plan.recorder, started)
        driver = Driver(self.settings, recorder, self.plan.control)
        try:
            found = await driver.search(self.optimizer.search, test_rows=len(self.split.test))
            before, after = await driver.compare(driver.seed, found.best, self.split.test)
        except RunError as error:
            if error.__cause__ is None or isinstance(error.__cause__, EngineError):
                raise
            raise error.__cause__ from None  # the metric's or the model class's own error, on every row
        outcomes = [outcome for one in (*found.evaluations, before, after) for outcome in one.outcomes]
        if outcomes and all(outcome.error is not None for outcome in outcomes):
            raise RunError(f"Every row failed, the first with: {outcomes[0].error}")
        judged = verdict(before, after)
        kept = judged.best >= judged.baseline
        recorder.complete(judged)
        return self._result(
            found, (before, after), judged, kept, (driver.ledger.spent, time.monotonic() - started)
        )

    def _result(
        self,
        found: SearchResult,
        evaluations: tuple[Evaluation, Evaluation],
        judged: Verdict,
        kept: bool,
        took: tuple[Usage, float],
    ) -> OptimizationResult:
        best = found.best if kept else found.seed
        state = best.steps[STEP]
        output = next(iter(self.program.read.signature.output_fields))
        tuned = self.program.with_candidate(best).read.signature
        inside = {n.partition(".")[2]: n for n in tuned.described_fields if n.startswith(f"{output}.")}
        first, second = (field_means(e.outcomes) for e in evaluations)
        second = second if kept else first
        last = evaluations[1 if kept else 0]
        errors = field_errors(last.outcomes, self.settings.rows, self.metric)
        return OptimizationResult(
            baseline_score=judged.baseline,
            optimized_score=judged.best if kept else judged.baseline,
            verdict=judged,
            kept=kept,
            optimized_descriptions={
                path: text for path, name in inside.items() if (text := tuned.description(name))
            },
            optimized_system_prompt=state.instructions,
            optimized_instruction_prompt=state.field_descriptions.get(DOCUMENT),
            optimized_demos=[dict(demo.values) for demo in state.demos],
            field_scores={
                p: FieldScore(
                    first.get(p),
                    second.get(p),
                    **{name: errors[p][name] for name in ERRORS if p in errors},
                )
                for p in dict.fromkeys((*first, *second))
            },
            candidate=best,
            seed=found.seed,
            usage=took[0],
            seconds=took[1],
            optimizer=self.optimizer.name,
            advice=self.why,
            reason=found.reason,
            left_out=self.rows.left_out,
            training_size=len(self.split.train),
            validation_size=len(self.split.validation),
            test_size=len(self.split.test),
            held_out=self.split.held_out,
        )


def task_of(
    program: ReadRecord, model: type[BaseModel] | None, examples: Sequence[Example], plan: Plan
) -> Task:
    """Return the optimization of a program on some examples. Raises ConfigurationError."""
    rows = rows_of(examples, model, program)
    output = TEXT if model is None else RECORD
    excluded = dict.fromkeys(plan.exclude_fields or (), 0.0)
    inner = metric_for(
        plan.evaluate_fn, plan.evaluator_config, output=output, labelled=rows.labelled, weights=excluded
    )
    kind = model or TextOutput
    metric = RecordScore(inner, output, lambda value: _as_plain(value, kind if model else None))
    metric.sources = dict(rows.sources)
    split = divided(len(rows.rows), plan)
    optimizer, why = optimizer_for(
        plan, metric, len(split.train) + (split.train != split.validation) * len(split.validation)
    )
    optimizer = optimizer.with_options({})
    optimizer.metric = metric
    made = optimizer.settings(
        program,
        [rows.rows[i] for i in split.train],
        [rows.rows[i] for i in split.validation],
        None,
        plan.budget,
    )
    settings = replace(
        made,
        rows=dict(enumerate(rows.rows)),
        train=split.train,
        validation=split.validation,
        frozen=frozen_parts(program, plan),
        concurrency=plan.num_threads or made.concurrency,
        seed=plan.seed,
        prompt_lm=plan.prompt_lm or made.prompt_lm,
        payer=plan.payer,
        row_numbers=dict(enumerate(rows.numbers)),
    )
    if plan.verbose:
        _log.info(
            "%s %s are tuned on, %s held out.",
            why,
            counted(len(split.train) + len(split.validation), "row"),
            len(split.test),
        )
    return Task(program, optimizer, why, settings, split, rows, plan, metric)


def _as_plain(value: Any, model: type[BaseModel] | None) -> Any:
    """Return a record as plain values by field name; labels are stored by the keys of JSON."""
    if model is not None and isinstance(value, Mapping):
        try:
            return dumped(model.model_validate(value, by_name=True, by_alias=True))
        except ValidationError:
            return json_value(value)
    return dumped(value)


@dataclass
class _Progress:
    """A recorder that turns a search's events into `FieldOptimizationProgress`, and passes them on."""

    listener: OnProgress | None
    other: Recorder | None
    started: float
    _best: Candidate | None = None
    _score: float | None = None
    _failed: bool = field(default=False)

    def record(self, event: events.Event) -> None:
        """Receive one event."""
        if self.other is not None:
            self.other.record(event)
        if isinstance(event, events.NewBest):
            self._new_best(event)

    def complete(self, judged: Verdict) -> None:
        """The comparison is done."""
        self._tell(
            FieldOptimizationProgress(
                "complete",
                judged.baseline,
                judged.best,
                judged.best > judged.baseline,
                elapsed_seconds=self._elapsed(),
            )
        )

    def _elapsed(self) -> float:
        return time.monotonic() - self.started

    def _new_best(self, event: events.NewBest) -> None:
        before, score, state = self._best, self._score, event.candidate.steps[STEP]
        self._best, self._score = event.candidate, event.score
        if before is None:
            self._tell(
                FieldOptimizationProgress(
                    "baseline", event.score, event.score, elapsed_seconds=self._elapsed()
                )
            )
            return
        old = before.steps[STEP]
        changed = [n for n, t in state.field_descriptions.items() if old.field_descriptions.get(n) != t]
        improved = (event.score or 0.0) > (score or 0.0)
        for place, name in enumerate(changed):
            self._tell(
                FieldOptimizationProgress(
                    "instruction_prompt" if name == DOCUMENT else "fields",
                    score,
                    event.score,
                    improved,
                    len(changed),
                    name.partition(".")[2] or name,
                    place,
                    self._elapsed(),
                    state.field_descriptions[name],
                )
            )
        if state.instructions != old.instructions:
            self._tell(
                FieldOptimizationProgress(
                    "system_prompt",
                    score,
                    event.score,
                    improved,
                    elapsed_seconds=self._elapsed(),
                    optimized_value=state.instructions,
                )
            )

    def _tell(self, progress: FieldOptimizationProgress) -> None:
        if self.listener is None or self._failed:
            return
        try:
            self.listener(progress)
        except Exception:  # noqa: BLE001 - whatever a listener does, the optimization goes on
            self._failed = True
            _log.exception("on_progress failed, and is not called again.")
