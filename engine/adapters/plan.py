"""A signature as an adapter knows it: its fields planned once, what goes by a model's native forms, and the texts of messages.

It knows the order of things (incomplete examples first) and no layout: the marks around a field are the adapter's.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, get_args
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ValidationError

from engine.adapters.notes import output_note, rules_in_words
from engine.adapters.values import (
    FORMED,
    Content,
    Reader,
    UnreadableError,
    fitted,
    format_value,
    holds_types,
    jsonable,
    reader_for,
)
from engine.basics.data import JsonObject, Values
from engine.errors import AdapterParseError, SignatureError, first_problem
from engine.records import Demo, Example
from engine.signature.grammar import is_class, type_text, without_none
from engine.signature.nested import keyed, nested_fields
from engine.signature.types.base import Type
from engine.signature.types.textual import Citations, Document, History, Reasoning, citable, history_of
from engine.signature.types.tool import ToolCallResults, ToolCalls, ToolForm, tools_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from engine.lm.base import BaseLM, Choice
    from engine.signature import Signature


MISSING: Any = object()
"""The value of a field that has none."""

Demonstration = Values | Demo
"""A solved example: field name -> value."""

Demos = Sequence[Demonstration]
Turn = JsonObject


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field: how it is described, and (outputs) how it is read.

    `nullable` says that None is a value of it; `info` is pydantic's record of it, for defaults; `rich` says that its
    values may stand as parts of a message (pictures, files); `nested` are descriptions laid over those of its type.
    """

    name: str
    annotation: Any
    hint: str
    description: str
    rules: str
    note: str
    reader: Reader
    nullable: bool
    info: FieldInfo
    rich: bool = False
    nested: Mapping[str, str] = field(default_factory=dict)

    def default(self) -> Any:
        """Return the field's value where a reply or a row leaves it out, or MISSING if it must be there."""
        if not self.info.is_required():
            return self.info.get_default(call_default_factory=True, validated_data={})
        return None if self.nullable else MISSING

    def keyed(self, value: object) -> object:
        """Return an output's value as JSON under the keys that its type's schema has; what holds no record as it is."""
        if not isinstance(value, Mapping | list | BaseModel) or not nested_fields(self.annotation):
            return value
        return keyed(jsonable(value), self.annotation)

    def present(self, values: Values) -> bool:
        """Return whether the field has a value among these."""
        return self.name in values and (self.nullable or values[self.name] is not None)


@dataclass(frozen=True, slots=True)
class Plan:
    """A signature's fields, ready for use.

    `earlier` is the input that holds earlier turns; it is none of `inputs`, since it comes before them. `native`
    names the outputs that some models return natively, by type, and the input with the tools.
    """

    inputs: tuple[FieldPlan, ...]
    outputs: tuple[FieldPlan, ...]
    earlier: FieldPlan | None = None
    native: Mapping[type, str] = field(default_factory=dict)


def read_fields(outputs: Sequence[FieldPlan], sections: Values, reply: str, *, decoded: bool) -> JsonObject:
    """Return the typed outputs of a reply.

    `sections` maps names to text or JSON values; with `decoded` a text is a JSON string. Raises AdapterParseError that
    names every field which is missing or breaks its type or rules.
    """
    values: dict[str, object] = {}
    problems: list[str] = []
    missing: list[str] = []
    for one in outputs:
        name = one.name
        raw = sections.get(name, MISSING)
        if raw is MISSING:
            value = one.default()
            if value is MISSING:
                missing.append(name)
            else:
                values[name] = value
            continue
        try:
            if type(raw) is not str:
                values[name] = one.reader.json(raw)
            else:  # text that was a JSON string keeps its white space; a section of a reply is stripped
                as_it_is = decoded and one.annotation is str and not one.rules
                values[name] = raw if as_it_is else one.reader.text(raw)
        except UnreadableError as error:
            problems.append(f"Output field {name!r} {error}.")
    if not missing and not problems:
        return values
    if missing:
        named = ", ".join(repr(name) for name in missing)
        problems.insert(
            0, f"The reply has no {named}." if reply.strip() else f"The reply is empty: no {named}."
        )
    raise AdapterParseError(" ".join(problems), reply=reply, found=values)


_plans: WeakKeyDictionary[type[Signature], Plan] = WeakKeyDictionary()


def plan_of(signature: type[Signature]) -> Plan:
    """Return a signature's plan, made on first use."""
    plan = _plans.get(signature)
    if plan is None:
        plan = _plans[signature] = _new_plan(signature)
    return plan


