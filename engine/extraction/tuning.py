"""One optimization: examples as rows, their split, the optimizer, what it must leave alone, and the report."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.basics.text import counted
from engine.errors import (
    ConfigurationError,
    DatasetError,
    RunError,
    UnknownNameError,
    first_problem,
)
from engine.extraction.examples import Example
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
from engine.extraction.results import FieldOptimizationProgress, FieldScore, OptimizationResult, Phase
from engine.extraction.scoring import RecordScore, field_errors, field_means, metric_for, wanted
from engine.optimizers.base import Optimizer, Tuned, Tuning
from engine.optimizers.better_together import BetterTogether
from engine.optimizers.choose import choose_optimizer
from engine.optimizers.field_by_field import FieldByField
from engine.records import Candidate
from engine.records import Example as Row
from engine.registry import OPTIMIZERS
from engine.search import events
from engine.search.budget import Budget
from engine.search.estimate import Estimate, estimate
from engine.search.freeze import Freeze
from engine.search.settings import Recorder
from engine.search.verdict import verdict

_log = logging.getLogger(__name__)

OnProgress = Callable[[FieldOptimizationProgress], object]
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
    numbers: tuple[int, ...]
    left_out: tuple[str, ...]


def rows_of(examples: Sequence[Example], model: type[BaseModel] | None, program: ReadRecord) -> Rows:
    """Return examples as rows; one that cannot be used is left out, with a message that names row, field and reason.

    Raises ConfigurationError where none is left.
    """
    rows: dict[int, Row] = {}
    problems: list[str] = []
    labelled = is_labelled(examples)
    for number, example in enumerate(examples, start=1):
        try:
            values = inputs_of(example, program)
            if labelled:
                values[TEXT if model is None else RECORD] = label_of(example.expected_output, model)
        except (DatasetError, ValueError) as error:
            problems.append(f"Row {number} is left out: {error}")
            _log.warning("%s", problems[-1])
            continue
        rows[number] = Row(values).with_inputs(DOCUMENT, PICTURES, "placeholders")
    if not rows:
        first = problems[0] if problems else "The list is empty."
        raise ConfigurationError(f"There is no example to tune with. {first}")
    return Rows(tuple(rows.values()), tuple(rows), tuple(problems))


def is_labelled(examples: Sequence[Example]) -> bool:
    """Return whether a right answer is known; where none is, a model judges."""
    return any(example.expected_output is not None for example in examples)


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
    read: Any = model.model_validate_json if isinstance(given, str) else model.model_validate
    try:
        record: BaseModel = read(given, by_name=True, by_alias=True)
    except ValidationError as error:
        where, message = first_problem(error, "the whole record")
        raise ValueError(
            f"field {where!r} of its expected output does not fit: {message}, but is "
            f"{str(error.errors(include_url=False)[0]['input'])[:80]!r}."
        ) from None
    return record


class Split(NamedTuple):
    """Places of rows by what they are for. `held_out` is False where too few rows are there to keep any back."""

    train: list[int]
    validation: list[int]
    test: list[int]
    held_out: bool


def divided(rows: int, plan: Plan) -> Split:
    """Return the split of a number of rows: a share held out for the score, the rest halved into training and validation.

    >>> split = divided(10, Plan())
    >>> len(split.train), len(split.validation), len(split.test), split.held_out
    (4, 4, 2, True)
    """
    ids = list(range(rows))
    random.Random(plan.seed).shuffle(ids)
    held_out = rows >= 3 and plan.train_split < 1
    size = min(rows - 1, max(1, round((1 - plan.train_split) * rows))) if held_out else 0
    test, rest = ids[:size], ids[size:]
    half = len(rest) // 2
    train, validation = (rest[:half], rest[half:]) if len(rest) >= 4 else (rest, rest)
    validation = validation[: plan.max_val_examples]
    return Split(train, validation, test or validation, held_out)


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
    """Return the optimizer of a plan, with its metric, and why it was chosen. Raises ConfigurationError for an unknown name."""
    fields = FieldByField(sequential=plan.sequential, good_enough=plan.skip_score_threshold or 1.0)
    made, why = plan.optimizer, ""
    if plan.optimizer is None:
        made, why = _advised(plan, metric, rows, fields)
    elif not isinstance(made, Optimizer):
        kind, options = _by_name(str(plan.optimizer)), dict(plan.optimizer_options)
        if "tune_fields" in kind.options_model.model_fields:
            options.setdefault("tune_fields", True)
        made = fields if kind is FieldByField and not options else kind(**options)
    if type(made).search is Optimizer.search:
        raise ConfigurationError(
            f"{made.name} cannot tune a Prompter: it defines no search. Give one of the engine's optimizers."
        )
    return made.with_options({"metric": metric}), why


def _advised(plan: Plan, metric: Any, rows: int, fields: FieldByField) -> tuple[Optimizer, str]:
    """Return the optimizer for a number of rows, and the reason."""
    if rows <= 2:
        return fields, "Descriptions are tuned field by field: the rows are too few for more."
    name, why = choose_optimizer(rows, metric.inner, budget=plan.budget)
    parts: dict[str, Any] = {"fields": fields, "examples": _by_name(name)(**plan.optimizer_options)}
    if rows >= _EXAMPLES_FIRST:
        chain, why = "examples -> fields", f"{name}, then descriptions are tuned field by field. {why}"
    else:
        chain = "fields -> examples"
        why = f"Descriptions are tuned field by field, then {name}: {why[:1].lower()}{why[1:]}"
    return BetterTogether(None, strategy=chain, **parts), why


def _by_name(name: str) -> type[Optimizer]:
    known = {kind.name.lower(): kind for kind in OPTIMIZERS}
    known["miprov2zeroshot"] = known["bayesiansignatureoptimizer"]
    known["mipro"] = known["miprov2"]
    found = known.get(name.lower().replace("_", ""))
    if found is None:
        raise UnknownNameError("optimizer", name, [*(kind.name for kind in OPTIMIZERS), "miprov2zeroshot"])
    return found


class Task(NamedTuple):
    """An optimization that is ready to run, or to be estimated."""

    tuning: Tuning
    why: str
    split: Split
    left_out: tuple[str, ...]
    plan: Plan
    metric: RecordScore

    def estimate(self) -> Estimate:
        """Return what the optimization will take: calls, tokens, money, time; nothing is asked."""
        return estimate(self.tuning.optimizer.search, self.tuning.settings, test_rows=self.tuning.test)

    async def run(self) -> OptimizationResult:
        """Search, then compare on the rows held out. Raises RunError where no row can be run at all."""
        progress = _Progress(self.plan.on_progress, self.plan.recorder)
        tuned = await self.tuning.run(progress, self.plan.control)
        return self._result(tuned, progress)

    def _result(self, tuned: Tuned, progress: _Progress) -> OptimizationResult:
        search, tested = tuned.search, tuned.tested
        outcomes = [outcome for e in (*search.evaluations, *tested) for outcome in e.outcomes]
        if outcomes and all(outcome.error is not None for outcome in outcomes):
            raise RunError(f"Every row failed, the first with: {outcomes[0].error}")
        judged = verdict(*tested)
        progress.report("complete", judged.baseline, judged.best)
        kept = judged.best >= judged.baseline
        last = tested[kept]
        before, after = field_means(tested[0].outcomes), field_means(last.outcomes)
        errors = field_errors(last.outcomes, self.tuning.settings.rows, self.metric)
        return OptimizationResult(
            baseline_score=judged.baseline,
            optimized_score=judged.best if kept else judged.baseline,
            verdict=judged,
            kept=kept,
            field_scores={
                path: FieldScore(before.get(path), after.get(path), **errors.get(path, {}))
                for path in dict.fromkeys((*before, *after))
            },
            candidate=search.best if kept else search.seed,
            seed=search.seed,
            usage=tuned.usage,
            seconds=tuned.seconds,
            optimizer=self.tuning.optimizer.name,
            advice=self.why,
            reason=search.reason,
            left_out=self.left_out,
            training_size=len(self.split.train),
            validation_size=len(self.split.validation),
            test_size=len(self.split.test),
            held_out=self.split.held_out,
        )


def task_of(
    program: ReadRecord, model: type[BaseModel] | None, examples: Sequence[Example], plan: Plan
) -> Task:
    """Return the optimization of a program on some examples. Raises ConfigurationError."""
    given = rows_of(examples, model, program)
    numbers = {id(row): number for row, number in zip(given.rows, given.numbers, strict=True)}
    output = TEXT if model is None else RECORD
    excluded = dict.fromkeys(plan.exclude_fields or (), 0.0)
    inner = metric_for(
        plan.evaluate_fn,
        plan.evaluator_config,
        output=output,
        labelled=is_labelled(examples),
        weights=excluded,
    )
    metric = RecordScore(inner, output, model)
    metric.sources = {row: examples[number - 1] for row, number in numbers.items()}
    split = divided(len(given.rows), plan)
    optimizer, why = optimizer_for(plan, metric, len({*split.train, *split.validation}))
    train, validation, test = ([given.rows[place] for place in side] for side in split[:3])
    tuning = optimizer.tuning(
        program,
        trainset=train,
        valset=validation,
        testset=test,
        budget=plan.budget,
        frozen=frozen_parts(program, plan),
    )
    settings = replace(
        tuning.settings,
        concurrency=plan.num_threads or tuning.settings.concurrency,
        seed=plan.seed,
        prompt_lm=plan.prompt_lm or tuning.settings.prompt_lm,
        payer=plan.payer,
        row_numbers={place: numbers[id(row)] for place, row in tuning.settings.rows.items()},
    )
    if plan.verbose:
        tuned_on = counted(len(train) + len(validation), "row")
        _log.info("%s %s are tuned on, %s held out.", why, tuned_on, len(test))
    return Task(replace(tuning, settings=settings), why, split, given.left_out, plan, metric)


class _Progress:
    """A recorder that turns a search's events into `FieldOptimizationProgress`, and passes them on."""

    def __init__(self, listener: OnProgress | None, other: Recorder | None) -> None:
        self._listener, self._other = listener, other
        self._started = time.monotonic()
        self._best: Candidate | None = None
        self._score: float | None = None

    def record(self, event: events.Event) -> None:
        """Receive one event."""
        if self._other is not None:
            self._other.record(event)
        if isinstance(event, events.NewBest):
            self._new_best(event.candidate, event.score)

    def _new_best(self, candidate: Candidate, score: float | None) -> None:
        best, before, state = self._best, self._score, candidate.steps[STEP]
        self._best, self._score = candidate, score
        if best is None:
            self.report("baseline", score, score)
            return
        old, texts = best.steps[STEP], state.field_descriptions
        changed = [name for name, text in texts.items() if old.field_descriptions.get(name) != text]
        for place, name in enumerate(changed):
            phase: Phase = "instruction_prompt" if name == DOCUMENT else "fields"
            path = name.partition(".")[2] or name
            field = {"total_fields": len(changed), "field_path": path, "field_index": place}
            self.report(phase, before, score, optimized_value=texts[name], **field)
        if state.instructions != old.instructions:
            self.report("system_prompt", before, score, optimized_value=state.instructions)

    def report(self, phase: Phase, before: float | None, after: float | None, **more: Any) -> None:
        """Report a step of the optimization to the user's function, until that fails."""
        if self._listener is None:
            return
        improved, elapsed = (after or 0.0) > (before or 0.0), time.monotonic() - self._started
        try:
            self._listener(
                FieldOptimizationProgress(phase, before, after, improved, elapsed_seconds=elapsed, **more)
            )
        except Exception:  # noqa: BLE001 - whatever a listener does, the optimization goes on
            self._listener = None
            _log.exception("on_progress failed, and is not called again.")
