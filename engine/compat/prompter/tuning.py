"""One optimization of a `Prompter`: rows, split, optimizer and frozen parts as a tuning, and its result."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.basics.data import JsonObject, Values
from engine.compat.prompter.documents import DOCUMENT, PICTURES, PLACEHOLDERS, LabelledDocument
from engine.compat.prompter.program import STEP, TEXT, ReadRecord, placeholders_in
from engine.compat.prompter.results import FieldOptimizationProgress, FieldScore, OptimizationResult, Phase
from engine.dataset.splitting import SIDES, Split, split_rows
from engine.errors import ConfigurationError, DatasetError, RunError, UnknownNameError, first_problem
from engine.lm.base import BaseLM
from engine.metrics.base import Metric, Scorer, usable_metric
from engine.metrics.json_fields import JSONMatch
from engine.metrics.judge import Rubric
from engine.metrics.similarity import TokenF1
from engine.optimizers.base import Optimizer
from engine.optimizers.better_together import BetterTogether
from engine.optimizers.choose import choose_optimizer
from engine.optimizers.field_by_field import FieldByField
from engine.records import Candidate, Example, Outcome, plain_path
from engine.registry import OPTIMIZERS
from engine.search import events
from engine.search.budget import Budget
from engine.search.freeze import Freeze
from engine.search.judging.verdict import verdict
from engine.search.settings import Recorder
from engine.search.tuning import Tuned, Tuning

_log = logging.getLogger(__name__)

_EXAMPLES_FIRST = 20
"""Rows from which on descriptions are tuned last: measured on the sample's invoices, see the benchmarks' guide."""

PROMPTS = ("descriptions", "system_prompt", "instruction_prompt", "demos")
"""Parts that can be frozen by name, next to fields by path."""


class OptimizeOptions(BaseModel):
    """The options of `Prompter.optimize`."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    evaluate_fn: Any = None
    """The score: "exact" or another evaluator's name, a function of (example, record), a metric, or a model that judges.

    A model also judges, the one in force, where no example has an expected output.
    """
    evaluator_config: JsonObject | None = None
    """Evaluators by field: {"default": ..., "field_overrides": {path: ...}}."""
    optimizer: Any = None
    """A name or an object; None chooses by the number of rows."""
    optimizer_options: JsonObject = Field(default_factory=dict)
    """Options of an optimizer that is given by name."""
    train_split: float = Field(0.8, gt=0, le=1)
    """Share of rows to tune on, halved into training and validation; the rest is held out for the score."""
    max_val_examples: int | None = Field(None, ge=1)
    """Most validation rows."""
    include_fields: tuple[str, ...] | None = None
    """Fields to tune, by path; None for all."""
    exclude_fields: tuple[str, ...] | None = None
    """Fields that are neither tuned nor scored, by path."""
    frozen: tuple[str, ...] = ()
    """Parts that stay: "descriptions", "system_prompt", "instruction_prompt", "demos" or paths of fields."""
    sequential: bool = False
    """Tune one field after the other."""
    parallel_fields: bool = True
    """DSPydantic's; without effect."""
    skip_score_threshold: float | None = Field(None, gt=0, le=1)
    """Score from which a field is left alone."""
    num_threads: int | None = Field(None, ge=1)
    """Calls at once."""
    budget: Budget | None = None
    """Limits of the search, or a number of calls."""
    seed: int = 0
    """Seed of the split and the search."""
    verbose: bool = False
    """Log the choice of optimizer and the split."""
    prompt_lm: Any = None
    """Model that writes the texts; None for the task's."""
    on_progress: Any = None
    """Function that receives each `FieldOptimizationProgress`."""
    recorder: Any = None
    """Recorder of the search's events."""
    control: Any = None
    """Pause and stop of the search."""
    payer: str | None = None
    """A name under which an optimization that was interrupted goes on."""

    @classmethod
    def of(cls, options: Mapping[str, object]) -> OptimizeOptions:
        """Return the options of some arguments. Raises ConfigurationError that names the first one that does not fit."""
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            name, message = first_problem(error)
            if error.errors()[0]["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields)
                raise ConfigurationError(f"optimize() takes no {name!r}. It takes: {known}.") from None
            raise ConfigurationError(f"optimize(): {name!r} does not fit: {message}.") from None


@dataclass(frozen=True)
class RecordTuning:
    """An optimization that is ready to run, or to be estimated."""

    tuning: Tuning
    """The tuning that `compile` would run."""
    metric: Scorer
    """The metric of the rows."""
    options: OptimizeOptions
    """The user's options."""
    known: Values
    """What the result says that is known before: the optimizer, its advice, rows left out, and whether rows are held out."""

    async def run(self) -> OptimizationResult:
        """Search, then compare on the rows held out. Raises RunError if no row can be run at all."""
        progress = _Progress(self.options.on_progress, self.options.recorder)
        tuned = await self.tuning.run(progress, self.options.control)
        outcomes = [o for e in (*tuned.search.evaluations, *tuned.tested) for o in e.outcomes]
        if outcomes and all(outcome.error is not None for outcome in outcomes):
            raise RunError(f"Every row failed, the first with: {outcomes[0].error}")
        result = self._result(tuned)
        progress.report("complete", result.verdict.baseline, result.verdict.best)
        return result

    def _result(self, tuned: Tuned) -> OptimizationResult:
        search, settings = tuned.search, self.tuning.settings
        comparison = verdict(*tuned.tested)
        is_kept = comparison.best >= comparison.baseline
        outcomes = tuned.tested[is_kept].outcomes
        before, after = field_means(tuned.tested[0].outcomes), field_means(outcomes)
        errors = field_errors(outcomes, settings.rows, self.metric)
        return OptimizationResult(
            baseline_score=comparison.baseline,
            optimized_score=max(comparison.best, comparison.baseline),
            verdict=comparison,
            kept=is_kept,
            field_scores={
                path: FieldScore(before.get(path), after.get(path), **errors.get(path, Counter()))
                for path in before | after
            },
            candidate=search.best if is_kept else search.seed,
            seed=search.seed,
            usage=tuned.usage,
            seconds=tuned.seconds,
            reason=search.reason,
            training_size=len(settings.train),
            validation_size=len(settings.validation),
            test_size=len(self.tuning.test),
            **self.known,
        )


def record_tuning(
    program: ReadRecord,
    model: type[BaseModel] | None,
    documents: Sequence[LabelledDocument],
    options: OptimizeOptions,
) -> RecordTuning:
    """Return the optimization of a program on some documents. Raises ConfigurationError."""
    rows, left_out = labelled_rows(documents, model, program)
    metric = metric_for(
        options.evaluate_fn,
        options.evaluator_config,
        output=program.output,
        sources={id(row): documents[number - 1] for number, row in rows.items()},
        weights=dict.fromkeys(options.exclude_fields or (), 0.0),
    )
    split = divided(rows, options)
    tuned_on = {*split.train, *split.validation}
    optimizer, advice = _optimizer(options, metric, len(tuned_on))
    tuning = optimizer.tuning(
        program,
        trainset=[rows[number] for number in split.train],
        valset=[rows[number] for number in split.validation],
        testset=[rows[number] for number in split.test],
        budget=options.budget,
    )
    numbers = {id(row): number for number, row in rows.items()}
    settings = replace(
        tuning.settings,
        concurrency=options.num_threads or tuning.settings.concurrency,
        seed=options.seed,
        frozen=frozen_parts(program, options),
        prompt_lm=options.prompt_lm or tuning.settings.prompt_lm,
        payer=options.payer,
        row_numbers={place: numbers[id(row)] for place, row in tuning.settings.rows.items()},
    )
    if options.verbose:
        _log.info("%s %d rows are tuned on, %d held out.", advice, len(tuned_on), len(split.test))
    tuning = replace(tuning, settings=settings)
    held_out = tuned_on.isdisjoint(split.test)
    known = {"optimizer": optimizer.name, "advice": advice, "left_out": left_out, "held_out": held_out}
    return RecordTuning(tuning, metric, options, known)


# Rows


def labelled_rows(
    documents: Sequence[LabelledDocument], model: type[BaseModel] | None, program: ReadRecord
) -> tuple[dict[int, Example], tuple[str, ...]]:
    """Return documents as rows by their number (from 1), and messages on those left out: row, field and reason.

    Raises ConfigurationError if no row is left.
    """
    rows: dict[int, Example] = {}
    problems: list[str] = []
    labelled = any(document.expected_output is not None for document in documents)
    for number, document in enumerate(documents, start=1):
        try:
            values = program.inputs(document)
            if labelled:
                values[program.output] = label_values(document.expected_output, model)
        except (DatasetError, ValueError) as error:
            problems.append(f"Row {number} is left out: {error}")
            _log.warning("%s", problems[-1])
            continue
        rows[number] = Example(values).with_inputs(DOCUMENT, PICTURES, PLACEHOLDERS)
    if not rows:
        first = problems[0] if problems else "The list is empty."
        raise ConfigurationError(f"There is no example to tune with. {first}")
    return rows, tuple(problems)


def label_values(expected: object, model: type[BaseModel] | None) -> Any:
    """Return a right answer as JSON values by field name. Raises ValueError naming the field that does not fit."""
    if expected is None:
        raise ValueError("it has no expected output, and others have one.")
    if model is None:
        values = expected.model_dump() if isinstance(expected, BaseModel) else expected
        return str(values.get(TEXT, values) if isinstance(values, Mapping) else values)
    try:
        if not isinstance(expected, model):
            given = expected.model_dump() if isinstance(expected, BaseModel) else expected
            read: Callable[..., BaseModel] = (
                model.model_validate_json if isinstance(given, str) else model.model_validate
            )
            expected = read(given, by_name=True, by_alias=True)
        return expected.model_dump(mode="json", by_alias=False)
    except ValidationError as error:
        where, message = first_problem(error, "the whole record")
        value = str(error.errors(include_url=False)[0]["input"])[:80]
        raise ValueError(
            f"field {where!r} of its expected output does not fit: {message}, but is {value!r}."
        ) from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"its expected output cannot be written as JSON: {error}") from None


