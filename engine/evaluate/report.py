"""`Evaluate`: a program's score on a set of examples, with its interval and every row, for scripts and notebooks."""

from __future__ import annotations

import copy
import csv
import io
import logging
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict, Unpack

import orjson

from engine import loop
from engine.basics.data import JsonObject
from engine.basics.home import write_whole
from engine.basics.progress import ProgressLine
from engine.basics.statistics import Interval, mean_interval, resampled_interval
from engine.basics.text import counted, cut, harmless, percent
from engine.callbacks import observed
from engine.errors import ConfigurationError, MetricError, RunError
from engine.evaluate.rows import Runner, refuse_rows_without_inputs
from engine.metrics.base import Grade, Scorer, metric_name, usable_metric
from engine.metrics.whole_set import WholeSetMetric
from engine.modules.function_program import as_program
from engine.records import Example, Outcome, json_value
from engine.runtime import current
from engine.signature.prediction import Prediction

if TYPE_CHECKING:
    from engine.modules.module import Module


OnProgress = Callable[[int, int, float], object]
"""Hears of rows done, rows in all, and the mean score so far (0-1)."""

_log = logging.getLogger(__name__)


class Progress:
    """Counts rows, shows a line when `shown`, and reports to `listener`; an error in the listener is logged and changes nothing."""

    def __init__(self, rows: int, listener: OnProgress | None, *, shown: bool) -> None:
        self._rows, self._listener = rows, listener
        self._total, self._done = 0.0, 0
        self._line = ProgressLine(shown=shown)

    def advance(self, score: float) -> None:
        """A row is done."""
        self._total, self._done = self._total + score, self._done + 1
        mean = self._total / self._done
        done = f"{self._done} of {counted(self._rows, 'row')}"
        self._line.show(f"Mean score {percent(mean, 1)}", self._done, self._rows, done)
        if self._listener is not None:
            try:
                self._listener(self._done, self._rows, mean)
            except Exception:  # noqa: BLE001 - whatever a listener does, the evaluation goes on
                _log.exception("The progress callback failed.")

    def close(self) -> None:
        """The evaluation is over."""
        self._line.close()


Row = tuple[Example, Prediction, Any]
"""An example, the prediction (empty when the row failed) and what the metric returned."""

_CELL = 60

_TABLE_ROWS = 20


class EvaluationResult(Prediction):
    """A program's score in percent (0-100, two decimals), and everything behind it.

    `results` are (example, prediction, score) in the order of the examples; `outcomes` the same rows as records, with
    their errors, usage and seconds; `interval` is the 95 % interval of the score, in percent. After several repeats
    `results` holds all of them, one repeat after another, `repeats` the score of each, and `spread` their standard
    deviation in points; the interval is that of the rows' means. A number of the whole set (macro F1) has the interval
    that drawing the rows again and again gives.

    >>> from engine.records import Outcome
    >>> row = Example(question="1 + 1", answer="2").with_inputs("question")
    >>> results = [(row, Prediction(answer="2"), True), (row, Prediction(), 0.0)]
    >>> found = EvaluationResult(50.0, results, [Outcome(0, 1.0), Outcome(1, 0.0, error="No answer.")])
    >>> found.score, [outcome.error for outcome in found.failures], round(found.interval.low)
    (50.0, ['No answer.'], 9)
    """

    __slots__ = ("interval", "outcomes", "repeats", "results")

    results: list[Row]
    outcomes: tuple[Outcome, ...]
    interval: Interval
    score: float
    repeats: tuple[float, ...]

    def __init__(
        self,
        score: float,
        results: list[Row],
        outcomes: Sequence[Outcome] = (),
        repeats: Sequence[float] = (),
        interval: Interval | None = None,
    ) -> None:
        super().__init__(score=score)
        times = max(1, len(repeats))
        every = [float(row[2]) for row in results]
        rows = len(every) // times
        # A row asked several times is one row: counting it as several would narrow the interval without reason.
        scores = [sum(every[i::rows]) / times for i in range(rows)]
        graded = interval or mean_interval(scores)
        percent = Interval(score, 100 * graded.low, 100 * graded.high, graded.rows)
        known = {"results": results, "outcomes": tuple(outcomes), "interval": percent}
        for name, value in {**known, "repeats": tuple(repeats) or (score,)}.items():
            object.__setattr__(self, name, value)

    @property
    def spread(self) -> float:
        """The standard deviation of the repeats' scores, in points; 0 for a single one."""
        return statistics.stdev(self.repeats) if len(self.repeats) > 1 else 0.0

    @property
    def failures(self) -> list[Outcome]:
        """The rows that failed, each with its error."""
        return [outcome for outcome in self.outcomes if outcome.error is not None]

    def __reduce__(self) -> Any:
        known = self.interval
        unit = known._replace(mean=known.mean / 100, low=known.low / 100, high=known.high / 100)
        return EvaluationResult, (self.score, self.results, self.outcomes, self.repeats, unit)

    def __repr__(self) -> str:
        return f"EvaluationResult(score={self.score}, results=<list of {len(self.results)} results>)"


