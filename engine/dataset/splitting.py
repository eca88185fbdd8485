"""Train, validation and test rows: seeded, stratified, and without leaks.

Rows with equal inputs always stand on the same side. The order comes from SHA-256 of seed and content,
so a split is the same on every machine and Python version, and moving rows about in the file does not
change it. This module must not know files: it sees values by row id.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from engine.basics.text import counted, first_of, one_case, percent
from engine.errors import DatasetError
from engine.records import Example, content_hash

SIDES = ("train", "validation", "test")
SMALLEST = {"train": 4, "validation": 3, "test": 3}
_PURPOSE = {"train": "to learn from", "validation": "to choose by", "test": "for the final test"}
MOST_STRATA = 50
MANY_STRATA = 300
"""Different answers that rows are spread by where there are ten rows of each: as many as a category may have."""


class Shares(Protocol):
    """Settings of a split: three shares that add up to 1, and a seed (`engine.runs.spec.SplitSpec`)."""

    @property
    def train(self) -> float: ...  # noqa: D102 - a share
    @property
    def validation(self) -> float: ...  # noqa: D102 - a share
    @property
    def test(self) -> float: ...  # noqa: D102 - a share
    @property
    def seed(self) -> int: ...  # noqa: D102 - any number


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint row ids by side, each in file order, and sentences worth telling about them."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    stratified_by: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows to learn from, to choose by and to test on."""
        return len(self.train), len(self.validation), len(self.test)


def split_rows(
    rows: Mapping[int, Mapping[str, object]],
    split: Shares,
    *,
    inputs: Collection[str] | None = None,
    outputs: Collection[str] | None = None,
    stratify_by: str | None = None,
    synthetic: Collection[int] = (),
    smallest: Mapping[str, int] = SMALLEST,
) -> Split:
    """Divide rows (row id -> values) into train, validation and test.

    `inputs` are the fields that decide whether two rows are the same; Examples know theirs. Rows are stratified by
    `stratify_by`, or by the first output with few different values. `synthetic` rows, written by a model, are only
    ever train rows: nothing is chosen by them or tested on them. `smallest` is the least number of rows by side.
    Raises DatasetError when there are too few rows, saying how many are needed, or when every answer is the same.

    >>> from types import SimpleNamespace
    >>> rows = {i: {"text": str(i), "label": "ab"[i % 2]} for i in range(20)}
    >>> shares = SimpleNamespace(train=0.4, validation=0.3, test=0.3, seed=0)
    >>> split_rows(rows, shares, inputs=["text"]).sizes
    (8, 6, 6)
    >>> split_rows(rows, shares, inputs=["text"], synthetic=[0, 1]).train[:2]
    (0, 1)
    """
    written = frozenset(synthetic) & frozenset(rows)
    if written:
        real = {row: values for row, values in rows.items() if row not in written}
        return _with_synthetic(
            split_rows(
                real, split, inputs=inputs, outputs=outputs, stratify_by=stratify_by, smallest=smallest
            ),
            rows,
            written,
            inputs,
        )
    shares = _checked_shares(split)
    asked, answers = _field_names(rows, inputs, outputs)
    _check_count(len(rows), shares, smallest)
    _check_answers(rows, answers)
    label = stratify_by if stratify_by is not None else _label(rows, answers)
    groups = _groups(rows, asked, split.seed)
    labels = dict(zip(rows, _column(rows, label), strict=True)) if label is not None else {}
    sides = _distributed(_strata(groups, labels), shares)
    _check_sides(sides, len(groups), len(rows), shares, smallest)
    train, validation, test = (tuple(sorted(sides[side])) for side in SIDES)
    return Split(train, validation, test, label, _notes(rows, groups, answers, label, labels, sides))


def _distributed(strata: Iterable[Sequence[Sequence[int]]], shares: Sequence[float]) -> dict[str, list[int]]:
    """Return rows by side: each group goes to the side that is furthest behind its share, of equals to the first."""
    sides: dict[str, list[int]] = {side: [] for side in SIDES}
    by_place = [sides[side] for side in SIDES]
    carry = [0.0, 0.0, 0.0]
    for stratum in strata:
        size = sum(map(len, stratum))
        quota = [size * share + over for share, over in zip(shares, carry, strict=True)]
        behind = [round(q, 9) for q in quota]
        for group in stratum:
            first, second, third = behind
            at = 0 if first >= second and first >= third else 1 if second >= third else 2
            by_place[at].extend(group)
            quota[at] -= len(group)
            behind[at] = round(quota[at], 9)
        carry = quota
    return sides


