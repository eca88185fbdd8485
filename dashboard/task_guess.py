"""A task made of a file's columns and the part each plays. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dashboard.field_types import field_name
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec

if TYPE_CHECKING:
    from engine.dataset import ColumnProfile


def task_from_columns(
    columns: Sequence[ColumnProfile], roles: Mapping[str, str]
) -> tuple[PipelineSpec, dict[str, str]]:
    """Return a one-step task and its mapping (field -> column) from each column's role.

    `roles` says input, output or ignore. An answer with few different values becomes a list of allowed ones.
    """
    mapping: dict[str, str] = {}
    sides: dict[str, list[FieldSpec]] = {"input": [], "output": []}
    for column in columns:
        role = roles.get(column.name, "ignore")
        if role not in sides:
            continue
        name = field_name(column.name, tuple(mapping))
        mapping[name] = column.name
        sides[role].append(_field(name, column, answer=role == "output"))
    step = StepSpec(
        instructions=_instruction(sides["input"], sides["output"]),
        inputs=tuple(sides["input"]),
        outputs=tuple(sides["output"]),
    )
    return PipelineSpec(steps=(step,)), mapping


def _field(name: str, column: ColumnProfile, *, answer: bool) -> FieldSpec:
    if answer and column.kind == "category" and column.few:
        return FieldSpec(name=name, choices=tuple(sorted(value for value, _ in column.top_values)))
    if answer and column.kind == "yes_no":
        if {v.lower() for v, _ in column.top_values} <= {"true", "false", "yes", "no"}:
            return FieldSpec(name=name, type="bool")
        return FieldSpec(name=name, choices=tuple(sorted(value for value, _ in column.top_values)))
    if column.kind == "number" and answer:
        return FieldSpec(name=name, type="int" if column.whole else "float")
    return FieldSpec(name=name)


def _instruction(inputs: Sequence[FieldSpec], outputs: Sequence[FieldSpec]) -> str:
    return f"Given {_listed(inputs)}, answer with {_listed(outputs)}."


def _listed(fields: Sequence[FieldSpec]) -> str:
    names = [f"the {f.name.replace('_', ' ')}" for f in fields]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
