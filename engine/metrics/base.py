"""The metric's contract, and the grade it returns.

A metric may also be any function of (example, prediction, trace=None) that returns a bool, a number, a `Grade` or a
Prediction with a `score`; `grade` reads them all. It knows nothing of single metrics.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import loop
from engine.basics.data import Values
from engine.basics.text import plain_text, quoted, shortened
from engine.errors import ConfigurationError, MetricError, first_problem
from engine.records import Example

Scorer = Callable[..., Any]
"""A Metric, or a function of (example, prediction, trace=None)."""


class FieldGrade(NamedTuple):
    """One field's part in a grade: its path, whether its value is right, what was expected and what there was.

    "missing": a value was expected and there is none; "invented": there is one and none was expected.

    >>> from engine import JSONMatch
    >>> [(one.path, one.status) for one in JSONMatch().compare({"a": 1, "b": 2}, {"a": 1}).fields]
    [('a', 'right'), ('b', 'missing')]
    """

    path: str
    status: Literal["right", "wrong", "missing", "invented"]
    expected: Any
    got: Any
    score: float
    weight: float = 1.0


class Grade(float):
    """A score, 0 (worst) to 1 (best), and what to say about it: a number like any other, with `feedback`.

    Where several things are judged, `objective_scores` holds the score of each by name, under DSPy's name for it.
    `fields` are the fields of a structure, each with a verdict, where the metric has looked at them one by one.

    >>> half = Grade(0.5, "Half of it is right.")
    >>> half > 0.4, 1 - half, round(half * 1.5, 2), bool(Grade(0.0)), f"{half:.2f}"
    (True, 0.5, 0.75, False, '0.50')
    >>> half.feedback
    'Half of it is right.'
    """

    __slots__ = ("feedback", "fields", "objective_scores")

    feedback: str
    objective_scores: Mapping[str, float] | None
    fields: tuple[FieldGrade, ...]

    def __new__(
        cls,
        score: float,
        feedback: str = "",
        objective_scores: Mapping[str, float] | None = None,
        fields: tuple[FieldGrade, ...] = (),
    ) -> Grade:
        """Return a grade; no metric changes it later."""
        number = super().__new__(cls, score)
        object.__setattr__(number, "feedback", feedback)
        object.__setattr__(number, "objective_scores", objective_scores)
        object.__setattr__(number, "fields", fields)
        return number

    @property
    def score(self) -> float:
        """The number alone."""
        return float(self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A grade is not changed: make a new one to give it another {name}.")

    def __reduce__(self) -> Any:
        return Grade, (float(self), self.feedback, self.objective_scores, self.fields)

    def __repr__(self) -> str:
        return f"Grade(score={float(self)!r}, feedback={self.feedback!r})"

    __str__ = float.__repr__  # in a table and in a text it is its number


class MetricOptions(BaseModel):
    """Options every metric has; forms and run specs are made of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str | None = Field(
        None, title="Field", description="Which output is graded. Leave it empty to grade the last one."
    )
    every_output: bool = Field(
        False,
        title="Every output",
        description="Grade every output that the examples have an answer for, and take the mean. "
        "Without effect where one field is chosen.",
    )


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """One case that shows what a metric does: with these options, this answer scores that."""

    expected: Any
    answer: Any
    score: float
    options: Values = field(default_factory=dict)


