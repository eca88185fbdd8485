"""A tuned program as a standalone Python script: Python 3.9's standard library, no package, no Tuneboard.

The script is PROGRAM, the program as data; the engine's own code that reads replies, fills in values and runs steps;
and what is special to a script (`runner`, `calling`, `stand_ins`). PROGRAM holds all that does not depend on the row: the
adapters themselves write the prompts out when the script is made. No key is in it, only names of environment variables.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

from engine.adapters import Adapter, ChatAdapter, JSONAdapter, XMLAdapter
from engine.adapters.notes import output_note
from engine.adapters.plan import INCOMPLETE_LEAD, plan_of
from engine.errors import ConfigurationError, ProgramFileError
from engine.export.carried import carried
from engine.export.program import ProgramFile, quotable
from engine.export.standalone.runner import option
from engine.export.standalone.stand_ins import HERE, REPLACED
from engine.lm.choice import ModelChoice, find_route, is_offline, is_reasoning_model
from engine.lm.client import make_lm
from engine.lm.exchange import for_reasoning
from engine.modules.predict import Predict
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import StepSpec
from engine.signature.grammar import UNIONS, NoneType, type_text
from engine.similarity import text_of_values

LAYOUTS: dict[type[Adapter], str] = {ChatAdapter: "chat", JSONAdapter: "json", XMLAdapter: "xml"}
BEYOND = {
    "react": "may call tools",
    "program_of_thought": "has code written and run",
    "best_of_n": "has several answers rated",
    "refine": "has its answers rated and improved",
    "tool": "calls a tool",
}
"""Strategy -> what it does that a script without Tuneboard cannot."""

NOWHERE: dict[str, Any] = {"name": "", "url": "", "settings": {}, "key_variable": None, "needs_key": False}
SINGLE = (str, bool, int, float, Any, object, datetime.date, datetime.datetime, datetime.time)
"""Types of single values that a script reads."""


def program_data(program: ProgramFile, *, by_class: bool = False) -> dict[str, Any]:
    """Return what a script has to know of a program: JSON values, and types.

    `by_class`: the types of the answer are those of a class, which the script has. Raises ProgramFileError, naming the step, the field or the model, for what takes more than asking a model.
    """
    pipeline = program.pipeline
    for step in pipeline.steps:
        if step.strategy in BEYOND:
            raise _unsupported(step, BEYOND[step.strategy])
    built = {path.partition(".")[0]: one for path, one in program.build().named_predictors()}
    # The allowed values of an input are not enforced.
    inputs = {f.name: str if f.type == "str" else field_type(f) for f in pipeline.inputs}
    steps = [
        _search(step) if step.strategy == "retrieve" else _step(program, step, built[step.name])
        for step in pipeline.steps
    ]
    if by_class and "outputs" in steps[-1]:
        steps[-1]["outputs"] = dict.fromkeys(steps[-1]["outputs"], Any)
    types = [*inputs.items()]
    for data in steps:
        types += [*data["takes"].items(), *data.get("outputs", {}).items()]
    return {
        "model": endpoint(program.model),
        "no_model": NO_MODEL,
        "inputs": inputs,
        "outputs": [f.name for f in pipeline.outputs],
        "steps": steps,
        "notes": noted(types),
    }


def _unsupported(step: StepSpec, what: str) -> ProgramFileError:
    return ProgramFileError(
        f"The step {step.name!r} {what}, which a script without Tuneboard cannot. Take the Python script with Tuneboard."
    )


def _wiring(step: StepSpec) -> dict[str, object]:
    """Return a step's name, what it makes, and when it runs."""
    rules = {"when": step.when, "each": step.each}
    described = {name: rule.model_dump(mode="json") for name, rule in rules.items() if rule is not None}
    return {"name": step.name, "makes": [f.name for f in step.makes], **described}


def _search(step: StepSpec) -> dict[str, Any]:
    """Return the data of a step that searches."""
    if step.options.retriever != "bm25":
        raise _unsupported(step, "searches by meaning")
    if not step.options.corpus.passages:
        raise _unsupported(step, "searches a file that is too large to go along")
    return {
        **_wiring(step),
        "takes": {f.name: field_type(f) for f in step.inputs},
        "passages": list(step.options.corpus.passages),
        "k": step.options.k,
        "as_list": field_type(step.answers[0]) is not str,
    }


