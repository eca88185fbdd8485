"""Problems of a pipeline's spec, in plain words, before anything is built of it.

For forms and the command line: every problem at once, in the order of the form. It knows no data; the
names of the data's columns are passed in where they matter.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterator, Sequence

from pydantic import BaseModel

from engine.dataset.profiling import MOST_CHOICES
from engine.errors import ConfigurationError
from engine.lm.choice import find_route
from engine.modules.module import Module
from engine.pipeline.corpora import corpus_path, searches
from engine.pipeline.spec import (
    CHOICE,
    RECORD,
    CorpusSpec,
    FieldSpec,
    PipelineSpec,
    StepSpec,
    exclude_each_other,
    plain,
)
from engine.pipeline.strategies import RESERVED, TOOLS
from engine.signature.grammar import is_field_name

Made = dict[str, list[tuple[StepSpec, FieldSpec]]]
"""Field -> the steps so far that make it, each with the field as it makes it."""


def _wiring_problems(spec: PipelineSpec) -> Iterator[str]:
    """Iterate over what is wrong between the steps, in their order."""
    made_by: Made = {}
    for place, step in enumerate(spec.steps):
        yield from _reading_problems(spec, place, made_by)
        yield from _condition_problems(spec, place, made_by)
        yield from _item_problems(spec, step, made_by)
        for f in step.makes:
            if f.name in made_by:
                yield from _making_problems(step, f, *made_by[f.name][0])
            made_by.setdefault(f.name, []).append((step, f))
        later = spec.steps[place + 1 :]
        names = [f.name for f in step.makes]
        read = {f.name for s in later for f in s.needs} | {s.when.field for s in later if s.when}
        if later and names and not (read | {f.name for f in spec.outputs}) & set(names):
            yield (
                f"Nothing reads what the step {step.name!r} makes ({', '.join(names)}). "
                "Add it as an input of a later step, or remove the step."
            )
    last = spec.steps[-1]
    for f in last.makes if last.when is not None else ():
        if len(made_by[f.name]) == 1 and not f.parsed_type.optional:
            yield (
                f"Where the last step {last.name!r} is left out, nothing makes the answer {f.name!r}. "
                "Let another step make it for the other values, or give it a type that may be empty, "
                f"such as Optional[{f.type}]."
            )


def _reading_problems(spec: PipelineSpec, place: int, made: Made) -> Iterator[str]:
    step = spec.steps[place]
    for f in step.needs:
        if f.name in made:
            maker, field = made[f.name][-1]
            # A list can be read as a text: it is written as numbered passages.
            single = bool(f.choices) or f.parsed_type.plain in (int, float, bool)
            if field.parsed_type.is_list and single:
                yield (
                    f"The step {step.name!r} reads {f.name!r} as {_kind(f)}, but {maker.name!r} makes a list. "
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
    """Return the steps whose outputs a step needs, directly or through others."""
    steps = {s.name: s for s in spec.steps}
    earlier: set[str] = set()
    waiting = [name]
    while waiting:
        step = steps[waiting.pop()]
        needed = {f.name for f in step.needs} | ({step.when.field} if step.when else set())
        new = {s.name for s in spec.steps if needed & {f.name for f in s.makes}} - earlier
        earlier |= new
        waiting += sorted(new)
    return earlier


def _condition_problems(spec: PipelineSpec, place: int, made: Made) -> Iterator[str]:
    step = spec.steps[place]
    if step.when is None:
        return
    name, known = step.when.field, _known_fields(spec, step, made)
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


def _item_problems(spec: PipelineSpec, step: StepSpec, made: Made) -> Iterator[str]:
    if step.each is None:
        return
    name, item = step.each.field, step.each.item
    if not name.strip():
        yield f"Choose the list whose items the step {step.name!r} goes through."
        return
    inputs = [f.name for f in step.inputs]
    if item not in inputs:
        yield (
            f"The step {step.name!r} runs for each item of {name!r}, but none of its inputs "
            f"({', '.join(inputs) or 'it has none yet'}) is the item {item!r}. Choose which input the item is."
        )
    elif item in made or item in {f.name for other in spec.steps if other is not step for f in other.needs}:
        yield f"The item {item!r} of the step {step.name!r} is called like another field. Rename the input."
    field = _known_fields(spec, step, made).get(name)
    if field is not None and not field.parsed_type.is_list:
        kind = "a choice" if field.choices else field.type
        yield (
            f"The step {step.name!r} runs for each item of {name!r}, which is no list but {kind}. "
            f"Make it a list, for example list[{'str' if field.choices else field.type}]."
        )


def _making_problems(step: StepSpec, field: FieldSpec, other: StepSpec, before: FieldSpec) -> Iterator[str]:
    # A step with a condition may replace, where it runs, what one without made for the others.
    if not exclude_each_other(other.when, step.when) and (other.when is not None or step.when is None):
        yield (
            f"The steps {other.name!r} and {step.name!r} both make {field.name!r}. Rename one, for example to "
            f"{f'{step.name}_{field.name}'!r}, or let them run for different values of one field."
        )
    elif _kind(before) != _kind(field):
        yield (
            f"The steps {other.name!r} and {step.name!r} make {field.name!r} with different types "
            f"({_kind(before)} and {_kind(field)}). Give it the same type in both."
        )


def _known_fields(spec: PipelineSpec, step: StepSpec, made: Made) -> dict[str, FieldSpec]:
    """Return the fields there are when a step begins, by name: the task's inputs and what earlier steps made."""
    fields = {f.name: f for f in spec.inputs}
    # A list that only this step goes through is known by nothing but this step: nothing to compare it with.
    item_field = step.each.field if step.each else None
    if item_field is not None and not any(
        f.name == item_field for s in spec.steps if s is not step for f in s.inputs
    ):
        fields.pop(item_field, None)
    return fields | {name: makers[-1][1] for name, makers in made.items()}


