"""A program over many rows, concurrently.

    rows.py    run_rows: what the search driver uses; one outcome a row, in order
    report.py  Evaluate and EvaluationResult: score, interval, table and files, for scripts and notebooks
    streaming  a program's answer as it is written
    telemetry  calls as OpenTelemetry spans

A row that fails is a record with its error, never the end of the evaluation.
"""

from __future__ import annotations

from engine.evaluate.report import Evaluate, EvaluationResult
from engine.evaluate.rows import error_text, run_rows
from engine.metrics import EM, F1, answer_exact_match, answer_passage_match, normalize_text
from engine.metrics.judge import CompleteAndGrounded, SemanticF1

__all__ = [
    "EM",
    "F1",
    "CompleteAndGrounded",
    "Evaluate",
    "EvaluationResult",
    "SemanticF1",
    "answer_exact_match",
    "answer_passage_match",
    "error_text",
    "normalize_text",
    "run_rows",
]
