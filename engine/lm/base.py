"""What every model is to the engine: something that answers a `Request` with a `Reply`.

This module knows no provider, no network and no cache.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.records import Usage, content_hash

Message = Mapping[str, Any]
"""One chat message in the OpenAI form: {"role": ..., "content": text or a list of parts}."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call to a model: the messages and everything that changes the answer.

    `params` are passed on to the provider as they are (temperature, max_tokens, n, stop,
    response_format, tools ...). `rollout_id` is never sent: it only makes a fresh sample of an
    otherwise equal request, by changing the cache key.
    """

    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    rollout_id: int | None = None

    def key(self, endpoint: str = "") -> str:
        """Return the cache key: a SHA-256 of the content and the endpoint, never of an API key."""
        return content_hash([endpoint, self.model, self.messages, self.params, self.rollout_id])


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion of a reply."""

    text: str
    finish_reason: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    logprobs: Any = None
    citations: tuple[Mapping[str, Any], ...] = ()


_ONE_CALL = Usage(calls=1)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered, and what it cost.

    `key` is the request's cache key ("" where no cache was used). `cached` says that nothing was paid for
    it now; `payer` names who paid when it was first bought (a run's id), so that a run resumed from the
    cache can count what it has spent before. `usage` of a cached reply is what it cost then.
    """

    choices: tuple[Choice, ...]
    usage: Usage = _ONE_CALL
    model: str = ""
    seconds: float = 0.0
    cached: bool = False
    key: str = ""
    payer: str | None = None

    @property
    def text(self) -> str:
        """The first completion's text ("" when there is none)."""
        return self.choices[0].text if self.choices else ""


class BaseLM(ABC):
    """The one interface of a model. Subclass it to bring a model of your own.

    >>> import asyncio
    >>> class Echo(BaseLM):
    ...     async def complete(self, request):
    ...         return Reply((Choice(str(request.messages[-1]["content"])),))
    >>> asyncio.run(Echo("echo").complete(Request("echo", ({"role": "user", "content": "hi"},)))).text
    'hi'
    """

    callbacks: Sequence[Any] = ()

    def __init__(
        self, model: str, *, temperature: float | None = None, max_tokens: int | None = None, **params: Any
    ) -> None:
        self.model = model
        self.params: dict[str, Any] = {k: v for k, v in params.items() if v is not None}
        if temperature is not None:
            self.params["temperature"] = temperature
        if max_tokens is not None:
            self.params["max_tokens"] = max_tokens

    @abstractmethod
    async def complete(self, request: Request) -> Reply:
        """Answer one request. Raises LMError (see engine.errors) after any retries of its own."""

    async def recall(self, request: Request) -> Reply | None:  # noqa: ARG002 - for subclasses
        """Return the answer to a request where that costs nothing and asks nobody: one kept from before; else None."""
        return None

    def request(
        self, messages: Sequence[Message], *, rollout_id: int | None = None, **params: Any
    ) -> Request:
        """Return a request for this model: its own parameters, overridden by those given here."""
        merged = {**self.params, **{k: v for k, v in params.items() if v is not None}}
        return Request(self.model, tuple(messages), merged, rollout_id)

    def __call__(
        self, prompt: str | None = None, messages: Sequence[Message] | None = None, **params: Any
    ) -> list[Any]:
        """Ask the model and wait: what `acall` returns. For scripts and notebooks."""
        # Imported here: async users need no loop of the engine's own.
        from engine.loop import run

        return run(self.acall(prompt, messages, **params))

    async def acall(
        self, prompt: str | None = None, messages: Sequence[Message] | None = None, **params: Any
    ) -> list[Any]:
        """Ask the model directly, without a signature. Returns a text for each completion.

        A completion with more than text comes as a dict with "text" and "reasoning_content", "tool_calls",
        "citations" or "logprobs". Parameters hold for this call; so does `rollout_id`.
        """
        if messages is None:
            messages = ({"role": "user", "content": prompt or ""},)
        reply = await send(self, self.request(messages, **params))
        return [_plain(choice) for choice in reply.choices]

    def kept(self) -> dict[str, Any]:
        """Return the settings beside `params` that a saved step keeps of its model, as JSON values."""
        return {}

    def price(self) -> tuple[float, float] | None:
        """Return US dollars per input and per output token, or None where the price is unknown."""
        return None

    @property
    def supports_response_format(self) -> bool:
        """Whether the endpoint is known to take a JSON schema as response_format."""
        return False

    @property
    def supports_function_calling(self) -> bool:
        """Whether the endpoint is known to take `tools` and to answer with tool calls."""
        return False

    @property
    def supports_reasoning(self) -> bool:
        """Whether the endpoint is known to send the model's thoughts beside its answer."""
        return False

    @property
    def supports_citations(self) -> bool:
        """Whether the endpoint is known to cite from documents that are parts of a message."""
        return False


Gate = Callable[[BaseLM, Request], Awaitable[Reply]]
"""What a call passes on its way to a model."""


def install_gate(gate: Gate) -> None:
    """Have direct calls of a model (`lm("text")`) pass a gate, as the calls of programs do.

    The runtime puts itself there when it is loaded, so that a call made by hand inside a program counts
    against the budget too.
    """
    global _gate
    _gate = gate


async def send(lm: BaseLM, request: Request) -> Reply:
    """Send a request past the gate, as programs do."""
    return await _gate(lm, request)


async def _straight_through(lm: BaseLM, request: Request) -> Reply:
    return await lm.complete(request)


_gate: Gate = _straight_through


def _plain(choice: Choice) -> str | dict[str, Any]:
    extra: dict[str, Any] = {}
    if choice.reasoning:
        extra["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        extra["tool_calls"] = list(choice.tool_calls)
    if choice.citations:
        extra["citations"] = list(choice.citations)
    if choice.logprobs is not None:
        extra["logprobs"] = choice.logprobs
    return {"text": choice.text, **extra} if extra else choice.text