def _step(program: ProgramFile, step: StepSpec, asked: Predict) -> dict[str, Any]:
    """Return the data of a step that asks a model."""
    signature, adapter = asked.signature, asked.adapter or ChatAdapter()
    if type(adapter) not in LAYOUTS:
        raise _unsupported(step, "answers in free words that a second call reads")
    if step.model is not None and is_offline(step.model):
        raise _unsupported(step, "asks Tuneboard's offline stand-in")
    plan, model = plan_of(signature), step.model or program.model
    system, *turns, last = adapter.format(signature, asked.demos, {})
    data: dict[str, object] = {
        **_wiring(step),
        "takes": {one.name: one.annotation for one in plan.inputs},
        "outputs": {one.name: one.annotation for one in plan.outputs},
        "layout": LAYOUTS[type(adapter)],
        "marks": list(adapter.marks),
        "system": system["content"],
        "examples": turns,
        "reminder": last["content"],
        "asks_for": {} if model is None or is_offline(model) else adapter.params(signature, make_lm(model)),
    }
    if 0 < asked.nearest < len(asked.demos):
        data |= {"nearest": asked.nearest, "examples": [_example(adapter, asked, one) for one in asked.demos]}
    if step.model is not None:
        data["model"] = endpoint(step.model)
    return data


def _example(adapter: Adapter, asked: Predict, demo: Any) -> dict[str, Any]:
    """Return one of many examples, with the text by which the nearest are found."""
    turns = adapter.format_demo(asked.signature, demo)
    complete = bool(turns) and not turns[0]["content"].startswith(INCOMPLETE_LEAD)
    text = text_of_values(dict(demo), list(asked.signature.input_fields))
    return {"text": text, "complete": complete, "turns": turns}


# Types


def noted(fields: Iterable[tuple[str, object]]) -> dict[Any, str]:
    """Return what values of some fields' types must be, and of the types in them, as errors put it.

    Raises ProgramFileError, naming the field, for a type that takes Tuneboard.
    """
    every = (one for name, kind in fields for one in _types_inside(kind, name))
    return {one: note for one in every if (note := output_note(one))}


def _types_inside(annotation: object, name: str) -> Iterator[Any]:
    """Yield a type, and the types in it. Raises ProgramFileError, naming the field, for one that takes Tuneboard."""
    origin, args = get_origin(annotation), get_args(annotation)
    container: object = origin or annotation
    inside: tuple[object, ...] = ()
    if origin in UNIONS:
        inside = tuple(one for one in args if one is not NoneType)
    elif container is list or (container is dict and (not args or args[0] in (str, Any))):
        inside = args[-1:]
    elif not (origin is Literal and all(isinstance(value, str | int) for value in args)) and not any(
        annotation is one for one in SINGLE
    ):
        raise ProgramFileError(
            f"The field {name!r} holds {type_text(annotation)}, which a script without Tuneboard cannot read. "
            "Take the Pydantic module (records), or the Python script with Tuneboard."
        )
    yield annotation
    for one in inside:
        yield from _types_inside(one, name)


# Models


def endpoint(model: ModelChoice | None) -> dict[str, Any]:
    """Return a model's name there, its address, its settings and where its key is; empty for the offline stand-in.

    Raises ProgramFileError for a provider with another protocol.

    >>> endpoint(ModelChoice(name="openai/gpt-4o-mini", temperature=0.5))["url"]
    'https://api.openai.com/v1/chat/completions'
    """
    if model is None or is_offline(model):
        return dict(NOWHERE)
    try:
        route = find_route(model.name, model.base_url)
    except ConfigurationError as error:
        raise ProgramFileError(f"A script cannot ask the program's model: {error}") from error
    if route.protocol != "openai":
        raise ProgramFileError(
            f"The model {model.name!r} does not speak the OpenAI protocol, the only one that a script without "
            "Tuneboard speaks. Take the Python script with Tuneboard."
        )
    settings = model.model_dump(include={"temperature", "max_tokens"}, exclude_none=True)
    if is_reasoning_model(route.model):
        for_reasoning(settings)
    usual = None if route.custom or route.provider is None else route.provider
    return {
        "name": route.model,
        "url": f"{route.base_url}/chat/completions",
        "settings": settings,
        "key_variable": model.key_env or (usual.key_env if usual else None),
        "needs_key": bool(usual and usual.needs_key),
    }


NO_MODEL = (
    "This program was tuned with Tuneboard's offline stand-in, which cannot be asked from here. Say which model to ask: "
    "--base-url http://localhost:11434/v1 --model llama3.2, or --base-url https://api.openai.com/v1 --model gpt-4o-mini "
    "--key-variable OPENAI_API_KEY."
)


