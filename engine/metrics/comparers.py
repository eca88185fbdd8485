"""Metrics for one field of a record, by name: what `JSONMatch` uses for which field.

The names that DSPydantic's users know, and more. `register_evaluator` adds user-defined ones.
"""

from __future__ import annotations

import ast
import inspect
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field

from engine.basics.data import JsonObject, Values
from engine.basics.text import as_text, quoted
from engine.basics.value_parsing import currency_of, read_dates, read_numbers
from engine.errors import ConfigurationError, entry_named
from engine.lm.choice import OFFLINE_EMBEDDINGS
from engine.metrics.base import Case, Grade, Metric, MetricOptions
from engine.metrics.judge import Rubric, RubricOptions
from engine.metrics.matching import ExactMatch, NumberWithin, same
from engine.metrics.python_code import PythonMetric
from engine.metrics.similarity import EditDistance, EmbeddingSimilarity
from engine.records import json_value


class ExactOptions(MetricOptions):
    """Options of the comparison."""

    case_sensitive: bool = True
    strip_whitespace: bool = True


class Exact(Metric):
    """Equal as texts.

    >>> Exact().compare("Tea", "tea").score, Exact(case_sensitive=False).compare("Tea", " tea").score
    (0.0, 1.0)
    """

    name = "exact"

    Options = ExactOptions

    options: ExactOptions

    def compare(self, expected: object, answer: object) -> Grade:
        """Return 1 or 0."""
        texts = [as_text(value) for value in (expected, answer)]
        if self.options.strip_whitespace:
            texts = [text.strip() for text in texts]
        if not self.options.case_sensitive:
            texts = [text.casefold() for text in texts]
        return Grade(texts[0] == texts[1])


class Number(NumberWithin):
    """`NumberWithin` for a value that is a number, however it is written, and nothing else.

    >>> Number(tolerance=0.01).compare(1234.5, "1.234,50").score, Number().compare("none", 5).score
    (1.0, 0.0)
    """

    name = "number"
    readings = staticmethod(read_numbers)

    def compare(self, expected: object, answer: object) -> Grade:
        """Return 1 or 0; 0 also where no number is expected."""
        return super().compare(expected, answer) if read_numbers(expected) else Grade(0.0)


class Currency(Number):
    """An amount of money: the number within a tolerance, and the same currency where both name one.

    >>> money = Currency()
    >>> [float(money.compare(*pair)) for pair in (("1.234,50 €", "EUR 1,234.50"), ("12 €", "12 $"), (12, "12 $"))]
    [1.0, 0.0, 1.0]
    """

    name = "currency"

    def compare(self, expected: object, answer: object) -> Grade:
        """Return 1 or 0."""
        codes = [currency_of(as_text(value)) for value in (expected, answer)]
        return Grade(0.0) if all(codes) and codes[0] != codes[1] else super().compare(expected, answer)


class DateOptions(MetricOptions):
    """Tolerance of the comparison."""

    days: int = Field(0, ge=0)


class Date(Metric):
    """The same day, however it is written; `days` off are still right.

    >>> Date(days=1).compare("2026-03-31", "1.4.2026").score
    1.0
    """

    name = "date"

    Options = DateOptions

    options: DateOptions

    def compare(self, expected: object, answer: object) -> Grade:
        """Return 1 or 0."""
        pairs = ((a, b) for a in read_dates(expected) for b in read_dates(answer))
        return Grade(any(abs((a - b).days) <= self.options.days for a, b in pairs))


class ScoreJudgeOptions(RubricOptions):
    """Options of the judge; `temperature` is accepted and changes nothing."""

    criteria: str = "The value means the same as the expected one."
    system_prompt: str | None = None
    temperature: float = 0.0


class ScoreJudge(Rubric):
    """A model's mark, 0 to 1, by criteria in plain words. One call a field. Never the offline stand-in."""

    name = "score_judge"

    Options: ClassVar[type[MetricOptions]] = ScoreJudgeOptions

    options: ScoreJudgeOptions

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        if self.options.system_prompt:
            self.criteria = (*self.options.system_prompt.splitlines(), *self.criteria)


class LabelGraderOptions(ScoreJudgeOptions):
    """The labels, and what an answer is worth."""

    allowed_labels: list[str] = Field(min_length=1)
    exact_match_score: float = Field(1.0, ge=0, le=1)
    partial_match_score: float = Field(0.5, ge=0, le=1)
    criteria: str = "The label means the same as the expected one."


