"""Frozen parts, which a search must not change: whole steps, instructions, single sentences, demonstrations.

It must not know any algorithm. `engine.search.contract.drive` applies them to a search.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from engine.errors import ConfigurationError
from engine.records import Candidate, Demo, StepState, content_hash

Part = Literal["step", "instructions", "sentence", "demos", "demo", "fields", "field", "tools", "weights"]
Changes = Literal["nothing", "examples", "wording", "both", "weights"]
"""The parts of a program that an optimizer may change."""


class Freeze(BaseModel):
    """One part of the starting prompt that stays as it is.

    `step` is a step's path. `part` is everything in it ("step"), its instructions, one sentence (`text`) that every
    instruction must keep, all demonstrations, one demonstration (`text` is its `demo_key`), the field descriptions, one of
    them (`text` is the field's name, or a path into a record such as "invoice.items.price"), the tool descriptions, or the
    tuned model that answers ("weights").

    >>> Freeze(step="route", part="sentence", text="Never promise a refund.").part
    'sentence'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    part: Part
    text: str = ""


def demo_key(demo: Demo) -> str:
    """Return a demonstration's key in a `Freeze`: twelve hex digits of its values' hash."""
    return content_hash(dict(demo.values))[:12]


def is_frozen(frozen: Iterable[Freeze], step: str, part: Part) -> bool:
    """Return whether a whole part of a step may not change."""
    return any(f.step == step and f.part in ("step", part) for f in frozen)


def is_frozen_field(frozen: Iterable[Freeze], step: str, name: str) -> bool:
    """Return whether the description of one field, or of one path into a record, may not change."""
    frozen = tuple(frozen)
    return is_frozen(frozen, step, "fields") or any(
        f.step == step and f.part == "field" and f.text == name for f in frozen
    )


def restored(candidate: Candidate, seed: Candidate, frozen: Sequence[Freeze]) -> Candidate:
    """Return the candidate with all frozen parts as in the seed, or the seed itself if nothing else changed.

    A frozen sentence that was lost returns at the top where the seed begins with it, else at the end. A frozen
    demonstration that was lost comes first.

    >>> seed = Candidate({"a": StepState("Be kind. Be brief.")})
    >>> found = Candidate({"a": StepState("Be quick.")}, reason="Shorter.")
    >>> restored(found, seed, [Freeze(step="a", part="sentence", text="Be kind.")]).steps["a"].instructions
    'Be kind.\\nBe quick.'
    """
    if not frozen or candidate is seed:
        return candidate
    steps = {}
    for path, state in candidate.steps.items():
        mine = [f for f in frozen if f.step == path]
        steps[path] = _restored(state, seed.steps[path], mine) if mine and path in seed.steps else state
    if all(steps[path] is state for path, state in candidate.steps.items()):
        return candidate
    restored_candidate = replace(candidate, steps=steps)
    return seed if restored_candidate.id == seed.id else restored_candidate


def check_frozen(
    frozen: Sequence[Freeze], seed: Candidate, *, changes: Changes = "both", who: str = ""
) -> None:
    """Raise ConfigurationError for a freeze of what does not exist, or if nothing is left that `who` may change."""
    for f in frozen:
        state = seed.steps.get(f.step)
        if state is None:
            raise ConfigurationError(
                f"There is no step {f.step!r} to freeze. The program's steps are: {', '.join(seed.steps)}."
            )
        if f.part == "sentence" and (not f.text.strip() or not _has(state.instructions, f.text)):
            raise ConfigurationError(
                f"The frozen sentence {f.text!r} is not in the instructions of the step {f.step!r}. "
                "Take it from there word for word, or remove it."
            )
        if f.part == "field" and not f.text.strip():
            raise ConfigurationError(f"A frozen field of the step {f.step!r} has no name. Give it as text.")
        if f.part == "demo" and f.text not in map(demo_key, state.demos):
            raise ConfigurationError(
                f"The step {f.step!r} has no example {f.text!r} to freeze. Choose one of its examples, or remove it."
            )
    if frozen and changes != "nothing" and not _has_open_part(frozen, seed, changes):
        what = {
            "examples": "The examples of every step are frozen",
            "wording": "The wording of every step is frozen",
            "both": "Everything is frozen",
            "weights": "The model of every step is frozen",
        }[changes]
        other = "" if changes == "both" else ", or choose an optimizer that changes something else"
        raise ConfigurationError(
            f"{what}, so {who or 'the search'} has nothing to change. Unfreeze a part{other}."
        )


def _has_open_part(frozen: Sequence[Freeze], seed: Candidate, changes: Changes) -> bool:
    for path, state in seed.steps.items():
        parts: list[Part] = [] if changes == "wording" else ["weights" if changes == "weights" else "demos"]
        if changes in ("wording", "both"):
            parts.append("instructions")
            parts += ["tools"] if state.tool_descriptions else []
            parts += ["fields"] if state.field_descriptions else []
        if not all(is_frozen(frozen, path, part) for part in parts):
            return True
    return False


_WHOLE_PARTS = {
    "step": [field.name for field in fields(StepState)],
    "instructions": ["instructions"],
    "demos": ["demos", "nearest"],
    "fields": ["field_descriptions"],
    "tools": ["tool_descriptions"],
    "weights": ["weights"],
}
"""Part -> the fields of a step's state that it is."""


def _restored(state: StepState, seed: StepState, frozen: Sequence[Freeze]) -> StepState:
    names = {name for f in frozen for name in _WHOLE_PARTS.get(f.part, ())}
    if names:
        state = replace(state, **{name: getattr(seed, name) for name in names})
    sentences = [f.text.strip() for f in frozen if f.part == "sentence"]
    if missing := [s for s in sentences if not _has(state.instructions, s)]:
        whole = _flat(seed.instructions)
        missing.sort(key=lambda s: whole.find(_flat(s)))
        top = [s for s in missing if whole.startswith(_flat(s))]
        lines = [*top, state.instructions, *(s for s in missing if s not in top)]
        state = replace(state, instructions="\n".join(lines).strip())
    if single := [f.text for f in frozen if f.part == "field"]:
        descriptions = {
            name: seed.field_descriptions[name] for name in single if name in seed.field_descriptions
        }
        others = {name: text for name, text in state.field_descriptions.items() if name not in single}
        state = replace(state, field_descriptions={**others, **descriptions})
    keys = {f.text for f in frozen if f.part == "demo"} - set(map(demo_key, state.demos))
    if keys:
        lost = tuple(d for d in seed.demos if demo_key(d) in keys)
        state = replace(state, demos=(*lost, *state.demos))
    return state


def _has(text: str, sentence: str) -> bool:
    return _flat(sentence) in _flat(text)


def _flat(text: str) -> str:
    return " ".join(text.split())
