"""Fields as the sections of a message: what an adapter writes once a signature, and demonstrations as turns.

It knows the order of things (incomplete examples first) and no layout: the marks around a field are the adapter's.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.adapters.plan import MISSING, FieldPlan, Plan, values_of
from engine.adapters.values import FORMED, Content, format_value
from engine.records import Demo, Example
from engine.types.textual import history_of
from engine.types.tool import ToolCallResults, ToolCalls

Demonstration = Mapping[str, Any] | Demo
"""A solved example: field name -> value."""

Turn = dict[str, Any]
Write = Callable[[Plan, Mapping[str, Any]], str]
Slot = tuple[FieldPlan, str, str]
"""An input with the texts before and after its value."""


@dataclass(slots=True)
class Rendered:
    """An adapter's texts for one signature; demonstrations are kept with a copy of what they were made from."""

    plan: Plan
    slots: tuple[Slot, ...]
    system: str
    reminder: str
    write: Write
    demos: OrderedDict[tuple[int, ...], tuple[list[Any], list[Turn]]] = field(default_factory=OrderedDict)

    def user(self, inputs: Mapping[str, object]) -> Turn:
        """Return the turn that asks, closed by the reminder; absent inputs take their default or are left out."""
        content = Content()
        text = written(self.slots, inputs, content, defaults=True)
        return {"role": "user", "content": content.of(f"{text}{self.reminder}")}

    def given(self, inputs: Mapping[str, object]) -> Any:
        """Return the content of a turn with the inputs that are there, without the reminder."""
        content = Content()
        return content.of(written(self.slots, inputs, content, defaults=False).rstrip("\n"))

    def demo_turns(self, demos: Sequence[Demonstration]) -> list[Turn]:
        """Return demonstrations as turns, incomplete ones first."""
        key = tuple([id(demo) for demo in demos])
        kept = self.demos.get(key)
        # Identity finds the entry, equality decides: a demonstration that was written to is rendered again.
        if kept is not None and all(map(_unchanged, demos, kept[0])):
            return kept[1]
        incomplete: list[Turn] = []
        complete: list[Turn] = []
        for demo in demos:
            full, turns = self.turns(values_of(demo))
            (complete if full else incomplete).extend(turns)
        turns = incomplete + complete
        self.demos[key] = ([copy.deepcopy(_plain_values(demo)) for demo in demos], turns)
        while len(self.demos) > _KEPT_DEMO_SETS:
            self.demos.popitem(last=False)
        return turns

    def turns(self, values: Mapping[str, object]) -> tuple[bool, list[Turn]]:
        """Return whether a demonstration is complete, and its two turns: none if it lacks every input or output."""
        plan = self.plan
        if not (_any_of(plan.inputs, values) and _any_of(plan.outputs, values)):
            return False, []
        complete = all(f.present(values) for f in (*plan.inputs, *plan.outputs))
        content = Content()
        user = written(self.slots, values, content, defaults=False).rstrip("\n")
        if not complete:
            user = f"{INCOMPLETE_LEAD}\n\n{user}"
        return complete, [
            {"role": "user", "content": content.of(user)},
            {"role": "assistant", "content": self.write(plan, values)},
        ]

    def earlier_turns(self, history: object) -> list[Turn]:
        """Return a conversation so far as turns; a turn without outputs is the user's alone."""
        turns: list[Turn] = []
        for values in history_of(history):
            content = Content()
            user = written(self.slots, values, content, defaults=False).rstrip("\n")
            if user:
                turns.append({"role": "user", "content": content.of(user)})
            said = self.write(self.plan, values) if _any_of(self.plan.outputs, values) else ""
            turns += answer_turns(values, said, {f.name for f in (*self.plan.inputs, *self.plan.outputs)})
        return turns


def answer_turns(values: Mapping[str, object], said: str, known: Collection[str]) -> list[Turn]:
    """Return what was answered in an earlier turn: `said`, and tool calls and what they gave as messages of their own.

    Calls and results are such where the signature as it is asked does not know their field. Results that do not answer
    each call by its id come as a user's message.
    """
    calls: ToolCalls | None = None
    results: ToolCallResults | None = None
    for name, value in values.items():
        if name in known:
            continue
        if isinstance(value, ToolCalls) or (isinstance(value, Mapping) and "tool_calls" in value):
            calls = ToolCalls.model_validate(value)
        elif isinstance(value, ToolCallResults) or (
            isinstance(value, Mapping) and "tool_call_results" in value
        ):
            results = ToolCallResults.model_validate(value)
    by_id = {} if results is None else {one.call_id: one for one in results}
    if not calls or not all(call.id is not None and call.id in by_id for call in calls):
        text = "\n\n".join(part for part in (said, calls.format() if calls else "") if part)
        shown: list[Turn] = [{"role": "assistant", "content": text}] if text else []
        return [*shown, {"role": "user", "content": results.format()}] if results else shown
    asked = {"role": "assistant", "content": said, "tool_calls": [call.as_openai() for call in calls]}
    tool_turns = [{"role": "tool", "tool_call_id": call.id, "content": by_id[call.id].text} for call in calls]
    return [asked, *tool_turns]


def written(slots: Sequence[Slot], values: Mapping[str, object], content: Content, *, defaults: bool) -> str:
    """Return the fields that are present, each between its marks."""
    parts = []
    for one, before, after in slots:
        value = values.get(one.name, MISSING)
        if value is MISSING:
            value = one.default() if defaults and not one.info.is_required() else MISSING
            if value is MISSING:
                continue
        if one.rich or isinstance(value, FORMED):
            text = content.text(value, one.annotation, one.name)
        else:
            text = value if type(value) is str else format_value(value, one.annotation)
        parts.append(f"{before}{text}{after}")
    return "".join(parts)


def listed(fields: Sequence[FieldPlan]) -> str:
    """Return fields as a numbered list: name, type, description and rules."""
    return "\n".join(f"{i}. {_described(one)}" for i, one in enumerate(fields, start=1))


def _described(one: FieldPlan) -> str:
    description = f": {one.description}" if one.description else ""
    rules = f" [{RULES_LEAD} {one.rules}]" if one.rules else ""
    return f"`{one.name}` ({one.hint}){description}{rules}"


def typed(one: FieldPlan) -> str:
    """Return a field's type as a reminder gives it, "" for text."""
    return "" if one.annotation is str else f" ({one.hint})"


def indented(text: str) -> str:
    """Return a text as the block that closes a system message."""
    return "\n".join(f"        {line}" for line in text.splitlines())


def _any_of(fields: Sequence[FieldPlan], values: Mapping[str, object]) -> bool:
    return any(f.name in values for f in fields)


def _plain_values(demo: Demonstration) -> dict[str, Any]:
    return demo.toDict() if isinstance(demo, Example) else dict(values_of(demo))


def _unchanged(demo: Demonstration, before: dict[str, object]) -> bool:
    values = demo.values if type(demo) is Demo else demo
    return (values if type(values) is dict else _plain_values(demo)) == before


_KEPT_DEMO_SETS = 64

RULES_LEAD = "must be"
INCOMPLETE_LEAD = "This example leaves out some of the fields."
