"""One row through a program's steps: prompts filled in, models asked over `calling`, replies read.

The code is copied into exported scripts, with the engine's own that it uses; see `engine.export.carried`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from engine.adapters.base import feedback_turns
from engine.adapters.notes import without_none
from engine.adapters.plan import MISSING, read_fields
from engine.adapters.reading import reader_for
from engine.adapters.values import format_value
from engine.errors import AdapterParseError
from engine.export.standalone.calling import complete
from engine.export.standalone.stand_ins import NOTES
from engine.pipeline.build import run_steps
from engine.similarity import text_of_values


class Field:
    """A field of a step: its name, its type, and how an output is read."""

    rules = ""

    def __init__(self, name: str, annotation: Any) -> None:
        self.name, self.annotation, self.reader = name, annotation, reader_for(annotation)

    def default(self) -> Any:
        """Return the value of an output that a reply leaves out, or MISSING if it must be there."""
        return None if without_none(self.annotation)[1] else MISSING


class Program:
    """PROGRAM, ready to answer; `parts` are what only some programs need: layouts, searches."""

    def __init__(self, data: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
        NOTES.update(data["notes"])
        self.data, self.parts = data, parts
        self.inputs = [Field(name, kind) for name, kind in data["inputs"].items()]
        self.steps = [self.step(one) for one in data["steps"]]

    def step(self, data: Mapping[str, Any]) -> SimpleNamespace:
        """Return a step in the form in which `run_steps` takes it."""
        step = SimpleNamespace(**{**data, "when": None, "each": None})
        for name in ("when", "each"):
            if name in data:
                setattr(step, name, SimpleNamespace(**data[name]))
        step.inputs = [Field(name, kind) for name, kind in data["takes"].items()]
        step.makes = step.answers = [SimpleNamespace(name=name) for name in data["makes"]]
        if "passages" in data:
            step.search = self.parts["bm25"](data["passages"], data["k"])
            return step
        step.outputs = [Field(name, kind) for name, kind in data["outputs"].items()]
        step.read = self.parts[data["layout"]]
        if "nearest" in data:
            step.near = self.parts["nearest"]([one["text"] for one in data["examples"]])
        return step

    def answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the program's answer to one row: every step's fields, the last step's last. Raises EngineError."""
        return asyncio.run(run_steps(self, row, ask))  # type: ignore[arg-type]  # a pipeline in all that is used of it


async def ask(step: Any, calls: list[dict[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return a step's answer to each of its calls, one after the other."""
    return [search(step, given) if "passages" in vars(step) else asked(step, given) for given in calls]


def search(step: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the passages nearest to a step's first input, as its output."""
    query = given.get(step.inputs[0].name)
    text = " ".join(map(str, query)) if isinstance(query, list | tuple) else str(query)
    found = step.search.find(text) if query else []
    return {step.makes[0].name: found if step.as_list else format_value(found, str)}


def asked(step: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's answer; a reply that cannot be used is sent back once with what is wrong with it."""
    messages: list[Mapping[str, Any]] = prompt(step, given)
    reply, ended = complete(step.model, messages, step.asks_for)
    try:
        return read(step, reply)
    except AdapterParseError as error:
        messages += feedback_turns(reply, f"{error} {ended}".strip())
    reply, ended = complete(step.model, messages, step.asks_for)
    try:
        return read(step, reply)
    except AdapterParseError as error:
        problem = f"The step {step.name!r} was asked twice. {error} {ended}".strip()
        raise AdapterParseError(problem, reply=reply) from None


def read(step: Any, reply: str) -> dict[str, Any]:
    """Return the typed fields of a reply. Raises AdapterParseError that names all that is wrong."""
    found, decoded = step.read(step.outputs, reply)
    return read_fields(step.outputs, found, reply, decoded=decoded)


def prompt(step: Any, given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the messages: the system's, the solved examples as turns, then the inputs."""
    parts = []
    for one in step.inputs:
        if one.name in given:
            before, after = (mark.format(name=one.name) for mark in step.marks)
            parts.append(before + format_value(given[one.name], one.annotation) + after)
    user = {"role": "user", "content": "".join(parts) + step.reminder}
    return [{"role": "system", "content": step.system}, *examples(step, given), user]


def examples(step: Any, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the solved examples as turns: all, or those most like the inputs with the nearest last."""
    if "near" not in vars(step):
        return list(step.examples)
    places = step.near.nearest(text_of_values(given, [one.name for one in step.inputs]), step.nearest)
    found = [step.examples[place] for place in reversed(places)]
    found.sort(key=lambda one: bool(one["complete"]))  # incomplete ones come first
    return [turn for one in found for turn in one["turns"]]