def _made_later(spec: PipelineSpec, place: int, name: str) -> str | None:
    """Return the first step after a place that makes a field."""
    return next((s.name for s in spec.steps[place + 1 :] if name in {f.name for f in s.makes}), None)


def _kind(field: FieldSpec) -> str:
    return " or ".join(sorted(field.choices)) if field.choices else field.type.replace(" ", "")


WANTED_INPUT = {"retrieve": "what is searched for", "tool": "an argument of the tool"}
_TAKEN = frozenset(dir(Module)) | {"spec", "calls_a_row"}
RECORDS_OWN = frozenset(name for name in dir(BaseModel) if not name.startswith("_"))
"""Names that mean something else in every record."""


def spec_problems(spec: PipelineSpec) -> list[str]:
    """Return what keeps a spec from being built, one sentence each; none: it can be built.

    >>> step = StepSpec(inputs=(FieldSpec(name="customer message"),), outputs=(FieldSpec(name="queue"),))
    >>> spec_problems(PipelineSpec(steps=(step,)))
    ["'customer message' cannot be a field name: use letters, digits and _ only, such as 'customer_message'."]
    """
    problems = [sentence for step in spec.steps for sentence in _step_problems(step, len(spec.steps) > 1)]
    steps = [s.name for s in spec.steps]
    problems += [
        f"Two steps are called {name!r}. Rename one of them, for example to {usable_name(name, steps)!r}."
        for name in steps
        if steps.count(name) > 1
    ]
    problems += _wiring_problems(spec)
    return list(dict.fromkeys(problems))


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
    if not is_field_name(step.name):
        yield _bad_name("step", step.name, f"Give the step{'s names' if several else ' a name'}.")
    elif step.name in _TAKEN:
        yield f"A step cannot be called {step.name!r}, which means something else in a program. Try {step.name + '_step'!r}."
    if not step.inputs:
        what = WANTED_INPUT.get(step.strategy, "something the model reads")
        yield f"Add an input field{where}: {what}."
    if not step.answers:
        yield f"Add an output field{where}: something the model answers."
    for side, fields in (("input", step.inputs), ("output", step.answers)):
        for i, f in enumerate(fields, 1):
            if not is_field_name(f.name):
                yield _bad_name("field", f.name, f"Give {side} field {i}{where} a name.")
                continue
            yield from _type_problems(f, f.name)
    names = [f.name for f in (*step.inputs, *step.answers)]
    for name in dict.fromkeys(n for n in names if n.strip() and names.count(n) > 1):
        yield f"Two fields{where} are called {name!r}. Rename one of them, for example to {usable_name(name, names)!r}."
    yield from _strategy_problems(step, names, where)
    yield from _layout_problems(step, where)


def _type_problems(field: FieldSpec, path: str) -> Iterator[str]:
    """Iterate over what is wrong with a field's type, and with the fields of the record in it."""
    if field.choices:
        yield from _choice_problems(field)
    elif field.type == CHOICE:
        yield f"List the values that {path!r} may have, at least two."
        return
    inside = list(_record_problems(field, path)) if field.fields or _names_record(field) else []
    yield from inside
    if not inside and field.parsed_type.problem:
        yield f"The type of {path!r}: {field.parsed_type.problem}"


def _names_record(field: FieldSpec) -> bool:
    return bool(re.search(rf"\b{RECORD}\b", field.type)) and not field.choices


