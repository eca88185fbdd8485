"""What is wrong with a pipeline's spec, in plain sentences, before anything is built of it.

For forms and the command line: every problem at once, in the order of the form. It knows no data; the
names of the data's columns are passed in where they matter.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterator, Sequence

from engine.errors import ConfigurationError, SignatureError
from engine.lm.catalog import find_route
from engine.modules.module import Module
from engine.pipeline.corpora import corpus_path, searches
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import CorpusSpec, FieldSpec, PipelineSpec, StepSpec
from engine.pipeline.strategies import RESERVED, TOOLS
from engine.pipeline.wiring import wiring_problems

MOST_CHOICES = 200
WANTED_INPUT = {"retrieve": "what is searched for", "tool": "an argument of the tool"}
_TAKEN = frozenset(dir(Module)) | {"spec", "calls_a_row"}


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
    found += wiring_problems(spec)
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
        what = WANTED_INPUT.get(step.strategy, "something the model reads")
        yield f"Add an input field{where}: {what}."
    if not step.answers:
        yield f"Add an output field{where}: something the model answers."
    for side, fields in (("input", step.inputs), ("output", step.answers)):
        for i, f in enumerate(fields, 1):
            yield from _field_problems(f, f"{side} field {i}{where}")
    names = [f.name for f in (*step.inputs, *step.answers)]
    for name in dict.fromkeys(n for n in names if n.strip() and names.count(n) > 1):
        yield f"Two fields{where} are called {name!r}. Rename one of them, for example to {usable_name(name, names)!r}."
    yield from _strategy_problems(step, names, where)
    yield from _layout_problems(step, where)


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
        if f.choices or f.type.replace(" ", "") not in ("str", "list[str]"):
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


def _column_problems(spec: PipelineSpec, columns: Sequence[str]) -> Iterator[str]:
    for kind, fields in (("input", spec.inputs), ("output", spec.outputs)):
        for f in fields:
            if f.name not in columns:
                yield f"The {kind} {f.name!r} is not a column of the data. Its columns are: {', '.join(columns)}."