def divided(rows: Mapping[int, Example], options: OptimizeOptions) -> Split:
    """Return a share of the rows held out for the score, the rest halved into training and validation.

    Rows that are too few to divide serve several purposes.

    >>> rows = {n: Example(document=str(n)).with_inputs("document") for n in range(10)}
    >>> divided(rows, OptimizeOptions()).sizes
    (4, 4, 2)
    """
    share, fewest = options.train_split, 1 / max(1, len(rows))  # every side has a row
    half = min(max(share / 2, fewest), (1 - fewest) / 2)
    shares = SimpleNamespace(train=half, validation=half, test=1 - 2 * half, seed=options.seed)
    try:
        split = split_rows(rows, shares, outputs=(), smallest=dict.fromkeys(SIDES, 1))
        train, validation, test = split.train, split.validation, split.test
    except DatasetError:
        train = validation = test = tuple(rows)
        share = 1
    if share == 1:
        validation = test = tuple(dict.fromkeys((*validation, *test)))[: options.max_val_examples]
    elif len(train) + len(validation) < 4:
        train = validation = (*train, *validation)
    return Split(train, validation[: options.max_val_examples], test)


# What is tuned, and by what


def frozen_parts(program: ReadRecord, options: OptimizeOptions) -> tuple[Freeze, ...]:
    """Return the parts that an optimizer must not change: fields, prompts, and sentences with placeholders.

    Raises ConfigurationError for a field that does not exist.
    """
    signature, lead = program.read.signature, f"{program.output}."
    paths = [name.removeprefix(lead) for name in signature.described_fields if name.startswith(lead)]
    named = [name for name in options.frozen if name not in PROMPTS]
    included, excluded = options.include_fields, (*(options.exclude_fields or ()), *named)
    for path in (*(included or ()), *excluded):
        if path not in paths:
            raise ConfigurationError(f"There is no field {path!r}. The fields: {', '.join(paths) or 'none'}.")
    closed = [
        lead + path
        for path in paths
        if "descriptions" in options.frozen
        or (included is not None and not _under(path, included))
        or _under(path, excluded)
        or "{" in signature.description(lead + path)
    ]
    if "descriptions" in options.frozen:
        closed.append(program.output)
    closed.append(PICTURES)
    if "instruction_prompt" in options.frozen or placeholders_in(signature.description(DOCUMENT)):
        closed.append(DOCUMENT)
    frozen = [Freeze(step=STEP, part="field", text=name) for name in closed]
    if "system_prompt" in options.frozen:
        frozen.append(Freeze(step=STEP, part="instructions"))
    if "demos" in options.frozen:
        frozen.append(Freeze(step=STEP, part="demos"))
    sentences = re.split(r"(?<=[.!?])\s+|\n+", signature.instructions)
    frozen += [Freeze(step=STEP, part="sentence", text=s) for s in sentences if placeholders_in(s)]
    return tuple(frozen)


