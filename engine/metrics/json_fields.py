"""Structured answers, field by field: `JSONMatch`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, Field, field_validator

from engine import loop
from engine.basics.text import quoted
from engine.errors import EngineError
from engine.metrics.base import Case, FieldGrade, Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.comparers import PredefinedScore, make_comparer, parse_comparers, written_comparers
from engine.metrics.matching import ExactMatch, same
from engine.records import json_value, leaves, plain_path
from engine.signature.nested import named

_MOST_NAMED = 6
_ABSENT: object = object()
_MOST_ALIGNED = 120
"""Items of a list that are aligned in the best of all ways; longer lists one after the other."""


class JSONMatchOptions(MetricOptions):
    """Options: weights of fields and their comparisons."""

    weights: str = Field(
        "",
        title="Weights",
        description="What single fields count, as in 'price=3, address.city=0.5'. Others count 1; 0 leaves one out.",
    )
    extra_fields_are_wrong: bool = Field(
        True,
        title="Extra fields are wrong",
        description="A field that was not expected lowers the score.",
    )
    any_order: bool = Field(
        False, title="Lists in any order", description="The items of a list may stand in another order."
    )
    best_match: bool = Field(
        False,
        title="Match the items of lists",
        description="Each expected item is compared with the item most like it, in any order; a list's score is its F1.",
    )
    evaluators: str = Field(
        "",
        title="Comparison by field",
        description="How single fields are compared, as in 'total=number(tolerance=0.01), date=date, "
        "supplier=levenshtein(threshold=0.8)'; 'default' is for all others.",
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _written(cls, value: object) -> object:
        if isinstance(value, Mapping):
            value = ", ".join(f"{name}={weight}" for name, weight in value.items())
        parse_weights(value)
        return value

    @field_validator("evaluators", mode="before")
    @classmethod
    def _understood(cls, value: object) -> object:
        if isinstance(value, Mapping):
            return written_comparers(value)
        try:
            for one in parse_comparers(str(value)).values():
                make_comparer(one)
        except EngineError as error:
            raise ValueError(str(error)) from None
        return value


class JSONMatch(Metric):
    """The share of a structure's fields that are right, each with its weight.

    Both sides may be JSON text, a dict, a list or a model. A field is a value at the end of a path ("address.city",
    "items[0].price"); values compare as in `ExactMatch`, or by the field's evaluator: `evaluators` is path (without
    places in lists) or "default" -> a name, {"type": name, "config": {...}}, a class or a function; see
    `engine.metrics.comparers`. With weights or evaluators the outputs of a row are one structure, so paths begin
    with the output's name. The grade's `fields` tell right, wrong, missing and invented values apart; an invented
    value scores 0 in `objective_scores`.

    >>> JSONMatch(weights={"price": 3}).compare({"name": "Tea", "price": 4}, {"name": "tea", "price": 5})
    Grade(score=0.25, feedback='price: expected 4, got 5.')
    >>> JSONMatch(evaluators={"price": {"type": "number", "config": {"tolerance": 1}}}).compare({"price": 4}, {"price": 5}).score
    1.0
    """

    name = "JSONMatch"
    title = "JSON, field by field"
    plain = "The score is the share of the expected fields that are right; fields can count more or less."
    examples = (
        WorkedExample('{"name": "Tea", "price": 4}', '{"name": "tea", "price": 5}', 0.5),
        WorkedExample(
            '{"name": "Tea", "price": 4}', '{"name": "tea", "price": 5}', 0.25, {"weights": "price=3"}
        ),
        WorkedExample('{"name": "Tea"}', "no idea", 0.0),
        WorkedExample('{"day": "2026-03-31"}', '{"day": "31.3.2026"}', 1.0, {"evaluators": "day=date"}),
        WorkedExample('["tea", "milk"]', '["milk", "rum"]', 0.5, {"best_match": True}),
    )
    pros = ("Partly right records get part of the score.", "Says which fields are wrong.")
    cons = ("A right value in other words counts as wrong, unless its field is compared in another way.",)

    Options = JSONMatchOptions

    options: JSONMatchOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._weights = parse_weights(self.options.weights)
        given = options.get("evaluators") or {}
        named = given if isinstance(given, Mapping) else parse_comparers(given)
        self._comparers = {path: make_comparer(one) for path, one in named.items()}
        self._named = bool(self._comparers)
        self._default = self._comparers.pop("default", ExactMatch())
        every = [*self._comparers.values(), self._default]
        self.awaits = any(one.awaits for one in every)  # type: ignore[misc]  # set by its evaluators
        self.calls = sum(one.calls for one in every)  # type: ignore[misc]  # set by its evaluators

    @property
    def judge(self) -> str | None:
        """The judge that all judging evaluators name; None where one of them asks the model in force."""
        every = [*self._comparers.values(), self._default]
        names = {getattr(one.options, "judge", None) for one in every if one.calls}
        return names.pop() if len(names) == 1 else None

    def cases(self, example: Mapping[str, object], prediction: Mapping[str, object]) -> list[Case]:
        """Return what is graded: several outputs as one structure, whose fields are then named by output.

        Without weights and evaluators each output is a structure by itself, and the score is their mean.
        """
        names = self.fields(example, prediction)
        if len(names) == 1 or not (self._weights or self._named or self.options.best_match):
            return super().cases(example, prediction)
        sides = [{name: side[name] for name in names} for side in (example, prediction)]
        return [Case("answer", sides[0], sides[1], example, prediction)]

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one structure by its fields against the one expected."""
        return self.compare_case(Case.of(expected, answer))

    def compare_case(self, case: Case) -> Grade:
        """Grade one structure with its row around it; where an evaluator waits, wait too."""
        if self.awaits:
            return loop.run(self.acompare(case))
        pairs = self._case_pairs(case)
        return (
            pairs if isinstance(pairs, Grade) else self._graded(pairs, [self._score(p, case) for p in pairs])
        )

    async def acompare(self, case: Case) -> Grade:
        """Grade one output, in async code."""
        pairs = self._case_pairs(case)
        if isinstance(pairs, Grade):
            return pairs

        async def score(pair: _Pair) -> float:
            metric = self._comparer(pair.path)
            if not metric.awaits or not pair.compared:
                return self._score(pair, case)
            return (await metric.acompare(pair.within(case))).score

        return self._graded(pairs, await asyncio.gather(*map(score, pairs)))

    def _case_pairs(self, case: Case) -> list[_Pair] | Grade:
        """Return what is compared, or the grade of an answer that is no structure."""
        wanted, got = self._sides(case)
        if isinstance(wanted, dict | list) and not isinstance(got, dict | list):
            return Grade(0.0, f"The answer must be JSON with fields, but is {quoted(case.answer)}.")
        return self._pairs(wanted, got)

    def _sides(self, case: Case) -> tuple[object, object]:
        wanted, got = _plain_sides(case.expected, case.answer)
        if self.options.best_match:
            return wanted, self.aligned(wanted, got)
        return (_sorted(wanted), _sorted(got)) if self.options.any_order else (wanted, got)

    def _pairs(self, wanted: object, got: object) -> list[_Pair]:
        """Return what is compared: the expected values, then those that were not expected; with their weights."""
        expected, answered = dict(leaves(wanted)), dict(leaves(got))
        pairs = [
            _Pair(path, self._weight(path), value, answered.get(path, _ABSENT))
            for path, value in expected.items()
            if value is not _ABSENT
        ]
        if self.options.best_match:
            pairs = [pair for pair in pairs if not _both_empty(pair)]
        if self.options.extra_fields_are_wrong:
            around = _paths_around(expected)
            pairs += [
                _Pair(path, self._weight(path), _ABSENT, value)
                for path, value in answered.items()
                if path not in expected
                and value is not _ABSENT
                # A record or list left empty is what its fields miss, and nothing extra.
                and not (path in around and _is_empty(value))
            ]
        return pairs

    def _score(self, pair: _Pair, case: Case) -> float:
        if not pair.compared:
            if self.options.best_match and _is_empty(pair.wanted) and _is_empty(pair.got):
                return 1.0
            return float(
                pair.wanted is not _ABSENT and pair.got is not _ABSENT and same(pair.wanted, pair.got)
            )
        return self._comparer(pair.path).compare_case(pair.within(case)).score

    def _graded(self, pairs: Sequence[_Pair], scores: Sequence[float]) -> Grade:
        right = total = 0.0
        wrong: list[str] = []
        each: dict[str, float] = {}
        fields: list[FieldGrade] = []
        for pair, score in zip(pairs, scores, strict=True):
            share = pair.weight
            if (
                self.options.best_match
                and score == 0
                and (pair.wanted is _ABSENT or pair.got is _ABSENT)
                and "[" in pair.path
            ):
                share /= (
                    2  # what is missing costs recall alone, what is invented precision alone: the sum is F1
                )
            total += share
            right += share * score
            if not pair.weight:
                continue
            graded = pair.grade(score)
            fields.append(graded)
            if pair.path:
                each[pair.path] = score
            if score < 1:
                wrong.append(_sentence(pair))
        if not wrong:
            return Grade(1.0, "Correct.", each or None, tuple(fields))
        more = f" And {len(wrong) - _MOST_NAMED} more." if len(wrong) > _MOST_NAMED else ""
        score = right / total if total else 1.0
        return Grade(score, " ".join(sorted(wrong)[:_MOST_NAMED]) + more, each or None, tuple(fields))

    def _weight(self, path: str) -> float:
        return self._weights[name] if (name := _nearest(path, self._weights)) else 1.0

    def _comparer(self, path: str) -> Metric:
        return self._comparers[name] if (name := _nearest(path, self._comparers)) else self._default

    # Lists

    def aligned(self, wanted: Any, got: Any, path: str = "") -> Any:
        """Return an answer (JSON values) with its lists' items in the places of the expected items they are most like.

        An expected item without a like has a value in its place that equals nothing; the rest of the answer comes last.

        >>> JSONMatch().aligned(["tea", "milk"], ["rum", "milk", "tea"])
        ['tea', 'milk', 'rum']
        """
        if isinstance(wanted, dict) and isinstance(got, dict):
            below = {k: f"{path}.{k}" if path else str(k) for k in got}
            return {k: self.aligned(wanted[k], v, below[k]) if k in wanted else v for k, v in got.items()}
        if not (isinstance(wanted, list) and isinstance(got, list) and wanted and got):
            return got
        placed: list[object] = [_ABSENT] * len(wanted)
        rest = list(range(len(got)))
        for expected, answer in _matches(self._likeness(wanted, got, path), len(got)):
            placed[expected] = self.aligned(wanted[expected], got[answer], path)
            rest.remove(answer)
        return placed + [got[at] for at in rest]

    def _likeness(self, wanted: list[Any], got: list[Any], path: str) -> list[list[float]]:
        return [[self._alike(one, other, path) for other in got] for one in wanted]

    def _alike(self, wanted: object, got: object, path: str) -> float:
        """Return how alike two items are, without asking a model."""
        expected, answered = dict(leaves(wanted, path)), dict(leaves(got, path))
        both = expected.keys() & answered.keys()
        right = sum(self._plain_score(name, expected[name], answered[name]) for name in both)
        return 2 * right / (len(expected) + len(answered))

    def _plain_score(self, path: str, wanted: object, got: object) -> float:
        metric = self._comparer(path)
        if metric.awaits or isinstance(metric, ExactMatch | PredefinedScore):
            return float(same(wanted, got))
        return metric.compare(wanted, got).score


