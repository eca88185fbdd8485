"""Ways to compare one field's value with the expected one, by name: what `JSONMatch` uses for which field.

The names that DSPydantic's users know, and more. `register_evaluator` adds the user's own.
"""

from __future__ import annotations

import ast
import inspect
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import loop
from engine.errors import ConfigurationError, entry_named, first_problem
from engine.metrics.base import AwaitedMetric, Case
from engine.metrics.judge import Rubric
from engine.metrics.matching import numbers_near, same
from engine.metrics.python_code import PythonMetric
from engine.metrics.similarity import EditDistance, EmbeddingSimilarity
from engine.records import json_value
from engine.text import as_text, quoted
from engine.written import currency_of, read_dates, read_numbers


class Comparer(ABC):
    """Scores one field's value against the expected one, 0 to 1. Options are checked by `Options`."""

    name: str
    awaits: bool = False
    calls: int = 0

    class Options(BaseModel):
        """No options."""

        model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __init__(self, **config: Any) -> None:
        try:
            self.options: Any = self.Options(**config)
        except ValidationError as error:
            where, message = first_problem(error, "its options")
            raise ConfigurationError(f"Evaluator {self.name!r}: {where}: {message}.") from None

    @abstractmethod
    def score(self, expected: object, got: object) -> float:
        """Return how right a value is, 0 to 1."""

    def case_score(self, case: Case) -> float:
        """Return how right a field is; `case.field` is its path, `case.example` the row."""
        return self.score(case.expected, case.answer)

    async def ascore(self, case: Case) -> float:
        """Return how right a field is, in async code."""
        return self.case_score(case)


class Same(Comparer):
    """Equal as `ExactMatch` sees it: case, spaces and punctuation around do not count, numbers are numbers.

    >>> Same().score("Tea ", "tea")
    1.0
    """

    name = "normalised"

    def score(self, expected: object, got: object) -> float:
        """Return 1 or 0."""
        return float(same(expected, got))


class Exact(Comparer):
    """Equal as texts.

    >>> Exact().score("Tea", "tea"), Exact(case_sensitive=False).score("Tea", " tea")
    (0.0, 1.0)
    """

    name = "exact"

    class Options(Comparer.Options):
        """Options of the comparison."""

        case_sensitive: bool = True
        strip_whitespace: bool = True

    def score(self, expected: object, got: object) -> float:
        """Return 1 or 0."""
        texts = [as_text(one) for one in (expected, got)]
        if self.options.strip_whitespace:
            texts = [text.strip() for text in texts]
        if not self.options.case_sensitive:
            texts = [text.casefold() for text in texts]
        return float(texts[0] == texts[1])


class Levenshtein(Comparer):
    """`EditDistance` letter by letter; below `threshold` 0.

    >>> round(Levenshtein().score("kitten", "mitten"), 2), Levenshtein(threshold=0.9).score("kitten", "mitten")
    (0.83, 0.0)
    """

    name = "levenshtein"

    class Options(Comparer.Options):
        """From where on a likeness counts."""

        threshold: float = Field(0.0, ge=0, le=1)

    def score(self, expected: object, got: object) -> float:
        """Return the likeness of two texts."""
        metric = EditDistance(strict=True, at_least=self.options.threshold)
        return metric.compare(as_text(expected), as_text(got)).score


class _Awaited(Comparer):
    awaits = True
    metric: AwaitedMetric

    def score(self, expected: object, got: object) -> float:
        """Return the metric's score, and wait for it."""
        return loop.run(self.ascore(Case("value", expected, got, {"value": expected}, {"value": got})))

    async def ascore(self, case: Case) -> float:
        """Return the metric's score for one field."""
        return (await self.metric.acompare(case)).score


class TextSimilarity(_Awaited):
    """Cosine of two texts' embeddings; below `threshold` 0. See `EmbeddingSimilarity`."""

    name = "text_similarity"

    class Options(Levenshtein.Options):
        """Choice of the embeddings; the offline ones compare words and letters."""

        model: str = ""
        embedder: Any = None

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        named = {"model": self.options.model} if self.options.model else {}
        at_least = self.options.threshold
        self.metric = EmbeddingSimilarity(embedder=self.options.embedder, at_least=at_least, **named)

    async def ascore(self, case: Case) -> float:
        """Return the similarity of a field's two texts."""
        return await super().ascore(
            replace(case, expected=as_text(case.expected), answer=as_text(case.answer))
        )


