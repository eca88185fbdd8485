"""What every adapter is: a signature, demonstrations and inputs become messages; a reply becomes typed fields.

An adapter knows layouts and typed reading. It sends nothing itself: `acall` is handed the function that sends, so
every call it makes, repairs included, passes the same gate and is counted.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from engine import callbacks as hooks
from engine.adapters.content import Content
from engine.adapters.plan import MISSING, FieldPlan, Plan, plan_of, values_of
from engine.adapters.values import format_value
from engine.errors import AdapterParseError
from engine.records import Demo, Example
from engine.types.base import Type
from engine.types.history import history_of

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Message, Reply, Request
    from engine.signature import Signature

    Call = Callable[[BaseLM, Request], Awaitable[Reply]]

Demonstration = Mapping[str, Any] | Demo
"""A solved example: field name -> value."""


@dataclass(slots=True)
class _Rendered:
    """An adapter's texts for one signature; demonstrations are kept with a copy of what they were made from."""

    plan: Plan
    system: str
    reminder: str
    demos: OrderedDict[tuple[int, ...], tuple[list[Any], list[dict[str, Any]]]] = field(
        default_factory=OrderedDict
    )


class Adapter(ABC):
    """The interface of an adapter. A subclass says how outputs are laid out and read.

    `retries` is how often a reply that cannot be read is sent back with the error before the fallback.
    """

    _rendered: ClassVar[WeakKeyDictionary[type[Signature], _Rendered]]

    def __init__(self, *, retries: int = 1) -> None:
        self.retries = retries

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._rendered = WeakKeyDictionary()

    # What a subclass says

    @abstractmethod
    def structure(self, plan: Plan) -> str:
        """Return the part of the system message that shows the layout of a turn."""

    @abstractmethod
    def reminder(self, plan: Plan) -> str:
        """Return the sentence that closes the last user message: which outputs, in which layout."""

    @abstractmethod
    def write(self, plan: Plan, values: Mapping[str, Any]) -> str:
        """Return an assistant's turn that gives these outputs; absent ones as NOT_SUPPLIED."""

    @abstractmethod
    def parse(self, signature: type[Signature], text: str) -> dict[str, Any]:
        """Return the typed outputs of a reply. Raises AdapterParseError naming the field and the rule."""

    def params(self, signature: type[Signature], lm: BaseLM) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Return what this adapter adds to a request, such as response_format."""
        return {}

    def fallback(self) -> Adapter | None:
        """Return the adapter to try when replies stay unreadable, if any."""
        return None

    # Prompts

    def format(
        self, signature: type[Signature], demos: Sequence[Demonstration], inputs: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the messages: the system's, demonstrations as turns (incomplete ones first), then the inputs.

        Inputs that the signature does not know are left out; absent ones take their default, else are left out too.
        """
        rendered = self._of(signature)
        messages: list[dict[str, Any]] = [{"role": "system", "content": rendered.system}]
        if demos:
            messages += [dict(turn) for turn in self._demo_turns(rendered, demos)]
        if rendered.plan.history is not None:
            messages += self._earlier_turns(rendered.plan, inputs.get(rendered.plan.history))
        content = Content()
        user = _sections(rendered.plan.inputs, inputs, content, defaults=True)
        messages.append({"role": "user", "content": content.of(f"{user}{rendered.reminder}")})
        return messages

    def format_demo(self, signature: type[Signature], demo: Demonstration) -> list[dict[str, Any]]:
        """Return one demonstration's two turns, or nothing if it lacks every input or every output."""
        return _turns(self, plan_of(signature), values_of(demo))[1]

    def answer(self, signature: type[Signature], values: Mapping[str, Any]) -> str:
        """Return the assistant's turn that gives these outputs, as a perfect model would write it."""
        return self.write(plan_of(signature), values)

    def system(self, signature: type[Signature]) -> str:
        """Return the system message of a signature."""
        return self._of(signature).system

    def _earlier_turns(self, plan: Plan, history: Any) -> list[dict[str, Any]]:
        """Return a conversation so far as turns; a turn without outputs is the user's alone."""
        turns: list[dict[str, Any]] = []
        for values in history_of(history):
            content = Content()
            user = _sections(plan.inputs, values, content, defaults=False).rstrip("\n")
            if user:
                turns.append({"role": "user", "content": content.of(user)})
            if _any_of(plan.outputs, values):
                turns.append({"role": "assistant", "content": self.write(plan, values)})
        return turns

    def _of(self, signature: type[Signature]) -> _Rendered:
        rendered = self._rendered.get(signature)
        if rendered is None:
            plan = plan_of(signature)
            parts = [
                f"{INPUTS_LEAD}\n{_listed(plan.inputs)}",
                f"{OUTPUTS_LEAD}\n{_listed(plan.outputs)}",
                self.structure(plan),
                f"{OBJECTIVE_LEAD}\n{_indented(plan.instructions)}",
            ]
            rendered = _Rendered(plan, "\n\n".join(parts), self.reminder(plan))
            self._rendered[signature] = rendered
        return rendered

    def _demo_turns(self, rendered: _Rendered, demos: Sequence[Demonstration]) -> list[dict[str, Any]]:
        key = tuple([id(demo) for demo in demos])
        kept = rendered.demos.get(key)
        # Identity finds the entry, equality decides: a demonstration that was written to is rendered again.
        if kept is not None and all(map(_unchanged, demos, kept[0])):
            return kept[1]
        incomplete: list[dict[str, Any]] = []
        complete: list[dict[str, Any]] = []
        for demo in demos:
            full, turns = _turns(self, rendered.plan, values_of(demo))
            (complete if full else incomplete).extend(turns)
        turns = incomplete + complete
        rendered.demos[key] = ([copy.deepcopy(_plain_values(demo)) for demo in demos], turns)
        while len(rendered.demos) > _KEPT_DEMO_SETS:
            rendered.demos.popitem(last=False)
        return turns

    # Calls

    async def acall(
        self,
        call: Call,
        lm: BaseLM,
        params: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Demonstration],
        inputs: Mapping[str, Any],
        rollout_id: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the typed outputs of each completion: one, or as many as params["n"] asks for and can be read.

        A reply none of which can be read is sent back once with the error, then asked for through the fallback
        adapter; each of these is one more call. Raises AdapterParseError when all fail.
        """
        names = ("signature", "demos", "inputs")
        messages = hooks.reported("adapter_format", self, names, self.format, signature, demos, inputs)
        merged = {**self.params(signature, lm), **params}
        reply = await call(lm, lm.request(messages, rollout_id=rollout_id, **merged))
        values, error = self._read(signature, reply)
        if error is None:
            return values
        merged.pop("n", None)
        for _ in range(self.retries):
            repair = [*messages, *_feedback(reply, error)]
            reply = await call(lm, lm.request(repair, rollout_id=rollout_id, **merged))
            values, again = self._read(signature, reply)
            if again is None:
                return values
            error = again
        other = self.fallback()
        if other is None:
            raise error
        plain = {k: v for k, v in params.items() if k != "n"}
        return await other.acall(call, lm, plain, signature, demos, inputs, rollout_id)

    def _read(
        self, signature: type[Signature], reply: Reply
    ) -> tuple[list[dict[str, Any]], AdapterParseError | None]:
        """Return what can be read, and the first error if nothing can."""
        values: list[dict[str, Any]] = []
        first: AdapterParseError | None = None
        for choice in reply.choices:
            try:
                text = choice.text or ""
                names = ("signature", "completion")
                values.append(hooks.reported("adapter_parse", self, names, self.parse, signature, text))
            except AdapterParseError as error:
                if choice.finish_reason == "length":
                    error = AdapterParseError(f"{error} {CUT_OFF}", reply=error.reply, found=error.found)
                first = first or error
        if values:
            return values, None
        return [], first or AdapterParseError("The reply has no completions.")


def _feedback(reply: Reply, error: AdapterParseError) -> list[Message]:
    return [
        {"role": "assistant", "content": reply.text},
        {"role": "user", "content": FEEDBACK.format(problem=str(error))},
    ]


def _turns(adapter: Adapter, plan: Plan, values: Mapping[str, Any]) -> tuple[bool, list[dict[str, Any]]]:
    """Return whether a demonstration is complete, and its user and assistant turns."""
    if not (_any_of(plan.inputs, values) and _any_of(plan.outputs, values)):
        return False, []
    complete = all(_present(f, values) for f in (*plan.inputs, *plan.outputs))
    content = Content()
    user = _sections(plan.inputs, values, content, defaults=False).rstrip("\n")
    if not complete:
        user = f"{INCOMPLETE_LEAD}\n\n{user}"
    return complete, [
        {"role": "user", "content": content.of(user)},
        {"role": "assistant", "content": adapter.write(plan, values)},
    ]


def _any_of(fields: Sequence[FieldPlan], values: Mapping[str, Any]) -> bool:
    return any(f.name in values for f in fields)


def _present(one: FieldPlan, values: Mapping[str, Any]) -> bool:
    value = values.get(one.name, MISSING)
    return value is not MISSING and (value is not None or one.nullable)


def _sections(
    fields: Sequence[FieldPlan], values: Mapping[str, Any], content: Content, *, defaults: bool
) -> str:
    """Return present fields as `[[ ## name ## ]]` sections, each followed by a blank line."""
    parts = []
    for one in fields:
        value = values.get(one.name, MISSING)
        if value is MISSING:
            value = one.default() if defaults and not one.info.is_required() else MISSING
            if value is MISSING:
                continue
        if one.rich or isinstance(value, Type):
            text = content.text(value, one.annotation, one.name)
        else:
            text = value if type(value) is str else format_value(value, one.annotation)
        parts.append(f"[[ ## {one.name} ## ]]\n{text}\n\n")
    return "".join(parts)


def _listed(fields: Sequence[FieldPlan]) -> str:
    return "\n".join(f"{i}. {_described(one)}" for i, one in enumerate(fields, start=1))


def _described(one: FieldPlan) -> str:
    description = f": {one.description}" if one.description else ""
    rules = f" [{RULES_LEAD} {one.rules}]" if one.rules else ""
    return f"`{one.name}` ({one.hint}){description}{rules}"


def typed(one: FieldPlan) -> str:
    """Return a field's type as a reminder gives it, "" for text."""
    return "" if one.annotation is str else f" ({one.hint})"


def _indented(text: str) -> str:
    return "\n".join(f"        {line}" for line in text.splitlines())


def _plain_values(demo: Demonstration) -> dict[str, Any]:
    return demo.toDict() if isinstance(demo, Example) else dict(values_of(demo))


def _unchanged(demo: Demonstration, before: dict[str, Any]) -> bool:
    values = demo.values if type(demo) is Demo else demo
    return (values if type(values) is dict else _plain_values(demo)) == before


_KEPT_DEMO_SETS = 64

# Prompts. The offline model finds the parts of a prompt by these leads, so they are named.

INPUTS_LEAD = "You are given these input fields:"
OUTPUTS_LEAD = "You write these output fields:"
OBJECTIVE_LEAD = "Your task is the following:"
RULES_LEAD = "must be"
NOT_SUPPLIED = "(not supplied in this example)"
INCOMPLETE_LEAD = "This example leaves out some of the fields."
FEEDBACK = """\
Your last answer could not be used. {problem}

Answer the same task again, with every output field, in exactly the layout you were given and nothing else."""
CUT_OFF = "The reply was cut off at the token limit: raise max_tokens."