def _under(path: str, roots: Iterable[str]) -> bool:
    """Return whether a path is one of some others, or inside one of them."""
    return any(path == root or path.startswith(f"{root}.") for root in roots)


def _optimizer(options: OptimizeOptions, metric: Scorer, rows: int) -> tuple[Optimizer, str]:
    """Return the optimizer with its metric, and the reason for it. Raises ConfigurationError for an unknown name."""
    fields = FieldByField(sequential=options.sequential, good_enough=options.skip_score_threshold or 1.0)
    optimizer, advice = options.optimizer, ""
    if optimizer is None:
        optimizer, advice = _advised_optimizer(options, metric, rows, fields)
    elif not isinstance(optimizer, Optimizer):
        kind, given = _optimizer_class(str(optimizer)), dict(options.optimizer_options)
        if "tune_fields" in kind.options_model.model_fields:
            given.setdefault("tune_fields", True)
        optimizer = fields if kind is FieldByField and not given else kind(**given)
    if type(optimizer).search is Optimizer.search:
        raise ConfigurationError(
            f"{optimizer.name} cannot tune a Prompter: it defines no search. Give one of the engine's optimizers."
        )
    return optimizer.with_options({"metric": metric}), advice


def _advised_optimizer(
    options: OptimizeOptions, metric: Scorer, rows: int, fields: FieldByField
) -> tuple[Optimizer, str]:
    if rows <= 2:
        return fields, "Descriptions are tuned field by field: the rows are too few for more."
    name, advice = choose_optimizer(rows, metric, budget=options.budget)
    examples = _optimizer_class(name)(**options.optimizer_options)
    if rows >= _EXAMPLES_FIRST:
        strategy, advice = (
            "examples -> fields",
            f"{name}, then descriptions are tuned field by field. {advice}",
        )
    else:
        strategy = "fields -> examples"
        advice = f"Descriptions are tuned field by field, then {name}: {advice[:1].lower()}{advice[1:]}"
    return BetterTogether(None, strategy=strategy, fields=fields, examples=examples), advice


