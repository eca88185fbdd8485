"""What of a starting prompt can be kept from change, and which of it a person has frozen. No Streamlit in here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate, StepState
from engine.search.freeze import Freeze, Part, demo_key

TITLES: dict[Part, str] = {
    "step": "Everything in it",
    "instructions": "The whole instruction",
    "demos": "Solved examples",
    "fields": "Field descriptions",
    "tools": "Tool descriptions",
}
"""Whole parts, in plain words."""


def starting_prompt(pipeline: PipelineSpec) -> Candidate:
    """Return the prompt that a search of this task begins with. Raises EngineError when it cannot be built."""
    from engine.pipeline.build import build_program

    return build_program(pipeline).candidate()


def parts_of(state: StepState) -> list[Part]:
    """Return the whole parts that a step has.

    >>> parts_of(StepState("Be kind."))
    ['step', 'instructions', 'demos']
    """
    found: list[Part] = ["step", "instructions", "demos"]
    if state.field_descriptions:
        found.append("fields")
    if state.tool_descriptions:
        found.append("tools")
    return found


def sentences(text: str) -> list[str]:
    """Return an instruction's sentences and lines, as they stand in it, each once.

    >>> sentences("Be kind. Never promise a refund!\\n- Answer in German")
    ['Be kind.', 'Never promise a refund!', '- Answer in German']
    """
    parts = (p.strip() for line in text.splitlines() for p in re.split(r"(?<=[.!?。!?])\s+", line))
    return list(dict.fromkeys(p for p in parts if p))


def is_on(frozen: Sequence[Freeze], one: Freeze) -> bool:
    """Return whether this very part is frozen."""
    return one in frozen


def toggled(frozen: Sequence[Freeze], one: Freeze, on: bool) -> tuple[Freeze, ...]:
    """Return the frozen parts with one more, or one less.

    >>> [f.part for f in toggled((), Freeze(step="s", part="demos"), True)]
    ['demos']
    """
    rest = tuple(f for f in frozen if f != one)
    return (*rest, one) if on else rest


def gone(frozen: Sequence[Freeze], start: Candidate) -> tuple[Freeze, ...]:
    """Return what is frozen and no longer there: a step renamed, a sentence reworded, an example taken out.

    >>> start = Candidate({"s": StepState("Be kind.")})
    >>> [f.text for f in gone([Freeze(step="s", part="sentence", text="Be brief.")], start)]
    ['Be brief.']
    """
    return tuple(f for f in frozen if not _there(f, start))


def summary(frozen: Sequence[Freeze]) -> str:
    """Return how much is frozen, in words.

    >>> summary([Freeze(step="s", part="sentence", text="a"), Freeze(step="s", part="demos")])
    '1 sentence and 1 part are kept as they are'
    """
    said = sum(f.part in ("sentence", "demo") for f in frozen)
    whole = len(frozen) - said
    if not frozen:
        return "nothing is frozen"
    counted = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((said, "sentence"), (whole, "part")) if n]
    return f"{' and '.join(counted)} {'is' if len(frozen) == 1 else 'are'} kept as {'it is' if len(frozen) == 1 else 'they are'}"


def _there(one: Freeze, start: Candidate) -> bool:
    state = start.steps.get(one.step)
    if state is None:
        return False
    if one.part == "sentence":
        return " ".join(one.text.split()) in " ".join(state.instructions.split())
    return one.part != "demo" or one.text in map(demo_key, state.demos)
