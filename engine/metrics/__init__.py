"""Metrics: (example, prediction) -> score and feedback.

    base.py        Metric, Grade, and `grade`, which makes a Grade of whatever a metric returns
    matching.py    right or wrong: the same answer, a mention, a pattern, a number within a tolerance
    similarity.py  degrees: shared words, spelling, ROUGE, BLEU, chrF, nearness of embeddings
    json_fields.py structured answers, field by field
    comparers.py   metrics for one field of a record, by the names of evaluators
    judge.py       a model as judge: by criteria, by meaning, by sources
    whole_set.py   numbers of a whole set of rows: macro F1, correlation
    custom.py      several metrics as one
    python_code.py the user's Python, in the sandbox

Only judges ask a model, through the gate that counts every call. A metric knows nothing of programs or searches.
"""

from __future__ import annotations

from engine.basics.text import normalize_text
from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample, grade
from engine.metrics.matching import (
    EM,
    Contains,
    ExactMatch,
    NumberWithin,
    answer_exact_match,
    answer_passage_match,
)
from engine.metrics.similarity import F1, TokenF1

__all__ = [
    "EM",
    "F1",
    "Contains",
    "ExactMatch",
    "Grade",
    "Metric",
    "MetricOptions",
    "NumberWithin",
    "TokenF1",
    "WorkedExample",
    "answer_exact_match",
    "answer_passage_match",
    "grade",
    "normalize_text",
]
