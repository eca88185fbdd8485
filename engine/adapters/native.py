"""What some models give in a form of their own beside the text: tool calls, thoughts, citations.

Where the model has it, the field is taken out of the prompt and filled from the reply; else it is text like every
other. It knows fields and replies, no layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, get_args
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from engine.adapters.content import fitted
from engine.adapters.notes import without_none
from engine.adapters.plan import Plan, plan_of
from engine.errors import AdapterParseError
from engine.types.textual import Citations, Document, Reasoning, citable
from engine.types.tool import ToolCalls, ToolForm, tools_of

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Choice
    from engine.signature import Signature

EFFORT = "low"
"""How much a model thinks whose thoughts are asked for, unless a parameter says otherwise."""


@dataclass(frozen=True, slots=True)
class Native:
    """One call's split: `asked` is what stays text, `carried` (type -> output) what the model gives natively.

    `params` go with the request; `inputs` are the signature's, documents as parts that can be cited.
    """

    asked: type[Signature]
    carried: Mapping[type, str]
    params: Mapping[str, Any]
    inputs: Mapping[str, Any]

    def filled(
        self, signature: type[Signature], choice: Choice, read: Callable[[str], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return all outputs of a completion; `read` reads its text. Raises AdapterParseError.

        A model that calls tools may write nothing else: the outputs it leaves out are then their default, or None.
        """
        found = {name: _native_value(kind, name, choice) for kind, name in self.carried.items()}
        rest: Mapping[str, Any] = {}
        if self.asked.output_fields:
            try:
                rest = read(choice.text or "")
            except AdapterParseError as error:
                if ToolCalls not in self.carried or not choice.tool_calls:
                    raise
                rest = error.found
        return {name: found.get(name, rest.get(name)) for name in signature.output_fields}


class Taking(Protocol):
    """What a layout says it takes natively; `parallel_tool_calls` None: as the model does."""

    use_native_function_calling: bool
    parallel_tool_calls: bool | None
    native_response_types: tuple[type, ...]


def native_of(
    layout: Taking,
    signature: type[Signature],
    lm: BaseLM,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
) -> Native | None:
    """Return what of a call this model gives natively; None where it is all text."""
    plan = plan_of(signature)
    carried: dict[type, str] = {}
    added: dict[str, Any] = {}
    given: dict[str, Any] = dict(inputs)
    left_out: list[str] = []
    if layout.use_native_function_calling and lm.supports_function_calling:
        tools = _tools(plan, signature, inputs)
        if tools:
            carried[ToolCalls] = plan.native[ToolCalls]
            left_out.append(plan.native[ToolForm])
            added["tools"] = [tool.format_as_litellm_function_call() for tool in tools]
            if layout.parallel_tool_calls is not None:
                added |= {"parallel_tool_calls": layout.parallel_tool_calls, "tool_choice": "auto"}
    if _wanted(layout, plan, Reasoning) and lm.supports_reasoning:
        effort = params.get("reasoning_effort", lm.params.get("reasoning_effort", EFFORT))
        if effort not in _NO_EFFORT:
            carried[Reasoning] = plan.native[Reasoning]
            added["reasoning_effort"] = effort
    if _wanted(layout, plan, Citations) and lm.supports_citations:
        documents = [name for name in signature.input_fields if _holds_documents(signature.annotation(name))]
        if any(name in inputs for name in documents):
            carried[Citations] = plan.native[Citations]
            given |= {
                n: citable(fitted(inputs[n], signature.annotation(n), n)) for n in documents if n in inputs
            }
    if not carried:
        return None
    return Native(_without(signature, (*carried.values(), *left_out)), carried, added, given)


def with_thoughts(
    signature: type[Signature], choice: Choice, read: Callable[[type[Signature], str], dict[str, Any]]
) -> dict[str, Any] | None:
    """Return a completion's outputs whose thoughts came beside the text though they were asked for in it; else None."""
    name = plan_of(signature).native.get(Reasoning)
    if name is None or not choice.reasoning:
        return None
    asked = _without(signature, (name,))
    try:
        rest = read(asked, choice.text or "") if asked.output_fields else {}
    except AdapterParseError:
        return None
    return {field: rest.get(field, Reasoning(choice.reasoning)) for field in signature.output_fields}


def _native_value(kind: type, name: str, choice: Choice) -> Any:
    if kind is Reasoning:
        return Reasoning(choice.reasoning or "")
    given = choice.tool_calls if kind is ToolCalls else choice.citations
    made: type[ToolCalls | Citations] = ToolCalls if kind is ToolCalls else Citations
    try:
        return made.from_dict_list(given)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise AdapterParseError(f"Output field {name!r}: {said}.", reply=repr(list(given))) from None


def _tools(plan: Plan, signature: type[Signature], inputs: Mapping[str, Any]) -> list[ToolForm]:
    if ToolCalls not in plan.native or ToolForm not in plan.native:
        return []
    name = plan.native[ToolForm]
    value = inputs.get(name)
    return [] if value is None else tools_of(fitted(value, signature.annotation(name), name))


def _wanted(layout: Taking, plan: Plan, kind: type) -> bool:
    return kind in plan.native and kind in layout.native_response_types


def _holds_documents(annotation: Any) -> bool:
    plain, _ = without_none(annotation)
    return any(isinstance(part, type) and issubclass(part, Document) for part in (plain, *get_args(plain)))


def _without(signature: type[Signature], names: tuple[str, ...]) -> type[Signature]:
    known = _reduced.setdefault(signature, {})
    made = known.get(names)
    if made is None:
        made = signature
        for name in names:
            made = made.delete(name)
        known[names] = made
    return made


_NO_EFFORT = (None, "none", "disable")
_reduced: WeakKeyDictionary[type[Signature], dict[tuple[str, ...], type[Signature]]] = WeakKeyDictionary()