def _optimizer_class(name: str) -> type[Optimizer]:
    """Return an optimizer by its name in any case, or by DSPydantic's. Raises UnknownNameError."""
    name = name.lower().replace("_", "")
    wanted = {"miprov2zeroshot": "bayesiansignatureoptimizer", "mipro": "miprov2"}.get(name, name)
    kind = next((kind for kind in OPTIMIZERS if kind.name.lower() == wanted), None)
    if kind is None:
        raise UnknownNameError("optimizer", name, [*(kind.name for kind in OPTIMIZERS), "miprov2zeroshot"])
    return kind


# Scores

CRITERIA = (
    "Every value of the record is in the document, and nothing is invented.",
    "No value that the document has for a field is missing.",
    "Each value is in the field that it belongs to, in the form its description asks for.",
)


def metric_for(
    evaluate_fn: object,
    evaluator_config: Values | None,
    *,
    output: str,
    sources: Mapping[int, LabelledDocument],
    weights: Mapping[str, float],
) -> Scorer:
    """Return the metric that a user's choice comes to; see `OptimizeOptions`. Raises ConfigurationError.

    `sources` are the documents by the id of their row.
    """
    labelled = any(document.expected_output is not None for document in sources.values())
    if isinstance(evaluate_fn, BaseLM):
        return Rubric(lm=evaluate_fn, field=output, criteria=CRITERIA, show_expected=labelled)
    if isinstance(evaluate_fn, Metric):
        return evaluate_fn
    if callable(evaluate_fn):
        return _document_metric(usable_metric(evaluate_fn), output, sources)
    if not labelled:
        return Rubric(field=output, criteria=CRITERIA, show_expected=False)
    config = evaluator_config or ({} if evaluate_fn is None else {"default": evaluate_fn})
    if unknown := sorted(config.keys() - {"default", "field_overrides"}):
        raise ConfigurationError(
            f"evaluator_config has no {unknown[0]!r}. It has default, and field_overrides: path to evaluator."
        )
    if not config and output == TEXT:
        return TokenF1(field=TEXT)
    evaluators = {**(config.get("field_overrides") or {})}
    if config.get("default") is not None:
        evaluators["default"] = config["default"]
    return JSONMatch(field=output, weights=dict(weights), evaluators=evaluators, best_match=True)


