"""`dspy.lm15`: the request and the response of an engine of the user's, `LM(engine=...)`, and the way there.

Parts of a message that are no text, and parameters without a name in `Config`, stay as they are in the OpenAI form.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self

from engine import loop
from engine.errors import ConfigurationError, EngineError, LMError
from engine.lm import exchange
from engine.records import Usage as EngineUsage


@dataclass(frozen=True)
class TextPart:
    """A text, as a part of a message."""

    text: str
    type: str = field(default="text", init=False)


@dataclass(frozen=True)
class ThinkingPart(TextPart):
    """A model's reasoning, as a part of its message."""

    type: str = field(default="thinking", init=False)


@dataclass(frozen=True)
class ToolCallPart:
    """A call of a tool, as a part of a model's message."""

    id: str
    name: str
    input: dict[str, Any]
    type: str = field(default="tool_call", init=False)


@dataclass(frozen=True)
class Message:
    """A message; its content may be given as a text, a part, or several.

    >>> Message.user("Hi").parts, Message.assistant([ThinkingPart("Hm."), "Hello"]).text
    ((TextPart(text='Hi', type='text'),), 'Hello')
    """

    role: str
    parts: tuple[Any, ...]

    @classmethod
    def user(cls, content: Any, role: str = "user") -> Self:
        """Return a user's message."""
        given = content if isinstance(content, list | tuple) else [content]
        return cls(role, tuple(TextPart(part) if isinstance(part, str) else part for part in given))

    @classmethod
    def assistant(cls, content: Any) -> Self:
        """Return a model's message."""
        return cls.user(content, "assistant")

    @property
    def text(self) -> str:
        """The texts of its parts, one after the other."""
        return "".join(part.text for part in self.parts if getattr(part, "type", "") == "text")


@dataclass(frozen=True)
class Config:
    """Parameters of a request; those without a name of their own are `extensions`."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extensions: dict[str, Any] | None = None


@dataclass(frozen=True)
class Request:
    """A request; the system message is apart from the others."""

    model: str
    messages: tuple[Message, ...]
    system: str | None = None
    tools: tuple[Any, ...] = ()
    config: Config = field(default_factory=Config)


@dataclass(frozen=True)
class Usage:
    """Tokens of a response; None where they were not counted."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True)
class Response:
    """A model's answer."""

    id: str | None
    model: str
    message: Message
    finish_reason: str = "stop"
    usage: Usage = Usage()
    logprobs: Any = None


class EngineTransport:
    """Asks an engine of the user's: an object with `complete(Request) -> Response`, or one whose `complete` is async."""

    def __init__(self, engine: Any, async_engine: Any = None) -> None:
        for name, given in (("engine", engine), ("async_engine", async_engine or engine)):
            if not callable(getattr(given, "complete", None)):
                raise ConfigurationError(
                    f"LM: {name} is 'auto', 'litellm', or an object with complete(Request) -> Response."
                )
        self.engine = async_engine or engine

    async def send(self, request: exchange.Request) -> exchange.Reply:
        """Ask once. Raises LMError with what the engine raised."""
        try:
            return reply_of(await loop.called(self.engine.complete, request_of(request)), request.model)
        except EngineError:
            raise
        except Exception as error:
            name = type(self.engine).__name__
            raise LMError(f"{name}, the engine of {request.model!r}, failed: {error!r}") from error


def request_of(request: exchange.Request) -> Request:
    """Return a request in an engine's form.

    >>> request_of(exchange.Request("m", ({"role": "user", "content": "Hi"},), {"seed": 1, "n": 2})).config.extensions
    {'n': 2}
    """
    spoken = [m for m in request.messages if m["role"] != "system"]
    told = [str(m["content"]) for m in request.messages if m["role"] == "system"]
    parts = (
        [p.get("text", p) for p in c] if isinstance(c := m["content"], list) else c or "" for m in spoken
    )
    messages = tuple(Message.user(part, str(m["role"])) for part, m in zip(parts, spoken, strict=True))
    known = {f.name for f in fields(Config)}
    config = {name: value for name, value in request.params.items() if name in known}
    rest = {name: value for name, value in request.params.items() if name not in known}
    return Request(
        request.model, messages, "\n\n".join(told) or None, config=Config(**config, extensions=rest or None)
    )


def reply_of(response: Any, model: str) -> exchange.Reply:
    """Return an engine's response as a reply. Raises AttributeError for what is no response."""
    parts = response.message.parts
    texts = {kind: "".join(p.text for p in parts if p.type == kind) for kind in ("text", "thinking")}
    calls = tuple(
        {"id": p.id, "type": "function", "function": {"name": p.name, "arguments": p.input}}
        for p in parts
        if p.type == "tool_call"
    )
    used = response.usage
    usage = EngineUsage(1, 0, used.input_tokens or 0, used.output_tokens or 0)
    choice = exchange.Choice(
        texts["text"], response.finish_reason, texts["thinking"] or None, calls, response.logprobs
    )
    return exchange.Reply((choice,), usage, str(response.model or model))
