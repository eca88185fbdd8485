"""How good an answer is: (example, prediction) -> score and feedback, one family a file.

    base.py      Metric, Grade, and `grade`, which makes a Grade of whatever a metric returns
    exact.py     the same answer
    contains.py  the answer mentions what was expected
    overlap.py   shared words
    numeric.py   numbers, within a tolerance
    json_fields.py, pattern.py, ngrams.py, edit_distance.py   structures, forms, ROUGE BLEU chrF, spelling
    embedding.py   nearness of embeddings; awaited.py  what metrics that must be waited for share
    judging.py   a model as judge; semantic.py and rubric.py ask it
    whole_set.py   numbers of a whole set of rows: macro F1, correlation
    weighted.py  several metrics as one; python_code.py  code of one's own, in the sandbox
    text.py      how texts are made comparable
    agreement.py how far a judge and a person agree
    interval.py  how sure a mean score is

Only judges ask a model, through the gate that counts every call. A metric knows nothing of programs or searches.
"""

from __future__ import annotations

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
from engine.metrics.text import normalize_text

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
