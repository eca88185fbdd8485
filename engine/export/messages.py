"""The exact messages a tuned program sends, with `{name}` where an input's value goes: as text, as JSON, as request bodies.

For using a tuned prompt without Tuneboard, from any language. It knows program files and adapters, and sends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from engine.errors import EngineError
from engine.export.program import ProgramFile
from engine.registry import get_adapter

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.choice import ModelChoice
    from engine.modules.predict import Predict


def step_messages(program: ProgramFile) -> dict[str, list[dict[str, Any]]]:
    """Return each step's messages by path, as its adapter lays them out; inputs stand as `{name}`.

    >>> from engine.pipeline.build import build_program
    >>> from engine.export.program import program_file
    >>> from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
    >>> step = StepSpec(name="route", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="team"),))
    >>> spec = PipelineSpec(steps=(step,))
    >>> messages = step_messages(program_file(spec, build_program(spec).candidate()))["route"]
    >>> [m["role"] for m in messages], "{text}" in messages[-1]["content"]
    (['system', 'user'], True)
    """
    adapter = get_adapter(program.adapter)()
    found = {}
    for path, step in program.build().named_predictors():
        found[path] = _messages(step.adapter or adapter, step)
    return found


def _messages(adapter: Adapter, step: Predict) -> list[dict[str, Any]]:
    signature = step.prompted()
    inputs: dict[str, str] = {}
    media = []
    for name in signature.input_fields:
        try:
            adapter.format(signature, (), {name: f"{{{name}}}"})
            inputs[name] = f"{{{name}}}"
        except EngineError:
            media.append(name)  # a picture or the like has no name that could stand for it inside a text
    messages = adapter.format(signature, step.demos, inputs)
    before, after = adapter.marks
    sections = "".join(f"{before}{{{{{{name}}}}}}{after}".format(name=name) for name in media)
    return [*messages[:-1], {**messages[-1], "content": f"{sections}{messages[-1]['content']}"}]


def messages_json(program: ProgramFile) -> str:
    """Return every step's messages as JSON by path."""
    return _json(step_messages(program))


def messages_text(program: ProgramFile) -> str:
    """Return every step's messages as text, each under its role."""
    parts = []
    for path, messages in step_messages(program).items():
        parts.append(f"===== {path} =====")
        parts += [f"--- {message['role']} ---\n{_shown(message['content'])}" for message in messages]
    return "\n\n".join(parts) + "\n"


def openai_requests(program: ProgramFile) -> str:
    """Return the JSON body of a chat completions request for each step by path; several demonstrations are turns of it."""
    own = {step.name: step.model for step in program.pipeline.steps}
    bodies = {
        path: {**_settings(own.get(path.partition(".")[0]) or program.model), "messages": messages}
        for path, messages in step_messages(program).items()
    }
    return _json(bodies)


def _settings(model: ModelChoice | None) -> dict[str, Any]:
    name = model.name.partition("/")[2] or model.name if model else "gpt-4o-mini"
    chosen = model.model_dump(include={"temperature", "max_tokens"}, exclude_none=True) if model else {}
    return {"model": name, **chosen}


def _shown(content: Any) -> str:
    return content if isinstance(content, str) else _json(content)


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"
