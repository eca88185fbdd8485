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

Values = tuple[tuple[str, str], ...]
"""Names and texts, in order."""


class Field(NamedTuple):
    """One declared field: `kind` is its type as text, `choices` the values allowed (empty: any).

    `low` and `high` bound a number; `schema` is the JSON schema where one was shown.
    """

    name: str
    kind: str
    description: str
    choices: tuple[str, ...]
    nullable: bool
    low: float | None
    high: float | None
    schema: str


class Demo(NamedTuple):
    """One demonstration."""

    inputs: Values
    outputs: Values

    @property
    def text(self) -> str:
        """All inputs as one text."""
        return "\n".join(value for _, value in self.inputs)


class Task(NamedTuple):
    """The declarations of a system message; `layout` is "headers", "tags", "json" or "lines"."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    instruction: str
    layout: str


class Prompt(NamedTuple):
    """Everything that the messages of a request hold, and the noise that is added to scores."""

    task: Task
    demos: tuple[Demo, ...]
    inputs: Values
    noise: Callable[[], float] = float

    @property
    def text(self) -> str:
        """All inputs as one text."""
        return "\n".join(value for _, value in self.inputs)

    def description(self, field: Field) -> str:
        """Return what the prompt says of a field: the instruction and its description."""
        return f"{self.task.instruction}\n{field.description}"


def shown(demos: tuple[Demo, ...], name: str) -> list[tuple[Demo, str]]:
    """Return the demos that show an output, each with its value."""
    known = [(demo, value) for demo in demos for key, value in demo.outputs if key == name]
    return [(demo, value) for demo, value in known if not _LEFT_OUT.match(value)]


def read_messages(messages: Sequence[Mapping[str, object]]) -> Prompt | None:
    """Return what the messages ask, or None where they declare no output fields.

    >>> prompt = read_messages([
    ...     {"role": "system", "content": "Inputs:\\n1. `text` (str)\\nOutputs:\\n1. `label` (Literal['a', 'b'])"
    ...      "\\n\\n[[ ## label ## ]]\\n{label}\\n\\nTask:\\n        Choose one."},
    ...     {"role": "user", "content": "[[ ## text ## ]]\\nhello"}])
    >>> prompt.task.outputs[0].choices, prompt.task.instruction, prompt.inputs
    (('a', 'b'), 'Choose one.', (('text', 'hello'),))
    """
    task = _task("\n\n".join(content_text(m) for m in messages if m.get("role") in ("system", "developer")))
    if task is None:
        return None
    given = tuple(f.name for f in task.inputs)
    wanted = tuple(f.name for f in task.outputs)
    turns = [(m.get("role"), content_text(m)) for m in messages if m.get("role") in ("user", "assistant")]
    last = max(
        (i for i, (role, text) in enumerate(turns) if role == "user" and sections(text, given)), default=0
    )
    demos = []
    for (role, asked), (next_role, answer) in pairwise(turns[:last]):
        if (role, next_role) == ("user", "assistant") and (outputs := sections(answer, wanted)):
            demos.append(Demo(sections(asked, given), outputs))
    inputs = sections(_without_reminder(turns[last][1], wanted), given) if turns else ()
    return Prompt(task, tuple(demos), inputs)


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
def sections(text: str, names: tuple[str, ...]) -> Values:
    """Return the named values of a turn, in any layout; of a name that comes twice, the first.

    >>> sections("<label>a</label>", ("label",)), sections('{"label": 3}', ("label",))
    ((('label', 'a'),), (('label', '3'),))
    """
    if found := _cut(text, _HEADER, names):
        return found
    value = json_value(text[text.find("{") : text.rfind("}") + 1])
    if isinstance(value, dict) and not value.keys().isdisjoint(names):
        return tuple((k, as_text(v)) for k, v in value.items() if k in names)
    tags = ((name, re.search(rf"<{name}>\s*(.*?)\s*</{name}>", text, re.DOTALL)) for name in names)
    return tuple((name, tag[1]) for name, tag in tags if tag) or lines(text, names)


def lines(text: str, names: Sequence[str]) -> Values:
    """Return what a text holds in lines `name: value`; a value goes on to the next such line.

    >>> lines("label: a\\nnote: one\\n\\ntwo", ("label", "note"))
    (('label', 'a'), ('note', 'one\\n\\ntwo'))
    """
    return _cut(text, re.compile(rf"^({'|'.join(names)}): ?", re.MULTILINE), names) if names else ()


def _cut(text: str, mark: re.Pattern[str], names: Sequence[str]) -> Values:
    """Return what follows each mark that has one of the names, up to the next mark."""
    marks = list(mark.finditer(text))
    found: dict[str, str] = {}
    for this, end in zip(marks, [*(m.start() for m in marks[1:]), len(text)], strict=False):
        if this[1] in names:
            found.setdefault(this[1], text[this.end() : end].strip())
    return tuple(found.items())


def json_value(text: str) -> Any:
    """Return a JSON text's value, None where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def as_text(value: object) -> str:
    """Return a JSON value as it would be written in a section."""
    if isinstance(value, str | bool):
        return str(value)
    return orjson.dumps(value).decode()


