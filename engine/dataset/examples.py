"""Rows of text -> typed Examples by field name; rows that cannot be used become problems.

How a text becomes a value of a type is passed in (`parse`, normally `engine.adapters.values.parse_value`):
this layer is below the adapters and must not know them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from engine.basics.text import cut, first_of
from engine.basics.value_parsing import Convention, convention_of, plain_numbers, read_dates
from engine.dataset.table import Dataset, RowProblem, missing_column
from engine.errors import DatasetError, EngineError
from engine.records import Example

Parse = Callable[[str, Any], object]


class _Unusable(Exception):  # noqa: N818 - never leaves this file: it carries a row's sentence up one call
    """A cell that cannot be used; the message is the rest of the sentence after the column's name."""


@dataclass(frozen=True, slots=True)
class UsableRows:
    """Examples by row id (inputs marked), and a problem for each row left out."""

    examples: dict[int, Example]
    problems: tuple[RowProblem, ...]


def usable_rows(
    dataset: Dataset,
    mapping: Mapping[str, str],
    *,
    inputs: Mapping[str, object],
    outputs: Mapping[str, object],
    parse: Parse,
    rows: Sequence[int] | None = None,
) -> UsableRows:
    """Make an Example of every row that can be used.

    `mapping` is field -> column; `inputs` and `outputs` are field -> annotation; `parse(text, annotation)`
    returns the value or raises ValueError, TypeError or an EngineError. `rows` limits the work to some
    row ids. Raises DatasetError when a field has no column, its column is not in the data, or an answer's
    column is also an input.

    >>> from engine.dataset.reading import read_dataset
    >>> data = read_dataset(b"q,n\\n1+1,2\\n1+2,three\\n", "x.csv")
    >>> found = usable_rows(
    ...     data, {"q": "q", "n": "n"}, inputs={"q": str}, outputs={"n": int}, parse=lambda t, a: a(t)
    ... )
    >>> found.examples[0].n, found.problems[0].message
    (2, "'n' is 'three', which is not a whole number.")
    """
    fields = {**inputs, **outputs}
    _check_mapping(dataset, mapping, inputs, outputs)
    # Made at once: ids made between rows that are given up later would keep their memory from being given back.
    ids = list(rows if rows is not None else range(len(dataset)))
    columns: list[list[object]] = []
    wrong: dict[int, tuple[str, str]] = {}
    for field, annotation in fields.items():
        cells = dataset.values(mapping[field])
        picked = cells if rows is None else [cells[row] for row in ids]
        values, failed = _read_column(picked, annotation, parse)
        columns.append(values)
        for at, sentence in failed.items():
            wrong.setdefault(at, (mapping[field], sentence))
    keys, names = frozenset(inputs), list(fields)
    examples: dict[int, Example] = {}
    problems: list[RowProblem] = []
    for at, (row, line) in enumerate(zip(ids, zip(*columns, strict=True), strict=True)):
        if at in wrong:
            column, sentence = wrong[at]
            problems.append(RowProblem(dataset.row_number(row), column, f"{column!r} {sentence}"))
        else:
            examples[row] = Example.owning(dict(zip(names, line, strict=True)), keys)
    return UsableRows(examples, tuple(problems))


def _check_mapping(
    dataset: Dataset, mapping: Mapping[str, str], inputs: Mapping[str, object], outputs: Mapping[str, object]
) -> None:
    for field in [*inputs, *outputs]:
        kind = "output" if field in outputs else "input"
        if field not in mapping:
            raise DatasetError(
                f"The {kind} field {field!r} has no column. Choose one of: {', '.join(dataset.columns)}."
            )
        if mapping[field] not in dataset.columns:
            raise DatasetError(f"For the {kind} field {field!r}: {missing_column(dataset, mapping[field])}")
    for output in outputs:
        for field in inputs:
            if mapping[field] == mapping[output]:
                raise DatasetError(
                    f"The column {mapping[output]!r} is both the input {field!r} and the answer {output!r}. "
                    "The program would be shown the answer: choose another column for one of them."
                )


