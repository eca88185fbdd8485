"""`ToolStep`: a `Predict` that shows the model tools; their descriptions are part of what is tuned.

The list of tools follows the instructions and is written anew from the tools, so that no rewritten instruction can lose
or garble it. It knows tools' descriptions and does not call them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from engine.modules.predict import Predict
from engine.records import StepState
from engine.signature import Signature
from engine.tools.function import Tool


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


def _nothing(*_args: Any, **_kwargs: Any) -> str:
    return ""


TOOLS_LEAD = "Tools:"
