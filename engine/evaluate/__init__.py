"""A program over many rows, concurrently.

    rows.py    run_rows: what the search driver uses; one outcome a row, in order
    report.py  Evaluate and EvaluationResult: score, interval, table and files, for scripts and notebooks

A row that fails is a record with its error, never the end of the evaluation.
"""

from __future__ import annotations

from engine.evaluate.report import Evaluate, EvaluationResult
from engine.evaluate.rows import error_text, run_rows

__all__ = ["Evaluate", "EvaluationResult", "error_text", "run_rows"]