class _Pair(NamedTuple):
    """One value expected and the one found at the same path; _ABSENT where a side has none."""

    path: str
    weight: float
    wanted: Any
    got: Any

    @property
    def compared(self) -> bool:
        """True if there are two values to compare."""
        return not any(one is _ABSENT or _is_empty(one) for one in (self.wanted, self.got))

    def within(self, case: Case) -> Case:
        """Return the pair as a case of its row."""
        return Case(self.path, self.wanted, self.got, case.example, case.prediction)

    @property
    def status(self) -> Literal["wrong", "missing", "invented"]:
        """The kind of error of a wrong value."""
        if self.wanted is _ABSENT or _is_empty(self.wanted):
            return "missing" if self.got is _ABSENT else "invented"
        return "missing" if self.got is _ABSENT or _is_empty(self.got) else "wrong"

    def grade(self, score: float) -> FieldGrade:
        """Return the pair's grade."""
        sides = [None if one is _ABSENT else one for one in (self.wanted, self.got)]
        return FieldGrade(
            self.path, "right" if score >= 1 else self.status, sides[0], sides[1], score, self.weight
        )


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {})


def _paths_around(paths: Iterable[str]) -> set[str]:
    """Return the paths of everything that holds one of these."""
    return {path[:at] for path in paths for at, letter in enumerate(path) if letter in ".[" or not at}


