"""`ReActV2`: DSPy's agent that keeps its steps as a conversation and hands its answer to a tool named `submit`.

`engine.ReAct` is the engine's own agent: its steps are one text, its answer is a separate call, and optimizers tune it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from engine.basics.data import JsonObject, Values
from engine.errors import (
    AdapterParseError,
    ConfigurationError,
    ContextWindowExceededError,
    RunError,
    SignatureError,
)
from engine.modules.predict import Answerer, Predict
from engine.modules.react import inputs_and, named
from engine.signature import InputField, OutputField, Signature, ensure_signature
from engine.signature.prediction import Prediction
from engine.signature.types.textual import History, Reasoning
from engine.signature.types.tool import ToolCall, ToolCallResults, ToolCalls
from engine.tools.function import Tool, as_tool

SUBMIT = "submit"


class ReActV2(Answerer):
    """Answer a signature with tools, in at most `max_iters` turns that are kept in a History.

    The prediction holds the outputs, `history` and `termination_reason`; give `history` back to go on.

    >>> from engine import context
    >>> from engine.testing import DummyLM
    >>> submit = {"tool_calls": [{"name": "submit", "args": {"answer": "4"}}]}
    >>> with context(lm=DummyLM([{"next_thought": "Easy.", "tool_calls": submit}])):
    ...     found = ReActV2("question -> answer", tools=[])(question="2 + 2?")
    >>> found.answer, found.termination_reason, len(found.history.messages)
    ('4', 'submit', 1)
    """

    def __init__(self, signature: Any, tools: Sequence[object], max_iters: int = 20) -> None:
        super().__init__()
        self.signature: type[Signature] = ensure_signature(signature)
        self.max_iters = max_iters
        _check_names(self.signature)
        self.tools: dict[str, Tool] = {tool.name: tool for tool in map(as_tool, tools)}
        if SUBMIT in self.tools:
            raise ConfigurationError("ReActV2: a tool is named 'submit', which is the tool for the answer.")
        self.tools[SUBMIT] = _submit_tool(self.signature)
        self.react = Predict(_turn(self.signature, list(self.tools)))

    async def aforward(self, **given: Any) -> Prediction:
        """Run the agent. Raises RunError if it gives no answer even when asked for one."""
        most = given.pop("max_iters", self.max_iters)
        history = given.pop("history", None) or History(messages=[])
        history = history if isinstance(history, History) else History.model_validate(history)
        waiting = {name: given[name] for name in self.signature.input_fields if name in given}
        reason = "max_iters"
        for turn in range(most):
            try:
                answered = await self._step(history, waiting)
            except (AdapterParseError, ContextWindowExceededError) as error:
                reason = str(error)
                break
            calls = _numbered(answered, turn)
            if not calls.tool_calls:
                reason = "a turn without a call"
                break
            answer = await self._act(calls, answered, history, waiting)
            waiting = {}
            if answer is not None:
                return Prediction(**answer, history=history, termination_reason=SUBMIT)
        return await self._forced(history, waiting, reason, most)

    async def _step(self, history: History, waiting: Values, **config: object) -> Prediction:
        given = {name: waiting.get(name) for name in self.signature.input_fields}
        tools = list(self.tools.values())
        prediction: Prediction = await self.react.acall(history=history, tools=tools, config=config, **given)
        return prediction

    async def _act(
        self, calls: ToolCalls, made: Prediction, history: History, waiting: Values
    ) -> JsonObject | None:
        """Carry out the calls of one turn, note the turn, and return the answer if it was submitted."""
        values: list[object] = []
        failed: list[bool] = []
        answer: JsonObject | None = None
        for call in calls.tool_calls:
            try:
                if call.name not in self.tools:
                    raise ConfigurationError(f"There is no tool {call.name!r}.")
                value = await self.tools[call.name].acall(**call.args)
            except Exception as error:  # noqa: BLE001 - whatever a tool raises is for the model to read
                value, wrong = f"{type(error).__name__}: {error}", True
            else:
                wrong = False
                answer = value if call.name == SUBMIT else answer
            values.append(value)
            failed.append(wrong)
        turn = {**waiting, "next_thought": made.next_thought, "tool_calls": calls, **(answer or {})}
        turn["tool_call_results"] = ToolCallResults.from_tool_calls_and_values(calls, values, failed)
        history.messages.append(turn)
        return answer

    async def _forced(self, history: History, waiting: Values, reason: str, turn: int) -> Prediction:
        """Ask once more, for the answer alone."""
        choice = {"type": "function", "function": {"name": SUBMIT}}
        answered = await self._step(history, waiting, tool_choice=choice)
        calls = [call for call in _numbered(answered, turn).tool_calls if call.name == SUBMIT]
        answer = await self._act(ToolCalls(tool_calls=tuple(calls)), answered, history, waiting)
        if answer is None:
            raise RunError(f"ReActV2 gave no answer ({reason}). Raise max_iters, or use another model.")
        return Prediction(**answer, history=history, termination_reason="forced_submit")


def _check_names(signature: type[Signature]) -> None:
    """Raise SignatureError for fields whose names the agent needs."""
    clashes = [name for name in ("history", "termination_reason") if name in signature.output_fields]
    clashes += [name for name in ("history", "tools") if name in signature.input_fields]
    if clashes:
        raise SignatureError(f"ReActV2 needs the field name {clashes[0]!r} itself. Rename yours.")


def _submit_tool(signature: type[Signature]) -> Tool:
    """Return the tool that takes the answer."""

    def submit(**outputs: object) -> JsonObject:
        missing = [name for name in signature.output_fields if name not in outputs]
        if missing:
            raise ConfigurationError(f"The answer lacks {', '.join(missing)}.")
        return {name: outputs[name] for name in signature.output_fields}

    types = {name: signature.annotation(name) for name in signature.output_fields}
    schemas = {name: TypeAdapter(kind).json_schema() for name, kind in types.items()}
    return Tool(submit, name=SUBMIT, desc="Submit the answer.", args=schemas, arg_types=types)


def _turn(signature: type[Signature], tools: Sequence[str]) -> type[Signature]:
    """Return the signature of one turn."""
    instructions = "\n".join(
        (
            signature.instructions,
            f"Work towards {named(signature.output_fields)} from {named(signature.input_fields)} with the tools "
            f"{named(tools)}. Call tools as long as you need to know more. Then call `{SUBMIT}` with "
            f"{named(signature.output_fields)}.",
        )
    )
    turn = inputs_and(
        signature,
        instructions,
        history=(History, InputField()),
        tools=(list[Tool], InputField()),
        next_thought=(Reasoning, OutputField()),
        tool_calls=(ToolCalls, OutputField()),
    )
    for name in signature.input_fields:
        turn = turn.with_updated_fields(name, type_=signature.annotation(name) | None)
    return turn


def _numbered(made: Prediction, turn: int) -> ToolCalls:
    """Return a turn's calls, each with an id."""
    calls: ToolCalls = ToolCalls.model_validate(made.tool_calls or {"tool_calls": []})
    given = (call.id or f"call_{turn}_{n}" for n, call in enumerate(calls.tool_calls))
    return ToolCalls(
        tool_calls=tuple(
            ToolCall(name=call.name, args=call.args, id=own)
            for call, own in zip(calls.tool_calls, given, strict=True)
        )
    )
