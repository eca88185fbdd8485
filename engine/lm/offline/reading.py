"""Reads a conversation back into what it asks: fields, their types, the instruction, demonstrations and inputs.

It understands layouts with `[[ ## name ## ]]` headers, `<name>` tags, JSON objects and `name: value` lines, by their
marks and not by their wording, so it must not know (nor import) the adapters that write them.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Literal

import orjson

Layout = Literal["headers", "json", "tags", "lines"]


@dataclass(frozen=True, slots=True)
class AskedField:
    """One declared field: `kind` is its type in words, `choices` the values allowed (empty: any).

    `low` and `high` bound a number; `schema` is the JSON schema where one was shown.
    """

    name: str
    kind: str = "str"
    description: str = ""
    choices: tuple[str, ...] = ()
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One demonstration: field name -> text, inputs and outputs apart."""

    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All inputs as one text."""
        return "\n".join(value for _, value in self.inputs)

    @property
    def longest(self) -> str:
        """The longest input."""
        return max((value for _, value in self.inputs), key=len, default="")

    def output(self, name: str) -> str | None:
        """The text of one output, or None where the demonstration leaves it out."""
        return next((v for k, v in self.outputs if k == name and not _LEFT_OUT.match(v)), None)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a system message declares."""

    inputs: tuple[AskedField, ...]
    outputs: tuple[AskedField, ...]
    instruction: str
    layout: Layout


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything one conversation holds."""

    declared: Declared
    shown: tuple[Shown, ...]
    inputs: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All inputs as one text."""
        return "\n".join(value for _, value in self.inputs)


def read_messages(messages: Sequence[Mapping[str, Any]]) -> Asked | None:
    """Return what the messages ask, or None where they declare no output fields.

    >>> asked = read_messages([
    ...     {"role": "system", "content": "Inputs:\\n1. `text` (str)\\nOutputs:\\n1. `label` (Literal['a', 'b'])"
    ...      "\\n\\n[[ ## label ## ]]\\n{label}\\n\\nTask:\\n        Say which."},
    ...     {"role": "user", "content": "[[ ## text ## ]]\\nhello"}])
    >>> asked.declared.outputs[0].choices, asked.declared.instruction, asked.inputs
    (('a', 'b'), 'Say which.', (('text', 'hello'),))
    """
    system = "\n\n".join(content_text(m) for m in messages if m.get("role") in ("system", "developer"))
    declared = _declared(system)
    if declared is None:
        return None
    names = tuple(f.name for f in declared.inputs)
    wanted = tuple(f.name for f in declared.outputs)
    turns = [(m.get("role"), content_text(m)) for m in messages if m.get("role") in ("user", "assistant")]
    asking = [i for i, (role, text) in enumerate(turns) if role == "user" and _sections(text, names, wanted)]
    last = asking[-1] if asking else -1
    shown = []
    for i in range(last - 1):
        if turns[i][0] == "user" and turns[i + 1][0] == "assistant":
            pair = Shown(_sections(turns[i][1], names, wanted), _answers(turns[i + 1][1], wanted))
            if pair.outputs:
                shown.append(pair)
    inputs = _sections(turns[last][1], names, wanted) if asking else ()
    return Asked(declared, tuple(shown), inputs)