class Number(Comparer):
    """A number within a tolerance, however it is written; `relative` reads the tolerance as a share of the expected one.

    >>> Number(tolerance=0.01).score(1234.5, "1.234,50"), Number(tolerance=0.05, relative=True).score(100, 104)
    (1.0, 1.0)
    """

    name = "number"

    class Options(Comparer.Options):
        """Tolerance of the comparison."""

        tolerance: float = Field(0.0, ge=0)
        relative: bool = False

    def score(self, expected: object, got: object) -> float:
        """Return 1 or 0."""
        numbers = read_numbers(expected), read_numbers(got)
        return float(numbers_near(*numbers, self.options.tolerance, self.options.relative))


class Currency(Number):
    """An amount of money: the number within a tolerance, and the same currency where both name one.

    >>> Currency().score("1.234,50 €", "EUR 1,234.50"), Currency().score("12 €", "12 $"), Currency().score(12, "12 $")
    (1.0, 0.0, 1.0)
    """

    name = "currency"

    def score(self, expected: object, got: object) -> float:
        """Return 1 or 0."""
        codes = [currency_of(as_text(one)) for one in (expected, got)]
        if all(codes) and codes[0] != codes[1]:
            return 0.0
        return super().score(expected, got)


class Date(Comparer):
    """The same day, however it is written; `days` off are still right.

    >>> Date().score("2026-03-31", "31 March 2026"), Date(days=1).score("2026-03-31", "1.4.2026")
    (1.0, 1.0)
    """

    name = "date"

    class Options(Comparer.Options):
        """Tolerance of the comparison."""

        days: int = Field(0, ge=0)

    def score(self, expected: object, got: object) -> float:
        """Return 1 or 0."""
        pairs = ((a, b) for a in read_dates(expected) for b in read_dates(got))
        return float(any(abs((a - b).days) <= self.options.days for a, b in pairs))


class _Judged(_Awaited):
    calls = 1

    class Options(Comparer.Options):
        """Choice of the judge: `lm`, a model in Python, or `judge`, its name; else the configured model. Never the offline stand-in."""

        lm: Any = None
        judge: str | None = None
        temperature: float = 0.0
        system_prompt: str | None = None
        criteria: str = "The value means the same as the expected one."

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        lines = [self.options.system_prompt, self.options.criteria]
        criteria = "\n".join(filter(None, lines))
        self.metric = Rubric(lm=self.options.lm, judge=self.options.judge, criteria=criteria)


class ScoreJudge(_Judged):
    """A model's mark, 0 to 1, by criteria in plain words. One call a field."""

    name = "score_judge"


class LabelGrader(_Judged):
    """A label out of `allowed_labels`; a model is asked only where the expected one is none of them."""

    name = "label_model_grader"

    class Options(_Judged.Options):
        """The labels, and what an answer is worth."""

        allowed_labels: list[str] = Field(min_length=1)
        exact_match_score: float = Field(1.0, ge=0, le=1)
        partial_match_score: float = Field(0.5, ge=0, le=1)
        criteria: str = "The label means the same as the expected one."

    async def ascore(self, case: Case) -> float:
        """Return the score of one label."""
        if same(case.expected, case.answer):
            return float(self.options.exact_match_score)
        if any(same(label, case.expected) for label in self.options.allowed_labels):
            return 0.0
        return float(self.options.partial_match_score) * (await super().ascore(case))