# The system message


@lru_cache(maxsize=256)
def _task(system: str) -> Task | None:
    lists: list[list[Field]] = []
    for match in _FIELD_LINE.finditer(system):
        if match["number"] == "1" or not lists:
            lists.append([])
        lists[-1].append(_field(match, system))
    if not lists:
        return None
    inputs, outputs = (lists[0], lists[1]) if len(lists) > 1 else ([], lists[0])
    return Task(tuple(inputs), tuple(outputs), _instruction(system), _layout(system, outputs[0].name))


def _field(line: re.Match[str], system: str) -> Field:
    written = line["kind"] or "str"
    kind = re.sub(r"\s*\|\s*None\b|\bNone\s*\|\s*|^Optional\[(.*)\]$", r"\1", written).strip()
    found = re.search(rf"\{{{line['name']}\}}\s*#([^\n]*)", system)
    note = found[1].replace('\\"', '"').rstrip('",') if found else ""
    bounds = _BOUNDS.search(line["rest"])
    low, high = (
        float(limit[1])
        if bounds and (limit := re.search(rf"(?:{words}) (-?\d+(?:\.\d+)?)", bounds[1]))
        else None
        for words in ("at least|greater than", "at most|less than")
    )
    description = _BOUNDS.sub("", line["rest"]).lstrip(": ").strip()
    schema = re.search(r"schema:\s*(\{.*\})", note)
    return Field(
        line["name"],
        kind,
        description,
        _choices(kind, note),
        kind != written,
        low,
        high,
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
    if f"[[ ## {output} ## ]]" in system:
        return "headers"
    if f"<{output}>" in system:
        return "tags"
    if re.search(rf'"{output}"\s*:', system) or "JSON object" in system:
        return "json"
    return "headers" if "[[ ##" in system else "lines"


def _without_reminder(text: str, wanted: Sequence[str]) -> str:
    """Return a user's turn without the closing paragraph that names the outputs in marks."""
    head, _, tail = text.rpartition("\n\n")
    return head if any(re.search(rf"`{name}`|## {name} ##|<{name}>", tail) for name in wanted) else text


_HEADER = re.compile(r"^[ \t]*\[\[ ?## ?(\w+) ?## ?\]\][ \t]*", re.MULTILINE)
_FIELD_LINE = re.compile(
    r"^\s*(?P<number>\d+)[.)]\s+`(?P<name>\w+)`[ \t]*(?:\((?P<kind>.*?)\)(?=\s*(?:\[must be|:|$)))?(?P<rest>.*)$",
    re.MULTILINE,
)
_BOUNDS = re.compile(r"\[must be ([^\]]*)\]")
_LEFT_OUT = re.compile(r"\(?not supplied", re.IGNORECASE)
