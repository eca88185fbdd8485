"""A task written elsewhere -> a step: a signature string, a class's source text, a JSON Schema, a prompt.

Everything is data from outside: source text is read as a syntax tree and never run. What cannot be carried
over is listed in notes; what cannot be read is an error. It knows specs, no forms and no models.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import Literal

from engine.errors import PipelineError
from engine.pipeline.check import usable_name
from engine.pipeline.importers.classes import ReadFields, read_class, read_schema
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.signature.grammar import read_field_type

Form = Literal["signature", "class", "schema", "prompt"]
LONGEST = 200_000
_HOLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_SINGLE_HOLE = re.compile(r"(?<![{$\w])\{([A-Za-z_]\w*)\}(?!\})")
_LABEL_LINE = re.compile(r"^\W*([A-Za-z][A-Za-z _-]{0,30}?)\W*:\W*$")
_CHOICES = re.compile(
    r"\b(?:one of|either|choose from|options|categories|labels)\b[^:\n]{0,40}:\s*([^\n]+)", re.I
)


@dataclass(frozen=True, slots=True)
class Imported:
    """A step made of a text, and sentences about what was guessed or left out."""

    step: StepSpec
    notes: tuple[str, ...] = ()


def guess_form(text: str) -> Form:
    """Return what a text most likely is.

    >>> [guess_form(t) for t in ("a -> b", "class A(BaseModel): x: int", '{"type": "object"}', "Sort {{mail}}.")]
    ['signature', 'class', 'schema', 'prompt']
    """
    text = text.strip()
    if text.startswith("{") and re.search(r'"(properties|type|\$schema|parameters|schema)"\s*:', text):
        return "schema"
    if re.search(r"^\s*class\s+\w+\s*[(:]", text, re.MULTILINE):
        return "class"
    if "->" in text and "\n" not in text and re.fullmatch(r"[\w\s,:\[\]|'\"().\->]+", text):
        return "signature"
    return "prompt"


def import_task(text: str, form: Form | None = None) -> Imported:
    """Return the step that a text describes; its form is guessed when it is not given.

    Raises PipelineError with one sentence for a text that cannot be read.

    >>> step = import_task("question, context: list[str] -> answer: Literal['yes', 'no']").step
    >>> [f.name for f in step.inputs], step.outputs[0].choices
    (['question', 'context'], ('yes', 'no'))
    """
    if not text.strip():
        raise PipelineError("There is nothing to read yet. Paste the text first.")
    if len(text) > LONGEST:
        raise PipelineError(
            f"This text has {len(text):,} characters; at most {LONGEST:,} can be read. Paste a part of it."
        )
    read = {"signature": _signature, "class": _class, "schema": _schema, "prompt": _prompt}
    return _checked(read[form or guess_form(text)](text.strip()))


def _signature(text: str) -> Imported:
    sides = re.split(r"->(?![^\[]*\])", text)
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise PipelineError(
            "A signature has its inputs, an arrow -> and its answers, such as: question, context -> answer."
        )
    inputs, outputs = (_side(side) for side in sides)
    return Imported(StepSpec(name=_step_name((*inputs, *outputs)), inputs=inputs, outputs=outputs))


def _side(text: str) -> tuple[FieldSpec, ...]:
    flat = " ".join(text.split())
    try:
        (made,) = ast.parse(f"def f({flat}): pass").body
    except (SyntaxError, ValueError):
        raise PipelineError(
            f"{flat[:80]!r} cannot be read. Write fields as 'name' or 'name: type', with commas between."
        ) from None
    assert isinstance(made, ast.FunctionDef)  # noqa: S101 - the text above is one def
    return tuple(_field(arg.arg, arg.annotation) for arg in made.args.args)


def _field(name: str, annotation: ast.expr | None) -> FieldSpec:
    written = ast.unparse(annotation) if annotation is not None else "str"
    found = read_field_type(written)
    if found.choices and not found.optional:
        return FieldSpec(name=name, choices=tuple(map(str, found.choices)))
    if found.problem.startswith("Literal"):
        raise PipelineError(f"The values of {name!r} cannot be read. Write them as Literal['a', 'b'].")
    return FieldSpec(name=name, type=re.sub(r"\b(?:typing|dspy)\.", "", written))


def _class(text: str) -> Imported:
    found = read_class(text)
    return _with_fields(found, f"The fields of {found.name}")


def _schema(text: str) -> Imported:
    return _with_fields(read_schema(text), "The schema's properties")


def _with_fields(found: ReadFields, source: str) -> Imported:
    """Return a step with the fields; where none is an input, it reads a text."""
    inputs, notes = found.inputs, found.notes
    if not inputs:
        name = usable_name("text", [f.name for f in found.outputs])
        inputs = (FieldSpec(name=name, description="The text to read"),)
        notes = (f"{source} became the answers; what is read is the input {name!r}.", *notes)
    step = StepSpec(
        name=_step_name((*inputs, *found.outputs)),
        instructions=found.description,
        inputs=inputs,
        outputs=found.outputs,
    )
    return Imported(step, notes)


def _prompt(text: str) -> Imported:
    hole = _HOLE if _HOLE.search(text) else _SINGLE_HOLE
    names = list(dict.fromkeys(hole.findall(text)))
    notes: list[str] = []
    lines = text.splitlines()
    output = ""
    while lines and not lines[-1].strip():
        lines.pop()
    if lines and (label := _LABEL_LINE.match(lines[-1])) and not hole.search(lines[-1]):
        output = usable_name(label[1])
        lines.pop()
    # A line that only hands over an input ("Question: {question}") is what the message layout does by itself.
    kept = [line for line in lines if not _only_hands_over(line, hole)]
    instructions = hole.sub(lambda m: f"`{usable_name(m[1])}`", "\n".join(kept)).strip()
    inputs = tuple(FieldSpec(name=n) for n in dict.fromkeys(usable_name(name) for name in names))
    if not inputs:
        inputs = (FieldSpec(name="text", description="The text to read"),)
        notes.append("The prompt has no places such as {{question}}; what is read is the input 'text'.")
    taken = [f.name for f in inputs]
    output = output if output and output not in taken else usable_name("answer", taken)
    choices = _choices(instructions)
    if choices:
        notes.append(f"The answer is one of the values the prompt lists: {', '.join(choices)}.")
    else:
        notes.append(f"The answer is the text {output!r}. Give it a type or allowed values below.")
    outputs = (FieldSpec(name=output, choices=choices),)
    step = StepSpec(
        name=_step_name((*inputs, *outputs)), instructions=instructions, inputs=inputs, outputs=outputs
    )
    return Imported(step, tuple(notes))


def _only_hands_over(line: str, hole: re.Pattern[str]) -> bool:
    if not hole.search(line):
        return False
    left = hole.sub("", line)
    return len(re.findall(r"\w+", left)) <= 3 and (":" in left or not re.search(r"\w", left))


def _choices(text: str) -> tuple[str, ...]:
    """Return the values that a prompt lists after words such as "one of:"; none where they are not plain."""
    found = _CHOICES.search(text)
    if found is None:
        return ()
    listed = re.split(r"\.(?:\s|$)", found[1])[0]
    values = [v.strip(" '\"`*.()[]") for v in re.split(r",|;|\||/|\bor\b|\band\b", listed)]
    values = [v for v in dict.fromkeys(values) if v]
    plain = all(len(v) <= 40 and len(v.split()) <= 4 for v in values)
    return tuple(values) if 2 <= len(values) <= 30 and plain else ()


def _step_name(fields: tuple[FieldSpec, ...]) -> str:
    taken = {f.name for f in fields}
    return "answer" if "answer" not in taken else "solve" if "solve" not in taken else "step_1"


def _checked(found: Imported) -> Imported:
    """Mend names and types that no field can have; raise PipelineError where nothing is left to answer."""
    step = found.step
    if not step.outputs:
        raise PipelineError("There is no answer in this text: nothing says what should come out.")
    notes = list(found.notes)
    taken: list[str] = []
    sides = []
    for side in (step.inputs, step.outputs):
        fields = []
        for field in side:
            name = (
                usable_name(field.name, taken) if field.name in taken or not _fine(field.name) else field.name
            )
            if name != field.name:
                notes.append(f"{field.name!r} cannot be a field name; it is called {name!r} here.")
            taken.append(name)
            fields.append(_typed(field.model_copy(update={"name": name}), notes))
        sides.append(tuple(fields))
    made = step.model_copy(update={"inputs": sides[0], "outputs": sides[1]})
    return replace(found, step=made, notes=tuple(notes))


def _fine(name: str) -> bool:
    return name == usable_name(name) or (
        name.isidentifier() and not name.startswith("_") and usable_name(name) == name.lower()
    )


def _typed(field: FieldSpec, notes: list[str]) -> FieldSpec:
    if field.parsed_type.problem:
        notes.append(f"The type {field.type!r} of {field.name!r} is not known here; it is a text for now.")
        return field.model_copy(update={"type": "str"})
    return field
