"""An agent's steps so far: a record for the caller, and text for the next prompt.

It knows steps of an agent, tools and their results, and nothing of how the next step is chosen.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from engine.errors import (
    AdapterParseError,
    ConstraintError,
    ContextWindowExceededError,
    SandboxError,
    ToolError,
)
from engine.modules.module import Module
from engine.modules.predict import Predict
from engine.prediction import Prediction
from engine.records import StepState
from engine.signature import Signature
from engine.tools.function import Tool, shown


class ToolStep(Predict):
    """Answer a signature knowing some tools.

    >>> def add(a: int, b: int) -> int:
    ...     "Add two numbers."
    ...     return a + b
    >>> step = ToolStep("question -> call", [Tool(add)])
    >>> step.prompted().instructions.splitlines()[-1]
    '- `add`: Add two numbers. Arguments: {"a":{"type":"integer"},"b":{"type":"integer"}}'
    """

    def __init__(self, signature: Any, tools: Iterable[Tool], **config: Any) -> None:
        super().__init__(signature, **config)
        self.tools: dict[str, Tool] = {tool.name: tool for tool in tools}
        self._shown: tuple[type[Signature], dict[str, Tool], type[Signature]] | None = None

    def prompted(self) -> type[Signature]:
        """Return the signature with the tools written after its instructions."""
        known = self._shown
        if known is None or known[0] is not self.signature or known[1] is not self.tools:
            lines = "\n".join(f"- {tool}" for tool in self.tools.values())
            shown = self.signature.append_instructions(f"{TOOLS_LEAD}\n{lines}")
            self._shown = known = self.signature, self.tools, shown
        return known[2]

    def tunable(self) -> StepState:
        """Return what an optimizer may change: a step's own, and the tools' descriptions."""
        return replace(
            super().tunable(), tool_descriptions={n: t.desc for n, t in self.tools.items() if t.desc}
        )

    def apply(self, changes: StepState) -> None:
        """Take over a candidate's wording, demonstrations and descriptions of tools."""
        super().apply(changes)
        self._describe(changes.tool_descriptions)

    def unplug(self) -> None:
        """Have the tools do nothing, for an estimate: arguments are invented there, and a tool may do things for real."""
        self.tools = {name: _unplugged(tool) for name, tool in self.tools.items()}

    def dump_state(self) -> dict[str, Any]:
        """Return a step's state, with the tools' descriptions."""
        return {**super().dump_state(), "tools": {name: tool.desc for name, tool in self.tools.items()}}

    def load_state(self, saved: dict[str, Any]) -> None:
        """Take over what `dump_state` returned; tools themselves are code and are not saved."""
        super().load_state(saved)
        self._describe(saved.get("tools") or {})

    def _describe(self, texts: Mapping[str, str]) -> None:
        changed = {
            name: text for name, text in texts.items() if name in self.tools and self.tools[name].desc != text
        }
        if changed:
            self.tools = {n: t.described(changed[n]) if n in changed else t for n, t in self.tools.items()}


def _unplugged(tool: Tool) -> Tool:
    made = copy.copy(tool)
    made.func, made._awaits = _nothing, False
    return made


def _nothing(*_args: object, **_kwargs: object) -> str:
    return ""


TOOLS_LEAD = "Tools:"


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

    async def ask(self, step: Module, inputs: Mapping[str, object], **more: object) -> Prediction:
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


async def observed(tool: Tool, args: Mapping[str, object], limit: int = OUTPUT_LIMIT) -> str:
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
