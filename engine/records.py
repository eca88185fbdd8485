"""The nouns that everything else passes around: examples, candidates, outcomes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any, Protocol, TypeVar

import orjson

from engine.basics.data import JsonObject, Values
from engine.basics.text import as_text


class Example(Values):
    """One row: named values, some of which are a program's inputs.

    Values are read as attributes or items. `inputs()` and `labels()` need `with_inputs` first. Names that begin
    with "dspy_" are listed only with `include_dspy`.

    >>> row = Example(question="1+1?", answer="2", dspy_uuid="7").with_inputs("question")
    >>> row.answer, dict(row.inputs()), row.keys()
    ('2', {'question': '1+1?'}, ['question', 'answer'])
    """

    __slots__ = ("_input_keys", "_values")

    _values: JsonObject
    _input_keys: frozenset[str] | None

    def __init__(self, base: Values | None = None, **values: object) -> None:
        object.__setattr__(self, "_values", {**(getattr(base, "_values", base) or {}), **values})
        object.__setattr__(self, "_input_keys", getattr(base, "_input_keys", None))

    @classmethod
    def owning(cls, values: dict[str, object], input_keys: frozenset[str]) -> Example:
        """Return an example around a dict that is given away: nothing is copied, for many rows at once."""
        example = cls.__new__(cls)
        object.__setattr__(example, "_values", values)
        object.__setattr__(example, "_input_keys", input_keys)
        return example

    def with_inputs(self, *keys: str) -> Example:
        """Return a copy that knows which keys are inputs."""
        copy = type(self)(self)
        object.__setattr__(copy, "_input_keys", frozenset(keys))
        return copy

    @property
    def knows_inputs(self) -> bool:
        """True if `with_inputs` has said which keys are inputs."""
        return self._input_keys is not None

    @property
    def input_keys(self) -> frozenset[str]:
        """Names of the inputs. Raises ValueError before `with_inputs`."""
        if self._input_keys is None:
            raise ValueError("This example does not know its inputs. Call with_inputs('name', ...) first.")
        return self._input_keys

    def input_values(self) -> JsonObject:
        """Return the inputs as a plain dict. Raises ValueError before `with_inputs`."""
        keys = self.input_keys
        return {k: v for k, v in self._values.items() if k in keys}

    def inputs(self) -> Example:
        """Return the inputs alone, as an Example."""
        return type(self)(self.input_values()).with_inputs(*self.input_keys)

    def labels(self) -> Example:
        """Return everything but the inputs, as an Example."""
        return type(self)({k: v for k, v in self._values.items() if k not in self.input_keys})

    def without(self, *keys: str) -> Example:
        """Return a copy without some keys."""
        copy = type(self)({k: v for k, v in self._values.items() if k not in keys})
        object.__setattr__(copy, "_input_keys", self._input_keys)
        return copy

    def copy(self, **changes: object) -> Example:
        """Return a copy with some values changed."""
        return type(self)(self, **changes)

    def toDict(self) -> JsonObject:  # noqa: N802 - DSPy's name
        """Return the values as a plain dict, also those inside them: examples and pydantic models become dicts."""
        return {name: _as_plain(value) for name, value in self._values.items()}

    def keys(self, include_dspy: bool = False) -> list[str]:  # type: ignore[override]  # lists can be indexed and printed
        """Return the names as a list."""
        return [name for name in self if include_dspy or not name.startswith("dspy_")]

    def values(self, include_dspy: bool = False) -> list[Any]:  # type: ignore[override]
        """Return the values as a list, in the order of `keys`."""
        return [self[name] for name in self.keys(include_dspy)]

    def items(self, include_dspy: bool = False) -> list[tuple[str, Any]]:  # type: ignore[override]
        """Return (name, value) pairs as a list, in the order of `keys`."""
        return [(name, self[name]) for name in self.keys(include_dspy)]

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: object) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(
                f"This {type(self).__name__.lower()} has no field {name!r}. It has: {', '.join(self._values)}."
            ) from None

    def __setattr__(self, name: str, value: object) -> None:
        self._values[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Example) and self._values == other._values

    def __hash__(self) -> int:
        return hash(content_hash(self._values))

    def __reduce__(self) -> Any:
        return _rebuild_example, (type(self), self._values, self._input_keys)

    def __repr__(self) -> str:
        values = ", ".join(f"{k}={v!r}" for k, v in self._values.items())
        return f"{type(self).__name__}({values})"

    def plain_values(self) -> JsonObject:
        """Return the values as they are, as a dict."""
        return dict(self._values)


def _as_plain(value: object) -> object:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Example):
        return value.toDict()
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, list):
        return [_as_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_plain(item) for key, item in value.items()}
    return value


def _rebuild_example(cls: type[Example], values: dict[str, object], keys: frozenset[str] | None) -> Example:
    return cls(values) if keys is None else cls(values).with_inputs(*keys)


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of model calls: tokens in and out, US dollars (None: price unknown), and calls made.

    `calls` counts paid calls; an answer from the cache adds to `cached` instead.

    >>> Usage(calls=1, input_tokens=10) + Usage(calls=1, input_tokens=5, cost=0.25)
    Usage(calls=2, cached=0, input_tokens=15, output_tokens=0, cost=0.25)
    """

    calls: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens in and out together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        cost = None if self.cost is None and other.cost is None else (self.cost or 0.0) + (other.cost or 0.0)
        return Usage(
            self.calls + other.calls,
            self.cached + other.cached,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            cost,
        )

    def __sub__(self, other: Usage) -> Usage:
        cost = None if other.cost is None else -other.cost
        return self + Usage(-other.calls, -other.cached, -other.input_tokens, -other.output_tokens, cost)


