"""A mapping whose names, values and pairs come as lists, as DSPy's rows have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Listed(Mapping[str, Any]):
    """Base of rows. Names that begin with "dspy_" are listed only with `include_dspy`.

    >>> from engine.records import Example
    >>> row = Example(question="q", dspy_uuid="7")
    >>> row.keys(), row.items(), len(row)
    (['question'], [('question', 'q')], 2)
    """

    __slots__ = ()

    def keys(self, include_dspy: bool = False) -> list[str]:  # type: ignore[override]  # lists can be indexed and printed
        """Return the names as a list."""
        return [name for name in self if include_dspy or not name.startswith("dspy_")]

    def values(self, include_dspy: bool = False) -> list[Any]:  # type: ignore[override]
        """Return the values as a list, in the order of `keys`."""
        return [self[name] for name in self.keys(include_dspy)]

    def items(self, include_dspy: bool = False) -> list[tuple[str, Any]]:  # type: ignore[override]
        """Return (name, value) pairs as a list, in the order of `keys`."""
        return [(name, self[name]) for name in self.keys(include_dspy)]
