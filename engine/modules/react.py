"""`ReAct`: an agent that thinks, calls a tool, looks at the result, and goes on until it can answer.

Source of the method: Yao et al. 2023, "ReAct: Synergizing Reasoning and Acting in Language Models".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from engine.errors import AdapterParseError, ConfigurationError
from engine.modules.call_range import CallRange
from engine.modules.chain_of_thought import ChainOfThought
from engine.modules.module import Module
from engine.modules.trajectory import ToolStep, Trajectory, observed
from engine.prediction import Prediction
from engine.signature import InputField, OutputField, Signature, ensure_signature, make_signature
from engine.tools.function import Tool, as_tool

FINISH = "finish"
FINISHED = "Done."
"""What `finish` returns; known by identity, since a tool may return the same words."""


class ReAct(Module):
    """Answer a signature with the help of tools (functions or `engine.Tool`s), in at most `max_iters` steps.

    Each step is one call, and one more writes the answer; a call may bring its own `max_iters`. The answer holds the
    outputs, `reasoning`, and `trajectory`: thought_0, tool_name_0, tool_args_0, observation_0 and so on. A tool that
    fails, hangs or returns too much is an observation, with the error's name. The steps inside are `react` and
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
    (4, '4')
    """

    def __init__(self, signature: Any, tools: Sequence[Any], max_iters: int = 20) -> None:
        super().__init__()
        self.signature = ensure_signature(signature)
        self.max_iters = max_iters
        self.react = ToolStep(_acting(self.signature), _with_finish(tools, self.signature))
        names: Any = Literal[tuple(self.react.tools)]
        self.react.signature = self.react.signature.with_updated_fields("next_tool_name", names)
        self.extract = ChainOfThought(_extracting(self.signature))

    @property
    def tools(self) -> dict[str, Tool]:
        """The tools by name, `finish` among them."""
        return self.react.tools

    @property
    def call_range(self) -> CallRange:
        """One step and the answer at least, `max_iters` steps and the answer at most."""
        return CallRange(2, self.max_iters + 1)

    async def aforward(self, **kwargs: Any) -> Prediction:
        """Act until the model says it is done, then answer."""
        own = "max_iters" in kwargs and "max_iters" not in self.signature.input_fields
        most = kwargs.pop("max_iters") if own else self.max_iters
        log = Trajectory()
        for i in range(most):
            try:
                step = await log.ask(self.react, kwargs)
            except AdapterParseError:
                if i == 0:
                    raise
                break  # what was found out so far may do for an answer
            name, args = step.next_tool_name, step.next_tool_args or {}
            seen = await observed(self.react.tools[name], args)
            log.add(thought=step.next_thought, tool_name=name, tool_args=args, observation=seen)
            if name == FINISH:
                break
        answer = await log.ask(self.extract, kwargs)
        return Prediction.of({**answer, "trajectory": log.steps})


def _with_finish(tools: Sequence[object], signature: type[Signature]) -> list[Tool]:
    found = [as_tool(tool) for tool in tools]
    names = [tool.name for tool in found]
    for name in names:
        if names.count(name) > 1 or name == FINISH:
            raise ConfigurationError(
                f"Two tools are called {name!r}. Give one another name: Tool(function, name=...)."
            )
    outputs = ", ".join(f"`{name}`" for name in signature.output_fields)
    return [*found, Tool(_finish, FINISH, FINISH_DESC.format(outputs=outputs))]


async def _finish() -> str:
    return FINISHED


def _acting(signature: type[Signature]) -> type[Signature]:
    inputs = ", ".join(f"`{name}`" for name in signature.input_fields)
    outputs = ", ".join(f"`{name}`" for name in signature.output_fields)
    guide = ACTING.format(inputs=inputs, outputs=outputs)
    fields: dict[str, object] = {
        name: (signature.annotation(name), field) for name, field in signature.input_fields.items()
    }
    fields["trajectory"] = (str, InputField(desc="What was done so far"))
    fields["next_thought"] = (str, OutputField())
    fields["next_tool_name"] = (str, OutputField())
    fields["next_tool_args"] = (dict[str, Any], OutputField(desc="Arguments by name, as JSON"))
    return make_signature(fields, f"{signature.instructions}\n\n{guide}")


def _extracting(signature: type[Signature]) -> type[Signature]:
    place = len(signature.input_fields)
    return signature.insert(place, "trajectory", InputField(desc="What was done and found out"), str)


ACTING = """\
You work in steps. You are given {inputs} and, in `trajectory`, what you did so far. Your aim is to find out all that is \
needed to give {outputs}.
In each step write in next_thought what you know and what to do next, then name one tool and its arguments. Its result \
will be added to the trajectory. When you know enough, call the tool finish."""
FINISH_DESC = "Says that you know enough to give {outputs}."
