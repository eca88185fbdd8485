"""The best candidate by full validation, and the `Keep` that says so: what searches that rank candidates share.

It knows no algorithm. Only evaluations over every validation row count, so what is kept is earned.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.records import Candidate, Evaluation
from engine.search.contract import Ask, Keep, Problem, Score
from engine.search.freeze import Freeze, is_frozen

if TYPE_CHECKING:
    from engine.signature import Signature


class Board:
    """Full scores by candidate id, and the best candidate so far (equal scores keep the earlier).

    `open` turns False once an answer was cut short: the budget is spent or the run was stopped, and a
    search should keep what it has and end.
    """

    def __init__(self, problem: Problem) -> None:
        self.validation = problem.validation
        self.best: Candidate = problem.seed
        self.score: float | None = None
        self.scores: dict[str, float] = {}
        self.open = True

    def ask(self, candidate: Candidate, label: str = "full validation", *, trace: bool = False) -> Score:
        """Return the ask for a candidate's full score."""
        return Score(candidate, self.validation, label=label, trace=trace)

    def note(self, asks: Sequence[Ask], answers: Sequence[Any]) -> list[Ask]:
        """Take note of answers; return a `Keep` when the best has changed, else nothing."""
        before = self.best.id, self.score
        for ask, answer in zip(asks, answers, strict=True):
            if not isinstance(ask, Score):
                continue
            if len(answer.outcomes) < len(ask.rows):
                self.open = False
            elif ask.rows == self.validation:
                self.scores[ask.candidate.id] = answer.score
                if self.score is None or answer.score > self.score:
                    self.best, self.score = ask.candidate, answer.score
        return [] if (self.best.id, self.score) == before else [Keep(self.best, self.score)]

    def validate(
        self, candidates: Sequence[Candidate], label: str = "full validation", *, trace: bool = False
    ) -> Generator[Sequence[Ask], Sequence[Any], list[Evaluation]]:
        """Score candidates in full, all at once, and keep the best; returns their evaluations in order."""
        asks: list[Ask] = [self.ask(c, label, trace=trace) for c in candidates]
        if not asks:
            return []
        answers = yield asks
        keep = self.note(asks, answers)
        if keep:
            yield keep
        return list(answers)


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
        """Whether this is the description of a tool or a field."""
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


def named(components: Sequence[Component]) -> str:
    """Return the components' titles as a list in words.

    >>> named([Component("a"), Component("b")])
    'the instructions of a and the instructions of b'
    """
    titles = [c.title for c in components]
    return " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)
