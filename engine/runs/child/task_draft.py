"""A task drafted by a model from what a user says is wanted: one call, whose price is returned with it.

A task of `engine.runs.child.process`. What the model says is checked like any text from outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from engine.errors import RunError
from engine.pipeline.check import usable_name
from engine.pipeline.importers.step import imported_step
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.runs.spec import Frozen, ModelChoice, check_key, make_adapter

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Reply, Request
    from engine.lm.exchange import Send

MOST_FIELDS = 12
TOKENS = (900, 350)
"""Tokens in and out of a usual call, for the price said before it."""

NO_MODEL = "The offline model cannot draft a task. Add a real model with its key on the Settings page."


class TaskDraftRequest(Frozen):
    """The user's words, the columns of a table brought with them (name -> some values), and the model to ask."""

    text: str = Field(min_length=1, max_length=20_000)
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    model: ModelChoice = ModelChoice()


class TaskDraftAnswer(BaseModel):
    """The drafted step, notes on it, and US dollars paid; None where the price is not known."""

    step: StepSpec
    notes: tuple[str, ...] = ()
    cost: float | None = None


async def draft_step(request: TaskDraftRequest) -> TaskDraftAnswer:
    """Ask the model once for instructions and fields. Raises an EngineError for the offline model or no usable answer."""
    from engine.lm.choice import is_offline
    from engine.lm.client import make_lm
    from engine.modules.predict import Predict
    from engine.runtime import context, current
    from engine.signature import InputField, OutputField, make_signature

    if is_offline(request.model):
        raise RunError(NO_MODEL)
    check_key(request.model)
    costs: list[float | None] = []

    async def noted(model: BaseLM, wanted: Request, send: Send) -> Reply:
        reply = await send(model, wanted)
        costs.append(0.0 if reply.cached else reply.usage.cost)
        return reply

    signature = make_signature(
        {
            "wish": (str, InputField(desc="What the user wants, in their words")),
            "columns": (
                dict[str, list[str]],
                InputField(desc="Columns of the user's table with some values"),
            ),
            "instructions": (str, OutputField(desc="The instruction for the model, two sentences at most")),
            "goes_in": (list[dict[str, str]], OutputField(desc="Inputs, each with name and description")),
            "comes_out": (
                list[dict[str, object]],
                OutputField(desc="Answers, each with name, description, type and choices"),
            ),
            "think_first": (bool, OutputField(desc="Whether reasoning helps: sums, rules, several hops")),
        },
        DRAFT,
    )
    columns = {name: list(values) for name, values in request.columns.items()}
    layers = (noted, *current().middleware)
    with context(lm=make_lm(request.model), adapter=make_adapter("json"), middleware=layers):
        answer = await Predict(signature).acall(wish=request.text, columns=columns)
    notes: list[str] = []
    inputs, outputs = _fields(answer.goes_in), _fields(answer.comes_out)
    imported = imported_step(
        inputs, outputs, notes, " ".join(str(answer.instructions).split()), "The answers"
    )
    step = imported.step.model_copy(
        update={"strategy": "chain_of_thought" if answer.think_first else "predict"}
    )
    paid = None if None in costs else sum(c or 0.0 for c in costs)
    return TaskDraftAnswer(step=step, notes=imported.notes, cost=paid)


def _fields(given: Sequence[Mapping[str, object]]) -> list[FieldSpec]:
    """Return what a model named as fields, with names and types that there are; those without a name are left out."""
    found: list[FieldSpec] = []
    for one in given[:MOST_FIELDS]:
        name = str(one.get("name") or "").strip()
        if not name or usable_name(name) in PLACEHOLDERS:
            continue
        values = one.get("choices")
        listed = [str(v).strip() for v in values if str(v).strip()] if isinstance(values, list) else []
        choices = tuple(dict.fromkeys(listed))
        kind = TYPES.get(str(one.get("type") or "text").strip().casefold(), "str")
        described = " ".join(str(one.get("description") or "").split())[:300]
        closed = len(choices) > 1
        found.append(
            FieldSpec(
                name=usable_name(name, [f.name for f in found]),
                type="str" if closed else kind,
                choices=choices if closed else (),
                description=described,
            )
        )
    return found


TYPES = {
    "text": "str",
    "number": "float",
    "whole number": "int",
    "yes or no": "bool",
    "list of texts": "list[str]",
}
PLACEHOLDERS = frozenset(("field", "name", "output_1", "input_1", "first", "second"))

DRAFT = """\
Turn what a user wants into a task for a language model. Name its inputs (what is read) and its outputs (what is answered)
with short lower-case names such as mail or due_date; use the columns' meaning where there are columns. The type of an output is
one of: text, number, whole number, yes or no, list of texts. Where the answer is one of a closed list that the user or the
columns name, put all its values into choices, letter for letter; otherwise leave choices empty. Invent no values."""