def _with_synthetic(
    split: Split,
    rows: Mapping[int, Mapping[str, object]],
    written: Collection[int],
    inputs: Collection[str] | None,
) -> Split:
    """Add rows a model wrote to the rows to learn from, without those that repeat a row kept apart."""
    asked, _ = _field_names(rows, inputs, None)
    columns = [_all_folded(_column(rows, name)) for name in asked]
    keys = dict(zip(rows, zip(*columns, strict=True), strict=True)) if columns else {}
    apart = {keys[row] for row in (*split.validation, *split.test)} if keys else set()
    usable = [row for row in written if not keys or keys[row] not in apart]
    notes = [f"{counted(len(usable), 'row')} written by a model: to learn from only."]
    left_out = len(written) - len(usable)
    if left_out:
        verb = "repeat" if left_out > 1 else "repeats"
        notes.append(f"{left_out:,} of them {verb} a row that is kept apart, and will not be used.")
    return replace(split, train=tuple(sorted((*split.train, *usable))), notes=(*split.notes, *notes))


def sample_rows(
    rows: Mapping[int, Mapping[str, object]],
    count: int,
    seed: int,
    *,
    outputs: Collection[str] | None = None,
) -> tuple[int, ...]:
    """Return the ids of about `count` rows, drawn by chance, with every label in its share; of equal inputs one.

    A label keeps at least one row for each side of a split where `count` allows. The same seed and rows give the same.

    >>> rows = {i: {"text": str(i), "label": "ab"[i % 4 == 0]} for i in range(400)}
    >>> drawn = sample_rows(rows, 40, 0, outputs=["label"])
    >>> len(drawn), sum(rows[i]["label"] == "b" for i in drawn)
    (40, 10)
    """
    if count >= len(rows):
        return tuple(rows)
    asked, _ = _field_names(rows, None, outputs)
    label = label_of(rows, outputs)
    labels = dict(zip(rows, _column(rows, label), strict=True)) if label is not None else {}
    strata = _strata(_groups(rows, asked, seed), labels)
    least = 3 if 3 * len(strata) <= count else 1
    left, groups_left = count, sum(map(len, strata))
    drawn: list[int] = []
    for stratum in strata:  # rare labels first: what they take beyond their share, the frequent ones give
        share = round(left * len(stratum) / max(1, groups_left))
        quota = min(len(stratum), left, max(least, share))
        drawn.extend(group[0] for group in stratum[:quota])
        left -= quota
        groups_left -= len(stratum)
    return tuple(sorted(drawn))


def label_of(rows: Mapping[int, Mapping[str, object]], outputs: Collection[str] | None = None) -> str | None:
    """Return the answer that rows are spread by: the first one with few different values, or None."""
    return _label(rows, _field_names(rows, None, outputs)[1])


def rows_needed(shares: Sequence[float], smallest: Mapping[str, int] = SMALLEST) -> int:
    """Return the number of rows that gives every side its smallest size.

    >>> rows_needed((0.4, 0.3, 0.3))
    10
    """
    return max(math.ceil(smallest[side] / share - 1e-9) for side, share in zip(SIDES, shares, strict=True))


def _checked_shares(split: Shares) -> tuple[float, float, float]:
    shares = (split.train, split.validation, split.test)
    if min(shares) <= 0 or abs(sum(shares) - 1) > 0.005:
        parts = ", ".join(f"{side} {percent(share, 0)}" for side, share in zip(SIDES, shares, strict=True))
        raise DatasetError(
            f"The shares ({parts}) add up to {percent(sum(shares), 0)}. Make each more than 0 and the sum 100 %."
        )
    return shares


def _field_names(
    rows: Mapping[int, Mapping[str, object]], inputs: Collection[str] | None, outputs: Collection[str] | None
) -> tuple[list[str], list[str]]:
    first = next(iter(rows.values()), {})
    if inputs is None:
        inputs = first.input_keys if isinstance(first, Example) else ()
    asked = [k for k in first if k in inputs]
    return asked, [k for k in first if (k in outputs if outputs is not None else k not in asked)]


def _check_count(count: int, shares: Sequence[float], smallest: Mapping[str, int]) -> None:
    needed = rows_needed(shares, smallest)
    if count < needed:
        wanted = ", ".join(f"{smallest[side]} {_PURPOSE[side]}" for side in SIDES)
        rows = counted(count, "usable row")
        raise DatasetError(
            f"There {'is' if count == 1 else 'are'} {rows}, and this split needs at least {needed} ({wanted}). "
            f"Add {needed - count} more."
        )


def _check_answers(rows: Mapping[int, Mapping[str, object]], answers: Sequence[str]) -> None:
    first = next(iter(rows.values()))
    if answers and all(all(row[a] == first[a] for row in rows.values()) for a in answers):
        named = " and ".join(f"{a!r} is {str(first[a])!r}" for a in answers)
        raise DatasetError(
            f"Every row has the same answer ({named}), so there is nothing to learn. "
            "Add rows with other answers, or choose another output column."
        )


