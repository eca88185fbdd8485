"""What `engine.dataset.preflight` hands out: doubtful rows, and ways to mend them. Records only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "blank", "outside", "spelling", "duplicate", "conflict", "leak", "near", "odd", "long", "imbalance"
]
Cells = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Fix:
    """One way to mend a finding: rows to leave out with a reason, or cells (row, field) to fill with another text."""

    label: str
    exclude: Mapping[int, str] = field(default_factory=dict)
    replace: Mapping[tuple[int, str], str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows it changes."""
        return len({*self.exclude, *(row for row, _ in self.replace)})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something doubtful: a title, one sentence, the rows concerned, a note on each (the first 500), ways to mend it.

    `others` is, for rows that repeat another, that other row.
    """

    kind: Kind
    title: str
    sentence: str
    rows: tuple[int, ...]
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """What is looked at: texts by field, which fields are read and answered, and which rows count.

    `choices` are the allowed values of an answer; `optional` fields may be blank; `apart` are the rows of the final
    test; `left_out` rows are not looked at.
    """

    cells: Cells
    inputs: Sequence[str]
    outputs: Sequence[str]
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional: Collection[str] = ()
    apart: Collection[int] = ()
    left_out: Collection[int] = ()

    def rows(self) -> list[int]:
        """Return the rows that count."""
        size = len(next(iter(self.cells.values()), ()))
        return (
            [row for row in range(size) if row not in self.left_out] if self.left_out else list(range(size))
        )