@dataclass(frozen=True, slots=True)
class Demo:
    """A solved example shown to a step: field name -> JSON value. `augmented`: a model's own correct trace made it."""

    values: Values
    augmented: bool = False


@dataclass(frozen=True, slots=True)
class StepState:
    """The parts of one step that may change.

    `nearest` demos are shown (0: all), `reason_first` adds or drops reasoning, `adapter` is a name. `weights` is
    the name of the model that answers this step in place of the one in force: a tuned one such as "tuned/abc", or
    another of the run's.
    """

    instructions: str
    demos: tuple[Demo, ...] = ()
    field_descriptions: Mapping[str, str] = field(default_factory=dict)
    tool_descriptions: Mapping[str, str] = field(default_factory=dict)
    nearest: int = 0
    reason_first: bool | None = None
    adapter: str | None = None
    weights: str | None = None

    def as_dict(self) -> JsonObject:
        """Return the state as JSON-ready values; `from_dict` reads it back."""
        return {
            "instructions": self.instructions,
            "demos": [{"values": dict(d.values), "augmented": d.augmented} for d in self.demos],
            "field_descriptions": dict(self.field_descriptions),
            "tool_descriptions": dict(self.tool_descriptions),
            **({"nearest": self.nearest} if self.nearest else {}),
            **({} if self.reason_first is None else {"reason_first": self.reason_first}),
            **({} if self.adapter is None else {"adapter": self.adapter}),
            **({} if self.weights is None else {"weights": self.weights}),
        }

    @classmethod
    def from_dict(cls, data: Values) -> StepState:
        """Read what `as_dict` wrote."""
        return cls(
            instructions=data["instructions"],
            demos=tuple(Demo(d["values"], d.get("augmented", False)) for d in data.get("demos", ())),
            field_descriptions=dict(data.get("field_descriptions", {})),
            tool_descriptions=dict(data.get("tool_descriptions", {})),
            nearest=int(data.get("nearest", 0)),
            reason_first=data.get("reason_first"),
            adapter=data.get("adapter"),
            weights=data.get("weights"),
        )


@dataclass(frozen=True, slots=True)
class PartCredit:
    """The effect of one rule or example of a step's prompt: validation rows that it fixes and breaks.

    `kind` is "rule" or "example". The counts are estimated from the scores of a search.
    """

    step: str
    kind: str
    text: str
    fixed: int
    broken: int
    rows: int


@dataclass(frozen=True, slots=True)
class WholeSetFigure:
    """Best against baseline by a metric's number of the whole set of test rows; the bounds hold with 95 % confidence."""

    metric: str
    baseline: float
    best: float
    difference: float
    low: float
    high: float
    rows: int
    sentence: str


