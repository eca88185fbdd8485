"""A tuned program as a Python script that stands alone: Python 3.9's standard library, no package, no Tuneboard.

Everything that does not depend on the row is written out when the script is made, by the adapters themselves: the
system message, the solved examples as turns, what stands around each input, the closing sentence. What is left to do
for a row (formatting values, asking, reading replies) is in `standalone_values` and the other parts, whose code is
copied into the script as it is: what is tested and type-checked here is what runs there.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from engine.adapters import Adapter, ChatAdapter, JSONAdapter, XMLAdapter
from engine.adapters.notes import without_none
from engine.adapters.plan import plan_of
from engine.adapters.rendered import INCOMPLETE_LEAD
from engine.errors import ProgramFileError
from engine.export.program import ProgramFile
from engine.export.standalone import calling, nearest, reading, replies, rows, search, tags, values
from engine.export.standalone import steps as step_parts
from engine.export.standalone.literal import literal
from engine.export.standalone.models import asks_for, endpoint, is_offline
from engine.export.standalone.types import kind_of
from engine.modules.predict import Predict
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.similarity import FUNCTION_WORDS, text_of_values

LAYOUTS: dict[type[Adapter], str] = {ChatAdapter: "chat", JSONAdapter: "json", XMLAdapter: "xml"}
BEYOND = {
    "react": "may call tools",
    "program_of_thought": "has code written and run",
    "best_of_n": "has several answers rated",
    "refine": "has its answers rated and mended",
    "tool": "calls a tool",
}
"""Strategy -> what it does that a script on its own cannot."""


def standalone_script(program: ProgramFile) -> str:
    """Return a script that answers as the program does, with the same messages to the same model.

    Raises ProgramFileError, naming the step, the field or the model, for what takes more than asking a model.
    """
    for step in program.pipeline.steps:
        if step.strategy in BEYOND:
            raise _beyond(step, BEYOND[step.strategy])
    asked = {path.partition(".")[0]: one for path, one in program.build().named_predictors()}
    described = [
        {
            **_wiring(step),
            **(_search(step) if step.strategy == "retrieve" else _step(program, step, asked[step.name])),
        }
        for step in program.pipeline.steps
    ]
    data = {
        "model": endpoint(program.model),
        "no_model": NO_MODEL,
        "inputs": {f.name: _input(f) for f in program.pipeline.inputs},
        "outputs": [f.name for f in program.pipeline.outputs],
        "steps": described,
    }
    title = " ".join(str(program.metadata.get("title") or "A program tuned with Tuneboard").split())
    options = " ".join(f'{rows.option(f.name)} "..."' for f in program.pipeline.inputs)
    head = HEAD.format(title=title.replace("\\", "/").replace('"', "'").rstrip("."), options=options)
    parts = _parts(described)
    code = "\n\n\n".join(_code(part) for part in parts)
    return f"{head}\n{_imports(parts)}\n\n{PROGRAM}PROGRAM: dict[str, Any] = {literal(data)}\n\n{code}\n\n\n{TAIL}"


def _beyond(step: StepSpec, what: str) -> ProgramFileError:
    return ProgramFileError(
        f"The step {step.name!r} {what}, which a script without Tuneboard cannot. Take the Python script with Tuneboard."
    )


def _input(field: FieldSpec) -> Mapping[str, Any]:
    kind = kind_of(field_type(field), field.name)
    return {"kind": "text"} if field.type == "str" else kind  # allowed values of an input are not enforced


def _wiring(step: StepSpec) -> dict[str, Any]:
    """Return where a step stands among the others; see `standalone_steps.answer`."""
    data: dict[str, Any] = {
        "name": step.name,
        "takes": [f.name for f in step.inputs],
        "needs": [f.name for f in step.inputs if not without_none(field_type(f))[1]],
        "makes": [f.name for f in step.makes],
    }
    if step.when is not None:
        data["when"] = step.when.model_dump(mode="json")
    if step.each is not None:
        data["each"] = step.each.model_dump(mode="json")
    return data


def _search(step: StepSpec) -> dict[str, Any]:
    """Return what the script has to know of a step that searches; see `standalone_search.Search`."""
    if step.options.retriever != "bm25":
        raise _beyond(step, "searches by meaning")
    if not step.options.corpus.passages:
        raise _beyond(step, "searches a file that is too large to go along")
    return {
        "passages": list(step.options.corpus.passages),
        "k": step.options.k,
        "as_list": field_type(step.answers[0]) is not str,
        "common_words": " ".join(sorted(FUNCTION_WORDS)),
    }


def _step(program: ProgramFile, step: StepSpec, asked: Predict) -> dict[str, Any]:
    """Return what the script has to know of a step; see `standalone_steps.ask`."""
    signature, adapter = asked.signature, asked.adapter or ChatAdapter()
    if type(adapter) not in LAYOUTS:
        raise _beyond(step, "answers in free words that a second call reads")
    if step.model is not None and is_offline(step.model):
        raise _beyond(step, "asks Tuneboard's offline stand-in")
    plan, (before, after) = plan_of(signature), adapter.marks
    for one in plan.inputs:
        kind_of(one.annotation, one.name)
    system, *turns, last = adapter.format(signature, asked.demos, {})
    data: dict[str, Any] = {
        "layout": LAYOUTS[type(adapter)],
        "system": system["content"],
        "examples": turns,
        "inputs": [
            {
                "name": one.name,
                "is_text": one.annotation is str,
                "before": before.format(name=one.name),
                "after": after.format(name=one.name),
            }
            for one in plan.inputs
        ],
        "reminder": last["content"],
        "outputs": {one.name: kind_of(one.annotation, one.name) for one in plan.outputs},
        "asks_for": asks_for(adapter, signature, step.model or program.model),
    }
    if 0 < asked.nearest < len(asked.demos):
        data |= {
            "nearest": asked.nearest,
            "examples": [_example(adapter, asked, demo) for demo in asked.demos],
        }
    if step.model is not None:
        data["model"] = endpoint(step.model)
    return data


def _example(adapter: Adapter, asked: Predict, demo: Any) -> dict[str, Any]:
    """Return one of many examples, with the text by which the nearest are found."""
    turns = adapter.format_demo(asked.signature, demo)
    complete = bool(turns) and not turns[0]["content"].startswith(INCOMPLETE_LEAD)
    text = text_of_values(dict(demo), list(asked.signature.input_fields))
    return {"text": text, "complete": complete, "turns": turns}


# The script


def _parts(described: Sequence[Mapping[str, Any]]) -> Sequence[ModuleType]:
    """Return the parts that a program needs, in the order in which they build on each other."""
    parts = [values, reading, replies]
    if any(step.get("layout") == "xml" for step in described):
        parts.append(tags)
    parts += [calling, step_parts]
    if any("nearest" in step for step in described):
        parts.append(nearest)
    if any("passages" in step for step in described):
        parts.append(search)
    return [*parts, rows]


def _imports(parts: Sequence[ModuleType]) -> str:
    """Return what the parts import of the standard library."""
    lines = {line for part in parts for line in _split(part)[0]}
    named: dict[str, set[str]] = {}
    for line in lines:
        module, _, names = line.removeprefix("from ").partition(" import ")
        if names:
            named.setdefault(module, set()).update(names.split(", "))
    plain = sorted(line for line in lines if line.startswith("import "))
    return "\n".join([*plain, *(f"from {m} import {', '.join(sorted(named[m]))}" for m in sorted(named))])


def _code(part: ModuleType) -> str:
    """Return a part's code, below its imports, under what the part is for."""
    subject = (part.__doc__ or "").partition("\n")[0].partition(": ")[2]
    return f"# {subject[:1].upper()}{subject[1:]}\n\n{_split(part)[1]}"