def content_text(message: Mapping[str, Any]) -> str:
    """Return a message's text; the parts that are not text are left out."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(p.get("text", "")) for p in parts if isinstance(p, Mapping) and p.get("type") == "text"
    )


# What the system message declares


@lru_cache(maxsize=256)
def _declared(system: str) -> Declared | None:
    lists: list[list[AskedField]] = []
    for line in system.splitlines():
        match = _FIELD_LINE.match(line)
        if match is None:
            continue
        if match["number"] == "1" or not lists:
            lists.append([])
        lists[-1].append(_field(match["name"], match["rest"], system))
    if not lists:
        return None
    inputs, outputs = (lists[0], lists[1]) if len(lists) > 1 else ([], lists[0])
    return Declared(tuple(inputs), tuple(outputs), _instruction(system), _layout(system, outputs))


def _field(name: str, rest: str, system: str) -> AskedField:
    kind, rest = _bracketed(rest.strip(), "(", ")")
    rules, rest = _bracketed(rest.strip(), "[", "]")
    if bounds := _BOUNDS.search(rest):
        rules, rest = f"{rules} {bounds[1]}", rest[: bounds.start()]
    kind = kind or "str"
    nullable = bool(re.search(r"\|\s*None|Optional\[", kind))
    kind = re.sub(r"\s*\|\s*None\b|\bNone\s*\|\s*", "", kind).strip()
    optional = re.fullmatch(r"Optional\[(.*)\]", kind)
    kind = optional[1] if optional else kind
    note = re.search(rf"\{{{re.escape(name)}\}}\s*#([^\n]*)", system)
    noted = note[1].replace('\\"', '"').rstrip('",') if note else ""
    choices = _literal_choices(kind) or _noted_choices(noted)
    low = re.search(r"(?:at least|greater than)\s+(-?[\d.]+)", rules)
    high = re.search(r"(?:at most|less than)\s+(-?[\d.]+)", rules)
    schema = re.search(r"schema:\s*(\{.*\})", noted)
    return AskedField(
        name=name,
        kind=kind,
        description=rest.lstrip(": ").strip(),
        choices=choices,
        nullable=nullable,
        low=float(low[1].rstrip(".")) if low else None,
        high=float(high[1].rstrip(".")) if high else None,
        schema=schema[1] if schema else "",
    )


def _bracketed(text: str, opening: str, closing: str) -> tuple[str, str]:
    """Return what stands in the bracket a text begins with, and what follows it."""
    if not text.startswith(opening):
        return "", text
    depth = 0
    for i, character in enumerate(text):
        depth += (character == opening) - (character == closing)
        if depth == 0:
            return text[1:i].strip(), text[i + 1 :]
    return "", text


def _literal_choices(kind: str) -> tuple[str, ...]:
    match = re.search(r"Literal\[(.*)\]", kind, re.DOTALL)
    if match is None:
        return ()
    inner = match[1].rstrip("]") if kind.count("[") > 1 else match[1]
    try:
        values = ast.literal_eval(f"({inner},)")
    except (SyntaxError, ValueError):
        return tuple(v.strip(" '\"") for v in inner.split(","))
    return tuple(str(v) for v in values)


def _noted_choices(note: str) -> tuple[str, ...]:
    match = re.search(r"one of:?\s*(.+?)(?:; or null.*)?$", note)
    return tuple(v.strip() for v in match[1].split(";") if v.strip()) if match else ()


def _instruction(system: str) -> str:
    """Return the indented block that ends the system message, else what follows the last mark of the layout."""
    match = re.search(r":[ \t]*\n((?:[ \t]{4,}[^\n]*(?:\n|$)|[ \t]*\n)+)\s*$", system)
    if match:
        lines = match[1].splitlines()
        width = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        return "\n".join(line[width:] if line[:width].isspace() else line for line in lines).strip()
    tail = re.split(r"\[\[ ## completed ## \]\]|\n\}\s*\n|</\w+>\s*\n", system)[-1]
    kept = [line for line in tail.splitlines() if not _FIELD_LINE.match(line)]
    return textwrap.dedent("\n".join(kept)).strip()


def _layout(system: str, outputs: Sequence[AskedField]) -> Layout:
    name = re.escape(outputs[0].name)
    if re.search(rf"^\[\[ ## {name} ## \]\]", system, re.MULTILINE):
        return "headers"
    if re.search(rf"<{name}>", system):
        return "tags"
    if re.search(rf'"{name}"\s*:', system) or "JSON object" in system:
        return "json"
    return "headers" if "[[ ##" in system or _FREE.search(system) is None else "lines"


# What a turn holds


@lru_cache(maxsize=8192)
def _sections(text: str, names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the inputs of a user's turn; the reminder that may close it is left out."""
    found: list[tuple[str, str]] = []
    marks = list(_HEADER.finditer(text))
    for mark, following in zip_longest(marks, marks[1:]):
        name = mark["name"]
        if name not in names or any(k == name for k, _ in found):
            continue
        value = text[mark.end() : following.start() if following else len(text)].strip()
        found.append(
            (
                name,
                _without_reminder(value, wanted)
                if following is None or following["name"] not in names
                else value,
            )
        )
    if not found:
        for name in names:
            tag = re.search(rf"<{name}>\s*(.*?)\s*</{name}>", text, re.DOTALL)
            if tag:
                found.append((name, tag[1]))
    if not found:
        lines = stated(text, names)
        found = [(k, _without_reminder(v, wanted) if k == lines[-1][0] else v) for k, v in lines]
    return tuple(found)


def stated(text: str, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return what a text says in lines `name: value`; a value goes on to the next such line.

    >>> stated("label: a\\nnote: one\\n\\ntwo", ("label", "note"))
    (('label', 'a'), ('note', 'one\\n\\ntwo'))
    """
    if not names:
        return ()
    marks = list(re.compile(rf"^({'|'.join(map(re.escape, names))}): ?", re.MULTILINE).finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)][: len(marks)]
    found: dict[str, str] = {}
    for mark, end in zip(marks, ends, strict=True):
        found.setdefault(mark[1], text[mark.end() : end].strip())
    return tuple(found.items())


def _without_reminder(value: str, wanted: tuple[str, ...]) -> str:
    head, _, tail = value.rpartition("\n\n")
    if any(f"`{name}`" in tail or f"## {name} ##" in tail or f"<{name}>" in tail for name in wanted):
        return head.rstrip()
    return "" if any(f"`[[ ## {name} ## ]]`" in value.split("\n")[0] for name in wanted) else value


@lru_cache(maxsize=8192)
def _answers(text: str, wanted: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the outputs of an assistant's turn, whichever layout it has."""
    marks = list(_HEADER.finditer(text))
    if marks:
        ends = [m.start() for m in marks[1:]] + [len(text)]
        pairs = [(m["name"], text[m.end() : end].strip()) for m, end in zip(marks, ends, strict=True)]
        return tuple((k, v) for k, v in pairs if k in wanted)
    start = text.find("{")
    if start >= 0:
        try:
            value = orjson.loads(text[start : text.rfind("}") + 1])
        except orjson.JSONDecodeError:
            value = None
        if isinstance(value, dict):
            return tuple((k, as_text(v)) for k, v in value.items() if k in wanted)
    tags = ((name, re.search(rf"<{name}>\s*(.*?)\s*</{name}>", text, re.DOTALL)) for name in wanted)
    return tuple((name, tag[1]) for name, tag in tags if tag) or stated(text, wanted)


def as_text(value: Any) -> str:
    """Return a JSON value as it would stand in a section."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value)
    return orjson.dumps(value).decode()


_BOUNDS = re.compile(r"\[(must be [^\]]*)\]\s*$")
_FIELD_LINE = re.compile(r"^\s*(?P<number>\d+)[.)]\s+`(?P<name>\w+)`(?P<rest>.*)$")
_HEADER = re.compile(r"^[ \t]*\[\[ ?## ?(?P<name>\w+) ?## ?\]\][ \t]*", re.MULTILINE)
_FREE = re.compile(r"in your own words", re.IGNORECASE)
_LEFT_OUT = re.compile(r"\(?not supplied", re.IGNORECASE)
