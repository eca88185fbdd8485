"""One step's spec -> its signature: names, types, allowed values and the instruction.

It knows specs and signatures, and no modules.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from engine.basics.text import listed
from engine.errors import SignatureError
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.signature import InputField, OutputField, Signature, make_signature


@lru_cache(maxsize=256)
def signature_of(step: StepSpec) -> type[Signature]:
    """Return a step's signature. Raises SignatureError for a name or a type that cannot be used.

    >>> step = StepSpec(inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="ok", choices=("a", "b")),))
    >>> signature_of(step).annotation("ok")
    typing.Literal['a', 'b']
    """
    fields: dict[str, tuple[object, object]] = {}
    for make, side in ((InputField, step.inputs), (OutputField, step.answers)):
        for f in side:
            if f.name in fields:
                raise SignatureError(
                    f"Two fields of the step {step.name!r} are called {f.name!r}. Rename one of them."
                )
            fields[f.name] = (f.parsed_type.annotation, make(desc=f.description) if f.description else make())
    name = "".join(part.capitalize() for part in step.name.split("_")) or "Step"
    return make_signature(fields, step.instructions.strip() or instruction_default(step), name)


def field_type(spec: FieldSpec) -> Any:
    """Return the Python type of a field. Raises SignatureError when its text names none."""
    return spec.parsed_type.annotation


def instruction_default(step: StepSpec) -> str:
    """Return the plain instruction that a step starts with when nothing was written.

    >>> instruction_default(StepSpec(inputs=(FieldSpec(name="message"),), outputs=(FieldSpec(name="queue"),)))
    'Read the message and give the queue.'
    """
    read, given = (
        listed([f"the {f.name.replace('_', ' ')}" for f in side]) for side in (step.inputs, step.answers)
    )
    return f"Read {read} and give {given}."
