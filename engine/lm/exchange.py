"""Messages between the engine and a model: `Request` and `Reply`, and the OpenAI protocol's JSON read into them.

litellm gives its replies the same shape. It knows no network and no cache.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from engine.basics.data import Values
from engine.records import Usage, content_hash

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vector = npt.NDArray[np.float32]

Message = Values
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
    params: Values = field(default_factory=dict)
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
    tool_calls: tuple[Values, ...] = ()
    logprobs: Any = None
    citations: tuple[Values, ...] = ()


_ONE_CALL = Usage(calls=1)
_HELD_BACK = frozenset({"length", "content_filter"})


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer and its cost.

    `key` is the request's cache key ("" where no cache was used). `cached` says that nothing was paid for
    it now; `payer` is the id of the run that paid for it first, so that a run resumed from the
    cache can count what it has spent before. `usage` of a cached reply is what it cost then.
    """

    choices: tuple[Choice, ...]
    usage: Usage = _ONE_CALL
    model: str = ""
    seconds: float = 0.0
    cached: bool = False
    key: str = ""
    payer: str | None = None
    name: str = ""
    """The name of the model that answered, as it was made, where another one was asked (`FallbackLM`)."""

    @property
    def text(self) -> str:
        """The first completion's text, or ""."""
        return self.choices[0].text if self.choices else ""

    @property
    def blank(self) -> bool:
        """True if no completion has anything in it: neither text nor a call of a tool."""
        return not any(choice.text or choice.tool_calls for choice in self.choices)

    @property
    def faulty(self) -> bool:
        """True if it is blank through the endpoint's fault: nothing was cut off, and no filter has held it back."""
        return self.blank and not any(choice.finish_reason in _HELD_BACK for choice in self.choices)


class Price(NamedTuple):
    """US dollars per token, and what the model is known to do."""

    input: float
    output: float
    cached_input: float
    json_schema: bool = False
    tools: bool = False
    reasoning: bool = False
    cache_write: float | None = None
    vision: bool | None = None

    def cost(
        self, input_tokens: int, output_tokens: int, cached_tokens: int = 0, kept_tokens: int = 0
    ) -> float:
        """Return what a call costs.

        `cached_tokens` of the input were read from the provider's prompt cache, `kept_tokens` put into it.

        >>> Price(1.0, 2.0, 0.5).cost(10, 5, cached_tokens=4)
        18.0
        """
        cached = min(cached_tokens, input_tokens)
        written = min(kept_tokens, input_tokens - cached)
        writing = self.input if self.cache_write is None else self.cache_write
        fresh = (input_tokens - cached - written) * self.input
        return fresh + cached * self.cached_input + written * writing + output_tokens * self.output


def for_reasoning(body: dict[str, object]) -> None:
    """Change a request's body, in place, to what reasoning models take: they refuse the rest with an error.

    >>> body = {"max_tokens": 5, "temperature": 0.7}
    >>> for_reasoning(body)
    >>> body
    {'max_completion_tokens': 5}
    """
    if "max_tokens" in body:
        limit = body.pop("max_tokens")
        body.setdefault("max_completion_tokens", limit)
    drop_sampling(body)


def drop_sampling(body: dict[str, object]) -> None:
    """Take away, in place, a temperature and a top_p that a model does not take while it thinks."""
    for name in ("temperature", "top_p"):
        if body.get(name, 1) != 1:
            del body[name]


def choice_of(choice: Values) -> Choice:
    """Read one entry of a reply's "choices". Raises KeyError, TypeError or AttributeError where it is none."""
    message = choice["message"]
    content = message.get("content")
    finish = choice.get("finish_reason")
    if content is None:
        refusal = message.get("refusal")
        content = refusal if isinstance(refusal, str) else ""
        finish = "refusal" if content else finish
    elif not isinstance(content, str):
        # Some endpoints send a list of parts.
        content = "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return Choice(
        content,
        finish,
        reasoning if isinstance(reasoning, str) else None,
        tuple(message.get("tool_calls") or ()),
        choice.get("logprobs"),
        _citations(message),
    )


def _citations(message: Values) -> tuple[Values, ...]:
    """Read a message's citations: a list, or one for each piece of the text."""
    more = message.get("provider_specific_fields")
    given = message.get("citations") or (more.get("citations") if isinstance(more, Mapping) else None)
    citations: list[Values] = []
    for entry in given if isinstance(given, list) else ():
        citations += [
            part for part in (entry if isinstance(entry, list) else (entry,)) if isinstance(part, Mapping)
        ]
    return tuple(citations)