class EvaluateOptions(TypedDict, total=False):
    """The rarer arguments of `Evaluate`."""

    repeats: int
    on_progress: OnProgress | None
    save_as_csv: str | Path | None
    save_as_json: str | Path | None
    provide_traceback: bool | None


class Evaluate:
    """Scores programs on `devset` with `metric`, `num_threads` rows at once.

    A row that fails counts `failure_score` and keeps its error in the result. With `max_errors` the evaluation
    gives up (RunError) after that many failed rows; by default it never does.

    With `repeats` every row is asked that often, as fresh samples (a model at temperature 0 may still say the same);
    the result has the mean and the spread. `on_progress(done, total, mean)` hears of every row, with the mean score
    so far (0-1).

    >>> from engine import Predict, context
    >>> from engine.testing import DummyLM
    >>> rows = [Example(question="1+1", answer="2").with_inputs("question")]
    >>> evaluate = Evaluate(devset=rows, metric=lambda row, answer: row.answer == answer.answer)
    >>> with context(lm=DummyLM([{"answer": "2"}])):
    ...     evaluate(Predict("question -> answer")).score
    100.0
    """

    reported_as: ClassVar[str] = "evaluate"

    def __init__(
        self,
        *,
        devset: Sequence[Example],
        metric: Scorer | None = None,
        num_threads: int | None = None,
        display_progress: bool = False,
        display_table: bool | int = False,
        max_errors: int | None = None,
        failure_score: float = 0.0,
        **options: Unpack[EvaluateOptions],
    ) -> None:
        self.devset = devset
        self.metric = metric
        self.num_threads = num_threads
        self.display_progress = display_progress
        self.display_table = display_table
        self.max_errors = max_errors
        self.failure_score = failure_score
        self.repeats = options.get("repeats", 1)
        self.on_progress = options.get("on_progress")
        unknown = options.keys() - EvaluateOptions.__annotations__.keys() - {"callback_metadata"}
        if unknown:
            raise ConfigurationError(_takes_no(min(unknown)))
        self.save_as_csv, self.save_as_json = options.get("save_as_csv"), options.get("save_as_json")

    def __call__(
        self,
        program: Module,
        metric: Scorer | None = None,
        devset: Sequence[Example] | None = None,
        **changes: object,
    ) -> EvaluationResult:
        """Evaluate a program and wait for the result. Arguments override those of the constructor."""
        return loop.run(self.acall(program, metric, devset, **changes))

    async def acall(
        self,
        program: Module,
        metric: Scorer | None = None,
        devset: Sequence[Example] | None = None,
        **changes: object,
    ) -> EvaluationResult:
        """Evaluate a program, in async code."""
        plan, chosen = self._changed(metric, changes if devset is None else {**changes, "devset": devset})
        with observed(
            "evaluate",
            self,
            {
                "program": program,
                "metric": chosen,
                "devset": plan.devset,
                "num_threads": plan.num_threads,
                **changes,
            },
        ) as seen:
            return seen(plan._report(await plan._rows(program, chosen)))

    async def _rows(self, program: Module, chosen: Scorer) -> list[tuple[Outcome, Any, Any]]:
        """Run every repeat; return each row's outcome, prediction and raw score, one repeat after another."""
        times = self.repeats
        program = as_program(program)
        refuse_rows_without_inputs(program, self.devset)
        results: dict[int, tuple[Outcome, object, object]] = {}
        every: list[tuple[Outcome, object, object]] = []
        progress = Progress(times * len(self.devset), self.on_progress, shown=self.display_progress)
        failed: list[str] = []

        def note(outcome: Outcome, prediction: object, result: object) -> None:
            results[outcome.row] = (outcome, prediction, result)
            progress.advance(outcome.score)
            if outcome.error is not None:
                failed.append(outcome.error)
                if self.max_errors is not None and len(failed) >= self.max_errors:
                    raise RunError(
                        f"Gave up after {len(failed)} failed rows of {len(results)}. The last: {failed[-1]}"
                    )

        def end_if_unusable(failure: Exception) -> None:
            if isinstance(failure, MetricError) and len(failed) == len(results):
                raise failure

        rows = list(enumerate(self.devset))
        limit = max(1, self.num_threads or current().num_threads)
        try:
            for time in range(times):
                asked = program if time == 0 else fresh(program, time)
                runner = Runner(asked, chosen, False, note)
                runner.on_failure = end_if_unusable
                await loop.here_or_there(runner.run(rows, limit))
                every += [results[i] for i in range(len(rows))]
        finally:
            progress.close()
        return every

    def _changed(self, metric: Scorer | None, changes: dict[str, object]) -> tuple[Self, Scorer]:
        unknown = changes.keys() - {*vars(self), "callback_metadata"}
        if unknown:
            raise ConfigurationError(_takes_no(min(unknown)))
        plan = copy.copy(self)
        vars(plan).update((name, value) for name, value in changes.items() if value is not None)
        chosen = metric or self.metric
        if chosen is None:
            raise ConfigurationError(
                "Evaluate needs a metric, for example Evaluate(devset=rows, metric=ExactMatch())."
            )
        plan.metric = chosen = usable_metric(chosen)
        if not isinstance(plan.repeats, int) or plan.repeats < 1:
            raise ConfigurationError(f"repeats is a whole number from 1, not {plan.repeats!r}.")
        if not plan.devset:
            raise ValueError("There are no examples to evaluate on: devset is empty.")
        for i, example in enumerate(plan.devset):
            if not example.knows_inputs:
                raise ConfigurationError(
                    f"Example {i} does not know its inputs. Call with_inputs('name', ...) on it."
                )
        return plan, chosen

    def _report(self, rows: list[tuple[Outcome, Any, Any]]) -> EvaluationResult:
        results: list[Row] = []
        times, count = self.repeats, len(self.devset)
        for (outcome, prediction, raw), example in zip(rows, [*self.devset] * times, strict=True):
            if outcome.error is not None:
                results.append((example, Prediction(), self.failure_score))
            else:
                results.append((example, prediction, outcome.score if isinstance(raw, Grade) else raw))
        scores = [self._score(results[i : i + count]) for i in range(0, len(results), count)]
        score = round(100 * sum(scores) / times, 2)
        outcomes = [outcome for outcome, _, _ in rows]
        failed = [outcome.error for outcome in outcomes if outcome.error is not None]
        if failed:
            _log.warning(
                "%d of %d rows failed, see the result's `failures`. The first: %s",
                len(failed), len(rows), failed[0],
            )  # fmt: skip
        repeats = [round(100 * one, 2) for one in scores]
        result = EvaluationResult(score, results, outcomes, repeats, self._interval(results, times))
        name = metric_name(self.metric)
        if self.save_as_csv:
            _write_csv(Path(self.save_as_csv), table(result, name))
        if self.save_as_json:
            data = orjson.dumps(table(result, name), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
            write_whole(Path(self.save_as_json), data)
        if self.display_table:
            shown = _TABLE_ROWS if self.display_table is True else int(self.display_table)
            _show(table(result, name)[:shown], len(results))
        return result

    def _interval(self, results: Sequence[Row], times: int) -> Interval | None:
        if not isinstance(self.metric, WholeSetMetric):
            return None
        count = len(results) // times

        def score(places: Sequence[int]) -> float:
            sets = ([results[place + count * time] for place in places] for time in range(times))
            return sum(map(self._score, sets)) / times

        return resampled_interval(count, score)

    def _score(self, results: Sequence[Row]) -> float:
        if isinstance(self.metric, WholeSetMetric):
            return self.metric.total_of([(example, prediction) for example, prediction, _ in results]).score
        return sum(float(row[2]) for row in results) / len(results)


def _takes_no(name: str) -> str:
    more = " The outputs are in result.results." if name in ("return_outputs", "return_all_scores") else ""
    return f"Evaluate takes no argument {name!r}.{more}"


def table(result: EvaluationResult, metric_name: str = "score") -> list[JsonObject]:
    """Return a result as one flat record a row: example, prediction, score and, where rows failed, the error.

    Names that an example and its prediction share get the prefixes `example_` and `pred_`.
    """
    predicted = {name for _, prediction, _ in result.results for name in prediction}
    shared = {name for example, _, _ in result.results for name in example} & predicted
    errors = any(outcome.error for outcome in result.outcomes)
    rows = len(result.results) // len(result.repeats)
    records = []
    for i, (example, prediction, score) in enumerate(result.results):
        record: dict[str, object] = {"repeat": i // rows + 1} if len(result.repeats) > 1 else {}
        for prefix, values in (("example_", example), ("pred_", prediction)):
            for name, value in values.items():
                record[f"{prefix}{name}" if name in shared else name] = json_value(value)
        record[metric_name] = json_value(score) if isinstance(score, bool | int | float) else float(score)
        if errors:
            record["error"] = result.outcomes[i].error or ""
        records.append(record)
    return records


def _write_csv(path: Path, records: list[dict[str, object]]) -> None:
    columns = list(dict.fromkeys(name for record in records for name in record))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, restval="")
    writer.writerow({name: harmless(name) for name in columns})
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)
    write_whole(path, file.getvalue().encode())


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        value = orjson.dumps(value).decode()
    return harmless(value) if isinstance(value, str) else value


def _show(records: Sequence[Mapping[str, object]], total: int) -> None:
    from rich.console import Console
    from rich.table import Table

    columns: Iterable[str] = dict.fromkeys(name for record in records for name in record)
    shown = Table(caption=f"{len(records)} of {total} rows")
    for column in columns:
        shown.add_column(column)
    for record in records:
        shown.add_row(*(_short(record.get(column, "")) for column in columns))
    Console().print(shown)


def _short(value: object) -> str:
    from rich.markup import escape

    return escape(cut(str(_cell(value)), _CELL))


def fresh(program: Module, time: int) -> Module:
    """Return a copy of a program whose calls are new samples: the cache keeps every repeat apart."""
    sampled = program.deepcopy()
    for step in sampled.predictors():
        step.update_config(rollout_id=time)
    return sampled
