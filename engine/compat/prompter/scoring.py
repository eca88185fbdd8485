"""Scores of a record by field: metrics by DSPydantic's names, users' functions, models as judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from engine.compat.prompter.documents import DOCUMENT, LabelledDocument
from engine.compat.prompter.program import TEXT
from engine.errors import ConfigurationError
from engine.lm.base import BaseLM
from engine.metrics.base import Metric, Scorer, usable_metric
from engine.metrics.json_fields import JSONMatch
from engine.metrics.judge import Rubric
from engine.metrics.similarity import TokenF1
from engine.records import Example, Outcome, plain_path

CRITERIA = (
    "Every value of the record is in the document, and nothing is invented.",
    "No value that the document has for a field is missing.",
    "Each value is in the field that it belongs to, in the form its description asks for.",
)


def metric_for(
    evaluate_fn: Any,
    evaluator_config: Mapping[str, Any] | None,
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

    def score(row: Mapping[str, Any], prediction: Mapping[str, Any]) -> object:
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