PARTS = {
    "chat": "engine.adapters.chat.chat_values",
    "json": "engine.adapters.json.json_values",
    "xml": "engine.adapters.xml.xml_values",
    "nearest": "engine.similarity.NearestTexts",
    "bm25": f"{HERE}.BM25",
}
"""Parts that only some programs need: layouts, the choice of examples, searches."""

ALWAYS = (
    "engine.export.standalone.runner.main",
    "sys",
    "datetime",
    "typing.Any",
    "typing.Literal",
    "typing.Union",
)
WIDTH = 100
SHORT = 30
"""Characters up to which a text stays on one line, its line breaks written as such."""


def standalone_script(program: ProgramFile) -> str:
    """Return a script that answers as the program does, with the same messages to the same model.

    Raises ProgramFileError, naming the step, the field or the model, for what takes more than asking a model.
    """
    data = program_data(program)
    steps = data["steps"]
    wanted = {step.get("layout", "bm25") for step in steps} | {
        "nearest" for step in steps if "nearest" in step
    }
    parts = {name: path for name, path in PARTS.items() if name in wanted}
    imports, code = carried([*ALWAYS, *parts.values()], REPLACED)
    options = " ".join(f'{option(name)} "..."' for name in data["inputs"])
    head = HEAD.format(title=quotable(program.title), options=options)
    named = ", ".join(f'"{name}": {path.rpartition(".")[2]}' for name, path in parts.items())
    return f"{head}\n{imports}\n\n{PROGRAM}PROGRAM: dict[str, Any] = {literal(data)}\n\n{code}\n\n\n{TAIL.format(parts=named)}"


# Values as Python source that a person can read


def literal(value: object, indent: int = 0) -> str:
    """Return a value of JSON types, and types in it, as a Python expression: long lists one item a line.

    >>> made = literal({"name": "gpt", "system": "You are asked to read this" + chr(10) + "text.", "type": int | None})
    >>> print(made.replace('"', "'"))
    {
        'name': 'gpt',
        'system': '''\\
    You are asked to read this
    text.''',
        'type': Union[int, None],
    }
    """
    if isinstance(value, str):
        return _text_literal(value)
    if isinstance(value, dict | list | tuple) and value:
        if isinstance(value, dict):
            items = [f"{literal(key)}: {literal(item, indent + 4)}" for key, item in value.items()]
        else:
            items = [literal(item, indent + 4) for item in value]
        before, after = "{}" if isinstance(value, dict) else "[]"
        short = f"{before}{', '.join(items)}{after}"
        if len(short) + indent <= WIDTH and "\n" not in short:
            return short
        inside = "".join(f"{' ' * (indent + 4)}{item},\n" for item in items)
        return f"{before}\n{inside}{' ' * indent}{after}"
    return (
        type_literal(value) if value is Any or isinstance(value, type) or get_origin(value) else repr(value)
    )


def type_literal(annotation: Any) -> str:
    """Return a type as Python 3.9 writes it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is NoneType:
        return "None"
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin in UNIONS:
        return f"Union[{', '.join(map(type_literal, args))}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(type_literal, args))}]"
    if annotation is Any:
        return "Any"
    return (
        f"datetime.{annotation.__name__}" if annotation.__module__ == "datetime" else str(annotation.__name__)
    )


def _text_literal(text: str) -> str:
    """Return a text's source; one of several lines is written as such unless it holds invisible characters."""
    if "\n" in text and len(text) > SHORT and text.replace("\n", "").isprintable():
        source = re.sub(r'"(?="|\Z)', r'\\"', text.replace("\\", "\\\\"))
        return f'"""\\\n{source}"""'
    shown = repr(text)
    if shown.startswith("'") and '"' not in shown and "\\'" not in shown:
        return f'"{shown[1:-1]}"'
    return shown


HEAD = '''\
"""{title}.

    python program.py {options}
    python program.py rows.csv --output answers.csv

It needs Python 3.9 or newer and nothing else. The model, the prompts and the solved examples are in PROGRAM, just as
they were tuned; the code below it, which is Tuneboard's own, puts a row's values in, asks the model and reads the reply.
A reply that cannot be read is sent back once with what is wrong with it (Tuneboard would then ask once more, for JSON),
else the row fails with its error. The key is read from the environment and is not in this file.
"""

from __future__ import annotations
'''
PROGRAM = """\
# The tuned program. The model is given "system" and "examples", and a row's own values.
"""
TAIL = """\
if __name__ == "__main__":
    try:
        sys.exit(main(PROGRAM, {{{parts}}}))
    except KeyboardInterrupt:
        sys.exit(130)
"""
