"""What is wrong with a pipeline's spec, in plain sentences, before anything is built of it.

For forms and the command line: every problem at once, in the order of the form. It knows no data; the
names of the data's columns are passed in where they matter.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterator, Sequence

from engine.errors import SignatureError
from engine.modules.module import Module
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.pipeline.strategies import RESERVED, TOOLS

MOST_CHOICES = 200
_TAKEN = frozenset(dir(Module)) | {"spec", "wiring"}


def spec_problems(spec: PipelineSpec, columns: Sequence[str] | None = None) -> list[str]:
    """Return what keeps a spec from being built, one sentence each; none: it can be built.

    With `columns` (a table's, for a spec that is not mapped to them) every field the table must hold
    is looked for there by its own name.

    >>> step = StepSpec(inputs=(FieldSpec(name="customer message"),), outputs=(FieldSpec(name="queue"),))
    >>> spec_problems(PipelineSpec(steps=(step,)))
    ["'customer message' cannot be a field name: use letters, digits and _ only, such as 'customer_message'."]
    """
    found = [sentence for step in spec.steps for sentence in _step_problems(step, len(spec.steps) > 1)]
    found += _duplicate_steps(spec)
    found += _wiring_problems(spec)
    if columns is not None:
        found += _column_problems(spec, columns)
    return list(dict.fromkeys(found))


def usable_name(text: str, taken: Collection[str] = ()) -> str:
    """Return a field name made of any text, other than those taken.

    >>> usable_name("Customer message?"), usable_name("2nd try"), usable_name("class"), usable_name("a", ["a"])
    ('customer_message', 'field_2nd_try', 'class_value', 'a_2')
    """
    name = re.sub(r"\W+", "_", text.strip()).strip("_").lower()
    if not name:
        name = "field"
    elif not name.isidentifier():
        name = f"field_{name}"
        name = name if name.isidentifier() else "field"
    if keyword.iskeyword(name):
        name += "_value"
    return (
        name if name not in taken else next(n for i in range(2, 10_000) if (n := f"{name}_{i}") not in taken)
    )


def _step_problems(step: StepSpec, several: bool) -> Iterator[str]:
    where = f" of the step {step.name!r}" if several else ""
    if not _is_name(step.name):
        yield _bad_name("step", step.name, f"Give the step{'s names' if several else ' a name'}.")
    elif step.name in _TAKEN:
        yield f"A step cannot be called {step.name!r}, which means something else in a program. Try {step.name + '_step'!r}."
    if not step.inputs:
        yield f"Add an input field{where}: something the model reads."
    if not step.outputs:
        yield f"Add an output field{where}: something the model answers."
    for side, fields in (("input", step.inputs), ("output", step.outputs)):
        for i, f in enumerate(fields, 1):
            yield from _field_problems(f, f"{side} field {i}{where}")
    names = [f.name for f in (*step.inputs, *step.outputs)]
    for name in dict.fromkeys(n for n in names if n.strip() and names.count(n) > 1):
        yield f"Two fields{where} are called {name!r}. Rename one of them, for example to {usable_name(name, names)!r}."
    yield from _strategy_problems(step, names, where)


def _strategy_problems(step: StepSpec, names: Sequence[str], where: str) -> Iterator[str]:
    if step.strategy == "chain_of_thought" and "reasoning" in names:
        yield f"A step that thinks first adds its own field 'reasoning'. Rename the field 'reasoning'{where}."
    else:
        for name in sorted(RESERVED.get(step.strategy, frozenset()) & set(names)):
            yield f"A step that works by {step.strategy} has its own field {name!r}. Rename the field {name!r}{where}."
    for tool in step.options.tools:
        if tool not in TOOLS:
            yield f"There is no tool {tool!r}{where}. Choose from: {', '.join(TOOLS)}."
    if step.strategy == "react" and not step.options.tools:
        yield f"Choose at least one tool{where}: {', '.join(TOOLS)}. Or let the step think first instead."


def _field_problems(field: FieldSpec, place: str) -> Iterator[str]:
    if not _is_name(field.name):
        yield _bad_name("field", field.name, f"Give {place} a name.")
        return
    if field.choices:
        yield from _choice_problems(field)
    try:
        field_type(field)
    except SignatureError as error:
        yield f"The type of {field.name!r}: {error}"


def _choice_problems(field: FieldSpec) -> Iterator[str]:
    tidy = [c.strip() for c in field.choices]
    folded = [c.casefold() for c in tidy]
    if not all(tidy):
        yield f"One of the allowed values of {field.name!r} is blank. Remove it."
    if len(set(folded)) < 2:
        yield f"{field.name!r} allows only one value. List at least two allowed values, or none."
    elif len(set(folded)) < len(folded):
        twice = next(c for c, low in zip(tidy, folded, strict=True) if folded.count(low) > 1)
        yield f"{field.name!r} lists the allowed value {twice!r} twice. Remove one of them."
    if len(tidy) > MOST_CHOICES:
        yield f"{field.name!r} lists {len(tidy)} allowed values; at most {MOST_CHOICES} fit in a prompt."


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def _bad_name(kind: str, name: str, when_blank: str) -> str:
    if not name.strip():
        return when_blank
    if keyword.iskeyword(name):
        return f"{name!r} cannot be a {kind} name: Python uses the word. Try {usable_name(name)!r}."
    return (
        f"{name!r} cannot be a {kind} name: use letters, digits and _ only, such as {usable_name(name)!r}."
        if not name.startswith("_")
        else f"{name!r} cannot be a {kind} name: it starts with _. Try {usable_name(name)!r}."
    )


def _duplicate_steps(spec: PipelineSpec) -> Iterator[str]:
    names = [s.name for s in spec.steps]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        yield f"Two steps are called {name!r}. Rename one of them, for example to {usable_name(name, names)!r}."


def _wiring_problems(spec: PipelineSpec) -> Iterator[str]:
    maker: dict[str, str] = {}
    first = {f.name: s.name for s in reversed(spec.steps) for f in s.outputs}
    outside: set[str] = set()
    for i, step in enumerate(spec.steps):
        for f in step.inputs:
            if f.name in maker:
                continue
            later = first.get(f.name)
            if later is not None and later != step.name:
                yield (
                    f"The step {step.name!r} reads {f.name!r}, which only the later step {later!r} makes. "
                    f"Move {later!r} before {step.name!r}, or rename the field."
                )
            outside.add(f.name)
        for f in step.outputs:
            if f.name in maker:
                yield (
                    f"The steps {maker[f.name]!r} and {step.name!r} both make {f.name!r}. "
                    f"Rename one, for example to {usable_name(f'{step.name}_{f.name}')!r}."
                )
            elif f.name in outside and f.name not in {g.name for g in step.inputs}:
                yield f"The step {step.name!r} makes {f.name!r}, which is also an input of the whole task. Rename one."
            maker.setdefault(f.name, step.name)
        read_later = {f.name for s in spec.steps[i + 1 :] for f in s.inputs}
        made = [f.name for f in step.outputs]
        if i < len(spec.steps) - 1 and made and not read_later & set(made):
            yield (
                f"Nothing reads what the step {step.name!r} makes ({', '.join(made)}). "
                "Add it as an input of a later step, or remove the step."
            )


def _column_problems(spec: PipelineSpec, columns: Sequence[str]) -> Iterator[str]:
    for kind, fields in (("input", spec.inputs), ("output", spec.outputs)):
        for f in fields:
            if f.name not in columns:
                yield f"The {kind} {f.name!r} is not a column of the data. Its columns are: {', '.join(columns)}."