@dataclass(frozen=True)
class Candidate:
    """One setting of everything that can be tuned: step path -> state.

    Its id is a hash of its content, so the same text found twice is the same candidate. `parents` are
    ids; `reason` is one plain sentence that says why it exists.

    >>> a = Candidate({"answer": StepState("Be brief.")}, reason="The starting prompt.")
    >>> a.id == Candidate({"answer": StepState("Be brief.")}, reason="Found again.").id
    True
    """

    steps: Mapping[str, StepState]
    parents: tuple[str, ...] = ()
    reason: str = ""

    @cached_property
    def id(self) -> str:
        """Twelve hex digits of the content's SHA-256."""
        return content_hash({path: state.as_dict() for path, state in self.steps.items()})[:12]

    @property
    def tuned_models(self) -> tuple[str, ...]:
        """The names of the tuned models that answer its steps, each once."""
        names = (s.weights for s in self.steps.values())
        return tuple(dict.fromkeys(name for name in names if name and name.startswith("tuned/")))

    def with_step(self, path: str, **changes: Any) -> Candidate:
        """Return a copy with some of one step's values changed (parents and reason are kept)."""
        return replace(self, steps={**self.steps, path: replace(self.steps[path], **changes)})

    def derived(self, reason: str, *parents: Candidate) -> Candidate:
        """Return the same content with its lineage: the candidates it came from and why."""
        return replace(self, reason=reason, parents=tuple(p.id for p in parents))

    def as_dict(self) -> JsonObject:
        """Return the candidate as JSON-ready values; `from_dict` reads it back."""
        steps = {path: state.as_dict() for path, state in self.steps.items()}
        return {"id": self.id, "steps": steps, "parents": list(self.parents), "reason": self.reason}

    @classmethod
    def from_dict(cls, data: Values) -> Candidate:
        """Read what `as_dict` wrote."""
        return cls(
            steps={path: StepState.from_dict(state) for path, state in data["steps"].items()},
            parents=tuple(data.get("parents", ())),
            reason=data.get("reason", ""),
        )


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step's call inside a program run: its path, what went in and what came out (JSON values)."""

    path: str
    inputs: Values
    outputs: Values


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row answered and scored, or failed: the only record of it.

    `row` is the row's id, `number` the row as people count it in their file (None: not read from a file). `score` runs
    from 0 (worst) to 1 (best); a row that failed scores 0 and says why in `error`. `prediction` holds JSON values by
    output field; `seconds` is wall time; `unmet` are broken suggestions; see Grade for `objective_scores`.

    >>> one = Outcome(0, 0.5, {"answer": "4"}, unmet=("Be brief.",), objective_scores={"exact": 0.5}, number=2)
    >>> Outcome.from_json(one.to_json()) == one
    True
    """

    row: int
    score: float
    prediction: Values = field(default_factory=dict)
    feedback: str = ""
    error: str | None = None
    usage: Usage = Usage()
    seconds: float = 0.0
    trace: tuple[TraceStep, ...] = ()
    unmet: tuple[str, ...] = ()
    objective_scores: Mapping[str, float] | None = None
    number: int | None = None

    def to_json(self) -> JsonObject:
        """Return every field as JSON-ready values; `from_json` reads it back."""
        u = self.usage
        return {
            "row": self.row,
            "number": self.number,
            "score": self.score,
            "prediction": self.prediction,
            "feedback": self.feedback,
            "error": self.error,
            "usage": [u.calls, u.cached, u.input_tokens, u.output_tokens, u.cost],
            "seconds": self.seconds,
            "trace": [[t.path, t.inputs, t.outputs] for t in self.trace],
            "unmet": list(self.unmet),
            "objective_scores": self.objective_scores,
        }

    @classmethod
    def from_json(cls, data: Values) -> Outcome:
        """Read what `to_json` wrote, also before it had a number, suggestions and scores by criterion."""
        return cls(
            data["row"],
            data["score"],
            data["prediction"],
            data["feedback"],
            data["error"],
            Usage(*data["usage"]),
            data["seconds"],
            tuple(TraceStep(*step) for step in data["trace"]),
            tuple(data.get("unmet", ())),
            data.get("objective_scores"),
            data.get("number"),
        )


@dataclass(frozen=True)
class Evaluation:
    """A candidate's outcomes over some rows, in the order asked."""

    candidate_id: str
    outcomes: tuple[Outcome, ...]

    @cached_property
    def score(self) -> float:
        """Mean score over the rows, 0 to 1; 0 when there are none."""
        return sum(o.score for o in self.outcomes) / len(self.outcomes) if self.outcomes else 0.0

    @cached_property
    def usage(self) -> Usage:
        """Everything the rows cost together."""
        return sum((o.usage for o in self.outcomes), Usage())

    @cached_property
    def scores(self) -> dict[int, float]:
        """Row id -> score."""
        return {o.row: o.score for o in self.outcomes}


