"""A table without a description -> a task to start from: fields, types, allowed values, instruction.

Everything here is a first guess for a person to change. It knows datasets and specs, no models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.basics.text import json_of
from engine.dataset.profiling import MOST_CHOICES, ColumnProfile, Role, guess_roles, names_things, profile
from engine.dataset.table import Dataset
from engine.errors import PipelineError
from engine.pipeline.check import usable_name
from engine.pipeline.signatures import instruction_default
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec

MOSTLY_FILLED = 0.95
MOST_CODES = 12
_CLASS_NAME = re.compile(r"label|class|categor|intent|target|type|idx|index", re.IGNORECASE)
_CODE_NAME = re.compile(r"label|class|categor|intent", re.IGNORECASE)
_NOTE = re.compile(r"\s*[(\[][^()\[\]]{1,80}[)\]]\s*$")
_PUZZLES = frozenset(("question", "problem", "puzzle", "exercise"))


def infer_pipeline(
    dataset: Dataset,
    roles: Mapping[str, Role] | None = None,
    profiles: Sequence[ColumnProfile] | None = None,
) -> PipelineSpec:
    """Return a one-step task for a table's columns; their roles are guessed when they are not given.

    Answers with few different values become choices. Raises PipelineError when no column is an input, or
    none is an output.

    >>> from engine.dataset import read_dataset
    >>> data = read_dataset(b"Customer message,Queue\\nWhere is it?,a\\nPay me,b\\nHow so?,b\\nWho?,a\\n", "x.csv")
    >>> step = infer_pipeline(data).steps[0]
    >>> step.instructions, step.outputs[0].choices
    ('Read the customer message and give the queue.', ('a', 'b'))
    """
    columns = profiles if profiles is not None else profile(dataset)
    roles = guess_roles(dataset, columns) if roles is None else roles
    names = infer_names(dataset.columns)
    inputs = tuple(_input(c, names[c.name]) for c in columns if roles.get(c.name) == "input")
    outputs = tuple(_output(c, names[c.name]) for c in columns if roles.get(c.name) == "output")
    if not inputs:
        raise PipelineError(
            f"No column of {dataset.name!r} is an input. Choose at least one for the model to read."
        )
    if not outputs:
        raise PipelineError(f"No column of {dataset.name!r} is the answer. Choose at least one as output.")
    think = outputs[-1].parsed_type.plain in (int, float) and any(
        _PUZZLES & set(f.name.split("_")) for f in inputs
    )
    step = StepSpec(
        name="answer" if "answer" not in {f.name for f in (*inputs, *outputs)} else "solve",
        strategy="chain_of_thought" if think else "predict",
        inputs=inputs,
        outputs=outputs,
    )
    return PipelineSpec(steps=(step.model_copy(update={"instructions": instruction_default(step)}),))


def infer_names(columns: Sequence[str]) -> dict[str, str]:
    """Return a field name for each column, without a note in brackets: column -> field, all different.

    >>> infer_names(["Order No.", "order no", "class", "Stars (1-5)"])
    {'Order No.': 'order_no', 'order no': 'order_no_2', 'class': 'class_value', 'Stars (1-5)': 'stars'}
    """
    names: dict[str, str] = {}
    for column in columns:
        names[column] = usable_name(_NOTE.sub("", column) or column, names.values())
    return names


def _described(column: ColumnProfile) -> str:
    """Return the column's name where its note in brackets says more than the field's name does, else what it counts."""
    noted = _NOTE.search(column.name) and len(column.name) <= 120
    return column.name.strip() if noted else f"In {column.unit}." if column.unit else ""


def infer_mapping(dataset: Dataset, spec: PipelineSpec) -> dict[str, str]:
    """Return field -> column for a spec that `infer_pipeline` made of the table."""
    columns = {field: column for column, field in infer_names(dataset.columns).items()}
    return {f.name: columns[f.name] for f in (*spec.inputs, *spec.outputs) if f.name in columns}


def _input(column: ColumnProfile, name: str) -> FieldSpec:
    kind = "str" if column.unit else _type(column)  # the model reads "12 EUR" as it is
    kind = kind if column.filled >= MOSTLY_FILLED else f"Optional[{kind}]"
    return FieldSpec(name=name, type=kind, description="" if column.unit else _described(column))


def _output(column: ColumnProfile, name: str) -> FieldSpec:
    choices = _choices(column)
    kind = "str" if choices else _type(column)
    return FieldSpec(name=name, type=kind, choices=choices, description=_described(column))


def _type(column: ColumnProfile) -> str:
    if column.kind == "number":
        return "int" if column.whole else "float"
    values = {value.casefold() for value, _ in column.top_values}
    if column.kind == "yes_no" and values in ({"true", "false"}, {"0", "1"}):
        return "bool"
    if column.kind == "json" and all(_is_text_list(value) for value, _ in column.top_values):
        return "list[str]"
    return "str"


def _is_text_list(text: str) -> bool:
    try:
        value = json_of(text)
    except ValueError:
        return False
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _is_coded(column: ColumnProfile) -> bool:
    """Return whether whole numbers are codes of classes: a few, or many without gaps, each in several rows."""
    if not column.whole or column.distinct < 2 or not _CLASS_NAME.search(column.name):
        return False
    if column.distinct <= MOST_CODES:
        return True
    if (
        column.distinct > MOST_CHOICES
        or column.rows < 3 * column.distinct
        or not _CODE_NAME.search(column.name)
    ):
        return False
    codes = [int(re.sub(r"[^\d-]", "", value)) for value, _ in column.top_values]
    return max(codes) - min(codes) + 1 == len(codes) and min(codes) in (0, 1)


def _choices(column: ColumnProfile) -> tuple[str, ...]:
    """Return a category's values (or a class's numbers) in the alphabet's order; of two that differ in case the more frequent one."""
    listed = column.few and not names_things(column.name)
    if not (listed or _is_coded(column)) or _type(column) == "bool":
        return ()
    by_text: dict[str, str] = {}
    for value, _ in column.top_values:
        by_text.setdefault(value.casefold(), value)
    return tuple(sorted(by_text.values(), key=str.casefold)) if len(by_text) > 1 else ()
