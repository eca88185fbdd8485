"""Scores of a record by field: metrics by their names, users' functions, models as judges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from engine import loop
from engine.errors import ConfigurationError
from engine.extraction.examples import Example
from engine.extraction.reading import TEXT
from engine.lm.base import BaseLM
from engine.metrics.base import Grade, Metric, as_grade, usable_metric
from engine.metrics.json_fields import JSONMatch
from engine.metrics.judge import Rubric
from engine.metrics.similarity import TokenF1
from engine.records import Example as Row
from engine.records import Outcome, json_value, plain_path

CRITERIA = (
    "Every value of the record is in the document, and nothing is invented.",
    "No value that the document has for a field is missing.",
    "Each value is in the field that it belongs to, in the form its description asks for.",
)


class RecordScore(Metric):
    """Another metric over a record: both sides as plain values by field name, whatever the record's class.

    `sources` are users' examples by the id of their row, for a function of theirs. Scores by field have the field's path.
    """

    name = "RecordScore"
    title = "Record, field by field"
    plain = "Scores a record by its fields."
    examples = ()

    def __init__(self, inner: Any, output: str, model: type[BaseModel] | None) -> None:
        super().__init__(field=output)
        self.inner, self.output, self._model = inner, output, model
        self.sources: dict[int, Example] = {}
        self.awaits = bool(getattr(inner, "awaits", False))  # type: ignore[misc]  # it is as its metric is
        self.calls = int(getattr(inner, "calls", 0) or 0)  # type: ignore[misc]

    def __call__(
        self, example: Mapping[str, object], prediction: Mapping[str, object], trace: object = None
    ) -> Grade:
        """Grade one prediction."""
        if self.awaits:
            return loop.run(self.acall(example, prediction, trace))
        if isinstance(self.inner, Metric):
            return self.inner(*self._plain_sides(example, prediction))
        source = self.sources.get(id(example))
        if source is None:
            source = Example(text=str(example.get("document", "")), expected_output=example.get(self.output))
        return as_grade(self.inner(source, prediction[self.output]), self.inner)

    async def acall(
        self, example: Mapping[str, object], prediction: Mapping[str, object], trace: object = None
    ) -> Grade:
        """Grade one prediction, in async code."""
        if not self.awaits:
            return self(example, prediction, trace)
        grade: Grade = await self.inner.acall(*self._plain_sides(example, prediction))
        return grade

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one record against the one expected."""
        return as_grade(self.inner.compare(self._dump(expected), self._dump(answer)))

    def _dump(self, value: Any) -> Any:
        """Return a record as plain values by field name; labels are stored by the keys of JSON."""
        if self._model is not None and isinstance(value, Mapping):
            with suppress(ValidationError):
                value = self._model.model_validate(value, by_name=True, by_alias=True)
        return json_value(value)

    def _plain_sides(
        self, example: Mapping[str, Any], prediction: Mapping[str, Any]
    ) -> tuple[Row, dict[str, Any]]:
        row, name = Row(example), self.output
        if name in row:
            row = row.copy(**{name: self._dump(row[name])})
        return row, {**prediction, name: self._dump(prediction[name])}


def metric_for(
    evaluate_fn: Any,
    evaluator_config: Mapping[str, Any] | None,
    *,
    output: str,
    labelled: bool,
    weights: Mapping[str, float],
) -> Any:
    """Return the metric that a user's choice comes to; see `Prompter.optimize`. Raises ConfigurationError."""
    if isinstance(evaluate_fn, BaseLM):
        return Rubric(lm=evaluate_fn, field=output, criteria=CRITERIA, show_expected=labelled)
    if isinstance(evaluate_fn, Metric):
        return evaluate_fn
    if callable(evaluate_fn):
        return usable_metric(evaluate_fn)
    if not labelled:
        return Rubric(field=output, criteria=CRITERIA, show_expected=False)
    config = (
        {"default": evaluate_fn}
        if evaluate_fn is not None and not evaluator_config
        else evaluator_config or {}
    )
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


def field_means(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Return the mean score of each field over some outcomes; a row that failed has 0 in all."""
    outcomes = list(outcomes)
    values: dict[str, list[float]] = {}
    for outcome in outcomes:
        own: dict[str, list[float]] = {}
        for path, score in (outcome.objective_scores or {}).items():
            own.setdefault(plain_path(path), []).append(score)
        for path, scores in own.items():
            values.setdefault(path, []).append(sum(scores) / len(scores))
    failed = sum(o.error is not None for o in outcomes)
    return {path: sum(scores) / (len(scores) + failed) for path, scores in values.items()}


def field_errors(
    outcomes: Iterable[Outcome], rows: Mapping[int, Row], metric: RecordScore
) -> dict[str, dict[str, int]]:
    """Return how many values of each field are wrong, missing and invented; {} where no code compares them.

    Rows that failed are not counted: their errors are in the report.
    """
    errors: dict[str, dict[str, int]] = {}
    if metric.awaits or not isinstance(metric.inner, JSONMatch):
        return errors
    for outcome in outcomes:
        for field in metric(rows[outcome.row], outcome.prediction).fields if outcome.error is None else ():
            if field.status != "right":
                counts = errors.setdefault(plain_path(field.path), {})
                counts[field.status] = counts.get(field.status, 0) + 1
    return errors


def wanted(
    paths: Sequence[str], include: Sequence[str] | None, exclude: Sequence[str] | None
) -> frozenset[str]:
    """Return the paths that are included and not excluded; a path includes everything inside it.

    >>> sorted(wanted(["a", "a.b", "c"], None, ["a"]))
    ['c']
    """

    def under(path: str, roots: Sequence[str]) -> bool:
        return any(path == root or path.startswith(f"{root}.") for root in roots)

    return frozenset(
        p for p in paths if (include is None or under(p, include)) and not (exclude and under(p, exclude))
    )
