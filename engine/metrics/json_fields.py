"""Structured answers, field by field: `JSONMatch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import Field, field_validator

from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample
from engine.metrics.matching import same
from engine.records import json_value, leaves
from engine.text import quoted

_MOST_NAMED = 6
_ABSENT: Any = object()


class JSONMatch(Metric):
    """The share of a structure's fields that are right, each with its weight.

    Both sides may be JSON text, a dict, a list or a model. A field is a value at the end of a path ("address.city",
    "items[0].price"); values compare as in `ExactMatch`.

    >>> JSONMatch(weights={"price": 3}).compare({"name": "Tea", "price": 4}, {"name": "tea", "price": 5})
    Grade(score=0.25, feedback='price: expected 4, got 5.')
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
    )
    pros = ("Partly right records get part of the score.", "Says which fields are wrong.")
    cons = ("A right value in other words counts as wrong.",)

    class Options(MetricOptions):
        """Which fields count how much."""

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

        @field_validator("weights", mode="before")
        @classmethod
        def _written(cls, value: object) -> Any:
            if isinstance(value, Mapping):
                value = ", ".join(f"{name}={weight}" for name, weight in value.items())
            parse_weights(value)
            return value

    options: Options

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._weights = parse_weights(self.options.weights)

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one structure by its fields against the one expected."""
        wanted, got = _data(expected), _data(answer)
        if isinstance(wanted, dict | list) and not isinstance(got, dict | list):
            return Grade(0.0, f"The answer must be JSON with fields, but is {quoted(answer)}.")
        if self.options.any_order:
            wanted, got = _sorted(wanted), _sorted(got)
        wanted_leaves, got_leaves = dict(leaves(wanted)), dict(leaves(got))
        right = total = 0.0
        wrong: list[str] = []
        each: dict[str, float] = {}
        for path, value in wanted_leaves.items():
            weight = self._weight(path)
            total += weight
            found = got_leaves.get(path, _ABSENT)
            if weight and path:
                each[path] = float(found is not _ABSENT and same(value, found))
            if found is not _ABSENT and same(value, found):
                right += weight
            elif weight:
                said = f"expected {quoted(value)}, " + (
                    "but it is missing" if found is _ABSENT else f"got {quoted(found)}"
                )
                wrong.append(f"{path}: {said}." if path else f"{said[0].upper()}{said[1:]}.")
        if self.options.extra_fields_are_wrong:
            for path in got_leaves.keys() - wanted_leaves.keys():
                if weight := self._weight(path):
                    total += weight
                    wrong.append(f"{path or 'the answer'}: not expected.")
        if not wrong:
            return Grade(1.0, "Correct.", each or None)
        more = f" And {len(wrong) - _MOST_NAMED} more." if len(wrong) > _MOST_NAMED else ""
        score = right / total if total else 1.0
        return Grade(score, " ".join(sorted(wrong)[:_MOST_NAMED]) + more, each or None)

    def _weight(self, path: str) -> float:
        if not self._weights:
            return 1.0
        # The longest weight that names the field or an object around it, list positions aside.
        plain = "".join(part.split("]")[-1] for part in path.split("["))
        while plain:
            if plain in self._weights:
                return self._weights[plain]
            plain = plain.rpartition(".")[0]
        return 1.0


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


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(_sorted, value), key=lambda item: orjson.dumps(item, option=orjson.OPT_SORT_KEYS))
    return value
