"""Conditions of steps: when a step runs, and which conditions exclude each other. It knows values, and no steps."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from engine.pipeline.spec import Condition


def holds(condition: Condition, values: Mapping[str, Any]) -> bool:
    """Return whether a step with this condition runs, given the fields so far.

    Case and outer blanks do not count, and a field without a value is the empty text.

    >>> holds(Condition(field="ok", values=("true",)), {"ok": True})
    True
    >>> holds(Condition(field="plan", values=("Free",), negated=True), {"plan": "free"})
    False
    """
    return (plain(values.get(condition.field)) in _values(condition)) is not condition.negated


def exclude_each_other(one: Condition | None, other: Condition | None) -> bool:
    """Return whether two steps with these conditions (None: always) can never both run.

    >>> yes = Condition(field="ok", values=("yes",))
    >>> exclude_each_other(yes, yes.model_copy(update={"negated": True})), exclude_each_other(yes, None)
    (True, False)
    """
    if one is None or other is None or one.field != other.field or (one.negated and other.negated):
        return False
    if one.negated == other.negated:
        return not _values(one) & _values(other)
    asked, left_out = (other, one) if one.negated else (one, other)
    return _values(asked) <= _values(left_out)


def plain(value: Any) -> str:
    """Return a value as conditions compare it.

    >>> plain(True), plain(3.0), plain(None), plain(" Yes ")
    ('true', '3', '', 'yes')
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip().casefold()


def _values(condition: Condition) -> frozenset[str]:
    return frozenset(map(plain, condition.values))
