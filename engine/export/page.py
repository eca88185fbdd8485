"""A program as a Markdown page for a wiki or a review."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import orjson

from engine.basics.text import visible
from engine.export.formats import ExportFormat
from engine.export.program import ProgramFile
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.records import json_form

if TYPE_CHECKING:
    from engine.records import StepState


def markdown_page(program: ProgramFile) -> str:
    """Return the page's text."""
    about = program.metadata
    lines = [f"# {markdown_text(str(about.get('title') or 'Tuned program'))}", ""]
    if about.get("verdict"):
        lines += [markdown_text(str(about["verdict"])), ""]
    facts = {
        "Model": program.model.name if program.model else None,
        "Tuned with": about.get("optimizer"),
        "Scored by": about.get("metric"),
        "Layout of messages": program.adapter,
        "Made": about.get("created"),
    }
    lines += [f"- {name}: {markdown_text(str(value))}" for name, value in facts.items() if value]
    tuned = program.candidate.steps
    for step in program.pipeline.steps:
        lines += _step(step)
        for path, state in tuned.items():
            if path.partition(".")[0] == step.name:
                lines += _state(path, state)
    return visible("\n".join(lines).rstrip()) + "\n"


def _step(step: StepSpec) -> Iterator[str]:
    yield from ("", f"## Step {_code(step.name)}", "", f"How it works: {_code(step.strategy)}.", "")
    if step.model is not None:
        yield from (f"It asks its own model: {_code(step.model.name)}.", "")
    yield from _fields("Input", step.inputs)
    yield from _fields("Output", step.outputs)


def _fields(title: str, fields: Sequence[FieldSpec]) -> Iterator[str]:
    yield from (f"| {title} | Type | Meaning |", "| --- | --- | --- |")
    for f in fields:
        kind = " / ".join(f.choices) if f.choices else f.type
        yield f"| {_code(f.name)} | {markdown_text(kind) or ' '} | {markdown_text(f.description) or ' '} |"
    yield ""


def _state(path: str, state: StepState) -> Iterator[str]:
    yield from (f"### Instructions of {_code(path)}", "", *_fenced(state.instructions), "")
    if state.weights:
        yield from (f"A tuned model answers it: {_code(state.weights)}.", "")
    if not state.demos:
        return
    yield from (f"### Solved examples of {_code(path)} ({len(state.demos)})", "")
    for demo in state.demos:
        text = orjson.dumps(
            dict(demo.values), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=json_form
        ).decode()
        yield from (*_fenced(text, "json"), "")


def _fenced(text: str, language: str = "text") -> Iterator[str]:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}{language}", *text.splitlines(), fence)


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"


def markdown_text(text: str) -> str:
    """Return a text on one line with its markup escaped."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&@:/])", r"\\\1", " ".join(text.split()))


FORM = ExportFormat(
    name="markdown",
    title="Markdown page",
    about="Fields, instructions and solved examples as a page for a wiki or a review.",
    file_name="program.md",
    render=markdown_page,
)
