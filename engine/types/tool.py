"""`ToolForm`: what a tool is to a prompt and to a saved file. `engine.Tool` is one with a function behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import orjson
from pydantic_core import core_schema


class ToolForm(ABC):
    """A name, a description, and arguments by JSON schema; saved and compared by these, never by the function."""

    name: str
    desc: str

    @property
    @abstractmethod
    def args(self) -> dict[str, dict[str, Any]]:
        """Argument -> JSON schema."""

    @property
    @abstractmethod
    def required(self) -> tuple[str, ...]:
        """Arguments without a default."""

    @classmethod
    @abstractmethod
    def made_of(cls, value: Any) -> Self:
        """Return a tool of a tool, a function, or what `model_dump` wrote. Raises ValueError."""

    def format(self) -> str:
        """Return the tool as one line of a prompt."""
        schema = orjson.dumps(self.args, default=str).decode()
        return f"`{self.name}`: {' '.join(self.desc.split()) or '(no description)'} Arguments: {schema}"

    def format_as_litellm_function_call(self) -> dict[str, Any]:
        """Return the tool as the OpenAI protocol describes functions."""
        parameters = {"type": "object", "properties": self.args, "required": list(self.required)}
        function = {"name": self.name, "description": self.desc, "parameters": parameters}
        return {"type": "function", "function": function}

    def model_dump(self, **_options: Any) -> dict[str, Any]:
        """Return the tool as JSON values."""
        return {"name": self.name, "desc": self.desc, "args": self.args, "required": list(self.required)}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
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
