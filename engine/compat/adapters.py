"""Adapters written for DSPy: a subclass that overrides `__call__` or `acall`, or one of the pieces of another one's prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from engine import loop
from engine.adapters.base import Adapter
from engine.adapters.plan import Demos, Rendered, Turn, field_lists, plan_of, task_block
from engine.basics.data import JsonObject, Values

if TYPE_CHECKING:
    from engine.adapters.base import Call
    from engine.lm.base import BaseLM
    from engine.signature import Signature

_render, _rendered_for, _format, _ask = Adapter.render, Adapter.rendered_for, Adapter.format, Adapter.ask


def install() -> None:
    """Give every adapter DSPy's methods, and have a subclass's own ones write the prompt and ask."""
    for name, member in vars(DSPyAdapter).items():
        if name == "__call__" or not name.startswith("__"):
            setattr(Adapter, name, member)


class DSPyAdapter(Adapter):
    """The methods that every adapter has besides; `format_*` and `user_message_*` are pieces of a prompt to override."""

    # Asking

    def __call__(self, *args: Any, **kwargs: Any) -> list[JsonObject]:
        """Ask a model by hand and wait: the typed outputs of each completion. Raises AdapterParseError."""
        return loop.run(DSPyAdapter.acall(self, *args, **kwargs))

    async def acall(
        self,
        lm: BaseLM,
        lm_kwargs: Mapping[str, object],
        signature: type[Signature],
        demos: Demos,
        inputs: Values,
    ) -> list[JsonObject]:
        """Do what a plain call does, from async code."""
        params = dict(lm_kwargs)
        rollout: Any = params.pop("rollout_id", None)
        return await _ask(self, type(lm).send, lm, params, signature, demos, inputs, rollout)

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
        """Ask by a class's own `acall`, or `__call__` in a worker thread; the model called there passes the gate by itself."""
        way, _ = _overrides(type(self))
        if not way:
            return await _ask(self, call, lm, params, signature, demos, inputs, rollout_id)
        given = dict(params) if rollout_id is None else {**params, "rollout_id": rollout_id}
        adapter: Any = self
        if way == "acall":
            values: list[JsonObject] = await adapter.acall(lm, given, signature, demos, inputs)
            return values
        return await loop.in_thread(adapter.__call__, lm, given, signature, demos, inputs)

    # The prompt

    def rendered_for(self, signature: type[Signature]) -> Rendered:
        """Return the texts of a prompt for a signature; a class's own pieces may change from call to call."""
        if not _overrides(type(self))[1]:
            return _rendered_for(self, signature)
        rendered = _render(self, signature)
        if rendered.plan.outputs:
            rendered.reminder = self.user_message_output_requirements(signature)
        rendered.write = lambda _plan, values: self.format_assistant_message_content(signature, values)
        return rendered

    def format(self, signature: type[Signature], demos: Demos, inputs: Values) -> list[Turn]:
        """Return the messages, made of the pieces where a class overrides any of them."""
        if not _overrides(type(self))[1]:
            return _format(self, signature, demos, inputs)
        messages: list[Turn] = [{"role": "system", "content": self.format_system_message(signature)}]
        if demos:
            messages += self.format_demos(signature, demos)
        if (earlier := plan_of(signature).earlier) is not None:
            messages += self.format_conversation_history(signature, earlier.name, dict(inputs))
        content = self.format_user_message_content(signature, inputs, main_request=True)
        return [*messages, {"role": "user", "content": content}]

    def format_system_message(self, signature: type[Signature]) -> str:
        """Return the system message: fields, layout and task."""
        pieces = (self.format_field_description(signature), self.format_field_structure(signature))
        return "\n\n".join(piece for piece in (*pieces, self.format_task_description(signature)) if piece)

    def format_field_description(self, signature: type[Signature]) -> str:
        """Return the lists of input and output fields."""
        return field_lists(plan_of(signature))

    def format_field_structure(self, signature: type[Signature]) -> str:
        """Return the layout of a turn; "" where no output is asked for as text."""
        plan = plan_of(signature)
        return self.structure(plan) if plan.outputs else ""

    def format_task_description(self, signature: type[Signature]) -> str:
        """Return the instructions as the block that closes the system message."""
        return task_block(signature)

    def format_user_message_content(
        self,
        signature: type[Signature],
        inputs: Values,
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,
    ) -> Any:
        """Return the user's turn with these inputs, closed by the reminder if it is the one to answer.

        It is a text, or a list of parts where a picture, a file or the like is among the inputs.
        """
        rendered = self.rendered_for(signature)
        content = rendered.user(inputs)["content"] if main_request else rendered.given(inputs)
        if isinstance(content, str):
            return "\n\n".join(piece for piece in (prefix, content, suffix) if piece)
        before, after = ([{"type": "text", "text": text}] if text else [] for text in (prefix, suffix))
        return [*before, *content, *after]

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Values, missing_field_message: str | None = None
    ) -> str:
        """Return an assistant's turn that gives these outputs; absent ones as `missing_field_message`, if that is given."""
        plan = plan_of(signature)
        absent = (
            {} if missing_field_message is None else {f.name: missing_field_message for f in plan.outputs}
        )
        return self.write(plan, {**absent, **outputs})

    def format_demos(self, signature: type[Signature], demos: Demos) -> list[Turn]:
        """Return demonstrations as turns, incomplete ones first."""
        return [dict(turn) for turn in self.rendered_for(signature).demo_turns(demos)] if demos else []

    def format_conversation_history(
        self, signature: type[Signature], history_field_name: str, inputs: JsonObject
    ) -> list[Turn]:
        """Return the earlier turns of a conversation, which an input of the type History holds."""
        return self.rendered_for(signature).earlier_turns(inputs.get(history_field_name))

    def user_message_output_requirements(self, signature: type[Signature]) -> str:
        """Return the sentence that closes the last user message; see `Adapter.reminder`."""
        return self.reminder(plan_of(signature))


PIECES = {name for name in vars(DSPyAdapter) if name.startswith(("format_", "user_message_"))}


def _overrides(cls: type[Adapter]) -> tuple[str, bool]:
    """Return the nearest way of asking that a class overrides ("" for none), and whether it overrides a piece of the prompt."""
    overrides = _by_class.get(cls)
    if overrides is None:
        names = [vars(base) for base in cls.__mro__[: cls.__mro__.index(Adapter)]]
        ways = (way for base in names for way in ("acall", "__call__") if way in base)
        overrides = _by_class[cls] = next(ways, ""), any(PIECES & base.keys() for base in names)
    return overrides


_by_class: WeakKeyDictionary[type[Adapter], tuple[str, bool]] = WeakKeyDictionary()