def _both_empty(pair: _Pair) -> bool:
    return _is_empty(pair.wanted) and pair.got is _ABSENT


def _sentence(pair: _Pair) -> str:
    """Return what is wrong with one value."""
    if pair.wanted is _ABSENT:
        return f"{pair.path or 'the answer'}: not expected."
    answer = "but it is missing" if pair.got is _ABSENT else f"got {quoted(pair.got)}"
    if pair.status == "invented":
        sentence = f"expected nothing, {answer}"
    else:
        sentence = f"expected {quoted(pair.wanted)}, {answer}"
    return f"{pair.path}: {sentence}." if pair.path else f"{sentence[0].upper()}{sentence[1:]}."


def _nearest(path: str, named: Mapping[str, object]) -> str:
    """Return the longest of some names that is the field's or that of an object around it, list positions aside."""
    if not named:
        return ""
    plain = plain_path(path)
    while plain:
        if plain in named:
            return plain
        plain = plain.rpartition(".")[0]
    return ""


def _matches(likeness: list[list[float]], width: int) -> Iterator[tuple[int, int]]:
    """Iterate over the pairs (row, column) of the assignment with the greatest sum; pairs that are nothing alike are left out."""
    if max(len(likeness), width) > _MOST_ALIGNED:
        yield from _greedy(likeness, width)
        return
    if len(likeness) <= width:
        pairs = _assigned([[-one for one in row] for row in likeness])
    else:
        turned = [[-row[at] for row in likeness] for at in range(width)]
        pairs = [(column, row) for row, column in _assigned(turned)]
    yield from (pair for pair in pairs if likeness[pair[0]][pair[1]] > 0)


