"""A tuned program as one Markdown page, for a wiki, a review or a repository: fields, instructions, solved examples.

Everything that users or models wrote is in fenced blocks, so that none of it is read as Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import orjson

from engine.export.program import ProgramFile
from engine.pipeline.spec import FieldSpec, StepSpec

if TYPE_CHECKING:
    from engine.records import StepState


def markdown_page(program: ProgramFile) -> str:
    """Return the page's text.

    >>> from engine.pipeline.build import build_program
    >>> from engine.export.program import program_file
    >>> from engine.pipeline.spec import PipelineSpec
    >>> step = StepSpec(name="route", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="team"),))
    >>> spec = PipelineSpec(steps=(step,))
    >>> print(markdown_page(program_file(spec, build_program(spec).candidate())).splitlines()[0])
    # Tuned program
    """
    about = program.metadata
    lines = [f"# {_inline(str(about.get('title') or 'Tuned program'))}", ""]
    if about.get("verdict"):
        lines += [_inline(str(about["verdict"])), ""]
    facts = {
        "Model": program.model.name if program.model else None,
        "Tuned with": about.get("optimizer"),
        "Scored by": about.get("metric"),
        "Layout of messages": program.adapter,
        "Made": about.get("created"),
    }
    lines += [f"- {name}: {_inline(str(value))}" for name, value in facts.items() if value]
    tuned = program.tuned().steps
    for step in program.pipeline.steps:
        lines += _step(step)
        for path, state in tuned.items():
            if path.partition(".")[0] == step.name:
                lines += _state(path, state)
    return "\n".join(lines).rstrip() + "\n"


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
        yield f"| {_code(f.name)} | {_cell(kind)} | {_cell(f.description)} |"
    yield ""


def _state(path: str, state: StepState) -> Iterator[str]:
    yield from (f"### Instructions of {_code(path)}", "", *_fenced(state.instructions), "")
    if not state.demos:
        return
    yield from (f"### Solved examples of {_code(path)} ({len(state.demos)})", "")
    for demo in state.demos:
        text = orjson.dumps(
            dict(demo.values), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str
        ).decode()
        yield from (*_fenced(text, "json"), "")


def _fenced(text: str, language: str = "text") -> Iterator[str]:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}{language}", *text.splitlines(), fence)


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"


def _inline(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&@:/])", r"\\\1", " ".join(text.split()))


def _cell(text: str) -> str:
    return _inline(text) or " "
