"""`ReAct`: an agent that thinks, calls a tool, looks at the result, and goes on until it can answer.

`Agent`, `ToolStep` and `Trajectory` are what every agent is made of. Source of the method: Yao et al. 2023, "ReAct:
Synergizing Reasoning and Acting in Language Models".
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import model_serializer

from engine.basics.data import JsonObject
from engine.errors import (
    AdapterParseError,
    ConfigurationError,
    ConstraintError,
    ContextWindowExceededError,
    SandboxError,
    ToolError,
)
from engine.modules.call_range import CallRange
from engine.modules.module import Module
from engine.modules.predict import Answerer, ChainOfThought, Predict
from engine.records import StepState
from engine.signature import (
    AnySignature,
    InputField,
    OutputField,
    Signature,
    ensure_signature,
    make_signature,
)
from engine.signature.prediction import Prediction
from engine.signature.types.base import Part, Type
from engine.tools.function import Tool, as_tool, shown


class ToolStep(Predict):
    """Answer a signature knowing some tools.

    >>> def add(a: int, b: int) -> int:
    ...     "Add two numbers."
    ...     return a + b
    >>> step = ToolStep("question -> call", [Tool(add)])
    >>> step.prompted().instructions.splitlines()[-1]
    '- `add`: Add two numbers. Arguments: {"a":{"type":"integer"},"b":{"type":"integer"}}'
    """

    def __init__(self, signature: Any, tools: Iterable[Tool], **config: Any) -> None:
        super().__init__(signature, **config)
        self.tools: dict[str, Tool] = {tool.name: tool for tool in tools}
        self._shown: tuple[type[Signature], dict[str, Tool], type[Signature]] | None = None

    def prompted(self) -> type[Signature]:
        """Return the signature with the tools written after its instructions."""
        known = self._shown
        if known is None or known[0] is not self.signature or known[1] is not self.tools:
            lines = "\n".join(f"- {tool}" for tool in self.tools.values())
            shown = self.signature.append_instructions(f"{TOOLS_LEAD}\n{lines}")
            self._shown = known = self.signature, self.tools, shown
        return known[2]

    def tunable(self) -> StepState:
        """Return what an optimizer may change: what a step has, and the tools' descriptions."""
        return replace(
            super().tunable(), tool_descriptions={n: t.desc for n, t in self.tools.items() if t.desc}
        )

    def apply(self, changes: StepState) -> None:
        """Take over a candidate's wording, demonstrations and descriptions of tools."""
        super().apply(changes)
        self._describe(changes.tool_descriptions)

    def unplug(self) -> None:
        """Have the tools do nothing, for an estimate: arguments are invented there, and a tool may do things for real."""
        self.tools = {name: _unplugged(tool) for name, tool in self.tools.items()}

    def dump_state(self) -> JsonObject:
        """Return a step's state, with the tools' descriptions; in the instructions they are listed, where DSPy has them."""
        saved = super().dump_state()
        saved["signature"]["instructions"] = self.prompted().instructions
        return {**saved, "tools": {name: tool.desc for name, tool in self.tools.items()}}

    def load_state(self, saved: JsonObject) -> Self:
        """Take over what `dump_state` returned, here or in DSPy; tools themselves are code and are not saved."""
        super().load_state(saved)
        self.signature = self.signature.with_instructions(
            without_tools(self.signature.instructions, self.tools)
        )
        self._describe(saved.get("tools") or {})
        return self

    def _describe(self, texts: Mapping[str, str]) -> None:
        changed = {
            name: text for name, text in texts.items() if name in self.tools and self.tools[name].desc != text
        }
        if changed:
            self.tools = {n: t.described(changed[n]) if n in changed else t for n, t in self.tools.items()}


def without_tools(instructions: str, names: Iterable[str]) -> str:
    """Return instructions without the list of these tools that was written into them, here or by DSPy.

    >>> without_tools("Answer.\\n\\nTools:\\n- `add`: Adds. Arguments: {}", ["add"])
    'Answer.'
    >>> without_tools("The tool must be one of:\\n\\n(1) add. It takes arguments {}.\\nGo on.", ["add"])
    'The tool must be one of those below.\\n\\nGo on.'
    """
    any_name = "|".join(map(re.escape, names))
    ours = rf"\n\n{TOOLS_LEAD}\n(?:- `(?:{any_name})`: [^\n]*(?:\n|\Z))+\Z"
    theirs = rf"^(?:\(\d+\) (?:{any_name})(?:\.|, whose description is) |- `(?:{any_name})\()[^\n]*(?:\n|\Z)"
    cleaned = re.sub(theirs, "", re.sub(ours, "", instructions), flags=re.MULTILINE)
    return instructions if cleaned == instructions else cleaned.replace(THEIR_LEAD, OUR_LEAD).strip()


def _unplugged(tool: Tool) -> Tool:
    unplugged = copy.copy(tool)
    unplugged.func, unplugged._awaits = _nothing, False
    return unplugged


def _nothing(*_args: object, **_kwargs: object) -> str:
    return ""