def _label(rows: Mapping[int, Mapping[str, object]], answers: Sequence[str]) -> str | None:
    texts = ((answer, (_stable_text(values[answer]) for values in rows.values())) for answer in answers)
    most = max(min(MOST_STRATA, len(rows) // 2), min(MANY_STRATA, len(rows) // 10))
    return first_with_few_values(texts, most)


def first_with_few_values(columns: Iterable[tuple[str, Iterable[str]]], most: int) -> str | None:
    """Return the name of the first of some columns that has 2 to `most` different values."""
    for name, texts in columns:
        distinct: set[str] = set()
        for text in texts:
            distinct.add(text)
            if len(distinct) > most:
                break
        if 2 <= len(distinct) <= most:
            return name
    return None


def _stable_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if type(value) in (int, bool):
        return _number_hash(value, repr(value))
    return content_hash(value)


@lru_cache(maxsize=10_000)
def _number_hash(value: int, written: str) -> str:  # noqa: ARG001 - 1 and True are equal and not the same answer
    return content_hash(value)


def _column(rows: Mapping[int, Mapping[str, object]], name: str) -> list[str]:
    return [v if type(v) is str else _stable_text(v) for v in [values[name] for values in rows.values()]]


def _all_folded(texts: list[str]) -> list[str]:
    """Return the texts folded; a repeated one is folded once."""
    known = {text: one_case(text) for text in set(texts)}
    return [known[text] for text in texts]


def _groups(rows: Mapping[int, Mapping[str, object]], asked: Sequence[str], seed: int) -> list[list[int]]:
    """Return rows with equal inputs together, in an order that only seed and content decide."""
    columns = [_all_folded(_column(rows, name)) for name in asked]
    keys = map("\x1f".join, zip(*columns, strict=True)) if columns else map(str, rows)
    by_input: dict[str, list[int]] = {}
    for row, key in zip(rows, keys, strict=True):
        by_input.setdefault(key, []).append(row)
    sha256 = hashlib.sha256
    order = {key: sha256(f"{seed}:{key}".encode()).digest() for key in by_input}
    return [by_input[key] for key in sorted(by_input, key=order.__getitem__)]


def _strata(groups: list[list[int]], labels: Mapping[int, str]) -> list[list[list[int]]]:
    """Return groups by label, rare labels first, so that what they leave uneven is evened out later."""
    if not labels:
        return [groups]
    strata: dict[str, list[list[int]]] = {}
    for group in groups:
        strata.setdefault(labels[min(group) if len(group) > 1 else group[0]], []).append(group)
    return [strata[name] for name in sorted(strata, key=lambda n: (len(strata[n]), n))]


def _check_sides(
    sides: Mapping[str, list[int]],
    groups: int,
    count: int,
    shares: Sequence[float],
    smallest: Mapping[str, int],
) -> None:
    for side in SIDES:
        if len(sides[side]) >= smallest[side]:
            continue
        if groups < count:
            raise DatasetError(
                f"Only {groups} of the {count} rows have different inputs, which is too few to divide "
                f"({len(sides[side])} would be left {_PURPOSE[side]}). Add at least "
                f"{max(1, rows_needed(shares, smallest) - groups)} rows with other inputs."
            )
        raise DatasetError(
            f"{count} rows leave only {len(sides[side])} {_PURPOSE[side]}; {smallest[side]} are needed. "
            f"Add rows, or give {side} a larger share."
        )


def _notes(
    rows: Mapping[int, Mapping[str, object]],
    groups: list[list[int]],
    answers: Sequence[str],
    label: str | None,
    labels: Mapping[int, str],
    sides: Mapping[str, list[int]],
) -> tuple[str, ...]:
    notes: list[str] = []
    repeats = len(rows) - len(groups)
    if repeats:
        verb = "rows repeat" if repeats > 1 else "row repeats"
        notes.append(f"{repeats:,} {verb} the inputs of another row; such rows are kept on the same side.")
    conflicts = sum(
        any(
            _stable_text(rows[row][a]) != _stable_text(rows[group[0]][a])
            for row in group[1:]
            for a in answers
        )
        for group in groups
        if len(group) > 1
    )
    if conflicts:
        which = "inputs appear" if conflicts > 1 else "input appears"
        notes.append(
            f"{conflicts:,} {which} with different answers; no program can get all of those rows right."
        )
    if label is not None:
        counts = {side: Counter(labels[row] for row in sides[side]) for side in SIDES}
        scarce = sorted({labels[row] for row, values in rows.items() if isinstance(values[label], str)})
        scarce = [value for value in scarce if any(not counts[side][value] for side in SIDES)]
        if scarce:
            named = first_of([repr(value) for value in scarce], 5)
            notes.append(f"Too few rows for every side to have some: {label} {named}.")
    return tuple(notes)
