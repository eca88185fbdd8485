"""Reads the messages of a request back into what they ask: fields, instruction, demos and inputs.

It understands layouts with `[[ ## name ## ]]` headers, `<name>` tags, JSON objects and `name: value` lines by their
marks and not by their wording. It must not know (nor import) the adapters that write them.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

FieldTexts = tuple[tuple[str, str], ...]
"""Names and texts, in order."""


class PromptField(NamedTuple):
    """A field that a system message declares."""

    name: str
    kind: str
    """Type as text, without `None`."""
    description: str
    choices: tuple[str, ...]
    """Allowed values; empty: any."""
    nullable: bool
    low: float | None
    high: float | None
    schema: str
    """JSON schema, where the message shows it."""


class ShownRow(NamedTuple):
    """A demonstration, or a labelled row in a prompt that asks for instructions."""

    inputs: FieldTexts
    outputs: FieldTexts

    @property
    def text(self) -> str:
        """All inputs as one text."""
        return "\n".join(value for _, value in self.inputs)


class PromptContent(NamedTuple):
    """Everything that the messages of a request hold."""

    given: tuple[PromptField, ...]
    """Input fields."""
    wanted: tuple[PromptField, ...]
    """Output fields."""
    instruction: str
    layout: str
    """headers, tags, json or lines."""
    demos: tuple[ShownRow, ...]
    inputs: FieldTexts
    noise: Callable[[], float] = float
    """Draws what is added to scores; 0 unless the answer is to vary."""

    @property
    def text(self) -> str:
        """All inputs as one text."""
        return "\n".join(value for _, value in self.inputs)

    def description(self, field: PromptField) -> str:
        """Return what the prompt says of a field: the instruction and its description."""
        return f"{self.instruction}\n{field.description}"


def shown(demos: tuple[ShownRow, ...], name: str) -> list[tuple[ShownRow, str]]:
    """Return the demos that show an output, each with its value."""
    known = [(demo, value) for demo in demos for key, value in demo.outputs if key == name]
    return [(demo, value) for demo, value in known if not _LEFT_OUT.match(value)]


def read_messages(messages: Sequence[Mapping[str, object]]) -> PromptContent | None:
    """Return what the messages ask, or None where they declare no output fields.

    >>> prompt = read_messages([
    ...     {"role": "system", "content": "Inputs:\\n1. `text` (str)\\nOutputs:\\n1. `label` (Literal['a', 'b'])"
    ...      "\\n\\n[[ ## label ## ]]\\n{label}\\n\\nTask:\\n        Choose one."},
    ...     {"role": "user", "content": "[[ ## text ## ]]\\nhello"}])
    >>> prompt.wanted[0].choices, prompt.instruction, prompt.inputs
    (('a', 'b'), 'Choose one.', (('text', 'hello'),))
    """
    system = "\n\n".join(content_text(m) for m in messages if m.get("role") in ("system", "developer"))
    given, wanted = _declared(system)
    if not wanted:
        return None
    asked_for, answered = tuple(f.name for f in given), tuple(f.name for f in wanted)
    turns = [(m.get("role"), content_text(m)) for m in messages if m.get("role") in ("user", "assistant")]
    last = max(
        (i for i, (role, text) in enumerate(turns) if role == "user" and sections(text, asked_for)), default=0
    )
    demos = tuple(
        ShownRow(sections(question, asked_for), outputs)
        for (role, question), (next_role, answer) in pairwise(turns[:last])
        if (role, next_role) == ("user", "assistant") and (outputs := sections(answer, answered))
    )
    inputs: FieldTexts = ()
    if turns:
        # The closing paragraph that names the outputs in marks is no input.
        head, _, tail = turns[last][1].rpartition("\n\n")
        reminder = any(re.search(rf"`{name}`|## {name} ##|<{name}>", tail) for name in answered)
        inputs = sections(head if reminder else turns[last][1], asked_for)
    return PromptContent(given, wanted, _instruction(system), _layout(system, answered[0]), demos, inputs)


def content_text(message: Mapping[str, object]) -> str:
    """Return a message's text; the parts that are not text are left out."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(p.get("text", "")) for p in parts if isinstance(p, Mapping) and p.get("type") == "text"
    )


@lru_cache(maxsize=8192)
def sections(text: str, names: tuple[str, ...]) -> FieldTexts:
    """Return the named values of a turn, in any layout; of a name that comes twice, the first.

    >>> sections("<label>a</label>", ("label",)), sections('{"label": 3}', ("label",))
    ((('label', 'a'),), (('label', '3'),))
    """
    if headed := _cut(text, _HEADER, names):
        return headed
    value = json_value(text[text.find("{") : text.rfind("}") + 1])
    if isinstance(value, dict) and not value.keys().isdisjoint(names):
        return tuple((key, as_text(v)) for key, v in value.items() if key in names)
    tags = ((name, re.search(rf"<{name}>\s*(.*?)\s*</{name}>", text, re.DOTALL)) for name in names)
    return tuple((name, tag[1]) for name, tag in tags if tag) or lines(text, names)