def _document_metric(
    function: Callable[..., object], output: str, sources: Mapping[int, LabelledDocument]
) -> Scorer:
    """Return a user's function of (document, record) as a metric."""

    def score(row: Values, prediction: Values) -> object:
        document = sources.get(id(row))
        if document is None:
            document = LabelledDocument(str(row.get(DOCUMENT, "")), expected_output=row.get(output))
        return function(document, prediction[output])

    score.__name__ = str(getattr(function, "__name__", "evaluate_fn"))
    return score


def field_means(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the mean score of each field over some outcomes; a row that failed has 0 in all."""
    values: dict[str, list[float]] = {}
    for outcome in outcomes:
        of_row: dict[str, list[float]] = {}
        for path, score in (outcome.objective_scores or {}).items():
            of_row.setdefault(plain_path(path), []).append(score)
        for path, scores in of_row.items():
            values.setdefault(path, []).append(sum(scores) / len(scores))
    failed = sum(outcome.error is not None for outcome in outcomes)
    return {path: sum(scores) / (len(scores) + failed) for path, scores in values.items()}


def field_errors(
    outcomes: Iterable[Outcome], rows: Mapping[int, Example], metric: object
) -> dict[str, Counter[str]]:
    """Return how many values of each field are wrong, missing and invented; {} for a metric that no code computes.

    Rows that failed are not counted: their errors are in the report.
    """
    errors: dict[str, Counter[str]] = {}
    if not isinstance(metric, JSONMatch) or metric.awaits:
        return errors
    for outcome in outcomes:
        for field in metric(rows[outcome.row], outcome.prediction).fields if outcome.error is None else ():
            if field.status != "right":
                errors.setdefault(plain_path(field.path), Counter())[field.status] += 1
    return errors


class _Progress:
    """A recorder that turns a search's events into `FieldOptimizationProgress`, and passes them on."""

    def __init__(
        self, listener: Callable[[FieldOptimizationProgress], object] | None, other: Recorder | None
    ) -> None:
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
