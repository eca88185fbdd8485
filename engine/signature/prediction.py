"""A program's answer: a `Prediction`, and the `Completions` it was chosen from.

They know nothing of models, prompts or metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from engine.basics.data import JsonObject, Values
from engine.records import Example

_NOTHING: Values = MappingProxyType({})


class Completions(Sequence["Prediction"]):
    """Every completion of one call, field by field.

    `completions.answer` is the list of answers; `completions[1]` is the second one as a Prediction.

    >>> both = Completions([{"answer": "a"}, {"answer": "b"}])
    >>> both.answer, both[1].answer, len(both)
    (['a', 'b'], 'b', 2)
    """

    __slots__ = ("_rows", "signature")

    def __init__(
        self, completions: Sequence[Values] | Mapping[str, Sequence[object]], signature: object = None
    ) -> None:
        if isinstance(completions, Mapping):
            if len({len(values) for values in completions.values()}) > 1:
                raise ValueError("Every field needs the same number of completions.")
            rows = [
                dict(zip(completions, row, strict=True)) for row in zip(*completions.values(), strict=True)
            ]
        else:
            rows = [dict(row) for row in completions]
        self._rows = rows
        self.signature = signature

    def items(self) -> list[tuple[str, list[Any]]]:
        """Return (field, its values) pairs."""
        names = dict.fromkeys(name for row in self._rows for name in row)
        return [(name, [row.get(name) for row in self._rows]) for name in names]

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return [row[key] for row in self._rows]
        if isinstance(key, slice):
            return [Prediction(row) for row in self._rows[key]]
        return Prediction(self._rows[key])

    def __getattr__(self, name: str) -> list[Any]:
        if name.startswith("_") or not any(name in row for row in self._rows):
            raise AttributeError(f"These completions have no field {name!r}.")
        return [row.get(name) for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Prediction]:
        return (Prediction(row) for row in self._rows)

    def __contains__(self, name: object) -> bool:
        return any(name in row for row in self._rows)

    def __reduce__(self) -> Any:
        return Completions, (self._rows, None)

    def __repr__(self) -> str:
        return f"Completions({dict(self.items())!r})"


class Prediction(Example):
    """A program's answer: output values by name, as attributes or items.

    A prediction with a `score` (what a judge returns) counts as that number: it compares, adds up,
    and is true only when the score is not zero.

    >>> answer = Prediction(label="spam", confidence=0.9)
    >>> answer.label, answer["confidence"]
    ('spam', 0.9)
    >>> bool(Prediction(score=0.0)), Prediction(score=0.4) < 0.5
    (False, True)
    """

    __slots__ = ("_completions", "_usage")

    _completions: Completions | None
    _usage: Values

    def __init__(self, base: Values | None = None, **values: object) -> None:
        super().__init__(base, **values)
        object.__setattr__(self, "_completions", base._completions if isinstance(base, Prediction) else None)
        object.__setattr__(self, "_usage", base._usage if isinstance(base, Prediction) else _NOTHING)

    @classmethod
    def of(cls, values: dict[str, object]) -> Prediction:
        """Return a prediction that takes over a dict as it is, without copying it."""
        prediction = cls.__new__(cls)
        for name, value in (
            ("_values", values),
            ("_input_keys", None),
            ("_completions", None),
            ("_usage", {}),
        ):
            object.__setattr__(prediction, name, value)
        return prediction

    @classmethod
    def from_completions(
        cls,
        completions: Sequence[Mapping[str, object]] | Mapping[str, Sequence[object]] | Completions,
        signature: object = None,
    ) -> Prediction:
        """Return the first of some completions, with all of them in `completions`."""
        rows = completions if isinstance(completions, Completions) else Completions(completions, signature)
        prediction = cls(rows._rows[0] if rows._rows else {})
        object.__setattr__(prediction, "_completions", rows)
        return prediction

    @property
    def completions(self) -> Completions:
        """Every completion of the call; of a single one, a list of one."""
        return self._completions if self._completions is not None else Completions([self._values])

    def get_lm_usage(self) -> dict[str, JsonObject]:
        """Return what the calls cost by model: calls, cached, input_tokens, output_tokens, cost (US dollars or None).

        Empty unless usage was tracked (`engine.configure(track_usage=True)` or `engine.track_usage()`).
        """
        return {model: dict(numbers) for model, numbers in self._usage.items()}

    def set_lm_usage(self, usage: Mapping[str, object]) -> None:
        """Note what the calls behind this prediction cost, by model."""
        object.__setattr__(self, "_usage", usage)

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self._values, self._completions, dict(self._usage))

    def __float__(self) -> float:
        if "score" not in self._values:
            raise TypeError("Only a prediction with a 'score' field is a number.")
        return float(self._values["score"])

    def __bool__(self) -> bool:
        return bool(self._values["score"]) if "score" in self._values else bool(self._values)

    def __lt__(self, other: Any) -> bool:
        return float(self) < float(other)

    def __le__(self, other: Any) -> bool:
        return float(self) <= float(other)

    def __gt__(self, other: Any) -> bool:
        return float(self) > float(other)

    def __ge__(self, other: Any) -> bool:
        return float(self) >= float(other)

    def __add__(self, other: Any) -> float:
        return float(self) + float(other)

    __radd__ = __add__

    def __truediv__(self, other: Any) -> float:
        return float(self) / float(other)

    def __rtruediv__(self, other: Any) -> float:
        return float(other) / float(self)


def _rebuilt(
    cls: type[Prediction],
    values: dict[str, object],
    completions: Completions | None,
    usage: Mapping[str, object],
) -> Prediction:
    prediction = cls(values)
    object.__setattr__(prediction, "_completions", completions)
    prediction.set_lm_usage(usage)
    return prediction
