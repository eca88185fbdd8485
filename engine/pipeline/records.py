"""The type of a record: inferred from right answers, its paths, its fields with other descriptions.

It knows specs and JSON values, and nothing of documents, tables or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.basics.data import JsonObject
from engine.errors import PipelineError
from engine.pipeline.check import RECORDS_OWN, usable_name
from engine.pipeline.spec import RECORD, FieldSpec

MOST_CHOICES = 6
FEWEST_ROWS = 12
"""Answers from which a text with few different values counts as a choice."""

LONGEST_CHOICE = 20
"""Characters; longer texts are names of things rather than kinds of them."""

DATE = "As in 2026-05-31"
"""Description of a text that is a date."""

DEEPEST = 6
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def infer_fields(answers: Sequence[Mapping[str, object]]) -> tuple[FieldSpec, ...]:
    """Return the fields of records like these, in the order in which their keys appear first.

    A key that some records lack, or have as null, may be empty. A text with few different values becomes a choice.
    Raises PipelineError where there is no record with a key.

    >>> [(f.name, f.type) for f in infer_fields([{"Total": 3, "lines": [{"price": 2.5}]}, {"Total": None}])]
    [('total', 'Optional[int]'), ('lines', 'Optional[list[record]]')]
    """
    if not any(answers):
        raise PipelineError("The right answers hold no fields. Give at least one, such as: file, total.")
    return _fields([{str(k): v for k, v in one.items()} for one in answers], (), 0)


def _fields(records: Sequence[JsonObject], taken: Sequence[str], depth: int) -> tuple[FieldSpec, ...]:
    keys = dict.fromkeys(key for record in records for key in record)
    names = list(taken)
    fields = []
    for key in keys:
        names.append(usable_name(key, names))
        values = [record.get(key) for record in records]
        fields.append(_field(names[-1], values, depth))
    return tuple(fields)


def _field(name: str, values: Sequence[object], depth: int) -> FieldSpec:
    """Return a field that holds these values; None is a value that is missing."""
    there = [v for v in values if v is not None and v != ""]
    fields: tuple[FieldSpec, ...] = ()
    choices: tuple[str, ...] = ()
    if there and all(isinstance(v, Mapping) for v in there) and depth < DEEPEST and any(there):
        kind, fields = RECORD, _fields([_plain(v) for v in there], tuple(RECORDS_OWN), depth + 1)
    elif there and all(isinstance(v, list | tuple) for v in there):
        kind, fields = _list_type([item for v in there if isinstance(v, list | tuple) for item in v], depth)
    else:
        kind, choices = _scalar(there), _choices(there)
    optional = len(there) < len(values)
    description = DATE if _are_dates(there) else ""
    kind = f"Optional[{kind}]" if optional else kind
    return FieldSpec(name=name, type=kind, choices=choices, fields=fields, description=description)


def _list_type(items: Sequence[object], depth: int) -> tuple[str, tuple[FieldSpec, ...]]:
    there = [i for i in items if i is not None]
    if there and all(isinstance(i, Mapping) for i in there) and depth < DEEPEST and any(there):
        return f"list[{RECORD}]", _fields([_plain(i) for i in there], tuple(RECORDS_OWN), depth + 1)
    return f"list[{_scalar(there)}]", ()


def _scalar(values: Sequence[object]) -> str:
    kinds = {type(v) for v in values}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int"
    if kinds and kinds <= {int, float}:
        return "float"
    return "dict[str, Any]" if dict in kinds else "str"


def _choices(values: Sequence[object]) -> tuple[str, ...]:
    texts = [v for v in values if isinstance(v, str)]
    different = sorted(set(texts), key=str.casefold)
    few = 2 <= len(different) <= min(MOST_CHOICES, len(texts) // 4)
    usable = len({t.casefold().strip() for t in different}) == len(different) and all(
        t.strip() and len(t) <= LONGEST_CHOICE for t in different
    )
    return tuple(different) if len(values) == len(texts) >= FEWEST_ROWS and few and usable else ()


def _are_dates(values: Sequence[object]) -> bool:
    return bool(values) and all(isinstance(v, str) and _DATE.fullmatch(v) for v in values)


def _plain(value: Any) -> JsonObject:
    return {str(k): v for k, v in value.items()}


def renamed(value: object, fields: Sequence[FieldSpec]) -> object:
    """Return an answer with the keys that its fields have; a key that is none of them stays as it is.

    >>> renamed({"Total": 3, "x y": 1}, (FieldSpec(name="total"),))
    {'total': 3, 'x y': 1}
    """
    if isinstance(value, list):
        return [renamed(item, fields) for item in value]
    if not isinstance(value, Mapping):
        return value
    by_name = {f.name: f for f in fields}
    record: JsonObject = {}
    for key, item in value.items():
        name = next((n for n in (str(key), usable_name(str(key))) if n in by_name), str(key))
        record[name] = renamed(item, by_name[name].fields) if name in by_name else item
    return record


def paths(fields: Sequence[FieldSpec], around: str = "") -> Iterator[tuple[str, FieldSpec]]:
    """Iterate over (path, field) of every field and of those inside; a list adds nothing to a path.

    >>> line = FieldSpec(name="lines", type="list[record]", fields=(FieldSpec(name="price"),))
    >>> [path for path, _ in paths([line])]
    ['lines', 'lines.price']
    """
    for field in fields:
        path = f"{around}.{field.name}" if around else field.name
        yield path, field
        yield from paths(field.fields, path)


def with_descriptions(
    fields: Sequence[FieldSpec], descriptions: Mapping[str, str], around: str = ""
) -> tuple[FieldSpec, ...]:
    """Return fields with other descriptions, by path; those not named keep theirs.

    >>> line = FieldSpec(name="lines", type="list[record]", fields=(FieldSpec(name="price"),))
    >>> with_descriptions([line], {"lines.price": "Without tax"})[0].fields[0].description
    'Without tax'
    """
    described = []
    for field in fields:
        path = f"{around}.{field.name}" if around else field.name
        changes: dict[str, object] = {"description": descriptions.get(path) or field.description}
        if field.fields:
            changes["fields"] = with_descriptions(field.fields, descriptions, path)
        described.append(field.model_copy(update=changes))
    return tuple(described)
