"""How good an answer is: (example, prediction) -> score and feedback, one family a file.

    base.py      Metric, Grade, and `grade`, which makes a Grade of whatever a metric returns
    exact.py     the same answer
    contains.py  the answer mentions what was expected
    overlap.py   shared words
    numeric.py   numbers, within a tolerance
    text.py      how texts are made comparable
    interval.py  how sure a mean score is

A metric knows nothing of models, programs or searches.
"""

from __future__ import annotations

from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample, grade
from engine.metrics.contains import Contains, answer_passage_match
from engine.metrics.exact import EM, ExactMatch, answer_exact_match
from engine.metrics.numeric import NumberWithin
from engine.metrics.overlap import F1, TokenF1
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