TOOLS_LEAD = "Tools:"
THEIR_LEAD, OUR_LEAD = "must be one of:", "must be one of those below."
"""The text before the list of tools in DSPy's instructions for ReAct, and its replacement."""

OUTPUT_LIMIT = 10_000
"""Characters of one observation that are shown to the model."""

_SHORTENINGS = 3


class Trajectory:
    """Steps under the names `thought_0`, `observation_0` and so on.

    >>> log = Trajectory()
    >>> log.add(thought="Look it up.", observation="42")
    >>> log.steps["observation_0"], log.text()
    ('42', 'Step 1\\nThought: Look it up.\\nObservation: 42')
    """

    def __init__(self) -> None:
        self.steps: JsonObject = {}
        self._texts: list[str] = []
        self._media: list[list[Type]] = []
        self._count = 0

    def add(self, **parts: object) -> None:
        """Note one step; the parts stay in their order. An `observation` may be anything, also a picture or several."""
        lines = [f"Step {self._count + 1}"]
        media: list[Type] = []
        for name, value in parts.items():
            self.steps[f"{name}_{self._count}"] = value
            shown_media = media_of(value) if name == "observation" else []
            text = ", ".join(type(one).__name__ for one in shown_media) or shown(value, 2 * OUTPUT_LIMIT)
            lines.append(f"{name.replace('_', ' ').capitalize()}: {text}")
            media += shown_media
        self._texts.append("\n".join(lines))
        self._media.append(media)
        self._count += 1

    def text(self) -> str:
        """Return the steps for a prompt."""
        return "\n\n".join(self._texts) or NOTHING_YET

    def shown(self) -> Any:
        """Return the steps for a prompt: their text, with the pictures and files that tools returned, if any."""
        if not any(self._media):
            return self.text()
        return StepsShown(texts=tuple(self._texts), media=tuple(map(tuple, self._media)))

    def shorten(self) -> bool:
        """Leave the oldest step out of the text; False when there is only one left."""
        if len(self._texts) < 2:
            return False
        del self._texts[0], self._media[0]
        return True

    async def ask(self, step: Module, inputs: Mapping[str, object], **more: object) -> Prediction:
        """Call a step with the text; when the model's context is too small for it, with the oldest steps left out.

        Raises ContextWindowExceededError when that does not help.
        """
        for left in reversed(range(_SHORTENINGS + 1)):
            try:
                prediction: Prediction = await step.acall(**inputs, **more, trajectory=self.shown())
                return prediction
            except ContextWindowExceededError:
                if not left or not self.shorten():
                    raise
        raise AssertionError("unreachable")

    async def next_step(self, step: Module, inputs: Mapping[str, object]) -> Prediction | None:
        """Ask for the next step; None where it cannot be read and what was found out so far may do for an answer."""
        try:
            return await self.ask(step, inputs)
        except AdapterParseError:
            if not self._count:
                raise
            return None


class StepsShown(Type):
    """Steps with what tools returned besides text; saved as their text."""

    texts: tuple[str, ...]
    media: tuple[tuple[Any, ...], ...]

    def format(self) -> list[Part]:
        """Return the steps as parts of a message, each followed by its pictures and files."""
        parts: list[Part] = []
        for i, (text, found) in enumerate(zip(self.texts, self.media, strict=True)):
            lead = "\n\n" if i else ""
            parts.append({"type": "text", "text": f"{lead}{text}"})
            parts += [part for one in found for part in one.format()]
        return parts

    @model_serializer
    def _as_text(self) -> str:
        return "\n\n".join(self.texts)


def media_of(value: object) -> list[Type]:
    """Return the pictures, files and the like that a value is or lists; none where it is, or holds, anything else."""
    items = list(value) if isinstance(value, list | tuple) else [value]
    media = [one for one in items if isinstance(one, Type) and isinstance(one.format(), list)]
    return media if len(media) == len(items) else []


def observed(result: object) -> object:
    """Return what a tool returned, or, where that is too long for a prompt, its ends as text.

    >>> observed({"a": 1})
    {'a': 1}
    """
    if media_of(result):
        return result
    text = shown(result, OUTPUT_LIMIT)
    return text if len(text) > OUTPUT_LIMIT else result


def failed(error: BaseException, limit: int = OUTPUT_LIMIT) -> str:
    """Return an error as an observation.

    >>> failed(ToolError("The tool 'add' failed."))
    "ToolError: The tool 'add' failed."
    """
    return shown(f"{type(error).__name__}: {error}", limit)


NOTHING_YET = "(nothing yet)"


class Agent(Answerer):
    """Base of modules that work in at most `max_iters` steps, one call each, and answer with one call more."""

    def __init__(self, signature: AnySignature, max_iters: int) -> None:
        super().__init__()
        self.signature = ensure_signature(signature)
        self.max_iters = max_iters

    @property
    def call_range(self) -> CallRange:
        """One step and the answer at least, `max_iters` steps and the answer at most."""
        return CallRange(2, self.max_iters + 1)

    def inputs(self, given: Mapping[str, object]) -> JsonObject:
        """Return those of a call's arguments that are inputs."""
        return {name: value for name, value in given.items() if name in self.signature.input_fields}

    def most_steps(self, given: JsonObject) -> int:
        """Return the limit of one call, taking `max_iters` out of its arguments."""
        is_given = "max_iters" in given and "max_iters" not in self.signature.input_fields
        most: int = given.pop("max_iters") if is_given else self.max_iters
        return most


