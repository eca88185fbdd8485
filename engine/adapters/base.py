"""The interface of adapters: a signature, demonstrations and inputs become messages; a reply becomes typed fields.

An adapter knows layouts and typed reading. It sends nothing itself: `ask` is handed the function that sends, so
every call it makes, repairs included, passes the same gate and is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from engine import callbacks as hooks
from engine.adapters.plan import (
    Demos,
    FieldPlan,
    Native,
    Plan,
    Rendered,
    Turn,
    field_lists,
    native_of,
    plan_of,
    read_fields,
    task_block,
    thoughts_of,
)
from engine.adapters.repair import (
    ASKED,
    ASKED_TOO,
    CUT_OFF,
    REASONS,
    feedback_turns,
    with_beginning,
    with_sentence,
)
from engine.adapters.values import format_value, revived
from engine.basics.data import JsonObject, Values
from engine.errors import AdapterParseError, ConfigurationError, InvalidRequestError
from engine.signature.types.textual import Citations, Reasoning

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Choice, Reply, Request
    from engine.signature import Signature

    Call = Callable[[BaseLM, Request], Awaitable[Reply]]
    ExpectedCall = tuple[list[Turn], str, BaseLM | None]
    """A request, its reply, and the model that is asked (None: the step's)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question on its way: who is asked what, through which gate; `native` is what stays out of the text."""

    call: Call
    lm: BaseLM
    signature: type[Signature]
    native: Native | None = None
    rollout_id: int | None = None

    @property
    def asked(self) -> type[Signature]:
        """The signature of the outputs that are asked for as text."""
        return self.signature if self.native is None else self.native.asked


def _nothing_found(_outputs: Sequence[FieldPlan], _text: str, /) -> tuple[dict[str, object], bool]:
    raise ConfigurationError("This adapter reads no reply: define parse(signature, text).")


class Adapter:
    """The interface of an adapter. A subclass says how outputs are laid out and read.

    It defines `marks`, `structure`, `reminder` and `find`; or `format` and `parse`. What a subclass written for
    DSPy may override besides is in `engine.compat.adapters`.

    `retries` is how often a reply that cannot be read is sent back with the error before the fallback. With
    `use_native_function_calling` an input of tools and an output `ToolCalls` go by the model's native tool calls, where
    it has them; `parallel_tool_calls` says whether it may make several at once. `native_response_types` are the outputs
    filled from what a model sends next to its text. Where a model has none of this, these are text.
    """

    reported_as: ClassVar[str] = "adapter"
    name: ClassVar[str] = ""
    calls_an_answer: ClassVar[int] = 1
    marks: ClassVar[tuple[str, str]] = ("[[ ## {name} ## ]]\n", "\n\n")
    """Texts before and after a field's value."""

    end: ClassVar[str] = ""
    """Text that closes an assistant's turn."""

    find = staticmethod(_nothing_found)
    """Returns the values by output in a reply, and whether they are JSON values."""

    _rendered: ClassVar[WeakKeyDictionary[type[Signature], Rendered]]

    def __init__(
        self,
        callbacks: Sequence[object] | None = None,
        use_native_function_calling: bool = False,
        native_response_types: Collection[type] | None = None,
        *,
        retries: int = 1,
        parallel_tool_calls: bool | None = None,
    ) -> None:
        self.callbacks = callbacks or ()
        self.retries = retries
        self.use_native_function_calling = use_native_function_calling
        native = (Citations, Reasoning) if native_response_types is None else native_response_types
        self.native_response_types = tuple(native)
        self.parallel_tool_calls = parallel_tool_calls

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls._rendered = WeakKeyDictionary()

    # What a subclass says

    def parse(self, signature: type[Signature], completion: str) -> dict[str, object]:
        """Return the typed outputs of a reply. Raises AdapterParseError naming the field and the rule."""
        plan = plan_of(signature)
        try:
            values, decoded = self.find(plan.outputs, completion)
            return read_fields(plan.outputs, values, completion, decoded=decoded)
        except AdapterParseError as error:
            error.adapter_name, error.signature = type(self).__name__, signature
            raise

    def params(self, signature: type[Signature], lm: BaseLM) -> JsonObject:  # noqa: ARG002 - for subclasses
        """Return what this adapter adds to a request, such as response_format."""
        return {}

    def gives_way(self, lm: BaseLM, params: dict[str, object], refusal: InvalidRequestError) -> bool:  # noqa: ARG002 - for subclasses
        """Take out of a request's parameters, in place, what this adapter added and the endpoint refuses; whether it did."""
        return False

    def fallback(self) -> Adapter | None:
        """Return the adapter to try when replies stay unreadable, if any."""
        return None

    def worth_repeating(self, error: AdapterParseError) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether the model that wrote the reply could correct it."""
        return True

    def options(self) -> JsonObject:
        """Return the settings that differ from their defaults, as JSON values: what a saved step keeps of its adapter."""
        fresh = type(self)()
        return {
            name: value
            for name in SAVED
            if (value := getattr(self, name, None)) != getattr(fresh, name, None)
        }

    def structure(self, plan: Plan) -> str:  # noqa: ARG002 - for subclasses
        """Return the part of the system message that shows the layout of a turn."""
        raise ConfigurationError(self._lacks("structure(plan)"))

    def placeholder(self, one: FieldPlan) -> str:
        """Return an output's placeholder in the layout: its name in braces, and what it must be."""
        return f"{{{one.name}}}{f'        # {one.note}' if one.note else ''}"

    def value_text(self, one: FieldPlan, value: object) -> str:
        """Return an output's value as text."""
        return format_value(revived(value, one.annotation) if one.rich else one.keyed(value), one.annotation)

    def write(self, plan: Plan, values: Values) -> str:
        """Return an assistant's turn that gives these outputs; absent ones as NOT_SUPPLIED."""
        texts = [
            (f.name, self.value_text(f, values[f.name]) if f.present(values) else NOT_SUPPLIED)
            for f in plan.outputs
        ]
        return self.marked(texts)

    def marked(self, texts: Iterable[tuple[str, str]]) -> str:
        """Return texts by field, each between its marks, and the end of the turn."""
        parts = []
        for name, text in texts:
            before, after = _marks_of(self.marks, name)
            parts.append(f"{before}{text}{after}")
        return "".join([*parts, self.end]) if self.end else "".join(parts).removesuffix("\n\n")

    def reminder(self, plan: Plan) -> str:  # noqa: ARG002 - for subclasses
        """Return the sentence that closes the last user message: which outputs, in which layout."""
        raise ConfigurationError(self._lacks("reminder(plan)"))

    def _lacks(self, method: str) -> str:
        return (
            f"{type(self).__name__} lays out no prompt: define {method}, or format(signature, demos, inputs) whole, "
            "or make it a subclass of ChatAdapter."
        )

    # Prompts

    def system_text(self, signature: type[Signature]) -> str:
        """Return the system message: fields, the layout of a turn ("" where no output is asked for as text), and the task."""
        plan = plan_of(signature)
        layout = self.structure(plan) if plan.outputs else ""
        return "\n\n".join(piece for piece in (field_lists(plan), layout, task_block(signature)) if piece)

    def format(self, signature: type[Signature], demos: Demos, inputs: Values) -> list[Turn]:
        """Return the messages: the system's, demonstrations as turns (incomplete ones first), then the inputs.

        Inputs that the signature does not know are left out; absent ones take their default, else are left out too.
        """
        rendered = self.rendered_for(signature)
        messages: list[Turn] = [{"role": "system", "content": rendered.system}]
        if demos:
            messages += [dict(turn) for turn in rendered.demo_turns(demos)]
        if (earlier := rendered.plan.earlier) is not None:
            messages += rendered.earlier_turns(inputs.get(earlier.name))
        messages.append(rendered.user(inputs))
        return messages

    def answer(self, signature: type[Signature], values: Values) -> str:
        """Return the assistant's turn that gives these outputs, as a perfect model would write it."""
        return self.write(plan_of(signature), values)

    def calls(
        self, signature: type[Signature], demos: Demos, inputs: Values, values: Values
    ) -> list[ExpectedCall]:
        """Return every call that a model which answers these values takes."""
        return [(self.format(signature, demos, inputs), self.answer(signature, values), None)]

    def rendered_for(self, signature: type[Signature]) -> Rendered:
        """Return the texts of a prompt for a signature, written once."""
        rendered = self._rendered.get(signature)
        if rendered is None or rendered.task is not signature._instructions:
            rendered = self._rendered[signature] = self.render(signature)
        return rendered

    def render(self, signature: type[Signature]) -> Rendered:
        """Write the texts of a prompt for a signature."""
        plan = plan_of(signature)
        slots = tuple((f, *_marks_of(self.marks, f.name)) for f in plan.inputs)
        # A signature whose outputs all come natively asks for no text.
        reminder = self.reminder(plan) if plan.outputs else ""
        earlier = ((plan.earlier, *_marks_of(self.marks, plan.earlier.name)),) if plan.earlier else ()
        task = signature._instructions
        return Rendered(plan, slots, self.system_text(signature), reminder, self.write, earlier, task)

    # Calls

    async def ask(
        self,
        call: Call,
        lm: BaseLM,
        params: Mapping[str, object],
        signature: type[Signature],
        demos: Demos,
        inputs: Values,
        rollout_id: int | None = None,
    ) -> list[JsonObject]:
        """Return the typed outputs of each completion: one, or as many as params["n"] asks for and can be read.

        A reply none of which can be read is sent back once with the error, then asked for through the fallback
        adapter; each of these is one more call. Raises AdapterParseError when all fail.
        """
        native = native_of(self, signature, lm, params, inputs) if plan_of(signature).native else None
        exchange = Exchange(call, lm, signature, native, rollout_id)
        shown = inputs if native is None else native.inputs
        names = ("signature", "demos", "inputs")
        messages = hooks.reported("adapter_format", self, names, self.format, exchange.asked, demos, shown)
        merged = {**self.params(exchange.asked, lm), **({} if native is None else native.params), **params}
        try:
            reply = await call(lm, lm.request(messages, rollout_id=rollout_id, **merged))
        except InvalidRequestError as refusal:
            if not self.gives_way(lm, merged, refusal):
                raise
            reply = await call(lm, lm.request(messages, rollout_id=rollout_id, **merged))
        values, error = await self._read(exchange, reply)
        if error is None:
            return values
        merged.pop("n", None)
        asked = 1
        while asked <= self.retries and self.worth_repeating(error):
            asked += 1
            repair = [*messages, *feedback_turns(reply.text, str(error))]
            reply = await call(lm, lm.request(repair, rollout_id=rollout_id, **merged))
            values, again = await self._read(exchange, reply)
            if again is None:
                return values
            error = again
        other = self.fallback()
        if other is None:
            raise with_sentence(with_beginning(error), ASKED.format(times=asked) if asked > 1 else "")
        plain = {k: v for k, v in params.items() if k != "n"}
        try:
            return await other.ask(call, lm, plain, signature, demos, inputs, rollout_id)
        except AdapterParseError as last:
            raise with_sentence(error, ASKED_TOO.format(times=asked + 1, problem=last)) from None

    async def values(self, exchange: Exchange, choice: Choice) -> JsonObject:
        """Return the typed outputs of one completion. Raises AdapterParseError."""
        native = exchange.native
        if native is not None:
            return native.filled(exchange.signature, choice, lambda text: self._parsed(native.asked, text))
        try:
            return self._parsed(exchange.signature, choice.text or "")
        except AdapterParseError:
            if (split := thoughts_of(exchange.signature, choice)) is not None:
                asked = split.asked
                with suppress(AdapterParseError):
                    return split.filled(exchange.signature, choice, lambda text: self.parse(asked, text))
            raise

    def _parsed(self, signature: type[Signature], text: str) -> dict[str, object]:
        names = ("signature", "completion")
        values: dict[str, object] = hooks.reported("adapter_parse", self, names, self.parse, signature, text)
        return values

    async def _read(
        self, exchange: Exchange, reply: Reply
    ) -> tuple[list[JsonObject], AdapterParseError | None]:
        """Return what can be read, and the first error if nothing can."""
        values: list[dict[str, object]] = []
        first: AdapterParseError | None = None
        for choice in reply.choices:
            try:
                values.append(await self.values(exchange, choice))
                if choice.logprobs is not None:
                    values[-1].setdefault("logprobs", choice.logprobs)
                if choice.finish_reason == "length":
                    _log.warning("%s: %s What could be read of it is used.", exchange.lm.model, CUT_OFF)
            except AdapterParseError as error:
                error.adapter_name = error.adapter_name or type(self).__name__
                error.signature = error.signature or exchange.signature
                first = first or with_sentence(error, REASONS.get(choice.finish_reason or "", ""))
        if values:
            return values, None
        return [], first or AdapterParseError("The reply has no completions.")


@lru_cache(maxsize=1024)
def _marks_of(marks: tuple[str, str], name: str) -> tuple[str, str]:
    """Return the texts before and after a field's value."""
    return marks[0].format(name=name), marks[1].format(name=name)


SAVED = ("use_json_adapter_fallback", "retries", "use_native_function_calling", "parallel_tool_calls")
"""Settings that a saved step keeps."""

NOT_SUPPLIED = "(not supplied in this example)"
"""Text of an absent output in a demonstration."""