def _read_column(
    cells: Sequence[str], annotation: object, parse: Parse
) -> tuple[list[object], dict[int, str]]:
    """Return a column's values, and by position what is wrong with those that cannot be used (None there).

    A text that comes again and again is read once, unless its value could be changed in place.
    """
    if annotation is str:
        return list(cells), {at: "is empty." for at, cell in enumerate(cells) if not cell or cell.isspace()}
    read = _reader(annotation, parse, cells)
    known: dict[str, object] = {}
    values: list[object] = []
    failed: dict[int, str] = {}
    for at, cell in enumerate(cells):
        if cell in known:
            values.append(known[cell])
            continue
        try:
            value = read(cell)
        except _Unusable as problem:
            failed[at] = str(problem)
            values.append(None)
            continue
        values.append(value)
        if len(known) < MOST_KNOWN and isinstance(value, _UNCHANGING):
            known[cell] = value
    return values, failed


MOST_KNOWN = 10_000
_UNCHANGING = (str, int, float, bool, Enum, type(None))


def _reader(annotation: object, parse: Parse, cells: Sequence[str]) -> Callable[[str], object]:
    """Return what turns one of a column's cells into a value of a type, or raises _Unusable."""
    from engine.signature.grammar import without_none  # pydantic is not loaded to read a file

    inner, optional = without_none(annotation)
    if inner is str:
        convert: Callable[[str], object] = str
    elif get_origin(inner) is Literal:
        choices = {str(choice): choice for choice in get_args(inner)}
        convert = _choice_reader(choices, list(choices))
    elif isinstance(inner, type) and issubclass(inner, Enum):
        values = {str(member.value): member for member in inner}
        convert = _choice_reader({**values, **inner.__members__}, list(values))
    else:
        convert = _parsed(inner, parse, cells)

    def read(cell: str) -> Any:
        if not cell.strip():
            if optional:
                return None
            raise _Unusable("is empty.")
        return convert(cell)

    return read


def _choice_reader(choices: Mapping[str, object], allowed: Sequence[str]) -> Callable[[str], object]:
    """Return what reads one of some values by its text, exactly or in other case."""
    folded = {text.casefold(): value for text, value in choices.items()}

    def read(cell: str) -> object:
        text = cell.strip()
        if text in choices:
            return choices[text]
        if text.casefold() in folded:
            return folded[text.casefold()]
        raise _Unusable(
            f"is {cut(text, 60)!r}, which is not one of the allowed values: {first_of(allowed, 12)}."
        )

    return read


def _parsed(annotation: object, parse: Parse, cells: Sequence[str]) -> Callable[[str], object]:
    numeric, dated = annotation in (int, float, Decimal), annotation is datetime.date
    convention = convention_of(cells[:JUDGED_CELLS]) if numeric or dated else Convention()
    plain = re.compile(r"[+-]?\d+" if convention.decimal == "," else r"[+-]?\d+(?:\.\d+)?")

    def read(cell: str) -> object:
        text = cell.strip()
        if numeric and not plain.fullmatch(text) and (numbers := plain_numbers(text, convention)):
            whole = [number for number in numbers if annotation is int and "." not in number]
            text = (whole or numbers)[0]
        elif dated and (days := read_dates(text, convention)):
            text = days[0].isoformat()
        try:
            return parse(text, annotation)
        except (ValueError, TypeError, EngineError):
            raise _Unusable(
                f"is {cut(cell.strip(), 60)!r}, which is not {_type_words(annotation)}."
            ) from None

    return read


JUDGED_CELLS = 2_000
"""Cells of a column, the first of it, that tell how its numbers and dates are written."""


def _type_words(annotation: object) -> str:
    """Return a type in plain words, with its article."""
    plain = {int: "a whole number", float: "a number", bool: "yes or no"}
    origin = get_origin(annotation) or annotation
    if origin in plain:
        return plain[origin]
    attached = _ATTACHED.get(getattr(origin, "__name__", ""))
    if attached is not None:
        return attached
    if origin in (list, tuple, set):
        return 'a list such as ["a", "b"]'
    return 'JSON such as {"name": "value"}' if origin is dict else f"a {getattr(origin, '__name__', origin)}"


_ATTACHED = {
    "Image": "a picture: the path of one on this machine, a web address or a data URI",
    "PDF": "a PDF: the path of one on this machine or a data URI",
    "File": "a file: the path of a PDF or picture on this machine or a data URI",
    "Audio": "a sound: the path of one on this machine or a data URI",
}
"""Types above this layer whose cells may name a file."""