def _record_problems(field: FieldSpec, path: str) -> Iterator[str]:
    if not field.fields:
        yield f"The record {path!r} has no fields yet. Add one, or give it another type."
    elif not _names_record(field):
        yield f"{path!r} has fields inside, but its type {field.type!r} is no record. Write it as {RECORD!r} or 'list[{RECORD}]'."
    names = [f.name for f in field.fields]
    for name in dict.fromkeys(n for n in names if n.strip() and names.count(n) > 1):
        yield f"Two fields of {path!r} are called {name!r}. Rename one of them, for example to {usable_name(name, names)!r}."
    for i, part in enumerate(field.fields, 1):
        if not is_field_name(part.name):
            yield _bad_name("field", part.name, f"Give field {i} of {path!r} a name.")
        elif part.name in RECORDS_OWN:
            yield f"A field of a record cannot be called {part.name!r}. Rename it, for example to {part.name + '_value'!r}."
        else:
            yield from _type_problems(part, f"{path}.{part.name}")


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
    if searches(step):
        yield from _corpus_problems(step.options.corpus, where)
    if step.strategy == "retrieve":
        yield from _search_problems(step, where)
    if step.strategy == "tool":
        yield from _tool_problems(step, where)


def _layout_problems(step: StepSpec, where: str) -> Iterator[str]:
    for choice in step.models:
        try:
            find_route(choice.name, choice.base_url)
        except ConfigurationError as error:
            yield f"The step {step.name!r} cannot ask the model {choice.name!r}: {error}"
    if step.model and step.strategy in WANTED_INPUT:
        yield f"A {step.strategy} step asks no model. Take {step.model.name!r} out{where}."
    if step.extraction_model and step.adapter != "two_step":
        yield (
            f"Only the two_step layout has a second model, here {step.extraction_model.name!r}. "
            f"Choose that layout{where}, or take the second model out."
        )
    if step.use_native_function_calling is not None and step.adapter is None:
        yield f"Native function calling is a setting of a message layout. Choose the layout{where} as well."


def _search_problems(step: StepSpec, where: str) -> Iterator[str]:
    if len(step.inputs) > 1:
        names = ", ".join(f.name for f in step.inputs)
        yield f"A search has one input, what is searched for; {names} are too many{where}. Keep one of them."
    yield from _one_output(step, where)
    for f in step.answers[:1]:
        if f.choices or f.parsed_type.plain not in (str, list[str]):
            yield f"A search makes a list of texts: give {f.name!r} the type list[str]{where}."


def _corpus_problems(corpus: CorpusSpec, where: str) -> Iterator[str]:
    if corpus.passages and corpus.file:
        yield f"Give the passages to search{where} either as a list or as a file, not both."
    elif corpus.passages:
        if not any(p.strip() for p in corpus.passages):
            yield f"All passages to search{where} are blank. Write some, or choose a file."
    elif not corpus.file.strip():
        yield f"There is nothing to search{where}. Add passages, or choose a CSV file or a folder of texts."
    elif not corpus_path(corpus.file).exists():
        yield f"There is no file or folder {corpus.file!r} to search{where}. Choose another, or put it back."


def _tool_problems(step: StepSpec, where: str) -> Iterator[str]:
    yield from _one_output(step, where)
    if len(set(step.options.tools)) != 1:
        yield f"Choose the one tool that is called{where}: {', '.join(TOOLS)}."
        return
    tool = TOOLS.get(step.options.tools[0])
    if tool is None:
        return
    names = [f.name for f in step.inputs]
    known = ", ".join(tool.args)
    for name in names:
        if name not in tool.args:
            yield f"The tool {tool.name!r} takes no argument {name!r}{where}. Rename the input; it takes: {known}."
    for name in tool.required:
        if name not in names:
            yield f"The tool {tool.name!r} needs the argument {name!r}{where}. Add an input of that name."


def _one_output(step: StepSpec, where: str) -> Iterator[str]:
    if len(step.answers) > 1:
        what = "A search" if step.strategy == "retrieve" else "A tool"
        names = ", ".join(f.name for f in step.answers)
        yield f"{what} makes one output; {names} are too many{where}. Keep one of them."


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


def _bad_name(kind: str, name: str, when_blank: str) -> str:
    if not name.strip():
        return when_blank
    why = "use letters, digits and _ only, such as"
    if keyword.iskeyword(name):
        why = "Python uses the word. Try"
    elif name.startswith("_"):
        why = "it starts with _. Try"
    return f"{name!r} cannot be a {kind} name: {why} {usable_name(name)!r}."