class Metric(ABC):
    """Compares a prediction's field with the example's.

    Subclasses define `compare`, and say in words what they do: `title`, `plain` (one sentence), worked `examples`,
    what speaks for it (`pros`) and against (`cons`). Options are keyword arguments, checked by `Options`.

    >>> from engine.metrics import ExactMatch
    >>> row = Example(text="Where is it?", team="shipping").with_inputs("text")
    >>> ExactMatch()(row, Example(team="billing")).feedback
    "Expected 'shipping', got 'billing'."
    """

    name: ClassVar[str]
    title: ClassVar[str]
    plain: ClassVar[str]
    examples: ClassVar[tuple[WorkedExample, ...]]
    pros: ClassVar[tuple[str, ...]] = ()
    cons: ClassVar[tuple[str, ...]] = ()
    Options: ClassVar[type[MetricOptions]] = MetricOptions
    awaits: ClassVar[bool] = False
    """True if its verdict takes a model, an embedder or a sandbox: async code then awaits `acall`."""
    calls: ClassVar[int] = 0
    """Model calls it makes for one output of one row."""

    options: MetricOptions

    def __init__(self, **options: Any) -> None:
        try:
            self.options = self.Options(**options)
        except ValidationError as error:
            where, message = first_problem(error, "its options")
            raise ConfigurationError(f"Metric {self.name}: {where}: {message}.") from error

    def __call__(
        self,
        example: Mapping[str, object],
        prediction: Mapping[str, object],
        trace: object = None,
    ) -> Grade:
        """Grade one prediction; on the engine's loop use `await metric.acall(...)`.

        Raises ConfigurationError when the example or the prediction lacks the field.
        """
        if self.awaits:
            return loop.run(self.acall(example, prediction, trace))
        cases = self.cases(example, prediction)
        if len(cases) == 1:
            return self.compare_case(cases[0])
        return joined({case.field: self.compare_case(case) for case in cases})

    async def acall(
        self, example: Mapping[str, object], prediction: Mapping[str, object], trace: object = None
    ) -> Grade:
        """Grade one prediction, in async code. Raises what a model, an embedder or a sandbox raises."""
        if not self.awaits:
            return self(example, prediction, trace)
        cases = self.cases(example, prediction)
        if len(cases) == 1:
            return await self.acompare(cases[0])
        grades = await asyncio.gather(*map(self.acompare, cases))
        return joined({case.field: one for case, one in zip(cases, grades, strict=True)})

    def cases(self, example: Mapping[str, object], prediction: Mapping[str, object]) -> list[Case]:
        """Return the outputs to grade, each with its row. Raises ConfigurationError if there is none."""
        names = self.fields(example, prediction)
        return [Case(name, example[name], prediction[name], example, prediction) for name in names]

    def fields(self, example: Mapping[str, object], prediction: Mapping[str, object]) -> list[str]:
        """Return the outputs to grade, all of them in both. Raises ConfigurationError if there is none."""
        chosen = self.options.field
        if chosen is None and self.options.every_output:
            names = labelled_fields(example, prediction)
            if names:
                return names
        name = chosen or graded_field(example, prediction)
        if name not in example:
            raise ConfigurationError(
                f"The examples have no field {name!r} to compare with. They have: {', '.join(example)}."
            )
        if name not in prediction:
            raise ConfigurationError(
                f"The program's answer has no field {name!r} to grade. It has: {', '.join(prediction)}."
            )
        return [name]

    @abstractmethod
    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one value against the one expected."""

    def compare_case(self, case: Case) -> Grade:
        """Grade one value with its row around it."""
        return self.compare(case.expected, case.answer)

    async def acompare(self, case: Case) -> Grade:
        """Grade one value with its row around it, in async code."""
        return self.compare_case(case)

    def __repr__(self) -> str:
        options = self.options.model_dump(exclude_defaults=True)
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in options.items())})"


def labelled_fields(example: Mapping[str, object], prediction: Mapping[str, object]) -> list[str]:
    """Return those of the prediction's fields that the example has a label for, in the prediction's order."""
    inputs = example.input_keys if isinstance(example, Example) and example.knows_inputs else frozenset()
    return [name for name in prediction if name in example and name not in inputs]


def graded_field(example: Mapping[str, object], prediction: Mapping[str, object]) -> str:
    """Return the last of the prediction's fields that the example has a label for, else its last field."""
    named = labelled_fields(example, prediction) or [*prediction] or labelled_fields(example, example)
    return named[-1] if named else "answer"


def joined(grades: Mapping[str, Grade]) -> Grade:
    """Return the mean of several outputs' grades; the feedback names the outputs that are not right.

    >>> joined({"aspect": Grade(0.0, "Expected 'price', got 'looks'."), "mood": Grade(1.0)}).feedback
    "1 of 2 outputs is right. aspect: Expected 'price', got 'looks'."
    """
    wrong = {name: one for name, one in grades.items() if one.score < 1.0}
    each = {name: one.score for name, one in grades.items()}
    fields = tuple(
        part._replace(path=f"{name}{'.' if part.path[:1] not in ('', '[') else ''}{part.path}")
        for name, one in grades.items()
        for part in one.fields
    )
    if not wrong:
        return Grade(1.0, "Correct.", each, fields)
    right = len(grades) - len(wrong)
    verb = "is" if right == 1 else "are"
    sentences = " ".join(f"{name}: {one.feedback}" for name, one in wrong.items())
    score = math.fsum(each.values()) / len(grades)
    return Grade(score, f"{right} of {len(grades)} outputs {verb} right. {sentences}", each, fields)


def metric_name(metric: Scorer | None) -> str:
    """Return what a metric, or a function used as one, is called."""
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))


def grade(metric: Scorer, example: object, prediction: object, trace: object = None) -> Grade:
    """Return a metric's verdict as a Grade, whatever kind of number it returned.

    `trace` is passed on only when there is one, so that functions of two arguments will do.

    >>> grade(lambda example, prediction: True, {}, {})
    Grade(score=1.0, feedback='')
    """
    result = metric(example, prediction) if trace is None else metric(example, prediction, trace)
    return as_grade(result, metric)


A_METRIC = (
    "A metric is a function of (example, prediction, trace=None) that returns a number from 0 to 1, True or False, "
    "or a Grade."
)