class PythonCode(Comparer):
    """A function of the programmer's, or code that runs in the sandbox.

    `function(extracted, expected, input_data=..., field_path=...)`, as in DSPydantic; arguments it does not take are left
    out. `code` is that of `PythonMetric`: its last line is the score of `answer` against `expected`.

    >>> PythonCode(function=lambda extracted, expected: extracted[:1] == expected[:1]).score("Ann", "Al")
    1.0
    """

    name = "python_code"

    class Options(Comparer.Options):
        """The function, or the code and its seconds."""

        function: Callable[..., Any] | None = None
        code: str = ""
        seconds: float = Field(2.0, gt=0, le=60)

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self._metric: PythonMetric | None = None
        if self.options.function is None:
            if not self.options.code.strip():
                raise ConfigurationError(
                    "Evaluator 'python_code' needs a function (in Python) or code (in a form)."
                )
            self._metric = PythonMetric(code=self.options.code, seconds=self.options.seconds)
            self.awaits = True

    def score(self, expected: object, got: object) -> float:
        """Return what the function or the code says, as a number from 0 to 1."""
        if self._metric is not None:
            return self._metric.compare(expected, got).score
        return self.case_score(Case("value", expected, got, {}, {}))

    async def ascore(self, case: Case) -> float:
        """Return what the function or the code says of one field."""
        if self._metric is not None:
            return (await self._metric.acompare(case)).score
        return self.case_score(case)

    def case_score(self, case: Case) -> float:
        """Return what the function says of one field."""
        function = self.options.function
        return _mark(
            _call(
                function,
                case.answer,
                case.expected,
                input_data=json_value(dict(case.example)),
                field_path=case.field,
            ),
            self.name,
        )


class PredefinedScore(Comparer):
    """Scores written beforehand, taken in the order of the calls, as shares of `max_value`.

    >>> given = PredefinedScore(scores=[50, 100])
    >>> given.score("a", "b"), given.score("a", "b")
    (0.5, 1.0)
    """

    name = "predefined_score"

    class Options(Comparer.Options):
        """The scores and their scale."""

        scores: list[float] = Field(default_factory=list)
        max_value: float = Field(100.0, gt=0)

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self._left = list(self.options.scores)
        self._lock = threading.Lock()

    def score(self, expected: object, got: object) -> float:  # noqa: ARG002 - the score is known already
        """Return the next score. Raises ConfigurationError where none is left."""
        with self._lock:
            if not self._left:
                raise ConfigurationError(
                    f"Evaluator 'predefined_score' has {len(self.options.scores)} scores, and all of them are used. Give one for each field graded."
                )
            share = float(self._left.pop(0)) / float(self.options.max_value)
        return min(1.0, max(0.0, share))


def _of_user(evaluator: Any) -> PythonCode:
    """Return the comparer of the user's own object, by `evaluate(extracted, expected, input_data=..., field_path=...)`."""
    comparer = PythonCode(function=evaluator.evaluate)
    comparer.name = type(evaluator).__name__
    return comparer


def _call(function: Callable[..., Any], *values: object, **more: object) -> object:
    """Call a function with those of the named arguments that it takes."""
    try:
        known = inspect.signature(function).parameters.values()
    except ValueError:
        return function(*values)
    if not any(p.kind is p.VAR_KEYWORD for p in known):
        names = {p.name for p in known}
        more = {name: value for name, value in more.items() if name in names}
    return function(*values, **more)


def _mark(given: object, name: str) -> float:
    if not isinstance(given, int | float) or given != given:
        raise ConfigurationError(
            f"The evaluator {name!r} gave {quoted(given)}. It must return a number from 0 to 1."
        )
    return min(1.0, max(0.0, float(given)))


_KNOWN: dict[str, type[Any]] = {
    "exact": Exact,
    "string_check": Exact,
    "normalised": Same,
    "levenshtein": Levenshtein,
    "text_similarity": TextSimilarity,
    "number": Number,
    "date": Date,
    "currency": Currency,
    "score_judge": ScoreJudge,
    "score_model_grader": ScoreJudge,
    "label_model_grader": LabelGrader,
    "python_code": PythonCode,
    "predefined_score": PredefinedScore,
}
EVALUATORS = tuple(_KNOWN)
"""Names that are always known."""