def usage_of(usage: object, price: Price | None) -> Usage | None:
    """Read a reply's "usage", with its cost; None where the endpoint counted no tokens."""
    if not isinstance(usage, dict):
        return None
    tokens_in = usage.get("prompt_tokens", usage.get("input_tokens"))
    tokens_out = usage.get("completion_tokens", usage.get("output_tokens"))
    if not isinstance(tokens_in, int) or not isinstance(tokens_out, int | None):
        return None
    tokens_out = tokens_out or 0
    charged = usage.get("cost")
    if isinstance(charged, int | float) and not isinstance(charged, bool):
        # OpenRouter says what it charged, which is better than any table.
        return Usage(1, 0, tokens_in, tokens_out, float(charged))
    if price is None:
        return Usage(1, 0, tokens_in, tokens_out)
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    written = usage.get("cache_creation_input_tokens")
    written = written if isinstance(written, int) else 0
    return Usage(1, 0, tokens_in, tokens_out, price.cost(tokens_in, tokens_out, cached or 0, written))


def counted_usage(request: Request, choices: tuple[Choice, ...], price: Price | None) -> Usage:
    """Count for a server that counts no tokens."""
    tokens_in, tokens_out = message_tokens(request.messages), sum(text_tokens(c.text) for c in choices)
    return Usage(1, 0, tokens_in, tokens_out, price.cost(tokens_in, tokens_out) if price else None)


def text_tokens(text: str) -> int:
    """Return about how many tokens a text has: one for four bytes of UTF-8, as in English."""
    return -(-(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) // 4)


def message_tokens(messages: Iterable[Message]) -> int:
    """Return about how many tokens messages have: their texts', four a message, 1,000 for a part that is not text (an image).

    >>> message_tokens([{"role": "user", "content": "Where is it?"}])
    7
    """
    total = 0
    for message in messages:
        content = message.get("content") or ()
        for part in (content,) if isinstance(content, str) else content:
            text = part.get("text") if isinstance(part, Mapping) else part
            total += text_tokens(text) if isinstance(text, str) else 1000
        total += 4
    return total


def priced(reply: Reply, prices: tuple[float, float] | None) -> Reply:
    """Return a reply with its cost, by prices per token in and out, where it has none: its price was not known when it was kept."""
    used = reply.usage
    if used.cost is not None or prices is None:
        return reply
    cost = used.input_tokens * prices[0] + used.output_tokens * prices[1]
    return replace(reply, usage=replace(used, cost=cost))


def tokens_of(usage: Usage) -> dict[str, int]:
    """Return a usage's tokens under the protocol's names."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.tokens,
    }


def texts_of(messages: Sequence[Message]) -> list[str]:
    """Return the texts of an embedding request's messages."""
    return [str(message["content"]) for message in messages]


def vectors_of(data: Sequence[Values], wanted: int) -> tuple[Choice, ...]:
    """Return a reply's vectors as completions, in the order of the texts. Raises ValueError for a wrong number.

    A completion's text is the vector's float32 bytes in base64, one of the protocol's own forms: so the cache keeps it.
    """
    import numpy as np

    ordered = sorted(data, key=lambda entry: int(entry.get("index", 0)))
    if len(ordered) != wanted:
        raise ValueError("not one vector for each text")
    rows = [np.asarray(entry["embedding"], np.float32) for entry in ordered]
    if any(row.ndim != 1 or not row.size for row in rows):
        raise ValueError("not vectors")
    return tuple(Choice(base64.b64encode(row.tobytes()).decode(), "stop") for row in rows)


def vector_of(choice: Choice) -> Vector:
    """Return the vector that `vectors_of` has put into a completion."""
    import numpy as np

    return np.frombuffer(base64.b64decode(choice.text), np.float32)


Send = Callable[[Any, Request], Awaitable[Reply]]
"""Asks the next layer. `Any`: a layer may be written for one kind of model."""


class Middleware(Protocol):
    """A layer round a model's call. `engine.lm.calls.middleware` has the order of all of them."""

    async def __call__(self, lm: Any, request: Request, send: Send) -> Reply:
        """Answer a request, as a rule with `send`, which asks the next layer."""


class Transport(Protocol):
    """Sends one request and returns the reply. Raises LMError."""

    async def send(self, request: Request) -> Reply:
        """Send one request, once."""