def inputs_and(signature: type[Signature], instructions: str, **more: object) -> type[Signature]:
    """Return a signature with the inputs of another, and more fields: name=(type, field)."""
    inputs = {name: (signature.annotation(name), field) for name, field in signature.input_fields.items()}
    return make_signature({**inputs, **more}, instructions)


def named(fields: Iterable[str]) -> str:
    """Return names of fields for an instruction."""
    return ", ".join(f"`{name}`" for name in fields)


class ReAct(Agent):
    """Answer a signature with the help of tools (functions or `engine.Tool`s), in at most `max_iters` steps.

    Each step is one call, and one more writes the answer; a call may bring another `max_iters`. The answer holds the
    outputs, `reasoning`, and `trajectory`: thought_0, tool_name_0, tool_args_0, observation_0 and so on, as the tools
    returned it (where it is too long for a prompt, its ends as text). The model sees the pictures and files that a tool
    returns. A tool that fails or hangs is an observation, with the error's name. The steps inside are `react` and
    `extract.predict`; the tools' descriptions are tuned with `react`.

    >>> from engine import context
    >>> from engine.testing import ScriptedLM
    >>> def add(a: int, b: int) -> int:
    ...     return a + b
    >>> calls = [
    ...     {"next_thought": "Add.", "next_tool_name": "add", "next_tool_args": {"a": 2, "b": 2}},
    ...     {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}},
    ...     {"reasoning": "The tool said so.", "answer": 4},
    ... ]
    >>> with context(lm=ScriptedLM(calls)):
    ...     result = ReAct("question -> answer: int", tools=[add])(question="2 + 2?")
    >>> result.answer, result.trajectory["observation_0"]
    (4, 4)
    """

    def __init__(self, signature: AnySignature, tools: Sequence[object], max_iters: int = 20) -> None:
        super().__init__(signature, max_iters)
        self.react = ToolStep(_acting(self.signature), _with_finish(tools, self.signature))
        names: object = Literal[tuple(self.react.tools)]
        self.react.signature = self.react.signature.with_updated_fields("next_tool_name", names)
        done = InputField(desc="What was done and found out")
        place = len(self.signature.input_fields)
        self.extract = ChainOfThought(self.signature.insert(place, "trajectory", done, str))

    @property
    def tools(self) -> dict[str, Tool]:
        """The tools by name, `finish` among them."""
        return self.react.tools

    async def aforward(self, **kwargs: object) -> Prediction:
        """Act until the model says it is done, then answer."""
        most = self.most_steps(kwargs)
        log = Trajectory()
        for _ in range(most):
            step = await log.next_step(self.react, kwargs)
            if step is None:
                break
            name, args = step.next_tool_name, step.next_tool_args or {}
            try:
                seen = observed(await self.react.tools[name].acall(**args))
            except (ToolError, SandboxError, AdapterParseError, ConstraintError) as error:
                # An agent may learn from it; from a spent budget or a model that is gone it may not.
                seen = failed(error)
            log.add(thought=step.next_thought, tool_name=name, tool_args=args, observation=seen)
            if name == FINISH:
                break
        answer = await log.ask(self.extract, kwargs)
        return Prediction.of({**answer, "trajectory": log.steps})


def _with_finish(tools: Sequence[object], signature: type[Signature]) -> list[Tool]:
    made_tools = [as_tool(tool) for tool in tools]
    names = [tool.name for tool in made_tools]
    for name in names:
        if names.count(name) > 1 or name == FINISH:
            raise ConfigurationError(
                f"Two tools are called {name!r}. Give one another name: Tool(function, name=...)."
            )
    return [*made_tools, Tool(_finish, FINISH, FINISH_DESC.format(outputs=named(signature.output_fields)))]


async def _finish() -> str:
    return FINISHED


def _acting(signature: type[Signature]) -> type[Signature]:
    guide = ACTING.format(inputs=named(signature.input_fields), outputs=named(signature.output_fields))
    return inputs_and(
        signature,
        f"{signature.instructions}\n\n{guide}",
        trajectory=(str, InputField(desc="What was done so far")),
        next_thought=(str, OutputField()),
        next_tool_name=(str, OutputField()),
        next_tool_args=(JsonObject, OutputField(desc="Arguments by name, as JSON")),
    )


ACTING = """\
You work in steps. You are given {inputs} and, in `trajectory`, what you did so far. Your aim is to find out all that is \
needed to give {outputs}.
In each step write in next_thought what you know and what to do next, then name one tool and its arguments. Its result \
will be added to the trajectory. When you know enough, call the tool finish."""
FINISH_DESC = "Says that you know enough to give {outputs}."
FINISH = "finish"
FINISHED = "Done."
"""The return value of `finish`; compared by identity, since a tool may return the same words."""