def _greedy(likeness: list[list[float]], width: int) -> Iterator[tuple[int, int]]:
    free = set(range(width))
    for row, values in enumerate(likeness):
        best = max(free, key=lambda at: values[at], default=None)
        if best is not None and values[best] > 0:
            free.remove(best)
            yield row, best


def _assigned(cost: list[list[float]]) -> list[tuple[int, int]]:
    """Return the column of each row at the least total cost (no more rows than columns), by Kuhn and Munkres' method."""
    rows, columns = len(cost), len(cost[0]) if cost else 0
    u, v = [0.0] * (rows + 1), [0.0] * (columns + 1)
    matched, way = [0] * (columns + 1), [0] * (columns + 1)
    for row in range(1, rows + 1):
        matched[0], at = row, 0
        least, used = [math.inf] * (columns + 1), [False] * (columns + 1)
        while matched[at]:
            used[at] = True
            current, step, following = matched[at], math.inf, 0
            for column in range(1, columns + 1):
                if used[column]:
                    continue
                reduced = cost[current - 1][column - 1] - u[current] - v[column]
                if reduced < least[column]:
                    least[column], way[column] = reduced, at
                if least[column] < step:
                    step, following = least[column], column
            for column in range(columns + 1):
                if used[column]:
                    u[matched[column]] += step
                    v[column] -= step
                else:
                    least[column] -= step
            at = following
        while at:
            matched[at] = matched[way[at]]
            at = way[at]
    return [(matched[column] - 1, column - 1) for column in range(1, columns + 1) if matched[column]]


def parse_weights(text: object) -> dict[str, float]:
    """Return weights by name from "price=3, name=0.5". Raises ValueError for anything else.

    >>> parse_weights("price=3, name=0.5")
    {'price': 3.0, 'name': 0.5}
    """
    weights: dict[str, float] = {}
    for part in str(text or "").replace("\n", ",").split(","):
        if not part.strip():
            continue
        name, equals, number = part.partition("=")
        try:
            weight = float(number) if equals else 1.0
        except ValueError:
            raise ValueError(f"{part.strip()!r} is no weight: write name=number") from None
        if not name.strip() or not 0 <= weight < float("inf"):
            raise ValueError(f"{part.strip()!r} is no weight: write name=number, 0 or more")
        weights[name.strip()] = weight
    return weights


def _data(value: object) -> object:
    if isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return json_value(value)


def _plain_sides(expected: object, answer: object) -> tuple[Any, Any]:
    """Return both sides as JSON values; those of models by their fields' names, whichever names the other side has."""
    sides: list[Any] = [_data(expected), _data(answer)]
    if (kind := _model_in(expected) or _model_in(answer)) is not None:
        return named(sides[0], kind), named(sides[1], kind)
    for side in (expected, answer):  # the outputs of a row, some of which are models
        for key, value in side.items() if isinstance(side, Mapping) else ():
            if (kind := _model_in(value)) is not None:
                sides = [{**one, key: named(one[key], kind)} if key in one else one for one in sides]
    return sides[0], sides[1]


def _model_in(value: object) -> type[BaseModel] | None:
    """Return the class of a model, or of the models in a list."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    return type(first) if isinstance(first, BaseModel) else None


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(_sorted, value), key=lambda item: orjson.dumps(item, option=orjson.OPT_SORT_KEYS))
    return value
