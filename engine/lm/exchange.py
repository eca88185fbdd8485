"""What passes between the engine and a model: a `Request`, and the `Reply` to it.

They know no provider, no network and no cache.
"""

from __future__ import annotations

from collections.abc import Mapping
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
