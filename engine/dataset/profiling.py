"""What each column holds: its kind, how full it is, how many different values, and some of them.

Fill rates and counts are exact; kinds are judged by the most frequent values, which is as good and
keeps 100,000 rows well under a second. Kinds are for showing and guessing only: cells stay text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from engine.dataset.table import Dataset

Kind = Literal["number", "yes_no", "category", "date", "text", "json", "empty"]

KIND_TITLES: dict[Kind, str] = {
    "number": "Number",
    "yes_no": "Yes or no",
    "category": "Category",
    "date": "Date",
    "text": "Text",
    "json": "List or JSON",
    "empty": "Empty",
}

SAMPLES = 3
TOP_VALUES = 20
LONGEST_CATEGORY = 60
JUDGED_VALUES = 400

_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)")
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})"
    r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_YES_NO = ({"yes", "no"}, {"true", "false"}, {"y", "n"}, {"t", "f"}, {"0", "1"})


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What one column holds.

    `filled` is the share of rows with something in them, 0 to 1; `distinct` the number of different
    values, blank ones aside; `samples` a few of them in file order; `top_values` the most frequent ones
    with their counts. `whole` says that a number column holds whole numbers only; `longest` is the
    length in characters of the longest of the values judged.
    """

    name: str
    kind: Kind
    rows: int
    filled: float
    distinct: int
    samples: tuple[str, ...]
    top_values: tuple[tuple[str, int], ...]
    longest: int = 0
    whole: bool = False

    @property
    def few(self) -> bool:
        """Whether the values are few enough to list as choices."""
        return self.kind in ("category", "yes_no") and 2 <= self.distinct <= TOP_VALUES


def profile(dataset: Dataset) -> tuple[ColumnProfile, ...]:
    """Return a profile of each column, in column order.

    >>> from engine.dataset.reading import read_dataset
    >>> first, second = profile(read_dataset(b"id,queue\\n1,a\\n2,b\\n3,a\\n4,a\\n", "x.csv"))
    >>> first.kind, second.kind, second.top_values
    ('number', 'category', (('a', 3), ('b', 1)))
    """
    return tuple(_profile_column(name, dataset.frame[name]) for name in dataset.columns)


def _profile_column(name: str, cells: Any) -> ColumnProfile:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pa.array(cells)
    rows = len(array)
    stripped = pc.utf8_trim_whitespace(array)
    present = pc.filter(stripped, pc.greater(pc.binary_length(stripped), 0))
    counts = pc.value_counts(present)
    # value_counts keeps the order of first appearance, and sorting is stable: ties stay in file order.
    ranked = pc.sort_indices(pc.negate(counts.field("counts")))[:JUDGED_VALUES]
    frequent = counts.take(ranked)
    values: list[str] = frequent.field("values").to_pylist()
    times: list[int] = frequent.field("counts").to_pylist()
    kind = _kind(values, len(counts), len(present))
    return ColumnProfile(
        name=name,
        kind=kind,
        rows=rows,
        filled=len(present) / rows if rows else 0.0,
        distinct=len(counts),
        samples=tuple(counts.field("values")[:SAMPLES].to_pylist()),
        top_values=tuple(zip(values[:TOP_VALUES], times[:TOP_VALUES], strict=True)),
        longest=max(map(len, values), default=0),
        whole=kind == "number" and all(_WHOLE.fullmatch(v) for v in values),
    )


def _kind(values: list[str], distinct: int, present: int) -> Kind:
    """Judge a column by its most frequent values."""
    if not values:
        return "empty"
    folded = {v.casefold() for v in values}
    if distinct <= 6 and len(folded) == 2 and folded in _YES_NO:
        return "yes_no"
    if all(_NUMBER.fullmatch(v) for v in values):
        return "number"
    if all(_DATE.fullmatch(v) for v in values):
        return "date"
    if all(v[0] in "[{" and v[-1] in "]}" for v in values):
        return "json"
    short = all(len(v) <= LONGEST_CATEGORY and "\n" not in v for v in values)
    repeated = (
        present >= 2 * distinct if distinct <= TOP_VALUES else present >= 5 * distinct and distinct <= 150
    )
    return "category" if short and (repeated or distinct == 1) else "text"
