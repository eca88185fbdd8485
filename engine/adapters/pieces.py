"""The pieces of a prompt under the names that adapters written for DSPy override.

A subclass that overrides one of them has its prompts put together from the pieces at every call; all others are kept
once a signature. It knows no layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from engine import loop
from engine.adapters.plan import Plan, plan_of
from engine.adapters.rendered import Demonstration, Rendered, indented, listed
from engine.errors import ConfigurationError

if TYPE_CHECKING:
    from engine.lm.base import BaseLM
    from engine.signature import Signature


class Pieces:
    """What an adapter's prompt is made of; `Adapter` is made of it."""

    _pieced: ClassVar[bool] = False
    """Whether a subclass has pieces of its own."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = not cls.__module__.startswith("engine.") and any(name in vars(cls) for name in PIECES)
        cls._pieced = cls._pieced or own

    # The system message

    def format_system_message(self, signature: type[Signature]) -> str:
        """Return the system message: fields, layout and task."""
        pieces = (self.format_field_description(signature), self.format_field_structure(signature))
        return "\n\n".join(piece for piece in (*pieces, self.format_task_description(signature)) if piece)

    def format_field_description(self, signature: type[Signature]) -> str:
        """Return the lists of input and output fields."""
        plan = plan_of(signature)
        outputs = [f"{OUTPUTS_LEAD}\n{listed(plan.outputs)}"] if plan.outputs else []
        return "\n\n".join([f"{INPUTS_LEAD}\n{listed(plan.inputs)}", *outputs])

    def format_field_structure(self, signature: type[Signature]) -> str:
        """Return the layout of a turn; "" where no output is asked for as text."""
        plan = plan_of(signature)
        return self.structure(plan) if plan.outputs else ""

    def format_task_description(self, signature: type[Signature]) -> str:
        """Return the instructions as the block that closes the system message."""
        return f"{OBJECTIVE_LEAD}\n{indented(plan_of(signature).instructions)}"

    # Turns

    def format_user_message_content(
        self,
        signature: type[Signature],
        inputs: Mapping[str, Any],
        prefix: str = "",
        suffix: str = "",
        main_request: bool = False,
    ) -> Any:
        """Return the user's turn with these inputs, closed by the reminder if it is the one to answer.

        It is a text, or a list of parts where a picture, a file or the like is among the inputs.
        """
        rendered = self._of(signature)
        content = rendered.user(inputs)["content"] if main_request else rendered.given(inputs)
        if isinstance(content, str):
            return "\n\n".join(piece for piece in (prefix, content, suffix) if piece)
        around = [[{"type": "text", "text": text}] if text else [] for text in (prefix, suffix)]
        return [*around[0], *content, *around[1]]

    def format_assistant_message_content(
        self, signature: type[Signature], outputs: Mapping[str, Any], missing_field_message: str | None = None
    ) -> str:
        """Return an assistant's turn that gives these outputs; absent ones as `missing_field_message`, where that is given."""
        plan = plan_of(signature)
        filled = dict.fromkeys((f.name for f in plan.outputs), missing_field_message)
        return self.write(plan, outputs if missing_field_message is None else {**filled, **outputs})

    def format_demos(
        self, signature: type[Signature], demos: Sequence[Demonstration]
    ) -> list[dict[str, Any]]:
        """Return demonstrations as turns, incomplete ones first."""
        return [dict(turn) for turn in self._of(signature).demo_turns(demos)] if demos else []

    # Calls

    def __call__(
        self,
        lm: BaseLM,
        lm_kwargs: Mapping[str, Any],
        signature: type[Signature],
        demos: Sequence[Demonstration],
        inputs: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """Ask a model by hand and wait: the typed outputs of each completion. Raises AdapterParseError."""
        asking = self.acall(type(lm).send, lm, lm_kwargs, signature, demos, inputs)
        values: list[dict[str, Any]] = loop.run(asking)
        return values

    # What `Adapter` and its layouts say

    acall: Any
    _of: Any

    def structure(self, plan: Plan) -> str:  # noqa: ARG002 - for subclasses
        """Return the part of the system message that shows the layout of a turn."""
        raise ConfigurationError(self._lacks("structure(plan)"))

    def write(self, plan: Plan, values: Mapping[str, Any]) -> str:  # noqa: ARG002 - for subclasses
        """Return an assistant's turn that gives these outputs; absent ones as NOT_SUPPLIED."""
        raise ConfigurationError(self._lacks("write(plan, values)"))

    def reminder(self, plan: Plan) -> str:  # noqa: ARG002 - for subclasses
        """Return the sentence that closes the last user message: which outputs, in which layout."""
        raise ConfigurationError(self._lacks("reminder(plan)"))

    def _lacks(self, method: str) -> str:
        return (
            f"{type(self).__name__} lays out no prompt: define {method}, or format(signature, demos, inputs) whole, "
            "or make it a subclass of ChatAdapter."
        )

    def _rendered_anew(self, signature: type[Signature], rendered: Rendered) -> Rendered:
        """Return an adapter's texts for a signature with the subclass's own pieces."""
        rendered.system = self.format_system_message(signature)
        rendered.write = lambda _plan, values: self.format_assistant_message_content(signature, values)
        return rendered


PIECES = (
    "format_system_message",
    "format_field_description",
    "format_field_structure",
    "format_task_description",
    "format_user_message_content",
    "format_assistant_message_content",
    "format_demos",
)
"""What a subclass may override."""

# Prompts. The offline model finds the parts of a prompt by these leads, so they are named.

INPUTS_LEAD = "You are given these input fields:"
OUTPUTS_LEAD = "You write these output fields:"
OBJECTIVE_LEAD = "Your task is the following:"
