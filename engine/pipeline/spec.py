"""A pipeline as data: what the forms edit, runs store and exports carry.

Steps run in order and are wired by field name: a step's input is either an input of the pipeline or an
output of an earlier step. `engine.pipeline.build` makes a program of it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FieldSpec(BaseModel):
    """One field of a step.

    `type` is written as in a signature string ("str", "int", "list[str]", "Literal['a', 'b']");
    `choices` makes it a Literal of these texts instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: str = "str"
    description: str = ""
    choices: tuple[str, ...] = ()


class StepSpec(BaseModel):
    """One step: a signature and a strategy for answering it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "answer"
    strategy: Literal["predict", "chain_of_thought"] = "predict"
    instructions: str = ""
    inputs: tuple[FieldSpec, ...] = ()
    outputs: tuple[FieldSpec, ...] = ()


class PipelineSpec(BaseModel):
    """Steps in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[StepSpec, ...] = Field(default=(StepSpec(),), min_length=1)

    @property
    def inputs(self) -> tuple[FieldSpec, ...]:
        """Fields the pipeline needs from outside, in order of first use."""
        made: set[str] = set()
        needed: dict[str, FieldSpec] = {}
        for step in self.steps:
            for f in step.inputs:
                if f.name not in made:
                    needed.setdefault(f.name, f)
            made |= {f.name for f in step.outputs}
        return tuple(needed.values())

    @property
    def outputs(self) -> tuple[FieldSpec, ...]:
        """Fields of the last step: what the pipeline answers."""
        return self.steps[-1].outputs
