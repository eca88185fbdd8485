"""What a streamed program yields, and what the caller asks it to yield."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigurationError
from engine.modules.react import FINISH, FINISHED

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.modules.predict import Predict


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """A piece of one output field. The last one of a field says so, and may be empty.

    >>> piece = StreamResponse("self", "answer", "Because", False)
    >>> piece.signature_field_name, piece.chunk
    ('answer', 'Because')
    """

    predict_name: str
    signature_field_name: str
    chunk: str
    is_last_chunk: bool = False


@dataclass(frozen=True, slots=True)
class StatusMessage:
    """What the program is doing, in words.

    >>> StatusMessage("Calling the tool search ...").message
    'Calling the tool search ...'
    """

    message: str


class StatusMessageProvider:
    """Says what is told while a program runs; a method that returns None or "" tells nothing.

    By default tools and new tries are told. Override the methods for more.

    >>> StatusMessageProvider().tool_end_status_message("42")
    'The tool is done.'
    """

    def tool_start_status_message(self, instance: Any, inputs: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - for subclasses
        """A tool is called; `finish`, by which an agent says that it knows enough, is not told."""
        return None if instance.name == FINISH else f"Calling the tool {instance.name} ..."

    def tool_end_status_message(self, outputs: Any) -> str | None:
        """A tool has returned."""
        return None if outputs is FINISHED else "The tool is done."

    def module_start_status_message(self, instance: Any, inputs: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - for subclasses
        """A module is called."""
        return None

    def module_end_status_message(self, outputs: Any) -> str | None:  # noqa: ARG002 - for subclasses
        """A module has answered."""
        return None

    def lm_start_status_message(self, instance: Any, inputs: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - for subclasses
        """A model is asked."""
        return None

    def retry_status_message(self, reason: str) -> str | None:
        """An answer broke a condition (`Assert`, `Suggest`): its step is asked again, and its pieces come anew."""
        return f"Trying again, because: {reason}"

    def lm_end_status_message(self, outputs: Any) -> str | None:  # noqa: ARG002 - for subclasses
        """A model has answered."""
        return None


@dataclass(slots=True)
class StreamListener:
    """Asks for one output field as it is written.

    Where several steps have a field of that name, `predict` or `predict_name` (the step's path) says which. A step's
    first call is listened to; with `allow_reuse` every call.

    >>> from engine import ChainOfThought
    >>> StreamListener("reasoning").step_of(ChainOfThought("question -> answer"))[0]
    'predict'
    """

    signature_field_name: str
    predict: Predict | None = None
    predict_name: str | None = None
    allow_reuse: bool = False

    def step_of(self, program: Module) -> tuple[str, Predict]:
        """Return the step that is listened to, with its path. Raises ConfigurationError where it is not one step."""
        name = self.signature_field_name
        steps = [
            (path, step) for path, step in program.named_predictors() if name in step.signature.output_fields
        ]
        if self.predict is not None:
            steps = [(self.predict_name or path, step) for path, step in steps if step is self.predict]
        elif self.predict_name is not None:
            steps = [(path, step) for path, step in steps if path == self.predict_name]
        if len(steps) == 1:
            return steps[0]
        if steps:
            found = ", ".join(path for path, _ in steps)
            raise ConfigurationError(
                f"Several steps write {name!r} ({found}). Say which: StreamListener({name!r}, predict_name=...)."
            )
        raise ConfigurationError(f"No step of the program writes {name!r}, so it cannot be streamed.")