@cache
def _split(part: ModuleType) -> tuple[tuple[str, ...], str]:
    """Return what a part imports of the standard library, and its code; worked out once a process."""
    source = inspect.getsource(part)
    imports = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
    kept = [n for n in imports if not str(getattr(n, "module", "")).startswith(("engine", "__future__"))]
    code = "\n".join(source.splitlines()[imports[-1].end_lineno or 0 :]).strip("\n")
    # What is said to our own linter is of no use there.
    return tuple(ast.unparse(n) for n in kept), re.sub(r"  # noqa: .*", "", code)


NO_MODEL = (
    "This program was tuned with Tuneboard's offline stand-in, which cannot be asked from here. Say which model to ask: "
    "--base-url http://localhost:11434/v1 --model llama3.2, or --base-url https://api.openai.com/v1 --model gpt-4o-mini "
    "--key-variable OPENAI_API_KEY."
)
HEAD = '''\
"""{title}.

    python program.py {options}
    python program.py rows.csv --output answers.csv

It needs Python 3.9 or newer and nothing else. The model, the prompts and the solved examples are in PROGRAM, just as
they were tuned; the code below it puts a row's values in, asks the model and reads the reply. A reply that cannot be
read is sent back once with what is wrong with it (Tuneboard would then ask once more, for JSON), else the row fails with
its error. The key is read from the environment and is not in this file.
"""

from __future__ import annotations
'''
PROGRAM = """\
# What was tuned. In "examples" and "system" is all that the model is told beside a row's own values.
"""
TAIL = """\
if __name__ == "__main__":
    try:
        sys.exit(main(PROGRAM))
    except KeyboardInterrupt:
        sys.exit(130)
"""
