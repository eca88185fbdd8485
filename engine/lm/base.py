"""The interface of every model: something that answers a `Request` with a `Reply`.

This module knows no provider, no network and no cache. Models written for DSPy are read by `engine.compat.models`.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from engine import loop
from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError
from engine.lm.calls import history, middleware
from engine.lm.calls.speeds import Speed
from engine.lm.exchange import Choice, Message, Reply, Request
from engine.lm.keys import without_secrets

__all__ = ["BaseLM", "Choice", "Message", "Reply", "Request"]


class BaseLM:
    """The one interface of a model. Subclass it for your own model and define `complete`.

    `temperature` and `max_tokens` are parameters of every call, and so is every further keyword. `model_type`, `cache` and
    `num_retries` are for the subclass to heed.

    >>> import asyncio
    >>> class Echo(BaseLM):
    ...     async def complete(self, request):
    ...         return Reply((Choice(str(request.messages[-1]["content"])),))
    >>> asyncio.run(Echo("echo").complete(Request("echo", ({"role": "user", "content": "hi"},)))).text
    'hi'
    """

    callbacks: Sequence[Any] = ()
    model_type: str = "chat"
    history: Any
    reported_as: ClassVar[str] = "lm"
    records: ClassVar[bool] = False
    """Set where `complete` notes its calls in the history itself."""
    capabilities: frozenset[str] = frozenset()
    """The endpoint's known abilities, in the words of `engine.lm.client.CAPABILITIES`."""

    def __init__(
        self,
        model: str,
        model_type: str = "chat",
        temperature: float | None = None,
        max_tokens: int | None = None,
        cache: Any = True,
        callbacks: Sequence[Any] | None = None,
        num_retries: int = 3,
        **params: Any,
    ) -> None:
        self.model = model
        self.model_type = model_type
        self.cache, self.num_retries = cache, num_retries
        self.history = []
        self.callbacks = callbacks or self.callbacks
        self.params: JsonObject = {k: v for k, v in params.items() if v is not None}
        if temperature is not None:
            self.params["temperature"] = temperature
        if max_tokens is not None:
            self.params["max_tokens"] = max_tokens

    async def complete(self, request: Request) -> Reply:  # noqa: ARG002 - for subclasses
        """Answer one request. Raises LMError (see engine.errors) after its own retries; ConfigurationError if not defined."""
        raise ConfigurationError(
            f"{type(self).__name__} cannot answer: define complete(self, request), or forward or aforward as in DSPy."
        )

    def answer(self, request: Request) -> Awaitable[Reply]:
        """Answer a request as the innermost layer of a call: by `complete`."""
        return self.complete(request)

    async def send(self, request: Request) -> Reply:
        """Answer a request by way of all of `engine.lm.calls.middleware`, as programs do: it counts against the budget in force."""
        return await middleware.send(self, request)

    async def recall(self, request: Request) -> Reply | None:  # noqa: ARG002 - for subclasses
        """Return the kept answer to a request, which costs nothing, or None."""
        return None

    def request(
        self, messages: Sequence[Message], *, rollout_id: int | None = None, **params: Any
    ) -> Request:
        """Return a request for this model: its own parameters, overridden by those given here."""
        merged = {**self.params, **{k: v for k, v in params.items() if v is not None}}
        usual = merged.pop("rollout_id", None)
        return Request(self.model, tuple(messages), merged, usual if rollout_id is None else rollout_id)

    def __call__(
        self, prompt: str | None = None, messages: Sequence[Message] | None = None, **params: object
    ) -> list[str | dict[str, object]]:
        """Ask the model and wait: what `acall` returns. For scripts and notebooks."""
        return loop.run(self.acall(prompt, messages, **params))

    async def acall(
        self, prompt: str | None = None, messages: Sequence[Message] | None = None, **params: Any
    ) -> list[str | dict[str, object]]:
        """Ask the model directly, without a signature. Returns a text for each completion.

        A completion with more than text comes as a dict with "text" and "reasoning_content", "tool_calls",
        "citations" or "logprobs". Parameters hold for this call; so does `rollout_id`.
        """
        reply = await self.send(self.request(as_messages(prompt, messages), **params))
        return [completion(choice) for choice in reply.choices]

    def inspect_history(self, n: int = 1, file: Any = None) -> None:
        """Write this model's last `n` calls to `file` (standard output by default)."""
        history.show(self.history, n, file)

    def copy(self, **changes: Any) -> Self:
        """Return a new model with some attributes or parameters changed; None takes a parameter away.

        The history starts empty; what else a subclass has put on the model is shared.
        """
        other = copy.copy(self)
        other.history, other.params, other.callbacks = [], dict(self.params), [*self.callbacks]
        for name, value in changes.items():
            if name in vars(other):
                setattr(other, name, value)
            elif value is None:
                other.params.pop(name, None)
            else:
                other.params[name] = value
        return other

    def dump_state(self) -> JsonObject:
        """Return the settings, without anything secret, as `load_state` takes them. Extend both where a subclass has more."""
        return {
            "model": self.model,
            "model_type": self.model_type,
            "cache": self.cache is not False,
            "num_retries": self.num_retries,
            **without_secrets(self.params),
        }

    @classmethod
    def load_state(cls, state: Values) -> Self:
        """Return a model of this class with the settings that `dump_state` returned, here or in DSPy."""
        return cls(**{name: value for name, value in state.items() if not name.startswith("_")})

    def kept(self) -> JsonObject:
        """Return the settings besides `params` that a saved step keeps of its model, as JSON values."""
        return {}

    def price(self) -> tuple[float, float] | None:
        """Return US dollars per input and per output token, or None where the price is unknown."""
        return None

    def speed(self) -> Speed:
        """Return the speed measured on earlier calls, also those of other processes."""
        return Speed()

    @property
    def supports_response_format(self) -> bool:
        """True if it takes a JSON schema as response_format."""
        return self.supports_response_schema

    @property
    def supports_response_schema(self) -> bool:
        """The same by DSPy's name: a model of your own may define either."""
        return "json_schema" in self.capabilities

    @property
    def supported_params(self) -> set[str]:
        """Parameters of the OpenAI protocol that it takes, as far as they depend on the model."""
        more = {"response_format": self.supports_response_format, "tools": self.supports_function_calling}
        reasoning = {
            "reasoning_effort": self.supports_reasoning,
            "tool_choice": self.supports_function_calling,
        }
        return {"max_tokens", "n", "stop", "temperature", "top_p"} | {
            k for k, v in (more | reasoning).items() if v
        }

    @property
    def supports_function_calling(self) -> bool:
        """True if it takes `tools` and answers with tool calls."""
        return "tools" in self.capabilities

    @property
    def supports_reasoning(self) -> bool:
        """True if it sends the model's reasoning next to its answer."""
        return "reasoning" in self.capabilities

    @property
    def supports_vision(self) -> bool | None:
        """True if it sees pictures, False if it does not; None where that is not known."""
        return None

    @property
    def supports_citations(self) -> bool:
        """True if it cites from documents that are parts of a message."""
        return "citations" in self.capabilities


