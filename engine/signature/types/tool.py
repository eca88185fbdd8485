"""`ToolForm`: what a tool is to a prompt and to a saved file. `engine.Tool` is one with a function behind it."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import Any, Self

import orjson
from pydantic import Field, model_serializer, model_validator
from pydantic_core import core_schema

from engine.basics.data import JsonObject
from engine.errors import UnknownToolError
from engine.records import json_form
from engine.signature.types.base import Items, Type, shortened


class ToolForm(ABC):
    """A name, a description, and arguments by JSON schema; saved and compared by these, never by the function."""

    name: str
    desc: str
    args: dict[str, JsonObject]
    """Argument -> JSON schema."""
    required: tuple[str, ...]
    """Arguments without a default."""

    @classmethod
    @abstractmethod
    def made_of(cls, value: object) -> Self:
        """Return a tool of a tool, a function, or what `model_dump` wrote. Raises ValueError."""

    def format(self) -> str:
        """Return the tool as one line of a prompt."""
        schema = orjson.dumps(self.args, default=str).decode()
        return f"`{self.name}`: {' '.join(self.desc.split()) or '(no description)'} Arguments: {schema}"

    def format_as_litellm_function_call(self) -> dict[str, object]:
        """Return the tool as the OpenAI protocol describes functions."""
        parameters = {"type": "object", "properties": self.args, "required": list(self.required)}
        function = {"name": self.name, "description": self.desc, "parameters": parameters}
        return {"type": "function", "function": function}

    def model_dump(self, **_options: object) -> JsonObject:
        """Return the tool as JSON values."""
        return {"name": self.name, "desc": self.desc, "args": self.args, "required": list(self.required)}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.made_of,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda tool: tool.model_dump()),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ToolForm) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash((self.name, self.desc))

    def __str__(self) -> str:
        return self.format()


def tools_of(value: Any) -> list[ToolForm]:
    """Return the tools in a field's value: one, several, or none."""
    if isinstance(value, ToolForm):
        return [value]
    if isinstance(value, Mapping):
        value = value.values()
    return [tool for tool in value or () if isinstance(tool, ToolForm)]


Functions = Mapping[str, Callable[..., object]] | Iterable[Callable[..., object]]
"""Functions or tools by name, or a list of them, each known by its own name."""


class ToolCall(Type):
    """One call: a tool's name and its arguments; `id` is the one the model gave it.

    >>> ToolCall(name="add", args={"a": 1, "b": 2}).execute({"add": lambda a, b: a + b})
    3
    """

    name: str
    args: JsonObject = Field(default_factory=dict)
    id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_other_forms(cls, value: object) -> Any:
        if not isinstance(value, Mapping):
            return value
        function = value.get("function")
        if not isinstance(function, Mapping):
            if "arguments" not in value or "args" in value:
                return value
            # What models write that know the OpenAI protocol.
            given = {**value, "args": _arguments(value.get("name"), value["arguments"])}
            return {name: one for name, one in given.items() if name not in ("arguments", "type")}
        name = function.get("name")
        return {"name": name, "args": _arguments(name, function.get("arguments")), "id": value.get("id")}

    def execute(self, functions: Functions | None = None) -> Any:
        """Call the tool and return its result. Raises UnknownToolError for a name that is not among `functions`.

        Without `functions` the tool is looked up by its name where `execute` is called.
        """
        # A frame: a call has no other way to the functions around it, as DSPy's documentation has it (test_types).
        known = _named_around(sys._getframe(1), self.name) if functions is None else _by_name(functions)
        if self.name not in known:
            raise UnknownToolError(
                f"There is no tool {self.name!r}. There are: {', '.join(known) or 'none'}."
            )
        return known[self.name](**self.args)

    def as_openai(self) -> dict[str, object]:
        """Return the call as the OpenAI protocol has it."""
        arguments = orjson.dumps(self.args, default=str).decode()
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": arguments}}

    def format(self) -> str:
        """Return the call as JSON."""
        return orjson.dumps({"name": self.name, "args": self.args}, default=str).decode()


