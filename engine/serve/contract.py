"""Requests, answers and failures of a served program, as pydantic models; OpenAPI and MCP describe the service by them.

It knows program files and errors, and no web framework.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from engine.basics.data import JsonObject, Values
from engine.errors import EngineError
from engine.export.program import ProgramFile
from engine.modules.module import Module
from engine.pipeline.spec import FieldSpec
from engine.records import json_value

_log = logging.getLogger(__name__)


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

    def values(self, question: BaseModel) -> JsonObject:
        """Return a request's inputs by name, typed."""
        return {name: getattr(question, f"value_{i}") for i, name in enumerate(self.inputs)}

    def answered(self, prediction: Mapping[str, object]) -> JsonObject:
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
        title=file.title,
        description=spec.steps[-1].instructions or f"Answers {', '.join(f.name for f in spec.outputs)}.",
        program=file.build() if program is None else program,
        inputs=tuple(f.name for f in spec.inputs),
        outputs=tuple(f.name for f in spec.outputs),
        question=_model("Question", spec.inputs, "forbid"),
        answer=_model("Answer", spec.outputs, "ignore"),
    )


def _model(name: str, fields: Sequence[FieldSpec], extra: Any) -> type[BaseModel]:
    """Return a model of some fields; inside they are numbered, since a program may use any name ("copy", "schema")."""
    made: JsonObject = {}
    for i, spec in enumerate(fields):
        annotation = spec.parsed_type.annotation
        default = None if NoneType in get_args(annotation) else ...
        made[f"value_{i}"] = (
            annotation,
            Field(default, alias=spec.name, description=spec.description or None),
        )
    config = ConfigDict(extra=extra, arbitrary_types_allowed=True)
    whole: Any = model_validator(mode="before")(_only_text)
    return create_model(name, __config__=config, __validators__={"whole": whole}, **made)


def _only_text(values: object) -> object:
    """Return a request's values. Raises ValueError where a text in them has half of a character, which no model can be sent."""
    json.dumps(values, ensure_ascii=False, default=str).encode()
    return values


# Failures

TOO_SLOW = "The answer took too long."


class Failure(BaseModel):
    """Answer in the case of a failure."""

    error: str = Field(description="What is wrong and what to do.")
    kind: str | None = Field(None, description="The error's name, where the program or its model failed.")


RESPONSES: dict[int | str, JsonObject] = {
    status: {"model": Failure, "description": text}
    for status, text in {
        401: "The service's token is missing or wrong.",
        413: "The request is too big.",
        422: "The request does not fit the program's inputs.",
        500: "The program failed.",
        502: "The model failed, or its answer could not be read.",
        503: "The service is not set up to answer.",
        504: "The answer took too long.",
    }.items()
}
"""Every failure a caller can meet, as the OpenAPI page shows it."""


def wrong_request(problems: Collection[Mapping[str, object]], inputs: Collection[str]) -> str:
    """Return what is wrong with a request; `problems` are pydantic's.

    >>> wrong_request([{"type": "extra_forbidden", "loc": ("body", "colour"), "msg": ""}], ["copy", "count"])
    "The request is wrong. It has a field 'colour', which the program does not take. Its inputs: copy, count."
    """
    return f"The request is wrong. {' '.join(_problem_text(one, inputs) for one in problems)}"


def _problem_text(problem: Values, inputs: Collection[str]) -> str:
    kind, message = problem["type"], str(problem["msg"])
    where = ".".join(str(part) for part in problem["loc"] if part != "body")
    names = ", ".join(inputs)
    if kind == "json_invalid":
        reason = problem.get("ctx", {}).get("error", message)
        return f"It is no JSON: {reason} at character {where}."
    if kind == "value_error" and not where:
        return (
            "A text in it has half of a character (an unpaired surrogate such as \\ud800). Send whole ones."
        )
    if not where:
        return f"It must be one JSON object with the inputs: {names}."
    if kind == "missing":
        return f"The field {where!r} is missing."
    if kind == "extra_forbidden":
        return f"It has a field {where!r}, which the program does not take. Its inputs: {names}."
    return f"The field {where!r} does not fit: {message[:1].lower()}{message[1:]}."


def failure_message(error: Exception) -> str:
    """Return an error as callers may read it; the text of one that is not the engine's goes to the service's log only.

    >>> failure_message(TimeoutError())
    'The answer took too long.'
    """
    if isinstance(error, EngineError):
        return str(error)
    if isinstance(error, TimeoutError):
        return TOO_SLOW
    _log.error("The program failed.", exc_info=error)
    return "The program failed. The service's own log says why."