class RowTrial(Protocol):
    """A candidate scored on some rows: a trial of a search, or its row in a store."""

    @property
    def candidate_id(self) -> str:
        """The candidate's id."""

    @property
    def split(self) -> str:
        """One of train, validation and test."""

    @property
    def rows_total(self) -> int:
        """The number of rows that were asked for."""

    @property
    def complete(self) -> bool:
        """True if all of them have an outcome."""


_Trial = TypeVar("_Trial", bound=RowTrial)


def whole_trials(
    trials: Iterable[_Trial], split: str = "validation", rows: int | None = None
) -> dict[str, _Trial]:
    """Return each candidate's last complete trial on all rows of a split, by candidate id.

    Without `rows`, all rows are as many as any complete trial of the split has.
    """
    complete = [t for t in trials if t.complete and t.split == split]
    rows = max((t.rows_total for t in complete), default=0) if rows is None else rows
    return {t.candidate_id: t for t in complete if t.rows_total == rows}


def json_value(value: object) -> Any:
    """Return a value as JSON-ready data: models as dicts, enums as their values, sets as lists, the rest as text.

    >>> json_value({"tags": {"b"}, "when": None, "n": (1, 2.5)})
    {'tags': ['b'], 'when': None, 'n': [1, 2.5]}
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, str | int | float):
        if isinstance(value, Enum):  # an enum can be a str or an int too
            return value.value
        return float(value) if isinstance(value, float) else value
    if isinstance(value, Mapping):
        return {str(json_value(key)): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, Enum):
        return json_value(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: json_value(getattr(value, f.name)) for f in fields(value)}
    return json_form(value)


_PLAIN = frozenset({str, int, float, bool, type(None)})


def value_text(value: object, longest_item: int = 60) -> str:
    """Return a value as pages and reports show it: short items in a line, longer ones and records one below the other.

    Scalars and records are written as in JSON, without quotes around a text.

    >>> value_text(True), value_text(7.0), value_text(None), value_text(["a", "b"]), value_text({"name": "Tea"})
    ('true', '7', '', 'a, b', '{"name": "Tea"}')
    >>> print(value_text([{"name": "Tea"}, {"name": "Cups"}]))
    1. {"name": "Tea"}
    2. {"name": "Cups"}
    """
    if isinstance(value, list | tuple | set | frozenset):
        items = [value_text(item, longest_item) for item in value]
        if len(items) > 1 and any(len(item) > longest_item or item.startswith("{") for item in items):
            return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
        return ", ".join(items)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, Mapping) or _is_record(value):
        return json.dumps(json_value(value), ensure_ascii=False, default=str)
    return as_text(value)


def _is_record(value: object) -> bool:
    """Return whether a value has fields and no text form for people: a dataclass or a pydantic model."""
    if is_dataclass(value):
        return not isinstance(value, type)
    return hasattr(type(value), "model_fields") and type(value).__str__.__module__.startswith("pydantic")


def leaves(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over (path, value) of everything in a structure that holds nothing itself.

    >>> list(leaves({"a": {"b": 1}, "c": [2, 3]}))
    [('a.b', 1), ('c[0]', 2), ('c[1]', 3)]
    """
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    else:
        yield path, value


def plain_path(path: str) -> str:
    """Return a path without the places of lists.

    >>> plain_path("items[0].price")
    'items.price'
    """
    return _PLACE.sub("", path)


_PLACE = re.compile(r"\[\d+\]")


def content_hash(value: object) -> str:
    """Return the SHA-256 hex digest of a value's canonical JSON (sorted keys)."""
    data = orjson.dumps(value, default=json_form, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(data).hexdigest()


def json_form(value: object) -> object:
    """Return a value that orjson cannot write as one that it can, at last its text; for `orjson.dumps(..., default=json_form)`."""
    try:
        return strict_json_form(value)
    except TypeError:
        return str(value)


def strict_json_form(value: object) -> object:
    """Return a value that orjson cannot write as one that it can. Raises TypeError if there is none."""
    if isinstance(value, float):  # a grade: orjson refuses subclasses of float
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON.")