def lines(text: str, names: Sequence[str]) -> FieldTexts:
    """Return what a text holds in lines `name: value`; a value goes on to the next such line.

    >>> lines("label: a\\nnote: one\\n\\ntwo", ("label", "note"))
    (('label', 'a'), ('note', 'one\\n\\ntwo'))
    """
    return _cut(text, re.compile(rf"^({'|'.join(names)}): ?", re.MULTILINE), names) if names else ()


def _cut(text: str, mark: re.Pattern[str], names: Sequence[str]) -> FieldTexts:
    """Return what follows each mark that has one of the names, up to the next mark."""
    marks = list(mark.finditer(text))
    values: dict[str, str] = {}
    for this, end in zip(marks, [*(m.start() for m in marks[1:]), len(text)], strict=False):
        if this[1] in names:
            values.setdefault(this[1], text[this.end() : end].strip())
    return tuple(values.items())


def json_value(text: str) -> Any:
    """Return a JSON text's value, None where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def as_text(value: object) -> str:
    """Return a JSON value as it would be written in a section."""
    return str(value) if isinstance(value, str | bool) else orjson.dumps(value).decode()


@lru_cache(maxsize=256)
def _declared(system: str) -> tuple[tuple[PromptField, ...], tuple[PromptField, ...]]:
    """Return the input and the output fields that a system message declares in numbered lines."""
    groups: list[list[PromptField]] = []
    for match in _FIELD_LINE.finditer(system):
        if match["number"] == "1" or not groups:
            groups.append([])
        groups[-1].append(_field(match, system))
    inputs, outputs = groups[:2] if len(groups) > 1 else ([], groups[0] if groups else [])
    return tuple(inputs), tuple(outputs)


def _field(line: re.Match[str], system: str) -> PromptField:
    written = line["kind"] or "str"
    kind = re.sub(r"\s*\|\s*None\b|\bNone\s*\|\s*|^Optional\[(.*)\]$", r"\1", written).strip()
    comment = re.search(rf"\{{{line['name']}\}}\s*#([^\n]*)", system)
    note = comment[1].replace('\\"', '"').rstrip('",') if comment else ""
    limits = "".join(_BOUNDS.findall(line["rest"]))
    low = re.search(r"(?:at least|greater than) (-?\d+(?:\.\d+)?)", limits)
    high = re.search(r"(?:at most|less than) (-?\d+(?:\.\d+)?)", limits)
    schema = re.search(r"schema:\s*(\{.*\})", note)
    return PromptField(
        line["name"],
        kind,
        _BOUNDS.sub("", line["rest"]).lstrip(": ").strip(),
        _choices(kind, note),
        kind != written,
        float(low[1]) if low else None,
        float(high[1]) if high else None,
        schema[1] if schema else "",
    )


def _choices(kind: str, note: str) -> tuple[str, ...]:
    """Return the values that a type or the note on it allows."""
    if literal := re.search(r"Literal\[(.*?)\]*$", kind):
        try:
            return tuple(str(v) for v in ast.literal_eval(f"({literal[1]},)"))
        except (SyntaxError, ValueError):
            return tuple(v.strip(" '\"") for v in literal[1].split(","))
    listed = re.search(r"one of:?\s*(.+?)(?:; or null.*)?$", note)
    return tuple(v.strip() for v in listed[1].split(";") if v.strip()) if listed else ()


def _instruction(system: str) -> str:
    """Return the indented block that ends the system message, else what follows the last mark of the layout."""
    block = re.search(r":[ \t]*\n((?:[ \t]{4,}[^\n]*(?:\n|$)|[ \t]*\n)+)\s*$", system)
    if block:
        return textwrap.dedent(block[1]).strip()
    tail = re.split(r"\[\[ ## completed ## \]\]|\n\}\s*\n|</\w+>\s*\n", system)[-1]
    return _FIELD_LINE.sub("", tail).strip()


def _layout(system: str, output: str) -> str:
    marks = {
        "headers": rf"\[\[ ## {output} ## \]\]",
        "tags": f"<{output}>",
        "json": rf'"{output}"\s*:|JSON object',
    }
    named = (layout for layout, mark in marks.items() if re.search(mark, system))
    return next(named, "headers" if "[[ ##" in system else "lines")


_HEADER = re.compile(r"^[ \t]*\[\[ ?## ?(\w+) ?## ?\]\][ \t]*", re.MULTILINE)
_FIELD_LINE = re.compile(
    r"^\s*(?P<number>\d+)[.)]\s+`(?P<name>\w+)`[ \t]*(?:\((?P<kind>.*?)\)(?=\s*(?:\[must be|:|$)))?(?P<rest>.*)$",
    re.MULTILINE,
)
_BOUNDS = re.compile(r"\[must be ([^\]]*)\]")
_LEFT_OUT = re.compile(r"\(?not supplied", re.IGNORECASE)
