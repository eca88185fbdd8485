"""`dspy.lm15`: the request and the response of an engine of the user's, `LM(engine=...)`, and the way there.

Parts of a message that are no text, and parameters without a name in `Config`, stay as they are in the OpenAI form.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from engine import loop
from engine.errors import ConfigurationError, EngineError, LMError
from engine.lm import exchange
from engine.records import Usage as EngineUsage

TextPart = namedtuple("TextPart", "text type", defaults=["text"])
ThinkingPart = namedtuple("ThinkingPart", "text type", defaults=["thinking"])
ToolCallPart = namedtuple("ToolCallPart", "id name input type", defaults=["tool_call"])
Config = namedtuple(
    "Config",
    "max_tokens temperature top_p stop seed extensions",
    defaults=[None, None, None, None, None, None],
)
Request = namedtuple("Request", "model messages system tools config", defaults=[None, (), Config()])
Usage = namedtuple("Usage", "input_tokens output_tokens total_tokens", defaults=[None, None, None])
Response = namedtuple(
    "Response", "id model message finish_reason usage logprobs", defaults=["stop", Usage(), None]
)


class Message(namedtuple("Message", "role parts")):
    """A message; its content may be given as a text, a part, or a list of them.

    >>> Message.user("Hi").parts, Message.assistant([ThinkingPart("Hm."), "Hello"]).text
    ((TextPart(text='Hi', type='text'),), 'Hello')
    """

    @classmethod
    def user(cls, content: object, role: str = "user") -> Message:
        """Return a user's message."""
        parts = content if isinstance(content, list) else [content]
        return cls(role, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))

    @classmethod
    def assistant(cls, content: object) -> Message:
        """Return a model's message."""
        return cls.user(content, "assistant")

    @property
    def text(self) -> str:
        """The texts of its parts, one after the other."""
        return "".join(part.text for part in self.parts if getattr(part, "type", "") == "text")


class EngineTransport:
    """Asks an engine of the user's: an object with `complete(Request) -> Response`, plain or async."""

    def __init__(self, engine: Any) -> None:
        if not callable(getattr(engine, "complete", None)):
            raise ConfigurationError(
                f"LM: engine is 'auto', 'litellm', or an object with complete(Request) -> Response, not {engine!r}."
            )
        self.engine = engine

    async def send(self, request: exchange.Request) -> exchange.Reply:
        """Ask once. Raises LMError with what the engine raised."""
        try:
            return _reply_of(await loop.called(self.engine.complete, request_of(request)))
        except EngineError:
            raise
        except Exception as error:
            name = type(self.engine).__name__
            raise LMError(f"{name}, the engine of {request.model!r}, failed: {error!r}") from error


def request_of(request: exchange.Request) -> Any:
    """Return a request in an engine's form; system messages are apart from the others.

    >>> request_of(exchange.Request("m", ({"role": "user", "content": "Hi"},), {"seed": 1, "n": 2})).config.extensions
    {'n': 2}
    """
    told: list[Message] = []
    spoken: list[Message] = []
    for message in request.messages:
        given = message["content"] or ""
        parts = [part.get("text", part) for part in given] if isinstance(given, list) else given
        (told if message["role"] == "system" else spoken).append(Message.user(parts, str(message["role"])))
    config = {name: value for name, value in request.params.items() if name in Config._fields}
    rest = {name: value for name, value in request.params.items() if name not in config}
    system = "\n\n".join(message.text for message in told) or None
    return Request(request.model, tuple(spoken), system, (), Config(**{"extensions": rest or None, **config}))


def _reply_of(response: Any) -> exchange.Reply:
    parts, used = response.message.parts, response.usage
    text, thinking = ("".join(p.text for p in parts if p.type == kind) for kind in ("text", "thinking"))
    calls = [
        {"id": p.id, "type": "function", "function": {"name": p.name, "arguments": p.input}}
        for p in parts
        if p.type == "tool_call"
    ]
    choice = exchange.Choice(text, response.finish_reason, thinking or None, tuple(calls), response.logprobs)
    usage = EngineUsage(1, 0, used.input_tokens or 0, used.output_tokens or 0)
    return exchange.Reply((choice,), usage, response.model)
