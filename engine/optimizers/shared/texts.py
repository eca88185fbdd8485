"""Texts of a candidate that optimizers of wording rewrite one by one, and the values of the prompts that rewrite them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.basics.data import JsonObject
from engine.modules.step import FIELD
from engine.records import Candidate, Outcome
from engine.search.contract import Problem, Proposal, Propose
from engine.search.freeze import Freeze, is_frozen, is_frozen_field
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
    def key(self) -> str:
        """The text's name for programs: the step's path, with the tool or the field behind it."""
        return ".".join(part for part in (self.path, self.tool, self.field) if part)

    @property
    def title(self) -> str:
        """The text's name in plain words."""
        if not self.is_description:
            return f"the instructions of {self.path}"
        what = f"the tool {self.tool}" if self.tool else f"the field {self.field}"
        return f"the description of {what} in {self.path}"

    def text(self, candidate: Candidate) -> str:
        """Return the text as it is in a candidate."""
        state = candidate.steps[self.path]
        if self.tool:
            return state.tool_descriptions.get(self.tool, "")
        return state.field_descriptions.get(self.field, "") if self.field else state.instructions

    def replaced(self, candidate: Candidate, text: str) -> Candidate:
        """Return the candidate with another text here (its lineage is still the old one's)."""
        state = candidate.steps[self.path]
        changes: dict[str, object] = {"instructions": text}
        if self.tool:
            changes = {"tool_descriptions": {**state.tool_descriptions, self.tool: text}}
        elif self.field:
            changes = {"field_descriptions": {**state.field_descriptions, self.field: text}}
        return candidate.with_step(self.path, **changes)


def components_of(
    candidate: Candidate,
    signatures: Mapping[str, type[Signature]] | None = None,
    frozen: Sequence[Freeze] = (),
) -> tuple[Component, ...]:
    """Return every text of a candidate that is not frozen, step by step, instructions first; fields only with signatures."""
    components: list[Component] = []
    for path, state in candidate.steps.items():
        if not is_frozen(frozen, path, "instructions"):
            components.append(Component(path))
        if not is_frozen(frozen, path, "tools"):
            components += [Component(path, tool) for tool in state.tool_descriptions]
        if signatures is not None:
            names = signatures[path].described_fields
            components += [Component(path, field=n) for n in names if not is_frozen_field(frozen, path, n)]
    return tuple(components)


def tunable_parts(problem: Problem, *, fields: bool) -> tuple[Component, ...]:
    """Return the components that a search may rewrite; descriptions of fields only with `fields`."""
    return components_of(problem.seed, problem.signatures if fields else None, problem.frozen)


def rewritten(
    base: Candidate, parts: Sequence[Component], answers: Sequence[Proposal]
) -> tuple[Candidate, list[Component]]:
    """Return the candidate with the texts that proposals for its parts bring, and the parts that changed."""
    candidate, changed = base, list[Component]()
    for part, answer in zip(parts, answers, strict=True):
        text = proposed_text(answer)
        if text and text != part.text(base):
            candidate, changed = part.replaced(candidate, text), [*changed, part]
    return candidate, changed


Key = TypeVar("Key")

MAX_TEXT = 8000
"""Characters of a proposed text that are used: it is paid for with every row."""

# Characters of the rows, or runs, of one prompt: about 3,000 tokens.
_MAX_CHARACTERS = 12_000


def labelled_rows(problem: Problem, rows: Sequence[int]) -> list[dict[str, object]]:
    """Return rows as {"inputs": {...}, "outputs": {...}}, long texts cut, and as many as fit into a prompt."""
    return _fitting(_labelled_row(problem, row) for row in rows)


def _labelled_row(problem: Problem, row: int) -> dict[str, object]:
    values = problem.rows[row]
    shown: dict[str, object] = {
        role: shortened_values({n: values[n] for n in names if n in values})
        for role, names in (("inputs", problem.input_fields), ("outputs", problem.output_fields))
    }
    if row in problem.feedback:
        shown["said_of_earlier_answers"] = problem.feedback[row][:500]
    return shown


def _fitting(values: Iterable[dict[str, object]]) -> list[JsonObject]:
    """Return the first values, as many as fit into a prompt (at least one)."""
    shown, size = [], 0
    for one in values:
        shown.append(one)
        size += len(repr(one))
        if size > _MAX_CHARACTERS:
            break
    return shown


def step_values(problem: Problem, path: str) -> dict[str, object]:
    """Return the values that describe a step in a prompt: the program, and the step with its fields, a line each."""
    signature = problem.signatures[path]
    lines = [f"The step {path}."]
    for role, fields in (("reads", signature.input_fields), ("writes", signature.output_fields)):
        for name in fields:
            annotation = signature.annotation(name)
            kind = getattr(annotation, "__name__", "") if isinstance(annotation, type) else str(annotation)
            kind = kind.replace("typing.", "")
            description = signature.description(name)
            lines.append(f"It {role} {name} ({kind}){': ' + description if description else ''}")
    return {"program_description": problem.program, "step": "\n".join(lines)}