@contextmanager
def models_shared(memo: dict[int, object]) -> Iterator[None]:
    """Make deep copies with this memo share their models inside the `with` block, as the copies of a program do.

    Elsewhere a deep copy of a model is independent of it. The memo's key is that of a class, which is never copied.
    """
    outermost = not shared_in(memo)
    memo[id(BaseLM)] = BaseLM
    try:
        yield
    finally:
        if outermost:
            del memo[id(BaseLM)]


def shared_in(memo: Mapping[int, object]) -> bool:
    """Return whether a deep copy with this memo shares models (see `models_shared`)."""
    return id(BaseLM) in memo


def as_messages(prompt: str | None, messages: Sequence[Message] | None) -> Sequence[Message]:
    """Return a call's messages: those given, or a question as one."""
    return ({"role": "user", "content": prompt or ""},) if messages is None else messages


def besides_text(choice: Choice) -> dict[str, object]:
    """Return what a completion has besides its text, by the protocol's names."""
    details = {
        "reasoning_content": choice.reasoning,
        "tool_calls": list(choice.tool_calls),
        "citations": list(choice.citations),
    }
    return {name: value for name, value in details.items() if value}


def completion(choice: Choice) -> str | dict[str, object]:
    """Return a completion as a direct call does: its text, or a dict where there is more."""
    details = besides_text(choice)
    if choice.logprobs is not None:
        details["logprobs"] = choice.logprobs
    return {"text": choice.text, **details} if details else choice.text
