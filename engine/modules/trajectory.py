"""What an agent did so far, step by step: as a record for the caller and as text for the next prompt.

It knows steps of an agent, tools and their results, and nothing of how the next step is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import (
    AdapterParseError,
    ConstraintError,
    ContextWindowExceededError,
    SandboxError,
    ToolError,
)
from engine.modules.module import Module
from engine.prediction import Prediction
from engine.tools.function import Tool, shown

OUTPUT_LIMIT = 10_000
"""Characters of one observation that are shown to the model."""

Recoverable = (ToolError, SandboxError, AdapterParseError, ConstraintError)
"""What an agent may learn from; a spent budget or a model that is gone it may not."""

_SHORTENINGS = 3


class Trajectory:
    """Steps under the names `thought_0`, `observation_0` and so on.

    >>> log = Trajectory()
    >>> log.add(thought="Look it up.", observation="42")
    >>> log.steps["observation_0"], log.text()
    ('42', 'Step 1\\nThought: Look it up.\\nObservation: 42')
    """

    def __init__(self) -> None:
        self.steps: dict[str, Any] = {}
        self._texts: list[str] = []
        self._count = 0

    def add(self, **parts: Any) -> None:
        """Note one step; the parts' order is kept."""
        lines = [f"Step {self._count + 1}"]
        for name, value in parts.items():
            self.steps[f"{name}_{self._count}"] = value
            lines.append(f"{name.replace('_', ' ').capitalize()}: {shown(value, 2 * OUTPUT_LIMIT)}")
        self._texts.append("\n".join(lines))
        self._count += 1

    def text(self) -> str:
        """Return the steps for a prompt."""
        return "\n\n".join(self._texts) or NOTHING_YET

    def shorten(self) -> bool:
        """Leave the oldest step out of the text; False when there is only one left."""
        if len(self._texts) < 2:
            return False
        del self._texts[0]
        return True

    async def ask(self, step: Module, inputs: Mapping[str, Any], **more: Any) -> Prediction:
        """Call a step with the text; when the model's context is too small for it, with the oldest steps left out.

        Raises ContextWindowExceededError when that does not help.
        """
        for left in reversed(range(_SHORTENINGS + 1)):
            try:
                prediction: Prediction = await step.acall(**inputs, **more, trajectory=self.text())
                return prediction
            except ContextWindowExceededError:
                if not left or not self.shorten():
                    raise
        raise AssertionError("unreachable")


async def observed(tool: Tool, args: Mapping[str, Any], limit: int = OUTPUT_LIMIT) -> str:
    """Call a tool and return what the model should see of it: the result, or the error by its name."""
    try:
        return shown(await tool.acall(**args), limit)
    except Recoverable as error:
        return failed(error, limit)


def failed(error: BaseException, limit: int = OUTPUT_LIMIT) -> str:
    """Return an error as an observation.

    >>> failed(ToolError("The tool 'add' failed."))
    "ToolError: The tool 'add' failed."
    """
    return shown(f"{type(error).__name__}: {error}", limit)


NOTHING_YET = "(nothing yet)"
