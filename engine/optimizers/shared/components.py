"""Components of a candidate: its single texts, which optimizers of wording rewrite one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.records import Candidate
from engine.search.contract import Problem
from engine.search.freeze import Freeze, is_frozen
from engine.signature import Signature


@dataclass(frozen=True, slots=True)
class Component:
    """One text of one step: its instructions, or the description of the tool or the field named.

    >>> from engine.records import StepState
    >>> c = Candidate({"answer": StepState("Be brief.")})
    >>> part = Component("answer")
    >>> part.text(c), part.text(part.replaced(c, "Be kind.")), part.title
    ('Be brief.', 'Be kind.', 'the instructions of answer')
    """

    path: str
    tool: str = ""
    field: str = ""

    @property
    def is_description(self) -> bool:
        """Return whether this is the description of a tool or a field."""
        return bool(self.tool or self.field)

    @property
    def title(self) -> str:
        """The text's name in plain words."""
        if self.is_description:
            what = f"the tool {self.tool}" if self.tool else f"the field {self.field}"
            return f"the description of {what} in {self.path}"
        return f"the instructions of {self.path}"

    def text(self, candidate: Candidate) -> str:
        """Return the text as it is in a candidate."""
        state = candidate.steps[self.path]
        if self.tool:
            return state.tool_descriptions.get(self.tool, "")
        return state.field_descriptions.get(self.field, "") if self.field else state.instructions

    def replaced(self, candidate: Candidate, text: str) -> Candidate:
        """Return the candidate with another text here (its lineage is still the old one's)."""
        state = candidate.steps[self.path]
        if self.tool:
            return candidate.with_step(
                self.path, tool_descriptions={**state.tool_descriptions, self.tool: text}
            )
        if self.field:
            return candidate.with_step(
                self.path, field_descriptions={**state.field_descriptions, self.field: text}
            )
        return candidate.with_step(self.path, instructions=text)


def components_of(
    candidate: Candidate,
    signatures: Mapping[str, type[Signature]] | None = None,
    frozen: Sequence[Freeze] = (),
) -> tuple[Component, ...]:
    """Return every text of a candidate that is not frozen, step by step, instructions first; fields only with signatures."""
    found: list[Component] = []
    for path, state in candidate.steps.items():
        if not is_frozen(frozen, path, "instructions"):
            found.append(Component(path))
        if not is_frozen(frozen, path, "tools"):
            found += [Component(path, tool) for tool in state.tool_descriptions]
        if signatures is not None and not is_frozen(frozen, path, "fields"):
            found += [Component(path, field=name) for name in signatures[path].fields]
    return tuple(found)


def tunable_components(problem: Problem, candidate: Candidate, *, fields: bool) -> tuple[Component, ...]:
    """Return the components that a search may rewrite; descriptions of fields only with `fields`."""
    return components_of(candidate, problem.signatures if fields else None, problem.frozen)


def named(components: Sequence[Component]) -> str:
    """Return the components' titles as a list in words.

    >>> named([Component("a"), Component("b")])
    'the instructions of a and the instructions of b'
    """
    titles = [c.title for c in components]
    return " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)