def _new_plan(signature: type[Signature]) -> Plan:
    def planned(name: str, info: FieldInfo, output: bool) -> FieldPlan:
        annotation, nested = signature.annotation(name), signature.descriptions_inside(name)
        return FieldPlan(
            name=name,
            annotation=annotation,
            hint=type_text(annotation),
            description=signature.description(name) if output else _input_description(signature, name),
            rules=rules_in_words(info.metadata),
            note=output_note(annotation, nested) if output else "",
            reader=reader_for(annotation, tuple(info.metadata)) if output else reader_for(str),
            nullable=without_none(annotation)[1],
            info=info,
            rich=holds_types(annotation),
            nested=nested,
        )

    histories = [name for name in signature.input_fields if _is_a(signature.annotation(name), History)]
    if len(histories) > 1:
        raise SignatureError(f"{signature.__name__!r} has two inputs of the type History. Keep one.")
    return Plan(
        inputs=tuple(
            planned(name, info, False)
            for name, info in signature.input_fields.items()
            if name not in histories
        ),
        outputs=tuple(planned(name, info, True) for name, info in signature.output_fields.items()),
        earlier=planned(histories[0], signature.input_fields[histories[0]], False) if histories else None,
        native=_native(signature),
    )


def _input_description(signature: type[Signature], name: str) -> str:
    """Return an input's description, with the descriptions of user-defined types in it."""
    texts = [kind.description() for kind in _own_types(signature.annotation(name))]
    return " ".join(text for text in (signature.description(name), *texts) if text)


def _own_types(annotation: object) -> list[type[Type]]:
    if is_class(annotation, Type):
        return [] if annotation.__module__.startswith("engine.") else [annotation]
    return [kind for part in get_args(annotation) for kind in _own_types(part)]


def _is_a(annotation: object, kind: type) -> bool:
    return is_class(without_none(annotation)[0], kind)


def _holds(annotation: object, kind: type) -> bool:
    """Return whether a type is of a kind, or holds several of it."""
    plain, _ = without_none(annotation)
    return any(_is_a(part, kind) for part in (plain, *get_args(plain)))


def _native(signature: type[Signature]) -> dict[type, str]:
    names: dict[type, str] = {}
    for name in signature.output_fields:
        for kind in (ToolCalls, Reasoning, Citations):
            if _is_a(signature.annotation(name), kind):
                names.setdefault(kind, name)
    for name in signature.input_fields:
        if _holds(signature.annotation(name), ToolForm):
            names.setdefault(ToolForm, name)
    # Tools alone are text like any other: without a place for the calls nothing is native about them.
    return names if names.keys() != {ToolForm} else {}


def values_of(demo: Values | Demo) -> Values:
    """Return a demonstration's values, whichever of its forms it comes in."""
    return demo.values if isinstance(demo, Demo) else demo


EFFORT = "low"
"""Effort of a model whose thoughts are asked for, unless a parameter says otherwise."""


@dataclass(frozen=True, slots=True)
class Native:
    """One call's split: `asked` is what stays text, `carried` (type -> output) what the model gives natively.

    `params` go with the request; `inputs` are the signature's, documents as parts that can be cited.
    """

    asked: type[Signature]
    carried: Mapping[type, str]
    params: Values
    inputs: Values

    def filled(
        self, signature: type[Signature], choice: Choice, read: Callable[[str], dict[str, object]]
    ) -> JsonObject:
        """Return all outputs of a completion; `read` reads its text. Raises AdapterParseError.

        A model that calls tools may write nothing else: the outputs it leaves out are then their default, or None.
        """
        native = {name: _native_value(kind, name, choice) for kind, name in self.carried.items()}
        rest: Values = {}
        if self.asked.output_fields:
            try:
                rest = read(choice.text or "")
            except AdapterParseError as error:
                if ToolCalls not in self.carried or not choice.tool_calls:
                    raise
                rest = error.found
        return {name: native.get(name, rest.get(name)) for name in signature.output_fields}


class NativeSettings(Protocol):
    """An adapter's settings of what goes by a model's native forms; see `Adapter`."""

    use_native_function_calling: bool
    native_response_types: tuple[type, ...]
    parallel_tool_calls: bool | None