def other_reasoning(problem: Problem, path: str) -> bool | None:
    """Return whether a step could reason first (True) or stop doing so (False); None where something depends on it."""
    outputs = problem.signatures[path].output_fields
    readers = any(FIELD in signature.input_fields for signature in problem.signatures.values())
    if readers or FIELD in problem.output_fields or list(outputs) == [FIELD]:
        return None
    return FIELD not in outputs


def drawn_rows(problem: Problem, n: int, rng: random.Random) -> list[int]:
    """Return up to `n` training rows, drawn so that rare labels are among them: one of each label in turn."""
    groups: dict[str, list[int]] = {}
    for row in rng.sample(list(problem.train), len(problem.train)):
        label = repr([problem.rows[row].get(name) for name in problem.output_fields])
        groups.setdefault(label, []).append(row)
    drawn: list[int] = []
    while len(drawn) < min(n, len(problem.train)):
        for group in groups.values():
            if group and len(drawn) < n:
                drawn.append(group.pop())
    return drawn


def run_values(problem: Problem, outcome: Outcome, path: str = "") -> dict[str, object]:
    """Return a run as a row: inputs, right outputs, the answer, the score and the feedback.

    With a step's path the inputs are that step's, where the outcome has a trace, and its outputs are shown;
    without, the inputs are the program's, and what each step of several wrote is shown.
    """
    row = problem.rows[outcome.row]
    calls = [step for step in outcome.trace if step.path == path]
    several = len(problem.signatures) > 1
    inputs = calls[-1].inputs if calls else {n: row[n] for n in problem.input_fields if n in row}
    values: dict[str, object] = {"inputs": shortened_values(inputs)}
    if several and not path:
        values["steps_wrote"] = {step.path: shortened_values(step.outputs) for step in outcome.trace}
    values["outputs"] = shortened_values({n: row[n] for n in problem.output_fields if n in row})
    if several and calls:
        values["this_step_wrote"] = shortened_values(calls[-1].outputs)
    values["answered"] = shortened_values(outcome.prediction)
    values["score"] = round(outcome.score, 3)
    values["feedback"] = feedback_of(problem, outcome)
    return values


def worst_runs(problem: Problem, path: str, outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return runs of a step as rows, the worst first, as many as fit into a prompt (at least one)."""
    return _fitting(run_values(problem, o, path) for o in sorted(outcomes, key=lambda o: o.score))


def feedback_of(problem: Problem, outcome: Outcome) -> str:
    """Return feedback on an outcome: its error, the metric's words, or the right labels; then people's words."""
    feedback, row = problem.feedback.get(outcome.row, ""), problem.rows[outcome.row]
    words = outcome.feedback.removesuffix(feedback).strip()
    if outcome.error is not None:
        words = f"No answer could be read: {outcome.error}"
    elif not words and outcome.score >= 1:
        words = "This is right."
    elif not words:
        wanted = ", ".join(f"{n}: {row[n]}" for n in problem.output_fields if n in row)[:600]
        words = f"It scored {outcome.score:.2f}{f' of 1. Right is {wanted}' if wanted else ''}."
    return f"{words[:1000]} {feedback[:500]}".strip()


def answers_by_key(
    asks: Mapping[Key, Sequence[Propose]], answers: Sequence[Proposal]
) -> dict[Key, Sequence[Proposal]]:
    """Return the answers to several groups of asks that were yielded together, by group."""
    rest = iter(answers)
    return {key: [next(rest) for _ in group] for key, group in asks.items()}


def proposed_text(answer: Proposal) -> str:
    """Return the first usable text of a proposal, or ""."""
    return next(iter(proposed_texts([answer])), "")


def proposed_texts(answers: Sequence[Proposal]) -> list[str]:
    """Return the distinct usable texts of some proposals, in order: fences off, cut at `MAX_TEXT`."""
    texts: dict[str, None] = {}
    for output in (output for answer in answers for output in answer.outputs):
        text = next((v.strip() for n in _WRITTEN if isinstance(v := output.get(n), str)), "")
        if text.startswith("```") and text.endswith("```") and "\n" in text:
            text = text.split("\n", 1)[1].rsplit("```", 1)[0].strip()
        texts[text[:MAX_TEXT].strip()] = None
    return [text for text in texts if text]


# Outputs of proposals that are a text to use.
_WRITTEN = ("proposed_instructions", "proposed_description", "rules", "advice")


def shortened_values(values: Mapping[str, object]) -> dict[str, object]:
    """Return values, long texts cut."""
    return {name: v[:1500] if isinstance(v, str) else v for name, v in values.items()}