class LabelGrader(ScoreJudge):
    """A label out of `allowed_labels`; a model is asked only where the expected one is none of them."""

    name = "label_model_grader"

    Options = LabelGraderOptions

    options: LabelGraderOptions

    async def acompare(self, case: Case) -> Grade:
        """Grade one label."""
        if same(case.expected, case.answer):
            return Grade(self.options.exact_match_score)
        if any(same(label, case.expected) for label in self.options.allowed_labels):
            return Grade(0.0)
        return Grade(self.options.partial_match_score * await super().acompare(case))


class PythonCode(Metric):
    """A function of the programmer's: `function(extracted, expected, input_data=..., field_path=...)`, as in DSPydantic.

    Arguments that it does not take are left out.

    >>> PythonCode(lambda extracted, expected: extracted[:1] == expected[:1]).compare("Ann", "Al").score
    1.0
    """

    name = "python_code"

    def __init__(self, function: Callable[..., Any], name: str = name) -> None:
        super().__init__()
        self._function, self.name = function, name  # type: ignore[misc]  # the name of the user's class

    def compare(self, expected: object, answer: object) -> Grade:
        """Return the function's number for one value without its row."""
        return self.compare_case(Case("value", expected, answer, {}, {}))

    def compare_case(self, case: Case) -> Grade:
        """Return the function's number, from 0 to 1. Raises ConfigurationError where it gives none."""
        around = {"input_data": json_value(dict(case.example)), "field_path": case.field}
        given = _call(self._function, case.answer, case.expected, **around)
        if not isinstance(given, int | float) or given != given:
            raise ConfigurationError(
                f"The evaluator {self.name!r} gave {quoted(given)}. It must return a number from 0 to 1."
            )
        return Grade(min(1.0, max(0.0, float(given))))


class PredefinedScoreOptions(MetricOptions):
    """The scores and their scale."""

    scores: list[float] = Field(default_factory=list)
    max_value: float = Field(100.0, gt=0)


class PredefinedScore(Metric):
    """Scores written beforehand, taken in the order of the calls, as shares of `max_value`.

    >>> given = PredefinedScore(scores=[50, 100])
    >>> given.compare("a", "b").score, given.compare("a", "b").score
    (0.5, 1.0)
    """

    name = "predefined_score"

    Options = PredefinedScoreOptions

    options: PredefinedScoreOptions

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._left = list(self.options.scores)
        self._lock = threading.Lock()

    def compare(self, expected: object, answer: object) -> Grade:  # noqa: ARG002 - the score is known already
        """Return the next score. Raises ConfigurationError where none is left."""
        with self._lock:
            if not self._left:
                raise ConfigurationError(
                    f"Evaluator 'predefined_score' has {len(self.options.scores)} scores, and all of them are used. Give one for each field graded."
                )
            share = self._left.pop(0) / self.options.max_value
        return Grade(min(1.0, max(0.0, share)))


def _levenshtein(threshold: float = 0.0) -> Metric:
    return EditDistance(strict=True, at_least=threshold)


def _text_similarity(
    threshold: float = 0.0, model: str = OFFLINE_EMBEDDINGS, embedder: object = None
) -> Metric:
    return EmbeddingSimilarity(embedder=embedder, at_least=threshold, model=model or OFFLINE_EMBEDDINGS)


def _python_code(function: Callable[..., Any] | None = None, code: str = "", seconds: float = 2.0) -> Metric:
    if function is not None:
        return PythonCode(function)
    if not code.strip():
        raise ConfigurationError("Evaluator 'python_code' needs a function (in Python) or code (in a form).")
    return PythonMetric(code=code, seconds=seconds)


def _call(function: Callable[..., object], *values: object, **more: object) -> object:
    """Call a function with those of the named arguments that it takes."""
    try:
        known = inspect.signature(function).parameters.values()
    except ValueError:
        return function(*values)
    if not any(p.kind is p.VAR_KEYWORD for p in known):
        names = {p.name for p in known}
        more = {name: value for name, value in more.items() if name in names}
    return function(*values, **more)


_KNOWN: dict[str, Callable[..., Any]] = {
    "exact": Exact,
    "string_check": Exact,
    "normalised": ExactMatch,
    "levenshtein": _levenshtein,
    "text_similarity": _text_similarity,
    "number": Number,
    "date": Date,
    "currency": Currency,
    "score_judge": ScoreJudge,
    "score_model_grader": ScoreJudge,
    "label_model_grader": LabelGrader,
    "python_code": _python_code,
    "predefined_score": PredefinedScore,
}
EVALUATORS = tuple(_KNOWN)
"""Names that are always known."""