def native_of(
    settings: NativeSettings, signature: type[Signature], lm: BaseLM, params: Values, inputs: Values
) -> Native | None:
    """Return what of a call this model gives natively; None where it is all text."""
    plan = plan_of(signature)
    carried: dict[type, str] = {}
    added: dict[str, object] = {}
    given: dict[str, object] = dict(inputs)
    left_out: list[str] = []
    if settings.use_native_function_calling and lm.supports_function_calling:
        tools = _tools(plan, signature, inputs)
        if tools:
            carried[ToolCalls] = plan.native[ToolCalls]
            left_out.append(plan.native[ToolForm])
            added["tools"] = [tool.format_as_litellm_function_call() for tool in tools]
            if settings.parallel_tool_calls is not None:
                added |= {"parallel_tool_calls": settings.parallel_tool_calls, "tool_choice": "auto"}
    if _is_native(settings, plan, Reasoning) and lm.supports_reasoning:
        effort = params.get("reasoning_effort", lm.params.get("reasoning_effort", EFFORT))
        if effort not in _NO_EFFORT:
            carried[Reasoning] = plan.native[Reasoning]
            added["reasoning_effort"] = effort
    if _is_native(settings, plan, Citations) and lm.supports_citations:
        documents = [name for name in signature.input_fields if _holds(signature.annotation(name), Document)]
        if any(name in inputs for name in documents):
            carried[Citations] = plan.native[Citations]
            given |= {
                n: citable(fitted(inputs[n], signature.annotation(n), n)) for n in documents if n in inputs
            }
    if not carried:
        return None
    return Native(_signature_without(signature, (*carried.values(), *left_out)), carried, added, given)


def thoughts_of(signature: type[Signature], choice: Choice) -> Native | None:
    """Return the split of a completion whose thoughts came next to the text though they were asked for in it."""
    name = plan_of(signature).native.get(Reasoning)
    if name is None or not choice.reasoning:
        return None
    return Native(_signature_without(signature, (name,)), {Reasoning: name}, {}, {})


def _native_value(kind: type, name: str, choice: Choice) -> object:
    if kind is Reasoning:
        return Reasoning(choice.reasoning or "")
    given = choice.tool_calls if kind is ToolCalls else choice.citations
    items: type[ToolCalls | Citations] = ToolCalls if kind is ToolCalls else Citations
    try:
        return items.from_dict_list(given)
    except ValidationError as error:
        raise AdapterParseError(
            f"Output field {name!r}: {first_problem(error)[1]}.", reply=repr(list(given))
        ) from None


def _tools(plan: Plan, signature: type[Signature], inputs: Values) -> list[ToolForm]:
    if ToolCalls not in plan.native or ToolForm not in plan.native:
        return []
    name = plan.native[ToolForm]
    value = inputs.get(name)
    return [] if value is None else tools_of(fitted(value, signature.annotation(name), name))


def _is_native(settings: NativeSettings, plan: Plan, kind: type) -> bool:
    return kind in plan.native and kind in settings.native_response_types


def _signature_without(signature: type[Signature], names: tuple[str, ...]) -> type[Signature]:
    known = _reduced.setdefault(signature, {})
    reduced = known.get(names)
    if reduced is None:
        reduced = signature
        for name in names:
            reduced = reduced.delete(name)
        known[names] = reduced
    return reduced


_NO_EFFORT = (None, "none", "disable")
_reduced: WeakKeyDictionary[type[Signature], dict[tuple[str, ...], type[Signature]]] = WeakKeyDictionary()


# Messages

Write = Callable[[Plan, Values], str]
Slot = tuple[FieldPlan, str, str]
"""An input with the texts before and after its value."""


