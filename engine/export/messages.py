"""The exact messages of every step: as text, as data, and as the bodies of requests in any language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.basics.text import visible
from engine.errors import EngineError
from engine.export.formats import ExportFormat
from engine.export.program import ProgramFile, json_text
from engine.export.weights import portable
from engine.lm.choice import ModelChoice
from engine.registry import get_adapter

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.modules.step import Step


def step_messages(program: ProgramFile) -> dict[str, list[dict[str, object]]]:
    """Return each step's messages by path, as its adapter lays them out; inputs stand as `{name}`."""
    adapter = get_adapter(program.adapter)()
    messages = {}
    for path, step in program.build().named_predictors():
        messages[path] = _messages(step.adapter or adapter, step)
    return messages


def _messages(adapter: Adapter, step: Step) -> list[dict[str, object]]:
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
    return json_text(step_messages(program))


def messages_text(program: ProgramFile) -> str:
    """Return every step's messages as text, each under its role."""
    parts = []
    for path, messages in step_messages(program).items():
        parts.append(f"===== {path} =====")
        for message in messages:
            content = message["content"]
            text = content if isinstance(content, str) else json_text(content)
            parts.append(f"--- {message['role']} ---\n{text}")
    return visible("\n\n".join(parts)) + "\n"


def openai_requests(program: ProgramFile) -> str:
    """Return the JSON body of a chat completions request for each step by path; several demonstrations are turns of it."""
    program = portable(program)
    step_models = {step.name: step.model for step in program.pipeline.steps}
    bodies = {}
    for path, messages in step_messages(program).items():
        model = (
            step_models.get(path.partition(".")[0]) or program.model or ModelChoice(name="openai/gpt-4o-mini")
        )
        chosen = model.model_dump(include={"temperature", "max_tokens"}, exclude_none=True)
        bodies[path] = {"model": model.name.partition("/")[2] or model.name, **chosen, "messages": messages}
    return json_text(bodies)


TEXT = ExportFormat(
    name="messages",
    title="Messages",
    about="The exact messages of every step, to read or to paste.",
    file_name="messages.txt",
    render=messages_text,
)
JSON = ExportFormat(
    name="messages_json",
    title="Messages as JSON",
    about="The same messages as data.",
    file_name="messages.json",
    render=messages_json,
)
REQUESTS = ExportFormat(
    name="openai_request",
    title="Request bodies",
    about="A chat completions request for every step, for any language that can send one.",
    file_name="openai_request.json",
    render=openai_requests,
)