class ToolCallResult(Type):
    """Result of one call; `is_error` says that it failed, and `value` then why."""

    call_id: str | None = None
    name: str
    value: Any = None
    is_error: bool = False

    @property
    def text(self) -> str:
        """The value as text."""
        return (
            self.value
            if isinstance(self.value, str)
            else orjson.dumps(self.value, default=json_form).decode()
        )


class ToolCallResults(Items[ToolCallResult]):
    """Results of the calls of one turn, in their order."""

    tool_call_results: tuple[ToolCallResult, ...] = ()

    @classmethod
    def from_tool_calls_and_values(
        cls, tool_calls: ToolCalls, values: Sequence[object], is_errors: Sequence[bool] | None = None
    ) -> Self:
        """Return the results of calls that were carried out elsewhere. Raises ValueError for a wrong number of them."""
        failed = is_errors if is_errors is not None else [False] * len(values)
        results = [
            ToolCallResult(call_id=call.id, name=call.name, value=value, is_error=wrong)
            for call, value, wrong in zip(tool_calls, values, failed, strict=True)
        ]
        return cls(tool_call_results=tuple(results))

    def format(self) -> str:
        """Return one line for each result."""
        return "\n".join(f"{one.name}{' failed' if one.is_error else ''}: {one.text}" for one in self)


class ToolCalls(Items[ToolCall]):
    """The calls a model asks for: as an output, its own tool calls where it has them, else JSON that it writes.

    Made of a list of calls, of one, in this form or in the OpenAI protocol's.

    >>> calls = ToolCalls.from_dict_list([{"name": "add", "args": {"a": 1, "b": 2}}])
    >>> calls.tool_calls[0].name, calls.execute({"add": lambda a, b: a + b})[0].value
    ('add', 3)
    """

    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_results: ToolCallResults | None = Field(default=None, repr=False)
    """Results of the calls, where both are kept together, as in an earlier turn of a History."""

    _item_key = ("name", "function")

    @model_serializer(mode="wrap")
    def _without_none(self, handler: Any) -> JsonObject:
        values: JsonObject = handler(self)
        return {name: value for name, value in values.items() if name == "tool_calls" or value is not None}

    @classmethod
    def description(cls) -> str:
        """Return how a model should write calls."""
        return (
            'must be JSON {"tool_calls": [{"name": a tool\'s name, "args": {argument: value}}]}, '
            "with an empty list to call none"
        )

    def execute(self, functions: Functions) -> ToolCallResults:
        """Call every tool in turn; a call that fails is a result with `is_error`."""
        results = []
        for call in self.tool_calls:
            try:
                value, failed = call.execute(functions), False
            except Exception as error:  # noqa: BLE001 - whatever a tool raises is its result, for the model to read
                value, failed = str(error.args[0] if isinstance(error, KeyError) else error), True
            results.append(ToolCallResult(call_id=call.id, name=call.name, value=value, is_error=failed))
        return ToolCallResults(tool_call_results=tuple(results))

    def format(self) -> str:
        """Return the calls as a model should write them."""
        return f'{{"tool_calls": [{", ".join(call.format() for call in self.tool_calls)}]}}'


# DSPy's names; inside the classes they would hide the classes they name.
ToolCalls.ToolCall = ToolCall  # type: ignore[attr-defined]
ToolCallResults.ToolCallResult = ToolCallResult  # type: ignore[attr-defined]


def _arguments(name: object, text: object) -> object:
    if not isinstance(text, str):
        return {} if text is None else text
    try:
        arguments = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError:
        raise ValueError(f"the arguments of {name!r} are no JSON: {shortened(text)!r}") from None
    if not isinstance(arguments, dict):
        raise ValueError(f"the arguments of {name!r} are no JSON object: {shortened(text)!r}")
    return arguments


def _named_around(frame: FrameType, name: str) -> Mapping[str, Callable[..., object]]:
    """Return what a caller calls by a name."""
    while frame.f_back is not None and frame.f_code.co_name in _INNER:
        frame = frame.f_back
    function = frame.f_locals.get(name, frame.f_globals.get(name))
    return {name: function} if callable(function) else {}


_INNER = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>", "<lambda>")


def _by_name(functions: Functions) -> Mapping[str, Callable[..., object]]:
    if isinstance(functions, Mapping):
        return functions
    return {str(getattr(f, "name", None) or getattr(f, "__name__", "")): f for f in functions}