def register_evaluator(name: str, evaluator: type[Any]) -> None:
    """Make a class known by a name: a `Comparer`, or one with `evaluate(extracted, expected, ...)`, made with its config.

    >>> class Initial:
    ...     def evaluate(self, extracted, expected):
    ...         return extracted[0] == expected[0]
    >>> register_evaluator("initial", Initial)
    >>> make_comparer("initial").score("Ann", "Al")
    1.0
    """
    if not (
        inspect.isclass(evaluator) and (issubclass(evaluator, Comparer) or hasattr(evaluator, "evaluate"))
    ):
        raise ConfigurationError(
            f"The evaluator {name!r} must be a class with evaluate(extracted, expected), or a Comparer."
        )
    _KNOWN[name] = evaluator


def make_comparer(given: object) -> Comparer:
    """Return the comparer of a name, a class, an instance, a function, or {"type" or "class": ..., "config": {...}}.

    Raises ConfigurationError for anything else, UnknownNameError for an unknown name.

    >>> make_comparer({"type": "levenshtein", "config": {"threshold": 0.5}}).options.threshold
    0.5
    """
    config: dict[str, Any] = {}
    if isinstance(given, Mapping):
        wrong = given.keys() - {"type", "class", "config"} - set(_SHORT)
        if wrong or not given.keys() & {"type", "class"}:
            raise ConfigurationError(
                f"An evaluator is written as {{'type': 'levenshtein', 'config': {{'threshold': 0.8}}}}, not {dict(given)!r}."
            )
        config = {**(given.get("config") or {}), **{k: given[k] for k in _SHORT if k in given}}
        given = given.get("type") or given.get("class")
    if isinstance(given, str):
        given = entry_named("evaluator", given, _KNOWN)
    if isinstance(given, Comparer):
        return given
    if inspect.isclass(given):
        return given(**config) if issubclass(given, Comparer) else _of_user(_user_comparer(given, config))
    if hasattr(given, "evaluate"):
        return _of_user(given)
    if callable(given):
        return PythonCode(function=given)
    raise ConfigurationError(f"{given!r} is no evaluator: give a name, a class or a function.")


_SHORT = ("function",)
"""Settings that may stand next to "type", as DSPydantic's guide writes them."""


def _user_comparer(cls: type[Any], config: dict[str, Any]) -> Any:
    """Return an instance of a user's class: it takes its config as one argument, as keywords, or not at all."""
    taken = [p for p in inspect.signature(cls).parameters.values() if p.kind is not p.VAR_KEYWORD]
    if any(p.name == "config" for p in taken):
        return cls(config)
    try:
        return cls(**config)
    except TypeError as error:
        raise ConfigurationError(
            f"The evaluator {cls.__name__} cannot be made with {config!r}: {error}."
        ) from None


_ENTRY = re.compile(r"\s*([\w.\[\]*]+)\s*=\s*(\w+)\s*(\((?:[^()'\"]|'[^']*'|\"[^\"]*\")*\))?\s*(?:[,\n]|\Z)")


def parse_comparers(text: str) -> dict[str, dict[str, Any]]:
    """Return evaluators by field from a form's text. Raises ValueError for anything else.

    >>> parse_comparers("total=number(tolerance=0.01), date=date")
    {'total': {'type': 'number', 'config': {'tolerance': 0.01}}, 'date': {'type': 'date', 'config': {}}}
    """
    found: dict[str, dict[str, Any]] = {}
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
        found[path] = {"type": name, "config": config}
        at = entry.end()
    return found


def written_comparers(given: Mapping[str, Any]) -> str:
    """Return evaluators by field as a form's text; what is written only in Python is named alone.

    >>> written_comparers({"total": {"type": "number", "config": {"tolerance": 0.01}}, "date": "date"})
    'total=number(tolerance=0.01), date=date'
    """
    parts = []
    for path, one in given.items():
        inside: Mapping[str, Any] = one if isinstance(one, Mapping) else {"type": one}
        name, config = inside.get("type") or inside.get("class"), inside.get("config") or {}
        if not isinstance(name, str):
            continue
        plain = {k: v for k, v in config.items() if isinstance(v, str | int | float | bool | list)}
        options = ", ".join(f"{k}={v!r}" for k, v in plain.items())
        parts.append(f"{path}={name}({options})" if options else f"{path}={name}")
    return ", ".join(parts)
