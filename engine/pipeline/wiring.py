"""What is wrong with how a pipeline's steps hang together, in plain sentences: who makes what, who reads it, and when.

It knows specs only; `check` looks at each step on its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.pipeline.conditions import exclude_each_other, plain
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec

_LIST = re.compile(r"^(?:Optional\[)?(?:list|tuple|set|Sequence)\b", re.IGNORECASE)


def wiring_problems(spec: PipelineSpec) -> Iterator[str]:
    """Iterate over what is wrong between the steps, in their order."""
    made: dict[str, list[StepSpec]] = {}
    for place, step in enumerate(spec.steps):
        yield from _reading_problems(spec, place, made)
        yield from _condition_problems(spec, place, made)
        yield from _item_problems(spec, place, made)
        for f in step.makes:
            yield from _making_problems(step, f, made.get(f.name, []))
            made.setdefault(f.name, []).append(step)
        yield from _unread_problems(spec, place)
    yield from _answer_problems(spec, made)


def _reading_problems(spec: PipelineSpec, place: int, made: dict[str, list[StepSpec]]) -> Iterator[str]:
    step = spec.steps[place]
    for f in step.needs:
        if f.name in made:
            if _is_list(made[f.name][-1], f.name) and not _may_be_list(f):
                yield (
                    f"The step {step.name!r} reads {f.name!r} as {_kind(f)}, but {made[f.name][-1].name!r} makes a list. "
                    "Give the input the list's type, or let the step run for each item."
                )
            continue
        later = _made_later(spec, place, f.name)
        if later is None:
            continue
        if step.name in _waits_for(spec, later):
            yield (
                f"The steps {step.name!r} and {later!r} wait for each other: each reads what the other makes. "
                f"Take {f.name!r} out of {step.name!r}, or let another step make it."
            )
        else:
            yield (
                f"The step {step.name!r} reads {f.name!r}, which only the later step {later!r} makes. "
                f"Move {later!r} before {step.name!r}, or rename the field."
            )


def _waits_for(spec: PipelineSpec, name: str) -> set[str]:
    """The steps whose outputs a step needs, directly or through others."""
    makers: dict[str, set[str]] = {}
    for step in spec.steps:
        for f in step.makes:
            makers.setdefault(f.name, set()).add(step.name)
    steps = {s.name: s for s in spec.steps}
    found: set[str] = set()
    waiting = [name]
    while waiting:
        step = steps[waiting.pop()]
        needed = {f.name for f in step.needs} | ({step.when.field} if step.when else set())
        new = {maker for field in needed for maker in makers.get(field, ())} - found
        found |= new
        waiting += sorted(new)
    return found


def _is_list(maker: StepSpec, name: str) -> bool:
    return any(f.name == name and not f.choices and _LIST.match(f.type.strip()) for f in maker.makes)


def _may_be_list(field: FieldSpec) -> bool:
    """Whether a list can be read as this field; a text is written as numbered passages."""
    return not field.choices and field.type.strip() not in ("int", "float", "bool")


def _condition_problems(spec: PipelineSpec, place: int, made: dict[str, list[StepSpec]]) -> Iterator[str]:
    step = spec.steps[place]
    if step.when is None:
        return
    name = step.when.field
    known = _known(spec, place, made)
    if not name.strip():
        yield f"Choose the field that decides whether the step {step.name!r} runs."
    elif name not in known:
        later = _made_later(spec, place, name)
        why = f"only the later step {later!r} makes" if later else "no earlier step makes and no step reads"
        yield (
            f"Whether the step {step.name!r} runs depends on {name!r}, which {why}. "
            f"Choose one of: {', '.join(known)}."
        )
    if not step.when.values:
        yield f"Give at least one value of {name!r} for which the step {step.name!r} {'is left out' if step.when.negated else 'runs'}."
    allowed = known[name].choices if name in known else ()
    for value in step.when.values:
        if allowed and plain(value) not in map(plain, allowed):
            yield (
                f"The step {step.name!r} looks for {value!r} in {name!r}, which is never that. "
                f"Its values are: {', '.join(allowed)}."
            )


def _item_problems(spec: PipelineSpec, place: int, made: dict[str, list[StepSpec]]) -> Iterator[str]:
    step = spec.steps[place]
    if step.each is None:
        return
    name, item = step.each.field, step.each.item
    if not name.strip():
        yield f"Choose the list whose items the step {step.name!r} goes through."
        return
    if item not in {f.name for f in step.inputs}:
        read = ", ".join(f.name for f in step.inputs) or "it has none yet"
        yield (
            f"The step {step.name!r} runs for each item of {name!r}, but none of its inputs ({read}) is the item "
            f"{item!r}. Choose which input the item is."
        )
    elif item in made or item in {f.name for other in spec.steps if other is not step for f in other.needs}:
        yield f"The item {item!r} of the step {step.name!r} is called like another field. Rename the input."
    field = _known(spec, place, made).get(name)
    if field is not None and (field.choices or not _LIST.match(field.type.strip())):
        kind = "a choice" if field.choices else field.type
        yield (
            f"The step {step.name!r} runs for each item of {name!r}, which is no list but {kind}. "
            f"Make it a list, for example list[{'str' if field.choices else field.type}]."
        )


def _making_problems(step: StepSpec, field: FieldSpec, earlier: list[StepSpec]) -> Iterator[str]:
    for other in earlier:
        # A step with a condition may replace, where it runs, what one without made for the others.
        if exclude_each_other(other.when, step.when) or (other.when is None and step.when is not None):
            before = next(f for f in other.makes if f.name == field.name)
            if _kind(before) != _kind(field):
                yield (
                    f"The steps {other.name!r} and {step.name!r} make {field.name!r} with different types "
                    f"({_kind(before)} and {_kind(field)}). Give it the same type in both."
                )
        else:
            yield (
                f"The steps {other.name!r} and {step.name!r} both make {field.name!r}. Rename one, for example to "
                f"{f'{step.name}_{field.name}'!r}, or let them run for different values of one field."
            )
        return


def _unread_problems(spec: PipelineSpec, place: int) -> Iterator[str]:
    step, later = spec.steps[place], spec.steps[place + 1 :]
    made = [f.name for f in step.makes]
    read = {f.name for s in later for f in s.needs} | {s.when.field for s in later if s.when}
    if later and made and not (read | {f.name for f in spec.outputs}) & set(made):
        yield (
            f"Nothing reads what the step {step.name!r} makes ({', '.join(made)}). "
            "Add it as an input of a later step, or remove the step."
        )


def _answer_problems(spec: PipelineSpec, made: dict[str, list[StepSpec]]) -> Iterator[str]:
    last = spec.steps[-1]
    if last.when is None:
        return
    for f in last.makes:
        if len(made[f.name]) == 1 and not re.match(r"Optional\[|.*\| *None$", f.type):
            yield (
                f"Where the last step {last.name!r} is left out, nothing makes the answer {f.name!r}. "
                "Let another step make it for the other values, or give it a type that may be empty, "
                f"such as Optional[{f.type}]."
            )


def _known(spec: PipelineSpec, place: int, made: dict[str, list[StepSpec]]) -> dict[str, FieldSpec]:
    """The fields there are when a step begins, by name: the task's inputs and what earlier steps made."""
    step = spec.steps[place]
    fields = {f.name: f for f in spec.inputs}
    # A list that only this step goes through is known by nothing but this step: nothing to compare it with.
    own = step.each.field if step.each else None
    if own is not None and not any(f.name == own for s in spec.steps if s is not step for f in s.inputs):
        fields.pop(own, None)
    return fields | {name: f for name, makers in made.items() for f in makers[-1].makes if f.name == name}


def _made_later(spec: PipelineSpec, place: int, name: str) -> str | None:
    """Return the first step after a place that makes a field."""
    return next((s.name for s in spec.steps[place + 1 :] if name in {f.name for f in s.makes}), None)


def _kind(field: FieldSpec) -> str:
    return " or ".join(sorted(field.choices)) if field.choices else field.type.replace(" ", "")
