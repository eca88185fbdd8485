"""Finds solved examples inside a prompt's values, in whatever form they stand there.

JSON rows (flat, or with "inputs" and "outputs"), lines of "field: value" in blocks, and header sections are read.
Knows forms of text; nothing of labels or of what is done with the rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from engine.lm.offline.reading import as_text


@dataclass(frozen=True, slots=True)
class Row:
    """One solved example: names and texts, inputs and outputs apart."""

    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]


@lru_cache(maxsize=128)
def find_rows(text: str, outputs: tuple[str, ...] = ()) -> tuple[Row, ...]:
    """Return the examples in a text. `outputs` names fields that are known to be outputs.

    Where nothing says which fields are outputs, it is the last one whose values are short and come again.

    >>> rows = find_rows('[{"inputs": {"t": "a"}, "outputs": {"y": "1"}}]')
    >>> rows[0].inputs, rows[0].outputs
    ((('t', 'a'),), (('y', '1'),))
    >>> len(find_rows("text: hello\\nlabel: x\\n\\ntext: bye\\nlabel: y\\n\\ntext: hi\\nlabel: x", ("label",)))
    3
    """
    records = _json_records(text) or _section_records(text) or _line_records(text)
    rows = []
    flat: list[dict[str, str]] = []
    for record in records:
        given, wanted = record.get("inputs"), record.get("outputs")
        if isinstance(given, Mapping) and isinstance(wanted, Mapping):
            rows.append(Row(_pairs(given), _corrected(_pairs(wanted), str(record.get("feedback", "")))))
        else:
            flat.append(dict(_pairs(record)))
    if flat:
        names = [n for n in outputs if any(n in r for r in flat)] or _likely_outputs(flat)
        for record in flat:
            found = tuple((k, record[k]) for k in names if k in record)
            given = tuple((k, v) for k, v in record.items() if k not in names and k not in _NOISE)
            if found and given:
                rows.append(Row(given, found))
    return tuple(rows)


def _corrected(outputs: tuple[tuple[str, str], ...], feedback: str) -> tuple[tuple[str, str], ...]:
    """Return the outputs as the feedback says they should be ("Expected 'x', got 'y'.")."""
    expected = re.search(r"[Ee]xpected:? ['\"`]([^'\"`]+)['\"`]", feedback)
    return ((outputs[0][0], expected[1]),) if expected and len(outputs) == 1 else outputs


def _pairs(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(k), as_text(v)) for k, v in record.items() if v is not None)


def _json_records(text: str) -> list[dict[str, Any]]:
    stripped = text.strip()
    for candidate in (stripped, stripped[stripped.find("[") : stripped.rfind("]") + 1]):
        if candidate[:1] in ("[", "{"):
            try:
                value = orjson.loads(candidate)
            except orjson.JSONDecodeError:
                continue
            values = value if isinstance(value, list) else [value]
            found = [v for v in values if isinstance(v, dict)]
            if found:
                return found
    lines = []
    for line in stripped.splitlines():
        if line.strip().startswith("{"):
            try:
                lines.append(orjson.loads(line.strip().rstrip(",")))
            except orjson.JSONDecodeError:
                continue
    return [v for v in lines if isinstance(v, dict)]


def _section_records(text: str) -> list[dict[str, Any]]:
    marks = list(_HEADER.finditer(text))
    ends = [*(m.start() for m in marks[1:]), len(text)]
    return _grouped([(m[1], text[m.end() : end].strip()) for m, end in zip(marks, ends, strict=False)])


def _line_records(text: str) -> list[dict[str, Any]]:
    pairs = [(m[1].strip().lower().replace(" ", "_"), m[2].strip()) for m in _LINE.finditer(text)]
    found = _grouped(pairs)
    names = [tuple(r) for r in found]
    return found if len(found) > 1 and names.count(names[0]) >= len(names) / 2 and len(names[0]) > 1 else []


def _grouped(pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Cut a run of (name, value) into records: a name that comes again begins the next."""
    records: list[dict[str, Any]] = []
    for name, value in pairs:
        if name == "completed":
            continue
        if not records or name in records[-1]:
            records.append({})
        records[-1][name] = value
    return [r for r in records if len(r) > 1]


def _likely_outputs(records: Sequence[Mapping[str, str]]) -> list[str]:
    names = list(dict.fromkeys(k for r in records for k in r))
    repeated = [
        n
        for n in names
        if (values := [r[n] for r in records if n in r])
        and len(set(values)) <= max(2, len(values) * 0.6)
        and max(map(len, values)) <= 40
    ]
    return repeated[-1:] or names[-1:]


_HEADER = re.compile(r"^\[\[ ?## ?(\w+) ?## ?\]\][ \t]*", re.MULTILINE)
_LINE = re.compile(r"^\W{0,3}([A-Za-z][\w ]{0,30}?)\s*[:=]\s*(\S.*)$", re.MULTILINE)
_NOISE = frozenset({"augmented", "score", "id"})
