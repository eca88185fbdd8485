"""The contract of a form of tasks; the step that a text is read as: fields with usable names and types, and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.errors import PipelineError
from engine.pipeline.check import RECORDS_OWN, usable_name
from engine.pipeline.spec import FieldSpec, StepSpec


@dataclass(frozen=True, slots=True)
class Imported:
    """A step made of a text, and sentences about what was guessed or left out."""

    step: StepSpec
    notes: tuple[str, ...] = ()


Form = Literal["signature", "class", "schema", "state", "chat", "prompt", "sentence"]
"""Names of the parts in `engine.parts.TASK_FORMS`."""


class TaskForm(NamedTuple):
    """A form in which a task may be written, as an optional part: see `engine.parts.Part`."""

    name: Form
    title: str
    """The form in words, as in "Recognised: a prompt"."""
    about: str
    read: Callable[[str], Imported]
    """Reads a text in this form. Raises PipelineError for one that it cannot read."""


def imported_step(
    inputs: Iterable[FieldSpec],
    outputs: Iterable[FieldSpec],
    notes: Iterable[str] = (),
    instructions: str = "",
    source: str = "",
) -> Imported:
    """Return the step of some fields, with names and types that a field can have; without inputs it reads a text."""
    inputs, outputs, notes = tuple(inputs), tuple(outputs), list(notes)
    if not outputs:
        raise PipelineError("There is no answer in this text: nothing says what should come out.")
    if not inputs:
        name = usable_name("text", [f.name for f in outputs])
        inputs = (FieldSpec(name=name, description="The text to read"),)
        notes.insert(0, f"{source} became the answers; what is read is the input {name!r}.")
    names = {f.name for f in (*inputs, *outputs)}
    names_taken: list[str] = []
    sides = [tuple(_usable(f, names_taken, notes) for f in side) for side in (inputs, outputs)]
    step = StepSpec(
        name=next((n for n in ("answer", "solve") if n not in names), "step_1"),
        instructions=instructions,
        inputs=sides[0],
        outputs=sides[1],
    )
    return Imported(step, tuple(notes))


def _usable(field: FieldSpec, taken: list[str], notes: list[str]) -> FieldSpec:
    """Return a field with a name and a type that it can have; what was changed is noted."""
    name, usable = field.name, usable_name(field.name)
    fine = name == usable or (name.isidentifier() and not name.startswith("_") and usable == name.lower())
    if name in taken or not fine:
        name = usable_name(name, taken)
        notes.append(f"{field.name!r} cannot be a field name; it is called {name!r} here.")
    taken.append(name)
    changes: dict[str, object] = {"name": name}
    if field.fields:
        inside: list[str] = list(RECORDS_OWN)
        changes["fields"] = tuple(_usable(f, inside, notes) for f in field.fields)
        return field.model_copy(update=changes)
    if field.parsed_type.problem:
        notes.append(f"The type {field.type!r} of {name!r} is not known here; it is a text for now.")
        changes["type"] = "str"
    return field.model_copy(update=changes)
