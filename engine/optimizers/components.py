"""The texts of a program that an instruction optimizer may rewrite: instructions and tool descriptions, by step.

It knows candidates and nothing of searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.records import Candidate


@dataclass(frozen=True, slots=True)
class Component:
    """One text of one step: its instructions, or the description of the tool named `tool`.

    >>> from engine.records import StepState
    >>> c = Candidate({"answer": StepState("Be brief.")})
    >>> part = Component("answer")
    >>> part.text(c), part.text(part.replaced(c, "Be kind.")), part.title
    ('Be brief.', 'Be kind.', 'the instructions of answer')
    """

    path: str
    tool: str = ""

    @property
    def title(self) -> str:
        """The text's name in plain words."""
        if self.tool:
            return f"the description of the tool {self.tool} in {self.path}"
        return f"the instructions of {self.path}"

    def text(self, candidate: Candidate) -> str:
        """Return the text as it is in a candidate."""
        state = candidate.steps[self.path]
        return state.tool_descriptions.get(self.tool, "") if self.tool else state.instructions

    def replaced(self, candidate: Candidate, text: str) -> Candidate:
        """Return the candidate with another text here (its lineage is still the old one's)."""
        if not self.tool:
            return candidate.with_step(self.path, instructions=text)
        known = candidate.steps[self.path].tool_descriptions
        return candidate.with_step(self.path, tool_descriptions={**known, self.tool: text})


def components_of(candidate: Candidate) -> tuple[Component, ...]:
    """Return every text of a candidate, step by step, instructions first."""
    return tuple(
        Component(path, tool)
        for path, state in candidate.steps.items()
        for tool in ("", *state.tool_descriptions)
    )


def named(components: Sequence[Component]) -> str:
    """Return the components' titles as a list in words.

    >>> named([Component("a"), Component("b")])
    'the instructions of a and the instructions of b'
    """
    titles = [c.title for c in components]
    return " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)
