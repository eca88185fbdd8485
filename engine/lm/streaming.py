"""Replies that come in pieces: listeners, pieces, and the assembly of an endpoint's events into one reply.

The events are the OpenAI protocol's server-sent events. Pure reading: it knows no network.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from engine.basics.data import JsonObject, Values
from engine.errors import LMError


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a reply: of its text, or of the model's reasoning; the last has a finish reason."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    model: str = ""


class Listener(Protocol):
    """Hears of a reply piece by piece. It is called on the engine's loop and must not block."""

    def begin(self) -> None:
        """A reply begins; the one before it, if any, was given up."""
        ...

    def feed(self, chunk: Chunk) -> None:
        """A piece has come."""
        ...


listener: ContextVar[Listener | None] = ContextVar("engine_lm_listener", default=None)
"""Listener to the calls made here; transports that can, answer it in pieces."""


async def event_data(received: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Iterate over the data of server-sent events, as their bytes come in."""
    rest = b""
    async for data in received:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
    if rest.startswith(b"data:"):
        yield rest[5:].strip()


class Assembly:
    """Puts a streamed reply together, in the shape of one that came in one piece.

    >>> assembly = Assembly()
    >>> [assembly.add(b'{"choices": [{"index": 0, "delta": {"content": "hi"}}]}')]
    [Chunk(text='hi', reasoning='', finish_reason=None, model='')]
    >>> assembly.reply()["choices"][0]["message"]["content"]
    'hi'
    """

    def __init__(self) -> None:
        self.done = False
        self.error: Any = None
        self._model = ""
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tool_calls: dict[int, JsonObject] = {}
        self._citations: list[Any] = []
        self._finish: str | None = None
        self._usage: Any = None

    def add(self, data: bytes) -> Chunk | None:
        """Take one event; return the piece it carries, if any. Raises ValueError where it is no JSON object."""
        if data == b"[DONE]":
            self.done = True
            return None
        if not data:
            return None
        event = orjson.loads(data)
        if not isinstance(event, dict):
            raise ValueError("An event is no JSON object.")
        return self.add_event(event)

    def add_event(self, event: Values) -> Chunk | None:
        """Take one event that is read already. Raises ValueError where its piece is no text."""
        if event.get("error"):
            self.error = event
            return None
        self._model = str(event.get("model") or self._model)
        self._usage = event.get("usage") or self._usage
        choices = event.get("choices") or ()
        return self._choice(choices[0]) if choices else None

    def _choice(self, choice: Values) -> Chunk | None:
        delta = choice.get("delta") or {}
        text = delta.get("content") or choice.get("text") or ""
        reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
        for call in delta.get("tool_calls") or ():
            self._tool_call(call)
        cited = (delta.get("provider_specific_fields") or {}).get("citation")
        if cited:
            self._citations.append(cited)
        finish = choice.get("finish_reason")
        if finish:
            self._finish, self.done = str(finish), True
        if not isinstance(text, str) or not isinstance(reasoning, str):
            raise ValueError("A piece is no text.")
        self._text.append(text)
        self._reasoning.append(reasoning)
        return Chunk(text, reasoning, finish, self._model) if text or reasoning or finish else None

    def _tool_call(self, piece: Values) -> None:
        call = self._tool_calls.setdefault(
            int(piece.get("index") or 0),
            {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
        )
        call["id"] = piece.get("id") or call["id"]
        for name, text in (piece.get("function") or {}).items():
            call["function"][name] = call["function"].get(name, "") + (text or "")

    @property
    def begun(self) -> bool:
        """True once a piece has come."""
        return any(self._text) or any(self._reasoning)

    def reply(self) -> JsonObject:
        """Return the whole reply as the endpoint would have sent it in one piece."""
        message: dict[str, object] = {"role": "assistant", "content": "".join(self._text)}
        if any(self._reasoning):
            message["reasoning_content"] = "".join(self._reasoning)
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[i] for i in sorted(self._tool_calls)]
        if self._citations:
            message["citations"] = self._citations
        return {
            "model": self._model,
            "choices": [{"index": 0, "message": message, "finish_reason": self._finish}],
            "usage": self._usage,
        }


def final(error: LMError, *, shown: bool) -> LMError:
    """Return an error that is not retried once a piece was shown, which cannot be taken back."""
    if shown:
        error.retryable = False
    return error