def register_evaluator(name: str, evaluator: type[object]) -> None:
    """Make a class known by a name: a `Metric`, or one with `evaluate(extracted, expected, ...)`, made with its config.

    >>> class Initial:
    ...     def evaluate(self, extracted, expected):
    ...         return extracted[0] == expected[0]
    >>> register_evaluator("initial", Initial)
    >>> make_comparer("initial").compare("Ann", "Al").score
    1.0
    """
    if not (inspect.isclass(evaluator) and (issubclass(evaluator, Metric) or hasattr(evaluator, "evaluate"))):
        raise ConfigurationError(
            f"The evaluator {name!r} must be a class with evaluate(extracted, expected), or a Metric."
        )
    _KNOWN[name] = evaluator


def make_comparer(given: object) -> Metric:
    """Return the metric of a name, a class, an instance, a function, or {"type" or "class": ..., "config": {...}}.

    Raises ConfigurationError for anything else, UnknownNameError for an unknown name.

    >>> make_comparer({"type": "levenshtein", "config": {"threshold": 0.5}}).options.at_least
    0.5
    """
    config: JsonObject = {}
    if isinstance(given, Mapping):
        wrong = given.keys() - {"type", "class", "config"} - set(_SHORT)
        if wrong or not given.keys() & {"type", "class"}:
            raise ConfigurationError(
                f"An evaluator is written as {{'type': 'levenshtein', 'config': {{'threshold': 0.8}}}}, not {dict(given)!r}."
            )
        config = {**(given.get("config") or {}), **{k: given[k] for k in _SHORT if k in given}}
        given = given.get("type") or given.get("class")
    if isinstance(given, str):
        make = entry_named("evaluator", given, _KNOWN)
        given = make if inspect.isclass(make) else _made(given, make, config)
    if inspect.isclass(given):
        given = _made(given.__name__, given, config)
    if isinstance(given, Metric):
        return given
    if hasattr(given, "evaluate"):
        return PythonCode(given.evaluate, type(given).__name__)
    if callable(given):
        return PythonCode(given)
    raise ConfigurationError(f"{given!r} is no evaluator: give a name, a class or a function.")


_SHORT = ("function",)
"""Settings that may stand next to "type", as DSPydantic's guide writes them."""


_OF_ROWS = MetricOptions.model_fields.keys()
"""Options that choose among the outputs of a row."""


def _made(name: str, make: Callable[..., Any], config: JsonObject) -> object:
    """Return an evaluator: its class takes the config as one argument, as keywords, or not at all."""
    if "config" in inspect.signature(make).parameters:
        return make(config)
    if inspect.isclass(make) and issubclass(make, Metric) and (whole := config.keys() & _OF_ROWS):
        raise ConfigurationError(f"The evaluator {name} grades one field and takes no {min(whole)!r}.")
    try:
        return make(**config)
    except TypeError as error:
        raise ConfigurationError(f"The evaluator {name} cannot be made with {config!r}: {error}.") from None


_ENTRY = re.compile(r"\s*([\w.\[\]*]+)\s*=\s*(\w+)\s*(\((?:[^()'\"]|'[^']*'|\"[^\"]*\")*\))?\s*(?:[,\n]|\Z)")


def parse_comparers(text: str) -> dict[str, JsonObject]:
    """Return evaluators by field from a form's text. Raises ValueError for anything else.

    >>> parse_comparers("total=number(tolerance=0.01), date=date")
    {'total': {'type': 'number', 'config': {'tolerance': 0.01}}, 'date': {'type': 'date', 'config': {}}}
    """
    comparers: dict[str, JsonObject] = {}
    at = 0
    text = text.strip()
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None:
            raise ValueError(
                f"{text[at : at + 40]!r} is not understood: write field=name or field=name(option=value)"
            )
        path, name, options = entry.groups()
        try:
            call = ast.parse(f"f{options or '()'}", mode="eval").body
            config = {k.arg or "": ast.literal_eval(k.value) for k in call.keywords}  # type: ignore[attr-defined]  # a call
        except (SyntaxError, ValueError):
            raise ValueError(
                f"the options of {path!r} are not understood: write {name}(option=value)"
            ) from None
        comparers[path] = {"type": name, "config": config}
        at = entry.end()
    return comparers


def written_comparers(given: Values) -> str:
    """Return evaluators by field as a form's text; what is written only in Python is named alone.

    >>> written_comparers({"total": {"type": "number", "config": {"tolerance": 0.01}}, "date": "date"})
    'total=number(tolerance=0.01), date=date'
    """
    parts = []
    for path, one in given.items():
        inside: Values = one if isinstance(one, Mapping) else {"type": one}
        name, config = inside.get("type") or inside.get("class"), inside.get("config") or {}
        if not isinstance(name, str):
            continue
        plain = {k: v for k, v in config.items() if isinstance(v, str | int | float | bool | list)}
        options = ", ".join(f"{k}={v!r}" for k, v in plain.items())
        parts.append(f"{path}={name}({options})" if options else f"{path}={name}")
    return ", ".join(parts)