@dataclass(slots=True)
class Rendered:
    """An adapter's texts for one signature; demonstrations are stored with a copy of their values."""

    plan: Plan
    slots: tuple[Slot, ...]
    system: str
    reminder: str
    write: Write
    earlier: tuple[Slot, ...] = ()
    task: str | None = None
    demos: OrderedDict[tuple[int, ...], tuple[list[Any], list[Turn]]] = field(default_factory=OrderedDict)

    def user(self, inputs: Values) -> Turn:
        """Return the turn that asks, closed by the reminder; absent inputs take their default or are left out."""
        content = Content()
        text = written(self.slots, inputs, content, defaults=True)
        return {"role": "user", "content": content.of(f"{text}{self.reminder}")}

    def given(self, inputs: Values, lead: str = "", earlier: tuple[Slot, ...] = ()) -> Any:
        """Return the content of a turn with the inputs that are there, without the reminder."""
        content = Content()
        slots = (*self.slots, *earlier)
        return content.of(lead + written(slots, inputs, content, defaults=False).rstrip("\n"))

    def demo_turns(self, demos: Demos) -> list[Turn]:
        """Return demonstrations as turns, incomplete ones first."""
        key = tuple([id(demo) for demo in demos])
        known = self.demos.get(key)
        # Identity finds the entry, equality decides: a demonstration that was written to is rendered again.
        if known is not None and all(map(_unchanged, demos, known[0])):
            return known[1]
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

    def turns(self, values: Values) -> tuple[bool, list[Turn]]:
        """Return whether a demonstration is complete, and its two turns: none if it lacks every input or output."""
        plan = self.plan
        if not (_any_of(plan.inputs, values) and _any_of(plan.outputs, values)):
            return False, []
        complete = all(f.present(values) for f in (*plan.inputs, *plan.outputs))
        # The earlier turns of a demonstration stay inside it: as turns they would look like this conversation's.
        earlier = self.earlier if plan.earlier and history_of(values.get(plan.earlier.name)) else ()
        lead = "" if complete else f"{INCOMPLETE_LEAD}\n\n"
        return complete, [
            {"role": "user", "content": self.given(values, lead, earlier)},
            {"role": "assistant", "content": self.write(plan, values)},
        ]

    def earlier_turns(self, history: object) -> list[Turn]:
        """Return a conversation so far as turns; a turn without outputs is the user's alone."""
        turns: list[Turn] = []
        for values in history_of(history):
            if user := self.given(values):
                turns.append({"role": "user", "content": user})
            answer = self.write(self.plan, values) if _any_of(self.plan.outputs, values) else ""
            turns += answer_turns(values, answer, {f.name for f in (*self.plan.inputs, *self.plan.outputs)})
        return turns


def answer_turns(values: Values, answer: str, known: Collection[str]) -> list[Turn]:
    """Return what was answered in an earlier turn: `answer`, and tool calls with their results as separate messages.

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
            results = calls.tool_call_results or results
        elif isinstance(value, ToolCallResults) or (
            isinstance(value, Mapping) and "tool_call_results" in value
        ):
            results = ToolCallResults.model_validate(value)
    by_id = {} if results is None else {one.call_id: one for one in results}
    if not calls or not all(call.id is not None and call.id in by_id for call in calls):
        text = "\n\n".join(part for part in (answer, calls.format() if calls else "") if part)
        shown: list[Turn] = [{"role": "assistant", "content": text}] if text else []
        return [*shown, {"role": "user", "content": results.format()}] if results else shown
    asked = {"role": "assistant", "content": answer, "tool_calls": [call.as_openai() for call in calls]}
    tool_turns = [{"role": "tool", "tool_call_id": call.id, "content": by_id[call.id].text} for call in calls]
    return [asked, *tool_turns]


def written(slots: Sequence[Slot], values: Values, content: Content, *, defaults: bool) -> str:
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


def field_lists(plan: Plan) -> str:
    """Return the lists of input and output fields, as the system message begins."""
    outputs = [f"{OUTPUTS_LEAD}\n{listed(plan.outputs)}"] if plan.outputs else []
    return "\n\n".join([f"{INPUTS_LEAD}\n{listed(plan.inputs)}", *outputs])


def task_block(signature: type[Signature]) -> str:
    """Return the instructions as the block that closes the system message."""
    task = "\n".join(f"        {line}" for line in signature.instructions.splitlines())
    return f"{OBJECTIVE_LEAD}\n{task}"


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


def _any_of(fields: Sequence[FieldPlan], values: Values) -> bool:
    return any(f.name in values for f in fields)


def _plain_values(demo: Demonstration) -> JsonObject:
    return demo.plain_values() if isinstance(demo, Example) else dict(values_of(demo))


def _unchanged(demo: Demonstration, before: dict[str, object]) -> bool:
    values = demo.values if type(demo) is Demo else demo
    return (values if type(values) is dict else _plain_values(demo)) == before


_KEPT_DEMO_SETS = 64

# The offline model finds the parts of a prompt by these leads.
INPUTS_LEAD = "You are given these input fields:"
OUTPUTS_LEAD = "You write these output fields:"
OBJECTIVE_LEAD = "Your task is the following:"
RULES_LEAD = "must be"
INCOMPLETE_LEAD = "This example leaves out some of the fields."