def usable_metric(metric: Any) -> Any:
    """Return a metric that takes an example and a prediction; a trace, or GEPA's three arguments more, may lack defaults.

    Raises MetricError for one that cannot be called so; nothing is called here.
    """
    if not callable(metric) or isinstance(metric, type):
        problem = (
            f"is a class: give an instance, {metric.__name__}()" if callable(metric) else "cannot be called"
        )
        raise MetricError(f"The metric {getattr(metric, '__name__', metric)} {problem}. {A_METRIC}")
    try:
        parameters = inspect.signature(metric)
    except ValueError:  # a builtin without a signature
        return metric
    for given in (2, 3, 5):
        with suppress(TypeError):
            parameters.bind(*[None] * given)
            return metric if given == 2 else _with_defaults(metric, [None] * (given - 3))
    raise MetricError(
        f"The metric {metric_name(metric)}{parameters} cannot be called with an example and a prediction. {A_METRIC}"
    )


def _with_defaults(metric: Scorer, more: Sequence[None]) -> Scorer:
    @functools.wraps(metric)
    def scored(example: object, prediction: object, trace: object = None) -> object:
        return metric(example, prediction, trace, *more)

    vars(scored).pop("__wrapped__")  # else its signature would be the metric's
    return scored


def any_answer(example: object, prediction: object, trace: object = None) -> float:  # noqa: ARG001 - a metric's signature
    """Score 1 for every row that has an answer: what no metric means."""
    return 1.0


LONGEST_FEEDBACK = 20_000
"""Most characters of a row's feedback that are stored."""


def explained(found: Grade, example: object, prediction: object) -> Grade:
    """Return a grade with feedback: that of the metric, else what the labels say, so that a bare number teaches something too.

    >>> explained(Grade(0.0), {"question": "?", "answer": "4"}, {"answer": "5"}).feedback
    "Expected '4', got '5'."
    """
    if found.feedback:
        if len(found.feedback) > LONGEST_FEEDBACK:
            return Grade(
                found.score, shortened(found.feedback, LONGEST_FEEDBACK), found.objective_scores, found.fields
            )
        return found
    if found.score >= 1:
        return Grade(found.score, "Correct.", found.objective_scores)
    sentences = [f"It scored {found.score:.2f} of 1."] if found.score > 0 else []
    if isinstance(example, Mapping) and isinstance(prediction, Mapping):
        names = [
            n
            for n in labelled_fields(example, prediction)
            if plain_text(example[n]) != plain_text(prediction[n])
        ]
        for name in names:
            lead = f"{name}: expected" if len(names) > 1 else "Expected"
            sentences.append(f"{lead} {quoted(example[name])}, got {quoted(prediction[name])}.")
    return Grade(found.score, " ".join(sentences) or "The metric calls this wrong.", found.objective_scores)


def as_grade(result: Any, metric: Scorer | None = None) -> Grade:
    """Return what a metric returned as a Grade. Raises MetricError for something that is no number."""
    if type(result) is Grade and result == result:
        return result
    feedback = result.feedback if isinstance(result, Grade) else ""
    each: Mapping[str, float] | None = None
    if isinstance(result, Mapping):
        feedback = str(result.get("feedback") or "")
        each = _numbers(result.get("objective_scores"))
    try:
        score = float("" if isinstance(result, str) else result)
    except (TypeError, ValueError):
        kind = "" if result is None else f"the {type(result).__name__} "
        name = "" if metric is None else f" {metric_name(metric)}"
        raise MetricError(
            f"The metric{name} returned {kind}{repr(result)[:80]}. It must return a number from 0 to 1, True or False, "
            "or a Grade."
        ) from None
    if not math.isfinite(score):
        return Grade(0.0, feedback or f"The metric returned no usable number ({score}), so this counts as 0.")
    return Grade(score, feedback, each)


def _numbers(given: object) -> dict[str, float] | None:
    """The usable scores by name among what a metric gave for `objective_scores`."""
    if not isinstance(given, Mapping):
        return None
    numbers = {str(name): float(value) for name, value in given.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value)} or None


@dataclass(frozen=True, slots=True)
class Case:
    """One output of one row: its name, what was expected and answered, and the row and the whole answer around it."""

    field: str
    expected: Any
    answer: Any
    example: Values
    prediction: Values

    @classmethod
    def of(cls, expected: object, answer: object) -> Case:
        """Return a value without a row around it."""
        return cls("answer", expected, answer, {"answer": expected}, {"answer": answer})


class AwaitedMetric(Metric):
    """Base of metrics that wait. Subclasses define `acompare`."""

    awaits = True

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one value against the one expected, and wait."""
        return self.compare_case(Case.of(expected, answer))

    def compare_case(self, case: Case) -> Grade:
        """Grade one value with its row around it, and wait."""
        return loop.run(self.acompare(case))

    @abstractmethod
    async def acompare(self, case: Case) -> Grade:
        """Grade one output."""
