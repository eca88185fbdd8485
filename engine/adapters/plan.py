"""Everything about a signature that its prompts and its parsing need, worked out once a signature class.

A plan is what makes formatting and parsing cheap: hints, notes and readers are built when a signature is first
used. It holds no reference to the signature, so that both are freed together. Knows no layout of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args
from weakref import WeakKeyDictionary

from engine.adapters.content import holds_types
from engine.adapters.notes import output_note, rules_in_words, type_hint, without_none
from engine.adapters.reading import Reader, UnreadableError, reader_for
from engine.errors import AdapterParseError, SignatureError
from engine.records import Demo
from engine.types.textual import Citations, History, Reasoning
from engine.types.tool import ToolCalls, ToolForm

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from engine.signature import Signature

MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field: how it is described, and (outputs) how it is read.

    `nullable` says that None is a value of it; `info` is pydantic's record of it, for defaults; `rich` says that its
    values may stand as parts of a message (pictures, files).
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

    def default(self) -> Any:
        """Return the field's value where a reply or a row leaves it out, or MISSING if it must be there."""
        if not self.info.is_required():
            return self.info.get_default(call_default_factory=True, validated_data={})
        return None if self.nullable else MISSING


@dataclass(frozen=True, slots=True)
class Plan:
    """A signature's fields and instructions, ready for use.

    `history` names the input that holds earlier turns; it is none of `inputs`, since it stands before them. `native`
    names the outputs that some models give in a form of their own, by type, and the input with the tools.
    """

    name: str
    instructions: str
    inputs: tuple[FieldPlan, ...]
    outputs: tuple[FieldPlan, ...]
    history: str | None = None
    native: Mapping[type, str] = field(default_factory=dict)

    def read(self, sections: Mapping[str, Any], reply: str, *, decoded: bool) -> dict[str, Any]:
        """Return the typed outputs of a reply.

        `sections` maps names to text or JSON values; with `decoded` a text is a JSON string. Raises AdapterParseError that
        names every field which is missing or breaks its type or rules.
        """
        return read_fields(self.outputs, sections, reply, decoded=decoded)


def read_fields(
    outputs: Sequence[FieldPlan], sections: Mapping[str, Any], reply: str, *, decoded: bool
) -> dict[str, Any]:
    """Return the typed values of a reply's fields; see `Plan.read`."""
    values: dict[str, Any] = {}
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
            else:  # text that was a JSON string keeps its own white space; a section of a reply is stripped
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
        plan = _plans[signature] = _made(signature)
    return plan


def _made(signature: type[Signature]) -> Plan:
    def planned(name: str, info: FieldInfo, output: bool) -> FieldPlan:
        annotation = signature.annotation(name)
        return FieldPlan(
            name=name,
            annotation=annotation,
            hint=type_hint(annotation),
            description=signature.description(name),
            rules=rules_in_words(info.metadata),
            note=output_note(annotation) if output else "",
            reader=reader_for(annotation, tuple(info.metadata)) if output else reader_for(str),
            nullable=without_none(annotation)[1],
            info=info,
            rich=holds_types(annotation),
        )

    histories = [name for name in signature.input_fields if _is_history(signature.annotation(name))]
    if len(histories) > 1:
        raise SignatureError(f"{signature.__name__!r} has two inputs of the type History. Keep one.")
    return Plan(
        name=signature.__name__,
        instructions=signature.instructions,
        inputs=tuple(
            planned(name, info, False)
            for name, info in signature.input_fields.items()
            if name not in histories
        ),
        outputs=tuple(planned(name, info, True) for name, info in signature.output_fields.items()),
        history=histories[0] if histories else None,
        native=_native(signature),
    )


def _is_history(annotation: Any) -> bool:
    return _is_a(annotation, History)


def _is_a(annotation: Any, kind: type) -> bool:
    plain, _ = without_none(annotation)
    return isinstance(plain, type) and issubclass(plain, kind)


def _native(signature: type[Signature]) -> dict[type, str]:
    found: dict[type, str] = {}
    for name in signature.output_fields:
        for kind in (ToolCalls, Reasoning, Citations):
            if _is_a(signature.annotation(name), kind):
                found.setdefault(kind, name)
    for name in signature.input_fields:
        plain, _ = without_none(signature.annotation(name))
        if any(_is_a(part, ToolForm) for part in (plain, *get_args(plain))):
            found.setdefault(ToolForm, name)
    # Tools alone are text like any other: without a place for the calls nothing is native about them.
    return found if found.keys() != {ToolForm} else {}


def values_of(demo: Mapping[str, Any] | Demo) -> Mapping[str, Any]:
    """Return a demonstration's values, whichever of its forms it comes in."""
    return demo.values if isinstance(demo, Demo) else demo
