"""What a program reads and answers, as pydantic models: the types of requests, answers and their documentation.

It knows program files and no web framework.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model

from engine.export.program import ProgramFile
from engine.modules.module import Module
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import FieldSpec
from engine.records import json_value


@dataclass(frozen=True, slots=True)
class Contract:
    """A program with the models of its requests (`question`) and answers (`answer`)."""

    title: str
    description: str
    program: Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    question: type[BaseModel]
    answer: type[BaseModel]

    def values(self, question: BaseModel) -> dict[str, Any]:
        """Return a request's inputs by name, typed."""
        return {name: getattr(question, f"value_{i}") for i, name in enumerate(self.inputs)}

    def answered(self, prediction: Mapping[str, Any]) -> dict[str, Any]:
        """Return an answer's outputs by name as JSON values."""
        return {name: json_value(prediction.get(name)) for name in self.outputs}


def contract_of(file: ProgramFile, program: Module | None = None) -> Contract:
    """Return a program file's contract; `program` is what answers, else what the file builds.

    >>> from engine.export.program import program_file
    >>> from engine.pipeline.build import build_program
    >>> from engine.pipeline.spec import PipelineSpec, StepSpec
    >>> step = StepSpec(inputs=(FieldSpec(name="n", type="int"),), outputs=(FieldSpec(name="ok", type="bool"),))
    >>> spec = PipelineSpec(steps=(step,))
    >>> contract = contract_of(program_file(spec, build_program(spec).candidate()))
    >>> contract.values(contract.question.model_validate({"n": "3"}))
    {'n': 3}
    """
    spec = file.pipeline
    return Contract(
        title=str(file.metadata.get("title") or "A program tuned with Tuneboard"),
        description=spec.steps[-1].instructions or f"Answers {', '.join(f.name for f in spec.outputs)}.",
        program=file.build() if program is None else program,
        inputs=tuple(f.name for f in spec.inputs),
        outputs=tuple(f.name for f in spec.outputs),
        question=_model("Question", spec.inputs, "forbid"),
        answer=_model("Answer", spec.outputs, "ignore"),
    )


def _model(name: str, fields: Sequence[FieldSpec], extra: Any) -> type[BaseModel]:
    """Fields have names of their own inside: any name a program uses ("copy", "schema") may be an alias."""
    made: dict[str, Any] = {}
    for i, spec in enumerate(fields):
        annotation = field_type(spec)
        default = None if NoneType in get_args(annotation) else ...
        made[f"value_{i}"] = (
            annotation,
            Field(default, alias=spec.name, description=spec.description or None),
        )
    config = ConfigDict(extra=extra, arbitrary_types_allowed=True)
    return create_model(name, __config__=config, **made)
