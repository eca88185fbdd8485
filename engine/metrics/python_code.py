"""A user's Python as a metric, run in the sandbox: `PythonMetric`."""

from __future__ import annotations

import ast

from pydantic import Field, field_validator

from engine.basics.text import quoted
from engine.errors import ConfigurationError
from engine.metrics.base import AwaitedMetric, Case, Grade, MetricOptions, WorkedExample, as_grade
from engine.records import json_value
from engine.tools.interpreter import PythonInterpreter


class PythonMetricOptions(MetricOptions):
    """The code and its limits."""

    code: str = Field(
        "answer == expected",
        title="Code",
        description="Python with the names expected, answer, example and prediction. Its last line gives the score, 0 to 1, "
        "or {'score': ..., 'feedback': ...}. It runs in a sandbox: no files, no network, no packages.",
        json_schema_extra={"multiline": True},
    )
    seconds: float = Field(2.0, gt=0, le=60, title="Seconds", description="How long it may take for one row.")

    @field_validator("code")
    @classmethod
    def _reads(cls, value: str) -> str:
        try:
            tree = ast.parse(value)
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"is no Python: {error}") from None
        if not tree.body or not isinstance(tree.body[-1], ast.Expr):
            raise ValueError("its last line must be an expression that gives the score")
        return value


class PythonMetric(AwaitedMetric):
    """A score from Python code, run in the sandbox for each row.

    The code sees `expected` and `answer` (the graded field's values as JSON values), `example` and `prediction` (all
    fields). Its last line is the score: a number, True or False, or a dict with `score` and `feedback`. It may define
    functions and import json, re, math, datetime. A row whose code raises is a failed row with the error.

    >>> PythonMetric(code="min(len(answer), len(expected)) / len(expected)").compare("abcd", "ab").score
    0.5
    """

    name = "PythonMetric"
    title = "Your own Python"
    plain = "A few lines of Python give the score; they run in a sandbox without files or network."
    examples = (
        WorkedExample(4, 4, 1.0),
        WorkedExample("abc", "abd", 0.0),
        WorkedExample(
            "ab", "abcd", 0.5, {"code": "{'score': len(expected) / len(answer), 'feedback': 'Too long.'}"}
        ),
    )
    pros = ("Any rule you can program.", "Code from others can do no harm.")
    cons = ("Only the sandbox's Python: no packages, no class inheritance.",)

    Options = PythonMetricOptions

    options: PythonMetricOptions

    async def acompare(self, case: Case) -> Grade:
        """Run the code for one output. Raises SandboxError when it fails, ConfigurationError for no score."""
        # A fresh sandbox each time: one row's variables are no other row's business.
        done = await PythonInterpreter(time_limit=self.options.seconds).arun(
            self.options.code,
            {
                "expected": json_value(case.expected),
                "answer": json_value(case.answer),
                "example": json_value(dict(case.example)),
                "prediction": json_value(dict(case.prediction)),
            },
        )
        given = done.value if isinstance(done.value, dict) else {"score": done.value}
        if "score" not in given:
            raise ConfigurationError("The metric's code gave a dict without 'score'.")
        score = as_grade(given["score"], self).score
        feedback = (
            "Correct." if score >= 1 else f"Expected {quoted(case.expected)}, got {quoted(case.answer)}."
        )
        return Grade(min(1.0, max(0.0, score)), str(given.get("feedback") or feedback))
